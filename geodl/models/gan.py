"""Generative adversarial networks of convolutions with stride 2 and their transposes."""

from torch import nn

from geodl.errors import GeodlError
from geodl.layer import BatchNorm, Conv, Embedding, Expected, Network, Sequential
from geodl.models.gan_losses import LossName
from geodl.models.gan_pair import GAN, Game, Noise
from geodl.models.gan_parts import (
    SLOPE,
    features,
    generator_layers,
    hidden_layer,
    quarter_size,
    whole_map,
)
from geodl.neighborhood import itself


def dcgan(
    size: int = 28,
    *,
    in_channels: int = 1,
    channels: int = 32,
    noise_channels: int = 64,
    hidden: int | None = None,
    noise: Noise = "gaussian",
    loss: LossName = "non-saturating",
    critic_norm: bool = True,
    critic_steps: int = 1,
) -> GAN:
    """The DCGAN: a generator of transposed convolutions, which makes an image of noise, and a
    discriminator of convolutions with stride 2, which scores an image.

    With `loss="wasserstein"`, `critic_norm=False` and several `critic_steps` it is the WGAN-GP
    (Gulrajani et al. 2017).

    Args:
        size: height and width of the images, a multiple of 4.
        in_channels: channels of the images.
        channels: of feature maps of half the image's size; those of a quarter have twice as many.
        noise_channels: length of the noise vector.
        hidden: channels of a fully connected layer of the discriminator before its score; None for
            no such layer, as in the paper.
        noise: its distribution, "gaussian" (standard normal) or "uniform" in [-1, 1].
        loss: a name that :func:`geodl.models.adversarial_loss` knows.
        critic_norm: whether the discriminator has a batch norm. The score of an image then depends
            on the other images of its batch, which the penalty of "wasserstein" does not allow.
        critic_steps: steps of the discriminator for each step of the generator.

    Raises:
        GeodlError: if the size is no multiple of 4, or another argument is out of range; at the
            call, if images have another size.

    Source: Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional
    Generative Adversarial Networks", 2016; Goodfellow et al., "Generative Adversarial Nets", 2014.

    >>> dcgan(channels=4).sample(3).shape
    torch.Size([3, 1, 28, 28])
    """
    if loss == "wasserstein" and critic_norm:
        found = "a batch norm in the discriminator, by which an image's score depends on others"
        raise GeodlError("dcgan(loss='wasserstein')", found, "give critic_norm=False")
    quarter = quarter_size(size)
    generator = generator_layers(noise_channels, channels, in_channels, quarter)
    head: list[nn.Module] = [Conv(2 * channels, 1, whole_map(quarter))]
    if hidden is not None:
        read = hidden_layer(2 * channels, hidden, quarter, norm=critic_norm)
        head = [read, Conv(hidden, 1, itself())]
    discriminator = Sequential(
        Expected(size, size), features(in_channels, channels, norm=critic_norm), *head
    )
    game = Game(loss, critic_steps=critic_steps)
    return GAN(generator, discriminator, noise_channels, noise=noise, game=game)


def conditional_gan(
    classes: int = 10,
    size: int = 28,
    *,
    in_channels: int = 1,
    channels: int = 32,
    noise_channels: int = 64,
    embedding: int = 16,
    hidden: int = 128,
    noise: Noise = "gaussian",
    loss: LossName = "non-saturating",
) -> GAN:
    """The conditional GAN: generator and discriminator also read the class of the image. Its
    embedding is concatenated with the noise, and with hidden features of the discriminator.

    Args:
        classes: how many there are.
        size: height and width of the images, a multiple of 4.
        in_channels: channels of the images.
        channels: as for :func:`dcgan`.
        noise_channels: length of the noise vector.
        embedding: channels of the embedding of a class.
        hidden: channels of the discriminator's layers before and after the concatenation.
        noise: its distribution, "gaussian" (standard normal) or "uniform" in [-1, 1].
        loss: as for :func:`dcgan`; not "wasserstein": the discriminator has a batch norm.

    Raises:
        GeodlError: as :func:`dcgan`; at the call, if a class is out of range.

    Source: Mirza and Osindero, "Conditional Generative Adversarial Nets", 2014.

    >>> import torch
    >>> conditional_gan(channels=4).sample(2, torch.tensor([7, 3])).shape
    torch.Size([2, 1, 28, 28])
    """
    _check_norms("conditional_gan", loss)
    quarter = quarter_size(size)
    read = hidden_layer(2 * channels, hidden, quarter, norm=False)
    joint = Sequential(
        Conv(hidden + embedding, hidden, itself(), bias=False),
        BatchNorm(hidden),
        nn.LeakyReLU(SLOPE),
    )
    discriminator = Network(
        ("image", "label"),
        {
            "expected": (Expected(size, size), "image"),
            "features": (features(in_channels, channels), "expected"),
            "read": (read, "features"),
            "class": (Embedding(classes, embedding), "label"),
            "both": ("cat", "read", "class"),
            "joint": (joint, "both"),
            "score": (Conv(hidden, 1, itself()), "joint"),
        },
    )
    generator = _conditional_generator(
        classes, embedding, noise_channels, channels, in_channels, quarter
    )
    return GAN(
        generator, discriminator, noise_channels, noise=noise, game=Game(loss), classes=classes
    )


def infogan(
    codes: int = 10,
    size: int = 28,
    *,
    in_channels: int = 1,
    channels: int = 32,
    noise_channels: int = 64,
    embedding: int = 16,
    hidden: int = 128,
    noise: Noise = "gaussian",
    loss: LossName = "non-saturating",
    information: float = 1.0,
) -> GAN:
    """The InfoGAN: the generator reads a random code beside the noise, and a second head of the
    discriminator predicts the code from the image. It learns without labels.

    Both networks minimise `information` times the cross-entropy of that prediction: the entropy of
    the code minus this cross-entropy is a lower bound of the mutual information I(code; image).

    Args:
        codes: how many values the code has, at least 2.
        size: height and width of the images, a multiple of 4.
        in_channels: channels of the images.
        channels: as for :func:`dcgan`.
        noise_channels: length of the noise vector.
        embedding: channels of the embedding of a code.
        hidden: channels of the features that both heads read.
        noise: its distribution, "gaussian" (standard normal) or "uniform" in [-1, 1].
        loss: as for :func:`dcgan`; not "wasserstein": the discriminator has a batch norm.
        information: the weight of the cross-entropy.

    Raises:
        GeodlError: as :func:`dcgan`; if the code has a single value.

    Source: Chen, Duan, Houthooft, Schulman, Sutskever, Abbeel, "InfoGAN: Interpretable
    Representation Learning by Information Maximizing Generative Adversarial Nets", 2016.

    >>> import torch
    >>> infogan(channels=4, hidden=8).sample(2, torch.tensor([0, 9])).shape
    torch.Size([2, 1, 28, 28])
    """
    _check_norms("infogan", loss)
    if information is None:
        raise GeodlError("infogan(information=None)", do="give a number above 0")
    if codes == 1:
        found = "a code of one value, which every image has"
        raise GeodlError("infogan(codes=1)", found, "give at least 2")
    quarter = quarter_size(size)
    read = hidden_layer(2 * channels, hidden, quarter)
    discriminator = Network(
        "image",
        {
            "expected": (Expected(size, size), "image"),
            "features": (features(in_channels, channels), "expected"),
            "read": (read, "features"),
            "score": (Conv(hidden, 1, itself()), "read"),
            "code": (Conv(hidden, codes, itself()), "read"),
        },
        ("score", "code"),
    )
    generator = _conditional_generator(
        codes, embedding, noise_channels, channels, in_channels, quarter
    )
    game = Game(loss, information=information)
    return GAN(generator, discriminator, noise_channels, noise=noise, game=game, classes=codes)


def _conditional_generator(
    classes: int, embedding: int, noise: int, channels: int, in_channels: int, quarter: int
) -> Network:
    """A generator that reads noise and the embedding of a class or of a code."""
    return Network(
        ("noise", "label"),
        {
            "class": (Embedding(classes, embedding), "label"),
            "read": ("cat", "noise", "class"),
            "image": (generator_layers(noise + embedding, channels, in_channels, quarter), "read"),
        },
    )


def _check_norms(name: str, loss: str) -> None:
    if loss == "wasserstein":
        found = "a batch norm in the discriminator, by which an image's score depends on others"
        do = "choose another loss, or dcgan(critic_norm=False)"
        raise GeodlError(f"{name}(loss='wasserstein')", found, do)
