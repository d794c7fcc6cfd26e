"""The training room: recipes that reproduce a published number, run by Lightning."""

from typing import Any

from geodl.errors import GeodlError
from geodl.train.options import Optimizer, Options, TrainerOptions
from geodl.train.recipe import Recipe
from geodl.train.recipes import RECIPES, recipe

ON_FIRST_USE = ("ImageClassification", "NodeClassification", "Result", "run")


def __getattr__(name: str) -> Any:
    if name not in ON_FIRST_USE:
        raise AttributeError(f"module 'geodl.train' has no attribute {name!r}")
    try:
        from geodl.train import classification, experiment, result
    except ImportError as error:
        raise GeodlError(
            "training", f"{error.name} is not installed", 'pip install "geodl[train]"'
        ) from error
    return next(
        getattr(module, name)
        for module in (classification, experiment, result)
        if hasattr(module, name)
    )


__all__ = ["RECIPES", "Optimizer", "Options", "Recipe", "TrainerOptions", "recipe"]
