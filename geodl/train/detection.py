"""Detection: the objects of an image as a set, whose order means nothing."""

from typing import Any, final

from lightning.pytorch.callbacks import Callback
from torch import Tensor

from geodl.data import Objects, Scenes
from geodl.models.detr import Answers
from geodl.signal import Signal
from geodl.train.average_precision import average_precision
from geodl.train.epoch_boxes import EpochBoxes
from geodl.train.minimization import Minimization
from geodl.train.set_loss import set_loss


@final
class Detection(Minimization):
    """Objects of scenes; a batch is `Scenes`, and the model answers as a `Detr`.

    The mean average precisions `map50` and `map` are reported, on test scenes also those of the
    scenes with one object, with two, ..., as `test/map50-1`.

    Attributes:
        found: what was found in the scenes of an evaluation so far.
        true: what is there.
    """

    model: Any  # has `answers` and `classes`, as a Detr
    found: list[Objects]
    true: list[Objects]

    def loss(self, batch: Scenes) -> tuple[Tensor, int]:
        """The set loss of a batch, and its number of scenes."""
        answers = self.model.answers(Signal.image(batch.images))
        # Before queries are matched: no assignment is the cheapest of costs that are no numbers.
        self.check_step(_sum(answers))
        return set_loss(answers, batch.labels, batch.boxes).total, len(batch.images)

    def evaluate(self, part: str, batch: Scenes) -> None:
        """Log the loss and keep what was found."""
        answers = self.model.answers(Signal.image(batch.images))
        self.check_evaluated(_sum(answers), part)
        loss = set_loss(answers, batch.labels, batch.boxes).total
        self.log(f"{part}/loss", loss, batch_size=len(batch.images))
        self.found += found_objects(answers)
        self.true += batch.objects()

    def configure_callbacks(self) -> list[Callback]:
        """What keeps the boxes of each epoch."""
        return [EpochBoxes()]

    def on_validation_epoch_start(self) -> None:
        """Begin with nothing found."""
        self.found, self.true = [], []

    def on_test_epoch_start(self) -> None:
        """Begin with nothing found."""
        self.found, self.true = [], []

    def on_validation_epoch_end(self) -> None:
        """Log how precise what was found is."""
        self._log_precision("val", "", self.found, self.true)

    def on_test_epoch_end(self) -> None:
        """Log how precise what was found is, of all scenes and of those of each number of
        objects.
        """
        self._log_precision("test", "", self.found, self.true)
        counts = [len(objects.labels) for objects in self.true]
        for count in sorted(set(counts)):
            if count > 0:
                chosen = [place for place, known in enumerate(counts) if known == count]
                found = [self.found[place] for place in chosen]
                true = [self.true[place] for place in chosen]
                self._log_precision("test", f"-{count}", found, true)

    def _log_precision(
        self, part: str, suffix: str, found: list[Objects], true: list[Objects]
    ) -> None:
        precision = average_precision(found, true, classes=self.model.classes)
        self.log(f"{part}/map50{suffix}", precision.map50)
        self.log(f"{part}/map{suffix}", precision.map)


def found_objects(answers: Answers, layer: int = -1) -> list[Objects]:
    """What each query found, in each image: its likeliest class, which is a class also where "no
    object" is likelier still, the probability of that class, and its box.

    Args:
        answers: of a detector.
        layer: of the decoder, the last one by default.
    """
    # "No object" is the last class.
    probability = answers.logits[:, layer].detach().softmax(-1)[..., :-1]
    scores, labels = probability.max(-1)
    boxes = answers.boxes[:, layer].detach()
    return [
        Objects(labels[image], boxes[image], scores[image]) for image in range(len(answers.boxes))
    ]


def _sum(answers: Answers) -> Tensor:
    """A number that is finite where all answers are."""
    return answers.logits.detach().sum() + answers.boxes.detach().sum()
