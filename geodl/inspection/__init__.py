"""Looking into a model: what an answer depends on, and how far its layers see.

Every function takes a model and a signal, runs the model in evaluation mode, and leaves its
parameters, their gradients and the modes of its modules as they were.
"""

from geodl.inspection.attention import EdgeAttention, attention_on_edges
from geodl.inspection.depth import dirichlet_energy, receptive_field, smoothing
from geodl.inspection.gradients import integrated_gradients, saliency
from geodl.inspection.mask import gnn_explainer
from geodl.inspection.score import Attribution

__all__ = [
    "Attribution",
    "EdgeAttention",
    "attention_on_edges",
    "dirichlet_energy",
    "gnn_explainer",
    "integrated_gradients",
    "receptive_field",
    "saliency",
    "smoothing",
]
