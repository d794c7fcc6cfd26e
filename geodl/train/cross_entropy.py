"""Tasks whose loss is the cross-entropy of scores."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor
from torch.nn.functional import cross_entropy

from geodl.train.minimization import Minimization


class CrossEntropy(Minimization, ABC):
    """Cross-entropy in nats: `-log softmax(scores)[class]`, the mean over what counts; the model
    takes Signals and returns one with a channel for each class.
    """

    @abstractmethod
    def read(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Scores `[M, K]` and classes `[M]` of all that counts in a batch."""

    @abstractmethod
    def judge(self, part: str, batch: Any, scores: Tensor, classes: Tensor) -> None:
        """Log what else is measured of a batch of "val" or "test"."""

    def loss(self, batch: Any) -> tuple[Tensor, int]:
        """The cross-entropy of a batch, and how many scores it is a mean over."""
        scores, classes = self.read(batch)
        return cross_entropy(scores, classes), len(classes)

    def evaluate(self, part: str, batch: Any) -> None:
        """Log the cross-entropy of a batch, and what else is measured of it."""
        scores, classes = self.read(batch)
        loss = cross_entropy(scores, classes)
        self.check_evaluated(loss, part)
        self.log(f"{part}/loss", loss, batch_size=len(classes))
        self.judge(part, batch, scores, classes)
