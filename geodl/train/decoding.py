"""Tasks whose answer is a sequence: learnt with the true tokens before each (teacher forcing),
judged by what is written.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn
from torchmetrics.text import CHRFScore

from geodl.data import BOS, EOS, Vocabulary
from geodl.models import generate
from geodl.signal import Signal
from geodl.train.cross_entropy import CrossEntropy
from geodl.train.examples import Pair
from geodl.train.options import Optimizer
from geodl.train.parts import NO_VOCABULARIES

LONGEST = 80  # tokens of a translation: the longest sentence of the data has 59
SHOWN = 12


class Decoding(CrossEntropy, ABC):
    """Next tokens given a second signal; on test examples the most likely token is taken, again and
    again, until `<eos>`. `shown` has the first example of each of the first test batches.
    """

    @abstractmethod
    def sender(self, batch: Any) -> Signal:
        """What the model is to answer."""

    @abstractmethod
    def truth(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Tokens `[B, T]` from `<bos>` to `<eos>`, and where there are any `[B, T]`."""

    @abstractmethod
    def compare(self, batch: Any, written: list[str]) -> None:
        """Log how good the texts are that were written for a batch."""

    def read(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Scores and tokens after `<bos>`. Padding comes last and is not counted: a causal model
        does not see it from the tokens before it.
        """
        tokens, mask = self.truth(batch)
        counted = mask[:, 1:]
        scores = self.model(Signal.tokens(tokens[:, :-1]), self.sender(batch)).x
        return scores[counted], tokens[:, 1:][counted]

    def judge(self, part: str, batch: Any, scores: Tensor, classes: Tensor) -> None:
        """Write an answer for each test example, and compare it."""
        if part != "test":
            return
        tokens, _ = self.truth(batch)
        longest = max(LONGEST, tokens.shape[1])
        vocabulary = self.vocabularies["target"]
        self.compare(batch, greedy(self.model, self.sender(batch), vocabulary, longest))

    def show(self, source: str, written: str, right: tuple[str, ...]) -> None:
        """Keep an example for the eye."""
        if len(self.shown) == SHOWN:
            return
        verdict = "right" if written in right else f"wrong: {' | '.join(right)}"
        self.shown.append(f"{source} -> {written} ({verdict})")


def greedy(model: Any, sender: Signal, vocabulary: Vocabulary, longest: int) -> list[str]:
    """What a model writes for each row of a second signal, always the most likely token.

    Args:
        model: `model(tokens, sender)`.
        sender: `[B, N, C]`.
        vocabulary: of what is written, with `<bos>` and `<eos>`.
        longest: after how many tokens to stop.
    """
    begin = torch.full((sender.x.shape[0], 1), vocabulary.index(BOS), device=sender.x.device)
    ids = generate(model, begin, longest, sender=sender, temperature=0, until=vocabulary.index(EOS))
    return [vocabulary.decode(row) for row in ids.cpu()]


@final
class Captioning(Decoding):
    """An image spelled in letters (1 to n); a batch is images `[B, C, H, W]` and tokens `[B, T]`,
    `<pad>` after their end.
    """

    def sender(self, batch: tuple[Tensor, Tensor]) -> Signal:
        """The images."""
        return Signal.image(batch[0])

    def truth(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The names."""
        return batch[1], batch[1] != 0

    def compare(self, batch: tuple[Tensor, Tensor], written: list[str]) -> None:
        """The share of images whose whole name is right."""
        vocabulary = self.vocabularies["target"]
        names = [vocabulary.decode(row) for row in batch[1].cpu()]
        self.show("image", written[0], (names[0],))
        right = [text == name for text, name in zip(written, names, strict=True)]
        self.log("test/exact", _share(right), batch_size=len(right))


class SequenceToSequence(Decoding, ABC):
    """A sequence made of another (n to m); a batch is a `Pair`."""

    def sender(self, batch: Pair) -> Signal:
        """The sources, all of one length."""
        return Signal.tokens(batch.sources)

    def truth(self, batch: Pair) -> tuple[Tensor, Tensor]:
        """The targets."""
        return batch.targets, batch.mask

    def compare(self, batch: Pair, written: list[str]) -> None:
        """The share of sources with a right answer, and what else is measured."""
        source = self.vocabularies["source"].decode(batch.sources[0].cpu())
        self.show(source, written[0], batch.answers[0])
        right = [text in answers for text, answers in zip(written, batch.answers, strict=True)]
        self.log("test/exact", _share(right), batch_size=len(right))
        self.measure(batch, written)

    @abstractmethod
    def measure(self, batch: Pair, written: list[str]) -> None:
        """Log what else is measured of what was written."""


@final
class Transduction(SequenceToSequence):
    """One right answer: the share of its symbols that are written in their places is the
    accuracy.
    """

    def measure(self, batch: Pair, written: list[str]) -> None:
        """The accuracy."""
        right: list[bool] = []
        for text, (answer,) in zip(written, batch.answers, strict=True):
            # What is too short is filled up with a symbol that no answer has.
            filled = text.ljust(len(answer), "\0")
            right += [symbol == filled[k] for k, symbol in enumerate(answer)]
        self.log("test/accuracy", _share(right), batch_size=len(right))


@final
class Translation(SequenceToSequence):
    """Several right answers: chrF (Popovic, "chrF: character n-gram F-score", 2015), for each
    source against its best one.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        vocabularies: Mapping[str, Vocabulary] = NO_VOCABULARIES,
        seed: int = 0,
        mark: Mapping[str, str] | None = None,
    ):
        super().__init__(model, optimizer, vocabularies=vocabularies, seed=seed, mark=mark)
        self.chrf = CHRFScore(n_word_order=0)

    def measure(self, batch: Pair, written: list[str]) -> None:
        """chrF over the whole part, a fraction."""
        self.chrf.update(written, [list(right) for right in batch.answers])
        self.log("test/chrf", self.chrf, on_step=False, on_epoch=True, batch_size=len(written))


def _share(right: list[bool]) -> float:
    return sum(right) / len(right)
