"""A generator and a discriminator as one model, and the settings of their adversarial loss."""

from dataclasses import dataclass
from typing import Literal, final, get_args

import torch
from torch import Tensor, nn

from geodl.domain import Grid
from geodl.errors import GeodlError, as_integer, is_real, nearest, positive
from geodl.layer import Layer, evaluated
from geodl.models.gan_losses import LossName, adversarial_loss
from geodl.signal import Signal

Noise = Literal["gaussian", "uniform"]
POINT = Grid(1, 1)  # where noise and classes stand
AT_ONCE = 500  # images drawn by one call


@final
@dataclass(frozen=True)
class Game:
    """The game of a generator and a discriminator: the loss and the weights of its terms.

    Args:
        loss: its name, as :func:`geodl.models.adversarial_loss` knows it.
        critic_steps: steps of the discriminator for each step of the generator.
        critic_rate: the discriminator's learning rate over the generator's (Heusel et al., "GANs
            Trained by a Two Time-Scale Update Rule", 2017).
        penalty: the weight of the gradient penalty, where the loss has one.
        information: the weight of the cross-entropy of the code, where the discriminator predicts
            it from the image; None where it does not.

    Raises:
        GeodlError: if there is no such loss, or a number is out of range.
    """

    loss: LossName = "non-saturating"
    critic_steps: int = 1
    critic_rate: float = 1.0
    penalty: float = 10.0
    information: float | None = None

    def __post_init__(self):
        adversarial_loss(self.loss)
        positive(f"a GAN with critic_steps={self.critic_steps!r}", self.critic_steps)
        for name in ("critic_rate", "penalty", "information"):
            value = getattr(self, name)
            if value is not None and not (is_real(value) and 0 < value < float("inf")):
                raise GeodlError(f"a GAN with {name}={value!r}", do="give a number above 0")


@final
class GAN(nn.Module):
    """A generator, which makes images of noise, and a discriminator, which scores them: the higher
    the score, the more an image is held for real.

    Args:
        generator: takes noise `[B, 1, noise_channels]` on a grid of one point and, where there are
            classes, one for each image `[B, 1, 1]`; answers images with values in [-1, 1].
        discriminator: takes images and, where there are classes, their classes; returns scores
            `[B, 1, 1]`. With `game.information` it takes images alone, and returns scores and
            logits of the code `[B, 1, classes]`.
        noise_channels: length of the noise vector.
        noise: its distribution, "gaussian" (standard normal) or "uniform" in [-1, 1].
        game: the loss and the weights of its terms.
        classes: how many classes or codes there are, 0 for none.

    Raises:
        GeodlError: if there is no such distribution, or a number is out of range; if a code of
            fewer than two values is to be predicted.
    """

    def __init__(
        self,
        generator: Layer,
        discriminator: Layer,
        noise_channels: int,
        *,
        noise: Noise = "gaussian",
        game: Game = Game(),
        classes: int = 0,
    ):
        super().__init__()
        if noise not in get_args(Noise):
            raise GeodlError(f"a GAN with noise={noise!r}", do=nearest(str(noise), get_args(Noise)))
        self.noise_channels = positive("a GAN's noise_channels", noise_channels)
        if as_integer(classes) is None or classes < 0:
            raise GeodlError("a GAN's classes", do="give their number, 0 for none")
        if game.information is not None and classes < 2:
            found = f"{classes} codes, of which an image tells nothing"
            raise GeodlError("a GAN that predicts a code", found, "give at least 2 classes")
        self.generator, self.discriminator = generator, discriminator
        self.noise, self.game, self.classes = noise, game, classes

    @property
    def predicts_code(self) -> bool:
        """Whether the discriminator predicts the code of an image."""
        return self.game.information is not None

    def forward(self, *read: Signal) -> Tensor:
        """The scores of generated images `[B, 1, 1]`.

        Args:
            read: what the generator reads, as :meth:`draw_inputs` draws it: noise and, where there
                are classes, one for each image.
        """
        scores, _ = self.score(self.generator(*read), *read[1:])
        return scores

    def score(self, images: Signal, labels: Signal | None = None) -> tuple[Tensor, Tensor | None]:
        """Scores of images `[B, 1, 1]`, and logits of their codes `[B, 1, classes]` where the
        discriminator predicts them, else None.

        Args:
            images: `[B, N, C]` with values in [-1, 1].
            labels: their classes `[B, 1, 1]`, where the discriminator reads them.
        """
        if self.predicts_code:
            scores, logits = self.discriminator(images)
            return scores.x, logits.x
        if labels is None:
            return self.discriminator(images).x, None
        return self.discriminator(images, labels).x, None

    def draw_inputs(
        self,
        count: int,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Signal, ...]:
        """Draw what the generator reads: noise `[B, 1, noise_channels]` and, where there are
        classes, a class for each image `[B, 1, 1]`.

        Args:
            count: B.
            labels: the classes `[B]`; None draws them with equal probability.
            generator: of torch, on the CPU, so that the noise is the same on every device.

        Raises:
            GeodlError: if labels are given to a GAN without classes; if they are not B classes in
                range; if the count is negative.
        """
        if as_integer(count) != 0:
            count = positive(f"noise of {count!r} images", count)
        shape = (count, 1, self.noise_channels)
        if self.noise == "gaussian":
            drawn = torch.randn(shape, generator=generator)
        else:
            drawn = 2 * torch.rand(shape, generator=generator) - 1
        weight = next(self.parameters())
        noise = Signal(drawn.to(weight), POINT)
        if not self.classes:
            if labels is not None:
                raise GeodlError("images of given classes", "a GAN without classes", "give none")
            return (noise,)
        if labels is None:
            labels = torch.randint(self.classes, (count,), generator=generator)
        return noise, self.label_signal(labels, count).to(weight.device)

    def label_signal(self, labels: Tensor, count: int) -> Signal:
        """Classes `[B]` as a signal `[B, 1, 1]` that the networks read.

        Raises:
            GeodlError: if they are not `count` integers from 0 to `classes - 1`.
        """
        do = f"give one of 0 to {self.classes - 1} for each image, as torch.long"
        asked = f"{count} images of given classes"
        if not isinstance(labels, Tensor):
            raise GeodlError(asked, f"a {type(labels).__name__}", do)
        if labels.shape != (count,) or labels.dtype != torch.long:
            raise GeodlError(asked, f"{labels.dtype} of shape {list(labels.shape)}", do)
        strange = labels[(labels < 0) | (labels >= self.classes)]
        if len(strange):
            found = f"class {int(strange[0])}, which was never seen"
            raise GeodlError(asked, found, do)
        return Signal(labels.view(count, 1, 1), POINT)

    def sample(
        self,
        count: int,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Generated images `[count, C, H, W]` with values in [0, 1], by the generator in evaluation
        mode.

        Args:
            count: how many.
            labels: their classes or codes `[count]`; None draws them at random.
            generator: of torch, on the CPU.

        Raises:
            GeodlError: as :meth:`draw_inputs`; if the count is not positive.
        """
        count = positive(f"to sample {count!r} images", count)
        read = self.draw_inputs(count, labels, generator)
        made = []
        with evaluated(self.generator):
            for start in range(0, count, AT_ONCE):
                some = [one.with_x(one.x[start : start + AT_ONCE]) for one in read]
                made.append(self.generator(*some).to_image())
        return (torch.cat(made) + 1) / 2

    def predict_code(self, images: Tensor) -> Tensor:
        """The most probable code of each image, `[M]`.

        Args:
            images: `[M, C, H, W]` with values in [0, 1].

        Raises:
            GeodlError: if the discriminator predicts no codes.
        """
        if not self.predicts_code:
            raise GeodlError("the codes of images", "a GAN that predicts none", "give an infogan")
        found = []
        with evaluated(self.discriminator):
            for some in images.split(AT_ONCE):
                _, logits = self.discriminator(Signal.image(2 * some - 1))
                found.append(logits.x.flatten(0, 1).argmax(1))
        return torch.cat(found)
