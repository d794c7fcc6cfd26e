"""The two doors to torch: modules as layers, whole models as networks, and back."""

from typing import Any

from torch import nn

from geodl.domain import Domain
from geodl.errors import GeodlError

# Importing a file of converters puts them on the list.
from geodl.interop import (  # noqa: F401
    activation,
    along_nodes,
    attention,
    borders,
    channel_dropout,
    conv,
    einsum,
    embedding,
    entry_dropout,
    functional,
    functional_norms,
    group_conv,
    joins,
    joint_norm,
    linear,
    norm,
    planes,
    pooling,
    positions,
    power_pooling,
    recurrent,
    reductions,
    reshaping,
    scores,
    sequences,
    sequential,
    several,
    slicing,
    spreading,
    transformer,
    transformer_block,
    transposed,
    written_attention,
    written_out,
)
from geodl.interop.conversion import conversion
from geodl.interop.converters import from_module, to_module
from geodl.interop.whole import hand_made  # noqa: F401
from geodl.interop.whole.importing import import_model
from geodl.layer import Layer


def from_torch(module: nn.Module, example: Any = None, *, on: Domain | None = None) -> Layer:
    """A module of torch.nn as a layer of ours, or with an example any model of torch as a Network:
    the same numbers from our lowerings, and copies of the parameters.

    | torch.nn | layer |
    |---|---|
    | `Linear` | `Conv` over `itself()` |
    | `Conv1d/2d/3d` | `Conv` over `window(...)` |
    | `ConvTranspose1d/2d/3d` | `Conv` over a reversed window |
    | `RNN`, `GRU`, `LSTM` | `Recurrent`; in `Sequential(Concat(...), Dropout, ...)` if several |
    | `MultiheadAttention` | `Attention` over `full_or_adjacency()` |
    | `TransformerEncoderLayer`, `TransformerDecoderLayer` | a block as those of `g.models` |
    | `TransformerEncoder` | a `Sequential` of blocks |
    | `TransformerDecoder` | a `Sequential` of blocks, called `decoder(target, memory)` |
    | `Transformer` | an `EncoderDecoder`, called `layer(target, source)` |
    | `Sequential` | `Sequential` of linear layers or convolutions, and pointwise modules |
    | `BatchNorm1d/2d/3d` | `BatchNorm` |
    | `InstanceNorm1d/2d/3d`, `GroupNorm` | `InstanceNorm`, `GroupNorm` |
    | `Embedding` | `Embedding` |
    | `MaxPool1d/2d/3d`, `AvgPool1d/2d/3d` | `Pool` over `window(...)` |

    Parameters are copied, with their dtype, device and `requires_grad`; train or eval mode is kept.

    Masks are not converted, because a mask is a missing edge: change the rule afterwards.
    `from_torch(attention).over(past())` is causal attention, `interop.over(from_torch(decoder),
    past())` a decoder with a causal `tgt_mask`. In place of a padding mask give
    `Signal.sequence(x, mask)`, in which padding is left out.

    The layout is the Signal's, `[B, N, C]`, whatever `batch_first` says; a Linear acts on channels.
    A convolution keeps its padding mode: with `padding_mode="circular"` it refuses a bounded grid
    and takes `Signal.image(x, periodic=True)`, with zeros it refuses a periodic one. A recurrent
    network without biases gets zeros that are not trained.

    Parametrizations (`torch.nn.utils.parametrizations`, or your own) of a linear layer, a
    convolution or an embedding stay, and their parameters go on learning under their names. The
    older hooks `torch.nn.utils.weight_norm` and `spectral_norm` of a model become parametrizations
    with the same numbers. Save the `state_dict` of such a layer, or model: torch refuses to pickle
    it; `copy.deepcopy` copies it.

    Options that do not change the result are dropped: `enable_nested_tensor`, `inplace` of a
    Transformer's dropouts. In evaluation torch's fast path of `TransformerEncoderLayer` computes
    the exact GELU even for `approximate="tanh"`; the conversion computes what training computes.

    With `example` the module may be any model, also one whose parts are not in the table. It
    becomes a `g.Network` whose nodes have the names of the model's parts, and which is called as
    the model is, with its tensors, or with Signals. The model is followed by torch.fx in both of
    its modes, else by torch.export, where linear layers, convolutions and norms are functions of
    its parameters. Functions of torch (`F.relu`, `torch.cat`, `x.mean(...)`) are converted as
    modules are; views and transpositions change how a signal is read, and no number. Each node is
    compared with the model on the example.

    What has no twin stays as it is, as an opaque node that runs on tensors: `network.opaque()`
    lists them with the reasons, and a certificate finds a gap there. A part that cannot be
    followed, or that makes other calls in training, is one opaque node. These stay opaque, too:
    `torch.where` and masks that depend on values, because booleans are no signal; coordinates that
    a model computes from lengths (`torch.linspace`, `torch.meshgrid`); statistics over nodes and
    channels together; `sort` and `cumsum`; sums over parts of a lattice, and its partition into
    windows; attention biases and rotary embeddings that are tables of the model. Mirrored padding
    and resizing need a bounded lattice: one that wraps has no border.

    Parameters that two layers share stay shared, also where one of them is an embedding and the
    other a linear layer, which is then an `nn.Linear`. :func:`to_torch` gives an import back.

    Args:
        module: of one of these types, not of a subclass; with an example any model.
        example: what the model is called with: a tensor, or a tuple of arguments. Batch and lengths
            may differ in later calls.
        on: a domain; the layer then takes and returns tensors `[B, N, C]` on it. Containers refuse
            it.

    Raises:
        GeodlError: if the type has no converter; if `on` does not fit.

            Of any module: if it has hooks, complex parameters, or one parameter in two places; if
            it has parametrizations and is no linear layer, convolution or embedding.

            Of a convolution: if it has `padding_mode` reflect or replicate.

            Of a recurrent network: if it has `proj_size`, or `dropout=1`.

            Of attention: if `kdim` and `vdim` differ; if it has `add_bias_kv` or `add_zero_attn`.

            Of a Transformer: if it has parts of other types, an unknown `activation`, no layers, or
            `batch_first` in some layers only.

            Of a container: if it mixes layouts.

    >>> import torch
    >>> from geodl import Signal
    >>> twin, x = nn.Conv2d(3, 8, 3, padding=1), torch.randn(2, 3, 9, 9)
    >>> layer = from_torch(twin)
    >>> layer
    Conv(3, 8, window(3x3, boundary='zeros'))
    >>> torch.allclose(layer(Signal.image(x)).to_image(), twin(x), atol=1e-5)
    True
    """
    asked = f"from_torch({type(module).__name__})"
    if example is None:
        with conversion(asked, module, on):
            return from_module(module, on)
    if on is not None:
        found = f"on={on} beside an example"
        raise GeodlError(asked, found, "a Network takes tensors or Signals: leave out on=")
    with conversion(asked, module, whole=True):
        return import_model(module, example)


def to_torch(layer: Layer, *, on: Domain | None = None) -> nn.Module:
    """The inverse of :func:`from_torch`: a module of torch.nn with copies of a layer's parameters,
    batch first.

    Args:
        layer: `Conv` over `itself()`, a plain `window` or its reverse; `Recurrent` along a chain,
            and the containers that `from_torch` makes of them; `Attention` over `all_pairs()` or
            `full_or_adjacency()`, blocks and stacks of it as `from_torch` and `g.models` make them;
            `Sequential` of `Conv` and pointwise modules; a `Network`, as the original it was
            imported from, else as a `torch.fx.GraphModule` of the twins of its layers; `Residual`
            likewise. Windows over a group, their filters written out, on images whose plane
            `c |G| + h` is channel c of element h (the order of escnn's regular fields); networks of
            them, with readouts, as `g.symmetrize` makes of an import. Trained further these lose
            the symmetry, as copies of a weight change apart. `Conv`, `Attention`, `Pool` and
            `Propagate` over any other rule on a domain that is named, as all pairs by orbit or
            attention with a typed bias: on rows `[B, N, C]`, who receives from whom written out in
            tables; edges of one type share their weight as before, also where it is trained
            further.
        on: the domain of the layer's signals, by default the one it was built on. A periodic one
            makes `padding_mode="circular"`, where the window does not remember the mode of a twin.

    Raises:
        GeodlError: if no module of torch.nn computes the layer; the error says what to do.

    >>> to_torch(from_torch(nn.LSTM(3, 8, num_layers=2, bidirectional=True)))
    LSTM(3, 8, num_layers=2, batch_first=True, bidirectional=True)
    """
    imported = getattr(getattr(layer, "door", None), "origin", None) is not None
    with conversion(f"to_torch({type(layer).__name__})", layer, on, tied=imported):
        return to_module(layer, on, "torch")
