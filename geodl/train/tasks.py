"""The class of each task that a recipe can name."""

from geodl.train.adversarial import Adversarial
from geodl.train.classification import (
    GraphClassification,
    ImageClassification,
    MaskedTokens,
    NextToken,
    NodeClassification,
    SequenceClassification,
    Tagging,
    WaveClassification,
)
from geodl.train.decoding import Captioning, Transduction, Translation
from geodl.train.detection import Detection
from geodl.train.links import LinkPrediction
from geodl.train.recipe import TaskName
from geodl.train.task import Task

TASKS: dict[TaskName, type[Task]] = {
    "nodes": NodeClassification,
    "links": LinkPrediction,
    "graphs": GraphClassification,
    "images": ImageClassification,
    "objects": Detection,
    "waves": WaveClassification,
    "next token": NextToken,
    "masked tokens": MaskedTokens,
    "tags": Tagging,
    "sequences": SequenceClassification,
    "captions": Captioning,
    "transduction": Transduction,
    "translation": Translation,
    "adversarial": Adversarial,
}
