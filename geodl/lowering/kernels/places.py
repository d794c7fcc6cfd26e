"""What keeps kernels, which check no place, from reading beyond the end of an array."""

import numpy as np

from geodl.errors import GeodlError


def refuse_places_beyond(places: np.ndarray, size: int) -> None:
    """Refuse edges of nodes that have no values. Layers check sizes; a traced program, which is
    called with values of any, does not.

    Args:
        places: the node of each edge.
        size: how many nodes have values.

    Raises:
        GeodlError: if a place is `size` or beyond.
    """
    if places.size == 0 or places.max() < size:
        return
    raise GeodlError(
        f"values of {size} nodes",
        f"an edge of node {places.max()}",
        "give values of all nodes that the program was traced with",
    )
