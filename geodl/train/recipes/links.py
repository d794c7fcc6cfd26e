"""Recipes on links between nodes."""

from dataclasses import replace

from geodl.data import cora, split_links
from geodl.train.graph_models import link_encoder
from geodl.train.options import Optimizer, TrainerOptions
from geodl.train.parts import Parts, link_parts
from geodl.train.recipe import Recipe
from geodl.train.recipes.reached import reached


def _parts() -> Parts:
    data = cora(sparse=True)
    return link_parts(split_links(data.signal, name="cora"))


CORA_LINK = Recipe(
    name="cora-link",
    summary="the graph auto-encoder of Kipf and Welling on the links of Cora",
    task="links",
    parts=_parts,
    sample=lambda: (cora(sparse=True).signal,),
    protocol="5 % of the links hidden to validate and 10 % to test, one split, as many pairs that "
    "no link joins beside them; as many such pairs as links to learn from, new ones each epoch; "
    "row-normalised features; weights of the last epoch, nothing selected on the test links",
    paper="91.0 ± 0.02 % AUC, 92.0 ± 0.03 % AP (Kipf and Welling 2016, table 1, on all pairs)",
    model=link_encoder,
    sizes={"features": 1433, "library": "geodl"},
    optimizer=Optimizer(lr=0.01),
    trainer=TrainerOptions(200, check_val_every_n_epoch=20),
)

LINKS = reached(
    (
        CORA_LINK,
        replace(
            CORA_LINK,
            name="cora-link-pyg",
            summary="PyG's GCNConv in the graph auto-encoder on the links of Cora",
            sizes=dict(CORA_LINK.sizes) | {"library": "pyg"},
        ),
    )
)
