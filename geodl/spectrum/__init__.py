"""Spectra: modes of a domain's Laplacian, in closed form by structure or solved, the transforms
that they make, and the rule that gives each mode a weight.
"""

import torch

from geodl.spectrum.find import (
    MemberTransforms,
    analyse_members,
    fast_transform,
    on_device,
    synthesise_members,
    transform_of,
    transforms_of,
)
from geodl.spectrum.fourier import Modes, fourier, fourier_inverse, spectrum
from geodl.spectrum.laplace import z_transform
from geodl.spectrum.modes import ByMode, Projections, modes
from geodl.spectrum.responses import band_pass, heat, mexican_hat, meyer
from geodl.spectrum.transform import Transform, analyse, one_of_zeros, synthesise, write_modes

# torch.load's safe default builds no class that it was not told of.
torch.serialization.add_safe_globals([ByMode])

__all__ = [
    "ByMode",
    "MemberTransforms",
    "Modes",
    "Projections",
    "Transform",
    "analyse",
    "analyse_members",
    "band_pass",
    "fast_transform",
    "fourier",
    "fourier_inverse",
    "heat",
    "mexican_hat",
    "meyer",
    "modes",
    "on_device",
    "one_of_zeros",
    "spectrum",
    "synthesise",
    "synthesise_members",
    "transform_of",
    "transforms_of",
    "write_modes",
    "z_transform",
]
