"""Lowerings: the kernels on which verbs run. `table.py` lists them in order of preference."""

from geodl.lowering.base import (
    AttendOptions,
    Call,
    ConvolveOptions,
    Lowering,
    MessageOptions,
    Options,
    PoolOptions,
    RecurOptions,
    TensorSpec,
)
from geodl.lowering.dispatch import Request, describe_call, plan_for, plan_for_step, select
from geodl.lowering.plans import VALUES, Plan, Store, cached_tensors, pinned_for
from geodl.lowering.table import LOWERINGS

__all__ = [
    "LOWERINGS",
    "VALUES",
    "AttendOptions",
    "Call",
    "ConvolveOptions",
    "Lowering",
    "MessageOptions",
    "Options",
    "Plan",
    "PoolOptions",
    "RecurOptions",
    "Request",
    "Store",
    "TensorSpec",
    "cached_tensors",
    "describe_call",
    "pinned_for",
    "plan_for",
    "plan_for_step",
    "select",
]
