"""A generator and a discriminator, trained against each other."""

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics.functional.clustering import adjusted_mutual_info_score
from torchmetrics.image.fid import FrechetInceptionDistance

from geodl.data import Vocabulary
from geodl.errors import GeodlError
from geodl.models import GAN, adversarial_loss, gradient_penalty
from geodl.signal import Signal
from geodl.train.examples import mixed
from geodl.train.judge import Judged
from geodl.train.options import Optimizer
from geodl.train.parts import NO_VOCABULARIES
from geodl.train.task import Task

PANELS = 10  # images kept after each epoch, always of the same noise
HISTORY = "images by epoch"  # where a checkpoint has them
FIRST_SEED = 0  # of the noise of these images, in every run


@final
class Adversarial(Task):
    """Adversarial training: steps of the discriminator on real and generated images alternate with
    a step of the generator, each by an optimiser of its own (Goodfellow et al. 2014, algorithm 1).

    `train/loss` is the generator's, `train/critic` the discriminator's. After each epoch a few
    images of the same noise are made and kept in the checkpoints.

    Args:
        model: the two networks.
        optimizer: of the generator; the discriminator's differs in its learning rate, which is
            `game.critic_rate` times as large.
        vocabularies: none are used.
        seed: as for :class:`Task`.
        mark: as for :class:`Task`.

    Raises:
        GeodlError: if the optimiser has a schedule, or penalises some parameters only.

    Attributes:
        history: images as bytes `[PANELS, C, H, W]`, before training and after each epoch so far.
    """

    def __init__(
        self,
        model: GAN,
        optimizer: Optimizer,
        *,
        vocabularies: Mapping[str, Vocabulary] = NO_VOCABULARIES,
        seed: int = 0,
        mark: Mapping[str, str] | None = None,
    ):
        super().__init__(model, optimizer, vocabularies=vocabularies, seed=seed, mark=mark)
        if (optimizer.schedule, optimizer.decayed) != ("constant", "all"):
            found = f"the schedule {optimizer.schedule}, weight decay on {optimizer.decayed}"
            do = "leave both out: two optimisers take steps in turn, on all that they learn"
            raise GeodlError("to train a GAN", found, do)
        self.automatic_optimization = False  # two optimisers take turns
        self.gan, self.game = model, model.game
        self.loss = adversarial_loss(model.game.loss)
        self.history: list[Tensor] = []

    def configure_optimizers(self) -> Any:
        """The discriminator's optimiser and the generator's, in the order of their steps."""
        asked = self.optimizer
        if asked.lr is None:
            raise GeodlError("to learn without a learning rate", do="give optimizer.lr")
        method = torch.optim.Adam if asked.method == "adam" else torch.optim.AdamW
        betas = (asked.beta1, asked.beta2)

        def optimizer_of(network: nn.Module, lr: float) -> torch.optim.Optimizer:
            decay = asked.weight_decay
            return method(network.parameters(), lr=lr, betas=betas, weight_decay=decay)

        critic = optimizer_of(self.gan.discriminator, asked.lr * self.game.critic_rate)
        return [critic, optimizer_of(self.gan.generator, asked.lr)]

    def on_train_start(self) -> None:
        """Make the first images, before training.

        Raises:
            GeodlError: if an epoch has too few batches for a step of the generator.
        """
        super().on_train_start()
        batches, steps = int(self.trainer.num_training_batches), self.game.critic_steps
        if batches < steps:
            asked = f"a GAN with {steps} steps of the discriminator for each of the generator"
            found = f"{batches} batches an epoch, in which the generator takes no step"
            raise GeodlError(asked, found, f"give at least {steps} batches: trainer.limit_batches")
        if not self.history:
            self.history.append(self._images())

    def on_train_epoch_end(self) -> None:
        """Make the images of this epoch."""
        self.history.append(self._images())

    def training_step(self, batch: Any, index: int) -> None:
        """A step of the discriminator; after every `critic_steps` of them, one of the generator.

        Raises:
            GeodlError: if a loss is NaN or infinite; the epoch and the step are named.
        """
        images, labels = batch
        critic, generator = self.optimizers()  # pyright: ignore[reportGeneralTypeIssues] - two
        self._learn(critic, "critic", self._critic_loss(images, labels), len(images))
        if (index + 1) % self.game.critic_steps == 0:
            self._learn(generator, "loss", self._generator_loss(len(images)), len(images))

    def _learn(self, optimizer: Any, name: str, loss: Tensor, count: int) -> None:
        self.check_step(loss)
        optimizer.zero_grad()
        self.manual_backward(loss)
        self.clip_gradients(optimizer, self.optimizer.clip, "norm")
        optimizer.step()
        self.log(
            f"train/{name}",
            loss,
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            batch_size=count,
        )

    def _critic_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        real = Signal.image(images)
        read = self.gan.draw_inputs(len(images))
        with torch.no_grad():
            fake = self.gan.generator(*read)
        conditions: tuple[Signal, ...] = ()
        if self.gan.classes and not self.gan.predicts_code:
            conditions = (self.gan.label_signal(labels, len(images)),)
        of_real, _ = self.gan.score(real, *conditions)
        of_fake, logits = self.gan.score(fake, *read[1:])
        loss = self.loss.critic(of_real, of_fake)
        if self.loss.penalized:
            slopes = gradient_penalty(
                lambda between: self.gan.score(between, *conditions)[0], real, fake
            )
            loss = loss + self.game.penalty * slopes
        return loss + self._information_loss(logits, read)

    def _generator_loss(self, count: int) -> Tensor:
        read = self.gan.draw_inputs(count)
        # No gradients of the discriminator's weights are asked for: they would not be used.
        self.gan.discriminator.requires_grad_(False)
        scores, logits = self.gan.score(self.gan.generator(*read), *read[1:])
        self.gan.discriminator.requires_grad_(True)
        return self.loss.generator(scores) + self._information_loss(logits, read)

    def _information_loss(self, logits: Tensor | None, read: tuple[Signal, ...]) -> Tensor:
        """The weighted cross-entropy of the code that the generator read and the one predicted from
        its image; zero where none is predicted.
        """
        if logits is None or self.game.information is None:
            return read[0].x.new_zeros(())
        codes = read[1].x.flatten()
        return self.game.information * cross_entropy(logits.flatten(0, 1), codes)

    def evaluate(self, part: str, batch: Judged) -> None:
        """Generate as many images as there are real ones, and log what the judge finds in them: the
        Frechet distance from the real ones, the shares of the rarest and the commonest class and,
        where classes or codes were given, how well they agree with the judge's classes.
        """
        count = len(batch.images)
        labels = self._in_turn(count)
        made = self.gan.sample(count, labels, _noise_generator(self.seed))
        self.check_evaluated(made.sum(), part)
        features, logits = batch.judge(made)
        of_real, _ = batch.judge(batch.images)
        of_others, _ = batch.judge(batch.others)
        digits = logits.argmax(1)
        shares = digits.bincount(minlength=logits.shape[1]) / count
        found = {
            "frechet": frechet_distance(features, of_real),
            "frechet-real": frechet_distance(of_others, of_real),
            "rarest": shares.min(),
            "commonest": shares.max(),
        }
        if labels is not None and self.gan.predicts_code:
            codes = self.gan.predict_code(batch.images)
            found["ami"] = adjusted_mutual_info_score(labels.to(digits), digits)
            found["ami-real"] = adjusted_mutual_info_score(codes, batch.labels)
        elif labels is not None:
            found["accuracy"] = (labels.to(digits) == digits).float().mean()
        for name, value in found.items():
            self.log(f"{part}/{name}", value, batch_size=count)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the images of the epochs, too."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[HISTORY] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from the images of a checkpoint of this run."""
        super().on_load_checkpoint(checkpoint)
        self.history = list(_history(checkpoint))

    def _images(self) -> Tensor:
        made = self.gan.sample(PANELS, self._in_turn(PANELS), _noise_generator(FIRST_SEED))
        return (255 * made).round().to(torch.uint8).cpu()

    def _in_turn(self, count: int) -> Tensor | None:
        """Classes or codes 0, 1, 2, ... in turn, each equally often; None where there are none."""
        if not self.gan.classes:
            return None
        return torch.arange(count) % self.gan.classes


def frechet_distance(features: Tensor, others: Tensor) -> Tensor:
    """`|m - m'|^2 + tr(S + S' - 2 (S S')^(1/2))`, the squared Wasserstein distance between the
    normal distributions of two sets of features `[M, F]`, of means m and covariances S.

    Source: Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter, "GANs Trained by a Two Time-Scale
    Update Rule Converge to a Local Nash Equilibrium", 2017, equation 6.

    >>> x = torch.tensor([[0.0], [2.0]])
    >>> frechet_distance(x, x + 3)
    tensor(9.)
    """
    as_they_are = nn.Identity()
    as_they_are.num_features = features.shape[1]  # pyright: ignore - torchmetrics asks for it
    distance = FrechetInceptionDistance(as_they_are).to(features.device)
    distance.update(features, real=False)
    distance.update(others, real=True)
    return distance.compute()


def images_of_epochs(checkpoint: Mapping[str, Any]) -> list[Tensor]:
    """What the generator of a run made of the same noise before the first epoch and after each, as
    its checkpoint keeps it: `[PANELS, C, H, W]` with values in [0, 1].

    Raises:
        GeodlError: if it holds none.
    """
    return [images.float() / 255 for images in _history(checkpoint)]


def _history(checkpoint: Mapping[str, Any]) -> list[Tensor]:
    history: Any = checkpoint.get(HISTORY)
    is_filled = isinstance(history, list) and len(history) > 0
    if not is_filled or not all(isinstance(images, Tensor) for images in history):
        asked = "the images of each epoch"
        raise GeodlError(asked, "none in the checkpoint", "run the recipe anew")
    return history


def noise_of_images(gan: GAN) -> Tensor:
    """The noise of these images `[PANELS, noise_channels]`."""
    noise, *_ = gan.draw_inputs(PANELS, generator=_noise_generator(FIRST_SEED))
    return noise.x.flatten(1)


def _noise_generator(seed: int) -> torch.Generator:
    """A generator of random numbers that gives the same noise each time."""
    return torch.Generator().manual_seed(mixed(seed, 0))
