"""Layers: parameters, one verb, one neighborhood; and what is made of them."""

from geodl.layer.attention import Attention
from geodl.layer.base import Layer, MessagePassing
from geodl.layer.containers import Concat, Cross, Residual, Sequential
from geodl.layer.conv import Conv
from geodl.layer.edge_update import EdgeUpdate
from geodl.layer.embedding import Embedding
from geodl.layer.encoder_decoder import EncoderDecoder, FinalState, FromState
from geodl.layer.expected import Expected
from geodl.layer.explain import Explanation, explain, prepare, set_lowering
from geodl.layer.filter import Filter
from geodl.layer.image_sizes import sizes
from geodl.layer.laplacian import LaplacianPositions
from geodl.layer.local_response import LocalResponseNorm
from geodl.layer.member_norm import GroupNorm, InstanceNorm
from geodl.layer.message import Message
from geodl.layer.modes import buffers_kept, evaluated
from geodl.layer.network import Network
from geodl.layer.norm import BatchNorm, Dropout
from geodl.layer.pointwise import POINTWISE, Pointwise
from geodl.layer.pool import Pool, Readout
from geodl.layer.position import LearnedPositions, SinusoidalPositions
from geodl.layer.propagate import Propagate, Restrict
from geodl.layer.recurrent import Recurrent
from geodl.layer.top_k import TopK
from geodl.layer.trace import Choice, Event, trace

__all__ = [
    "POINTWISE",
    "Attention",
    "BatchNorm",
    "Choice",
    "Concat",
    "Conv",
    "Cross",
    "Dropout",
    "EdgeUpdate",
    "Embedding",
    "EncoderDecoder",
    "Event",
    "Expected",
    "Explanation",
    "Filter",
    "FinalState",
    "FromState",
    "GroupNorm",
    "InstanceNorm",
    "LaplacianPositions",
    "Layer",
    "LearnedPositions",
    "LocalResponseNorm",
    "Message",
    "MessagePassing",
    "Network",
    "Pointwise",
    "Pool",
    "Propagate",
    "Readout",
    "Recurrent",
    "Residual",
    "Restrict",
    "Sequential",
    "SinusoidalPositions",
    "TopK",
    "buffers_kept",
    "evaluated",
    "explain",
    "prepare",
    "set_lowering",
    "sizes",
    "trace",
]
