"""The recipes: data, model, optimiser and protocol of a published number, as values that can be
read and changed.
"""

from geodl.errors import GeodlError, nearest
from geodl.train.recipe import Recipe
from geodl.train.recipes.adversarial import ADVERSARIAL
from geodl.train.recipes.attentive import ATTENTIVE
from geodl.train.recipes.convolutional import CONVOLUTIONAL
from geodl.train.recipes.generated import GENERATED
from geodl.train.recipes.graphs import GRAPHS
from geodl.train.recipes.images import IMAGES
from geodl.train.recipes.links import LINKS
from geodl.train.recipes.nodes import NODES
from geodl.train.recipes.photographs import PHOTOGRAPHS
from geodl.train.recipes.rotated import ROTATED
from geodl.train.recipes.scenes import SCENES
from geodl.train.recipes.text import TEXTS
from geodl.train.recipes.translation import TRANSLATIONS

ALL = (
    *NODES,
    *LINKS,
    *GRAPHS,
    *ROTATED,
    *PHOTOGRAPHS,
    *IMAGES,
    *CONVOLUTIONAL,
    *ATTENTIVE,
    *TEXTS,
    *TRANSLATIONS,
    *GENERATED,
    *SCENES,
    *ADVERSARIAL,
)
RECIPES = {found.name: found for found in ALL}


def recipe(name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        GeodlError: if there is none of that name; the nearest one is suggested.

    >>> import geodl as g
    >>> g.train.recipe("cora-gcn").paper
    '81.5 % accuracy (Kipf and Welling 2017, table 2)'
    """
    if name not in RECIPES:
        raise GeodlError(f"the recipe {name!r}", "no recipe of that name", nearest(name, RECIPES))
    return RECIPES[name]
