"""Gradients of gradients, and the transforms of `torch.func`, for kernels that bring their own
gradient.

A kernel with one fast gradient serves ordinary training. Two situations ask for more: a graph of
the backward itself (`create_graph=True`, for gradient penalties and Hessians), and the transforms
of `torch.func` (grad, vmap, jvp and what is made of them). There a formula in torch's own
operations takes over, which can be differentiated any number of times.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd import forward_ad

from geodl.errors import GeodlError


class Operator(torch.autograd.Function):
    """A function with a gradient of its own, which every transform of `torch.func` can enter.

    A subclass defines `forward` without a context, `setup_context`, `backward`, `vmap` and
    `tangent`, the rule of forward mode. Its `backward` uses operations that can be differentiated
    themselves, or asks :func:`graph_wanted` first.
    """

    _transformed: ClassVar[Any]

    def __init_subclass__(cls, **named: Any):
        super().__init_subclass__(**named)
        if "jvp" not in vars(cls):
            # torch.compile refuses every function with a jvp, so only a twin of it has one
            rule = {"jvp": staticmethod(cls.tangent)}
            cls._transformed = type(cls.__name__, (cls,), rule)

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call the function, which has no defaults."""
        if not transforms_active():
            # Without the part of `Function.apply` that is Python: it binds the arguments to the
            # signature of `forward` at each call, to fill in defaults; with eight arguments it
            # takes 60 of 75 microseconds (measured).
            compiled: Any = super(torch.autograd.Function, cls)
            return compiled.apply(*args)
        called = cls if torch.compiler.is_compiling() else cls._transformed
        return super(Operator, called).apply(*args)

    @staticmethod
    @abstractmethod
    def tangent(ctx: Any, *tangents: Any) -> Any:
        """The tangent of the values, for tangents of the arguments (None for those without)."""


def transforms_active() -> bool:
    """Whether a transform of `torch.func` is running (grad, vmap, jvp, or one made of them), or
    torch's forward mode.

    torch has no public name for either question; its own `Function.apply` asks the first one so.
    """
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def called_plainly(*tensors: Tensor | None) -> bool:
    """Whether nothing watches the operators that are called with tensors: no compiler, no mode of
    torch's dispatcher, no subclass of tensors, no tensor without numbers in memory.
    """
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():
        return False
    if torch._C._get_tracing_state() is not None:
        return False
    # modes that see operators before autograd does (`make_fx(pre_dispatch=True)`)
    if torch._C._dispatch_tls_is_dispatch_key_included(torch._C.DispatchKey.PreDispatch):
        return False
    # torch has no public names for these
    is_functional: Any = torch._is_functional_tensor  # pyright: ignore[reportPrivateImportUsage]
    # torch's older vmap, which `vectorize=True` runs, is no transform of torch.func
    functorch: Any = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue] - not in stubs
    for x in tensors:
        if x is None:
            continue
        if type(x) is not Tensor or x.is_meta or functorch.is_legacy_batchedtensor(x):
            return False
        if is_functional(x) or x._is_zerotensor():
            return False
    return True


def graph_wanted() -> bool:
    """Asked inside a backward: whether it will itself be differentiated or transformed.

    Autograd runs a backward with gradients enabled exactly when `create_graph=True` was asked for,
    and `torch.func.grad` always asks. While a compiler traces, the mode says nothing: compiled
    backwards cannot be differentiated, which torch says itself.
    """
    if transforms_active():
        return True
    return torch.is_grad_enabled() and not torch.compiler.is_compiling()


def refuse_sparse_values() -> None:
    """Refuse sparse values under the transforms of `torch.func`, which do not follow them.

    Raises:
        GeodlError: if a transform of `torch.func` is running.
    """
    if transforms_active():
        raise GeodlError(
            "a convolution of sparse values under a transform of torch.func",
            "values that torch.func cannot follow",
            "give dense ones: x.to_dense()[None]",
        )


def watch_backward(y: Tensor, hooks: dict[int, Callable[[Tensor], Tensor | None]]) -> None:
    """Let functions of y's gradient run before the backward that continues from y; what they return
    takes its place, unless it is None.

    Like `y.register_hook`, without the removable handle, which costs 8 of 10 microseconds
    (measured). No other code may register hooks on y.
    """
    y._backward_hooks = hooks  # pyright: ignore[reportAttributeAccessIssue]
    node: Any = y.grad_fn
    node._register_hook_dict(y)
