"""The weights of a recurrence as cuDNN reads them: one after the other in one chunk of memory.

Weights that lie anywhere else are copied there at every call, with a warning. A module's own
parameters are moved there for good, in place (`flatten_parameters`); what a call puts in their
stead, such as computed weights, gets a chunk of its own (`with_one_chunk`).
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.backends.cudnn.rnn
from torch import Tensor, nn

from geodl.lowering.cells import CELLS
from geodl.lowering.differentiable import transforms_active

# What nn.LSTM flattens its own parameters with has no public name.
_operators: Any = torch


def flatten_parameters(cell: str, parameters: Sequence[Any]) -> None:
    """Move the parameters of a cell into one chunk, in place, where cuDNN can read them.

    Nothing happens to parameters of a cell that cuDNN does not have, on another device or in
    another dtype than it takes, to tied ones, while some have another shape (as they are replaced
    one after the other), or to tensors that only stand for others (a compiler's, or distributed
    ones).

    Args:
        cell: by its name in `CELLS`.
        parameters: `[G hidden, C]`, `[G hidden, hidden]` and two biases `[G hidden]`.
    """
    if CELLS[cell].kernel is None:
        return
    if not all(type(parameter) is nn.Parameter for parameter in parameters):
        return
    if not _acceptable(parameters) or not _operators._use_cudnn_rnn_flatten_weight():
        return
    if len({parameter.data_ptr() for parameter in parameters}) < len(parameters):
        return
    channels, hidden = parameters[0].shape[-1], parameters[1].shape[-1]
    rows = CELLS[cell].gates * hidden
    shapes = [tuple(parameter.shape) for parameter in parameters]
    if shapes != [(rows, channels), (rows, hidden), (rows,), (rows,)]:
        return
    mode = torch.backends.cudnn.rnn.get_cudnn_mode(cell.upper())
    count, no_projection, layers, batch_first, bidirectional = len(parameters), 0, 1, True, False
    with torch.cuda.device_of(parameters[0]), torch.no_grad():
        _operators._cudnn_rnn_flatten_weight(
            list(parameters),
            count,
            channels,
            mode,
            hidden,
            no_projection,
            layers,
            batch_first,
            bidirectional,
        )


def with_one_chunk(weights: list[Tensor]) -> list[Tensor]:
    """The weights of a call on CUDA: flattened parameters as they are, in place of others copies in
    one chunk, through which gradients flow.

    The copies take the time and memory of those that cuDNN would make. Under autocast it makes its
    own, in half precision, and says nothing.
    """
    if transforms_active() or torch.compiler.is_compiling() or torch.is_autocast_enabled("cuda"):
        return weights
    if _share_memory(weights) or not _acceptable(weights):
        return weights
    chunk = torch.cat([weight.reshape(-1) for weight in weights])
    pieces = chunk.split([weight.numel() for weight in weights])
    return [piece.view(weight.shape) for piece, weight in zip(pieces, weights, strict=True)]


def _share_memory(weights: Sequence[Tensor]) -> bool:
    """Whether weights are parameters that were flattened."""
    # A tensor that is no plain parameter may have no memory of its own to ask for.
    if not all(type(weight) is nn.Parameter for weight in weights):
        return False
    return len({weight.untyped_storage().data_ptr() for weight in weights}) == 1


def _acceptable(weights: Sequence[Tensor]) -> bool:
    """Whether cuDNN takes weights of this device and dtype, which all of them share."""
    first = weights[0]
    alike = all(w.device == first.device and w.dtype == first.dtype for w in weights)
    return alike and _cudnn_takes(first)


def _cudnn_takes(weight: Tensor) -> bool:
    return weight.is_cuda and torch.backends.cudnn.is_acceptable(weight)
