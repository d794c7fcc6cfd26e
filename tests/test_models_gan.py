"""Adversarial networks: shapes, losses, second derivatives, what they refuse."""

import pytest
import torch
import torch.nn.functional as F

import geodl as g
from geodl import models
from geodl.models.gan_losses import LOSSES
from geodl.testing import error
from tests.toy_gans import MAKES, small
from tests.training import refused


def made(kind):
    """A small GAN in double precision, none of its weights at its start, and what it reads."""
    torch.manual_seed(0)
    gan = small(kind).double()
    with torch.no_grad():
        for parameter in gan.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return gan.eval()


def told(gan, read):
    """What the discriminator reads beside images."""
    if gan.predicts_code:
        return ()
    return read[1:]


@pytest.mark.parametrize("kind", MAKES)
@pytest.mark.parametrize("count", [0, 1, 3])
def test_noise_becomes_images_and_images_scores(kind, count):
    gan = made(kind)
    read = gan.draw_inputs(count)
    images = gan.generator(*read)
    assert images.domain == g.Grid(8, 8) and images.x.shape == (count, 64, 1)
    assert images.x.abs().le(1).all()
    scores, logits = gan.score(images, *told(gan, read))
    assert scores.shape == (count, 1, 1)
    assert (logits is not None) == gan.predicts_code
    assert gan(*read).shape == (count, 1, 1)


@pytest.mark.parametrize("kind", MAKES)
def test_gradients_and_their_gradients_are_those_of_the_reference(kind):
    gan = made(kind)
    read = gan.draw_inputs(2)
    real = g.Signal.image(torch.rand(2, 1, 8, 8, dtype=torch.float64))
    answers = []
    for lowering in ("auto", "edges"):
        g.set_lowering(gan, lowering)
        gan.zero_grad()
        torch.manual_seed(3)  # of the places between two images
        fake = gan.generator(*read)
        shown = told(gan, read)
        penalty = models.gradient_penalty(
            lambda x, shown=shown: gan.score(x, *shown)[0], real, fake
        )
        (gan.score(fake, *shown)[0].sum() + penalty).backward()
        answers.append([fake.x, penalty] + [p.grad for p in gan.parameters() if p.grad is not None])
    assert len(answers[0]) == len(answers[1]) > 8
    assert max(map(error, *answers)) < 1e-10


def test_the_penalised_critic_has_second_derivatives():
    gan = made("wgan")
    weight = gan.discriminator[1][0].weight
    image = torch.rand(1, 64, 1, dtype=torch.float64, requires_grad=True)

    def score(x, w):
        with torch.no_grad():
            weight.copy_(w)
        inputs = {"1.0.weight": w}
        signal = g.Signal(x, g.Grid(8, 8))
        return torch.func.functional_call(gan.discriminator, inputs, (signal,)).x

    given = (image, weight.detach().clone().requires_grad_())
    assert torch.autograd.gradgradcheck(score, given)


def test_losses_are_the_papers():
    real, fake = torch.randn(5, 1, 1).double(), torch.randn(5, 1, 1).double()
    ones, zeros = torch.ones_like(real), torch.zeros_like(real)
    entropy = F.binary_cross_entropy_with_logits
    both = entropy(real, ones) + entropy(fake, zeros)
    for name in ("original", "non-saturating"):
        assert error(LOSSES[name].critic(real, fake), both) < 1e-12
    assert error(LOSSES["original"].generator(fake), -entropy(fake, zeros)) < 1e-12
    assert error(LOSSES["non-saturating"].generator(fake), entropy(fake, ones)) < 1e-12
    margins = (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean()
    assert error(LOSSES["hinge"].critic(real, fake), margins) < 1e-12
    assert error(LOSSES["wasserstein"].critic(real, fake), fake.mean() - real.mean()) < 1e-12
    for name in ("hinge", "wasserstein"):
        assert error(LOSSES[name].generator(fake), -fake.mean()) < 1e-12
    assert [name for name, loss in LOSSES.items() if loss.penalized] == ["wasserstein"]


def test_the_penalty_is_taken_image_by_image():
    # s(x) = |x|^2 has the slope 2 x, whose norm is 6 where each of nine pixels is 1.
    real = g.Signal.image(torch.full((2, 1, 3, 3), 1.0))
    found = models.gradient_penalty(lambda s: s.x.square().sum((1, 2)), real, real)
    assert float(found.detach()) == pytest.approx((6 - 1) ** 2)
    refused(
        "shapes",
        "one size",
        act=lambda: models.gradient_penalty(
            lambda s: s.x, real, g.Signal.image(torch.zeros(1, 1, 3, 3))
        ),
    )


def test_noise_is_drawn_by_its_name():
    uniform = models.dcgan(8, channels=8, noise="uniform").draw_inputs(500)[0].x
    assert uniform.abs().max() <= 1
    assert float(uniform.std()) == pytest.approx(3**-0.5, abs=0.02)
    gaussian = models.dcgan(8, channels=8).draw_inputs(500)[0].x
    assert gaussian.abs().max() > 2
    assert float(gaussian.std()) == pytest.approx(1, abs=0.03)
    gan = small("conditional")
    one, other = (gan.draw_inputs(4, generator=torch.Generator().manual_seed(0)) for _ in range(2))
    assert all(torch.equal(a.x, b.x) for a, b in zip(one, other, strict=True))
    assert one[1].x.dtype == torch.long


def test_sampling_leaves_the_mode_and_the_statistics():
    gan = small("dcgan").train()
    before = {name: value.clone() for name, value in gan.state_dict().items()}
    seeded = torch.Generator().manual_seed(0)
    images = gan.sample(3, generator=seeded)
    assert gan.generator.training and not images.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in gan.state_dict().items())
    alone = gan.sample(1, generator=torch.Generator().manual_seed(0))
    assert error(alone, images[:1]) < 1e-6, "each image by itself"
    assert images.min() >= 0 and images.max() <= 1


def test_weights_of_a_sagan_are_divided_by_their_largest_singular_values():
    gan = small("sagan").train()
    image = g.Signal.image(torch.rand(1, 1, 8, 8))
    label = gan.label_signal(torch.tensor([2]), 1)
    for _ in range(30):  # a step of power iteration each
        gan.score(image, label)
    convs = [part for part in gan.discriminator["features"] if isinstance(part, g.Conv)]
    assert len(convs) == 3
    for conv in convs:
        matrix = conv.weight.detach().flatten(0, 1)  # from all that a node receives to its channels
        assert float(torch.linalg.matrix_norm(matrix, 2)) == pytest.approx(1, abs=0.05)
    attentions = [part for part in gan.modules() if isinstance(part, g.Attention)]
    assert len(attentions) == 2
    assert {(a.head_dim, a.value_dim, a.channels_in) for a in attentions} == {(1, 4, 8)}


def test_attention_begins_as_nothing_and_learns():
    gan = small("sagan")
    read = gan.draw_inputs(2)
    gan(*read).sum().backward()
    assert all(gan.get_parameter(name).item() == 0 for name in gains(gan))
    assert all(gan.get_parameter(name).grad.abs() > 0 for name in gains(gan))


def gains(gan):
    return [name for name, _ in gan.named_parameters() if name.endswith("gain")]


def test_a_code_is_told_from_an_image():
    gan = small("infogan")
    codes = gan.predict_code(torch.rand(7, 1, 8, 8))
    assert codes.shape == (7,) and codes.min() >= 0 and codes.max() < 10
    refused(
        "a GAN that predicts none", act=lambda: small("dcgan").predict_code(torch.rand(1, 1, 8, 8))
    )


def pair(**options):
    """The two networks of a small GAN, given anew."""
    gan = small("dcgan")
    return models.GAN(gan.generator, gan.discriminator, 3, **options)


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda: small("conditional").sample(1, torch.tensor([10])), "class 10, which was never"),
        (lambda: small("conditional").sample(1, torch.tensor([-1])), "class -1"),
        (lambda: small("sagan").sample(2, torch.tensor([1])), "shape [1]"),
        (lambda: small("dcgan").sample(1, torch.tensor([1])), "a GAN without classes"),
        (lambda: small("dcgan").sample(0), "sample 0"),
        (lambda: models.infogan(codes=1), "a code of one value, which every image has"),
        (lambda: models.dcgan(30), "a multiple of 4"),
        (lambda: models.dcgan(noise="gauss"), "did you mean 'gaussian'?"),
        (lambda: models.dcgan(loss="hing"), "did you mean 'hinge'?"),
        (lambda: models.dcgan(loss="wasserstein"), "critic_norm=False"),
        (lambda: models.infogan(loss="wasserstein"), "a batch norm"),
        (lambda: models.sagan(channels=12), "a multiple of 8"),
        (lambda: models.dcgan(critic_steps=0), "critic_steps=0"),
        (lambda: models.sagan(critic_rate=-1.0), "critic_rate=-1.0"),
        (lambda: models.sagan(channels="8"), "sagan(channels='8'): found the size '8'"),
        (lambda: models.infogan(information=None), "infogan(information=None)"),
        (lambda: models.dcgan(loss=["hinge"]), "the adversarial loss ['hinge']"),
        (lambda: small("conditional").sample(2, [1, 2]), "found a list; give one of 0 to 9"),
        (lambda: small("dcgan").draw_inputs(-1), "noise of -1 images: found the size -1"),
        (lambda: small("dcgan").draw_inputs(2.0), "noise of 2.0 images: found the size 2.0"),
        (lambda: pair(classes=-1), "a GAN's classes; give their number, 0 for none"),
        (lambda: pair(game=models.Game(information=1.0)), "0 codes, of which an image tells"),
    ],
)
def test_what_no_gan_can_be_is_told(act, told):
    refused(told, act=act)


@pytest.mark.parametrize("kind", MAKES)
def test_images_of_another_size_are_refused(kind):
    gan = small(kind)
    image = g.Signal.image(torch.zeros(1, 1, 12, 12))
    read = told(gan, gan.draw_inputs(1))
    refused("8 x 8 images", "Grid(12, 12)", act=lambda: gan.score(image, *read))
