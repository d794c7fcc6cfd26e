"""Object detection, trained by a set loss and measured by mean average precision."""

from typing import Any, final

from lightning.pytorch.callbacks import Callback
from torch import Tensor

from geodl.data import Objects, Scenes
from geodl.models.detr import Predictions
from geodl.signal import Signal
from geodl.train.average_precision import average_precision
from geodl.train.epoch_boxes import EpochBoxes
from geodl.train.minimization import Minimization
from geodl.train.set_loss import set_loss


@final
class Detection(Minimization):
    """Detection of the objects of scenes; a batch is `Scenes`, the model a `Detr`.

    The metrics are the mean average precisions `map50` and `map`; on test scenes also those of the
    scenes with one object, two objects, ..., as `test/map50-1`.

    Attributes:
        found: the predicted objects of each scene of an evaluation so far.
        true: the objects of these scenes.
    """

    model: Any  # has `predictions` and `classes`, as a Detr
    found: list[Objects]
    true: list[Objects]

    def loss(self, batch: Scenes) -> tuple[Tensor, int]:
        """The set loss of a batch, and its number of scenes."""
        predictions = self.model.predictions(Signal.image(batch.images))
        # Before queries are matched: costs that are NaN have no least assignment.
        self.check_step(_sum(predictions))
        return set_loss(predictions, batch.labels, batch.boxes).total, len(batch.images)

    def evaluate(self, part: str, batch: Scenes) -> None:
        """Log the loss and keep the predicted objects."""
        predictions = self.model.predictions(Signal.image(batch.images))
        self.check_evaluated(_sum(predictions), part)
        loss = set_loss(predictions, batch.labels, batch.boxes).total
        self.log(f"{part}/loss", loss, batch_size=len(batch.images))
        self.found += found_objects(predictions)
        self.true += batch.objects()

    def configure_callbacks(self) -> list[Callback]:
        """The callback that keeps the predicted boxes of each epoch."""
        return [EpochBoxes()]

    def on_validation_epoch_start(self) -> None:
        """Begin with nothing found."""
        self.found, self.true = [], []

    def on_test_epoch_start(self) -> None:
        """Begin with nothing found."""
        self.found, self.true = [], []

    def on_validation_epoch_end(self) -> None:
        """Log the mean average precision."""
        self._log_precision("val", "", self.found, self.true)

    def on_test_epoch_end(self) -> None:
        """Log the mean average precision of all scenes, and of those of each number of objects."""
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


def found_objects(predictions: Predictions, layer: int = -1) -> list[Objects]:
    """The objects that the queries predict in each image, one a query: its most probable class
    other than "no object", with the probability as its score, and its box.

    Args:
        predictions: of a detector.
        layer: number of the decoder layer, the last one by default.
    """
    # "No object" is the last class.
    probability = predictions.logits[:, layer].detach().softmax(-1)[..., :-1]
    scores, labels = probability.max(-1)
    boxes = predictions.boxes[:, layer].detach()
    return [
        Objects(labels[image], boxes[image], scores[image])
        for image in range(len(predictions.boxes))
    ]


def _sum(predictions: Predictions) -> Tensor:
    """A number that is finite if all predictions are."""
    return predictions.logits.detach().sum() + predictions.boxes.detach().sum()
