"""How the elements of a group move the points of space."""

from typing import NamedTuple

import torch
from torch import Tensor

NEAR = 1e-9  # the largest rounding error of an entry in a product of a group's matrices


class Action(NamedTuple):
    """The matrices by which a group acts on the lattice Z^d, or only on R^d.

    Attributes:
        matrices: `[n, d, d]` in the order of the group's elements; integers where the action is
            exact, else float64.
        keeps_lattice: `[n]`, which elements have integer matrices. In a finite group their inverses
            have, too: these map Z^d to itself.
    """

    matrices: Tensor
    keeps_lattice: Tensor

    @property
    def exact(self) -> bool:
        """Whether every element maps the lattice to itself. Where not, a filter basis approximates
        the action.
        """
        return not self.matrices.is_floating_point()


def make_action(matrices: Tensor) -> Action:
    """The action by matrices `[n, d, d]` in float64.

    Matrices whose entries differ from integers by less than rounding become integers: those of the
    quarter turns in C(12), which are products of turns by 30 degrees.
    """
    nearest = matrices.round()
    keeps_lattice = ((matrices - nearest).abs() < NEAR).flatten(1).all(1)
    if keeps_lattice.all():
        return Action(nearest.long(), keeps_lattice)
    return Action(torch.where(keeps_lattice[:, None, None], nearest, matrices), keeps_lattice)
