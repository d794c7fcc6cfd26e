"""Which symmetries a rule, a layer or a model has: proved in integers, and measured on numbers."""

from geodl.symmetry.measure import equivariance_error
from geodl.symmetry.model import certify
from geodl.symmetry.orbits import orbits
from geodl.symmetry.proof import Certificate
from geodl.symmetry.symmetrize import symmetrize
from geodl.symmetry.turning import move

__all__ = ["Certificate", "certify", "equivariance_error", "move", "orbits", "symmetrize"]
