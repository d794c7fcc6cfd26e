"""Tasks whose answer is a class: of a node, a graph, an image, a wave, the next token, a hidden
one, each token, a sequence.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, final

from torch import Tensor

from geodl.signal import Signal
from geodl.train.cross_entropy import CrossEntropy
from geodl.train.examples import UNCOUNTED, Nodes


class Classification(CrossEntropy, ABC):
    """The accuracy of the most likely class beside the loss."""

    @abstractmethod
    def read(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Scores `[M, K]` and classes `[M]` of all that counts in a batch."""

    def judge(self, part: str, batch: Any, scores: Tensor, classes: Tensor) -> None:
        """Log the accuracy: the share of examples whose highest score is that of their class."""
        right = (scores.argmax(-1) == classes).double().mean()
        self.log(f"{part}/accuracy", right, batch_size=len(classes))

    def complete(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """The errors, 1 - accuracy, beside the accuracies."""
        known = dict(metrics)
        for name, value in metrics.items():
            if "accuracy" in name:
                known[name.replace("accuracy", "error")] = 1 - value
        return known


@final
class NodeClassification(Classification):
    """Classes of nodes of one graph; a batch is `Nodes`."""

    def read(self, batch: Nodes) -> tuple[Tensor, Tensor]:
        """Scores and classes of the nodes meant."""
        scores = self.model(batch.signal).x[0]
        return scores[batch.nodes], batch.labels


@final
class GraphClassification(Classification):
    """Classes of whole graphs; a batch is a signal on D graphs side by side and classes `[D]`; the
    model ends on one node for each graph.
    """

    def read(self, batch: tuple[Signal, Tensor]) -> tuple[Tensor, Tensor]:
        """Scores and classes of the graphs."""
        signal, classes = batch
        return self.model(signal).x[0], classes


@final
class ImageClassification(Classification):
    """Classes of images; a batch is images `[M, C, H, W]` and classes `[M]`; the model ends on one
    node.
    """

    def read(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Scores and classes of the images."""
        images, classes = batch
        scores = self.model(Signal.image(images)).x
        return scores[:, 0], classes


@final
class WaveClassification(Classification):
    """Classes of waves; a batch is values `[M, T, C]` along a chain and classes `[M]`; the model
    ends on one node.
    """

    def read(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Scores and classes of the waves."""
        waves, classes = batch
        scores = self.model(Signal.sequence(waves)).x
        return scores[:, 0], classes


@final
class NextToken(Classification):
    """The token after each of a window; a batch is inputs and targets `[B, T]`; the loss is in nats
    a token.
    """

    def read(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Scores and tokens at all places."""
        inputs, targets = batch
        scores = self.model(Signal.tokens(inputs)).x
        return scores.flatten(0, 1), targets.flatten()


@final
class MaskedTokens(Classification):
    """Tokens that were hidden; a batch is what is seen, what is true and what is asked, `[B, T]`
    each.
    """

    def read(self, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Scores and tokens where asked."""
        seen, truth, asked = batch
        scores = self.model(Signal.tokens(seen)).x
        return scores[asked], truth[asked]


@final
class Tagging(Classification):
    """A class for each token (n to n); a batch is numbers, a mask and classes `[B, T]`, `UNCOUNTED`
    where there is none.
    """

    def read(self, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Scores and classes of the tokens that count."""
        ids, mask, labels = batch
        classes = labels[mask]
        counted = classes != UNCOUNTED
        scores = self.model(Signal.tokens(ids, mask)).x.flatten(0, 1)
        return scores[counted], classes[counted]


@final
class SequenceClassification(Classification):
    """A class for each sequence (n to 1); a batch is numbers and a mask `[B, T]`, and classes
    `[B]`.
    """

    def read(self, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Scores and classes of the sequences."""
        ids, mask, classes = batch
        scores = self.model(Signal.tokens(ids, mask)).x
        return scores.flatten(0, 1), classes
