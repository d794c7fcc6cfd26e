"""Layers: parameters, one verb, one neighborhood; and what is made of them."""

from geodl.layer.attention import Attention
from geodl.layer.base import Choice, Layer, MessagePassing
from geodl.layer.containers import Concat, Cross, Residual, Sequential, acts_elsewhere
from geodl.layer.conv import Conv
from geodl.layer.embedding import Embedding
from geodl.layer.explain import Explanation, evaluated, explain, prepare, set_lowering
from geodl.layer.laplacian import LaplacianPositions
from geodl.layer.message import Message
from geodl.layer.norm import BatchNorm, Dropout
from geodl.layer.pool import Pool, Readout
from geodl.layer.position import LearnedPositions, SinusoidalPositions
from geodl.layer.recurrent import Recurrent

__all__ = [
    "Attention",
    "BatchNorm",
    "Choice",
    "Concat",
    "Conv",
    "Cross",
    "Dropout",
    "Embedding",
    "Explanation",
    "LaplacianPositions",
    "Layer",
    "LearnedPositions",
    "Message",
    "MessagePassing",
    "Pool",
    "Readout",
    "Recurrent",
    "Residual",
    "Sequential",
    "SinusoidalPositions",
    "acts_elsewhere",
    "evaluated",
    "explain",
    "prepare",
    "set_lowering",
]
