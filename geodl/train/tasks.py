"""The class of each task that a recipe can name."""

from geodl.train.classification import (
    ImageClassification,
    MaskedTokens,
    NextToken,
    NodeClassification,
    SequenceClassification,
    Tagging,
)
from geodl.train.decoding import Captioning, Transduction, Translation
from geodl.train.recipe import TaskName
from geodl.train.task import Task

TASKS: dict[TaskName, type[Task]] = {
    "nodes": NodeClassification,
    "images": ImageClassification,
    "next token": NextToken,
    "masked tokens": MaskedTokens,
    "tags": Tagging,
    "sequences": SequenceClassification,
    "captions": Captioning,
    "transduction": Transduction,
    "translation": Translation,
}
