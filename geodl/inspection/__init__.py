"""Looking into a model: what an answer depends on, and how far its layers see.

Every function takes a model and a signal, runs the model in evaluation mode, and leaves its
parameters, their gradients and the modes of its modules as they were.
"""

from geodl.inspection.attention import EdgeAttention, attention_on_edges
from geodl.inspection.counting import WeightCounts, count_weights, multiply_adds
from geodl.inspection.deconvolution import Reconstruction, deconvolution, feature_maps
from geodl.inspection.depth import dirichlet_energy, receptive_field, smoothing
from geodl.inspection.gradients import integrated_gradients, saliency
from geodl.inspection.mask import gnn_explainer
from geodl.inspection.occlusion import occlusion
from geodl.inspection.score import Attribution

__all__ = [
    "Attribution",
    "EdgeAttention",
    "Reconstruction",
    "WeightCounts",
    "attention_on_edges",
    "count_weights",
    "deconvolution",
    "dirichlet_energy",
    "feature_maps",
    "gnn_explainer",
    "integrated_gradients",
    "multiply_adds",
    "occlusion",
    "receptive_field",
    "saliency",
    "smoothing",
]
