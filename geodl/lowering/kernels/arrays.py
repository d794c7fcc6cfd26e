"""Tensors as the arrays that kernels read, and what keeps kernels, which check no place, from
reading beyond their end.
"""

import numpy as np
from torch import Tensor

from geodl.errors import GeodlError


def arrays_of(*tensors: Tensor) -> list[np.ndarray]:
    """Tensors as numpy arrays, copied where they are not contiguous, and where they are the
    negative of what their memory holds, which numpy does not know.
    """
    return [tensor.detach().contiguous().resolve_neg().numpy() for tensor in tensors]


def refuse_places_beyond(last: int, size: int) -> None:
    """Refuse edges of nodes that have no values. Layers check sizes; a traced program, which is
    called with values of any, does not.

    Args:
        last: the largest number of a node that is read; -1 where none is.
        size: how many nodes have values.

    Raises:
        GeodlError: if `last` is `size` or more.
    """
    if last < size:
        return
    raise GeodlError(
        f"values of {size} nodes",
        f"a graph in which node {last} is read",
        "give values of all nodes that the program was traced with",
    )
