"""Pictures: weight tying, feature maps and what made them, what hiding a part of an image costs,
what was found in images,
graphs with predictions, attention, what an answer owes to a neighborhood, curves.

Each function returns a matplotlib Figure that belongs to no window: pyplot and its backend are left
alone.
"""

from geodl.errors import GeodlError

try:
    import matplotlib as _matplotlib  # noqa: F401 - the one place that says what is missing
except ImportError as error:
    raise GeodlError(
        "geodl.viz", "matplotlib is not installed", 'pip install "geodl[viz]"'
    ) from error

from geodl.viz.attention import attention, cross_attention
from geodl.viz.deconvolution import deconvolution
from geodl.viz.detections import detections
from geodl.viz.feature_maps import feature_maps
from geodl.viz.feature_strip import feature_strip
from geodl.viz.layers import network
from geodl.viz.lengths import lengths
from geodl.viz.losses import losses
from geodl.viz.neighborhood import neighborhood
from geodl.viz.noise_to_images import noise_to_images
from geodl.viz.occlusion import occlusion
from geodl.viz.precision import precision
from geodl.viz.predictions import graph
from geodl.viz.query_attention import query_attention
from geodl.viz.samples import samples
from geodl.viz.sheet import sheet
from geodl.viz.smoothing import smoothing
from geodl.viz.stabilised import stabilised
from geodl.viz.weights import tying

__all__ = [
    "attention",
    "cross_attention",
    "deconvolution",
    "detections",
    "feature_maps",
    "feature_strip",
    "graph",
    "lengths",
    "losses",
    "neighborhood",
    "network",
    "noise_to_images",
    "occlusion",
    "precision",
    "query_attention",
    "samples",
    "sheet",
    "smoothing",
    "stabilised",
    "tying",
]
