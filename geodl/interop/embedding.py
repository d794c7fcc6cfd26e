"""Vectors for tokens."""

from typing import Any

from torch import nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.conversion import with_parameters
from geodl.interop.converters import converts
from geodl.interop.whole.layout import Atom
from geodl.interop.whole.values import Call, Value
from geodl.layer import Embedding


@converts(nn.Embedding)
def from_embedding(module: nn.Embedding, on: Domain | None = None) -> Embedding:
    """`nn.Embedding` as an `Embedding`, which reads tokens `[B, N, 1]`."""
    asked = f"from_torch({module})"
    if on is not None:
        raise GeodlError(f"{asked} with on={on}", "an Embedding", "it takes Signals of tokens")
    unusual = {
        "max_norm": module.max_norm is not None,
        "scale_grad_by_freq": module.scale_grad_by_freq,
        "sparse": module.sparse,
    }
    for name, given in unusual.items():
        if given:
            found = f"{name}={getattr(module, name)}, which changes gradients or vectors"
            raise GeodlError(asked, found, "build it without, and freeze rows by yourself")
    layer = Embedding(module.num_embeddings, module.embedding_dim, padding=module.padding_idx)
    return with_parameters(layer, module, weight=module.weight)


@converts(nn.Embedding, traced=True)
def convert_embedding(build: Any, call: Call) -> Any:
    """A call of `nn.Embedding` on tokens: its vectors stand on a new last axis."""
    (ids,) = call.args
    assert call.module is not None
    if not isinstance(ids, Value) or ids.layout is None:
        return None
    layer = build.once(call.module, from_embedding)
    layout = ids.layout
    vector = (Atom("channel", 0, layer.channels),)
    made = type(layout)((*layout.dims, vector), layout.domain)
    return build.apply(call.name, layer, ids, call.example, made)


@converts(Embedding, back="torch", form="tokens")
def to_embedding(layer: Embedding, on: Domain | None) -> nn.Embedding:
    """The inverse of :func:`from_embedding`."""
    twin = nn.Embedding(layer.num, layer.channels, layer.padding)
    return with_parameters(twin, layer, weight=layer.weight)
