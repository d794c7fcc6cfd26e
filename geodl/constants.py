"""Constants that any later call may use: made outside of the modes of torch in which the first
caller is.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ContextDecorator, contextmanager
from typing import Any, final

import torch
from torch._C._functorch import peek_interpreter_stack
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
from torch._ops import mode_stack_state_for_pre_dispatch
from torch.utils._python_dispatch import _disable_current_modes

# Modes of exports, which torch keeps in an object of its own.
PRE_DISPATCH = mode_stack_state_for_pre_dispatch()


def cached_constants() -> "OutsideModes":
    """Make cached constants outside of every mode of torch that their first caller is in, so that
    any later caller may use them, in training too.

    Inside, tensors are made on the CPU whatever the default device, outside of inference mode, and
    unseen by fake modes, by `torch.jit.trace` (to which sizes are tensors) and by the transforms of
    `torch.func`, whose wrappers die with them.
    """
    return OutsideModes()


@final
class OutsideModes(ContextDecorator):
    """The block, or the function, of :func:`cached_constants`."""

    def __init__(self):
        self.left: AbstractContextManager[None] | None = None

    def _recreate_cm(self) -> "OutsideModes":
        # As a decorator it is entered by every call anew, from several threads.
        return OutsideModes()

    def __enter__(self) -> None:
        # As nearly always: entering all of the others takes longer than a small graph.
        if not outside_modes():
            self.left = _without_modes()
            self.left.__enter__()

    def __exit__(self, *raised: Any) -> bool | None:
        if self.left is not None:
            return self.left.__exit__(*raised)
        return None


@contextmanager
def _without_modes() -> Iterator[None]:
    """A block outside of all modes of torch."""
    trace = torch._C._get_tracing_state()
    torch._C._set_tracing_state(None)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        with (
            torch._C.DisableTorchFunction(),  # the default device is such a function
            torch.inference_mode(False),
            _disable_current_modes(),
            temporarily_clear_interpreter_stack(),
        ):
            yield
    finally:
        torch._C._set_tracing_state(trace)  # pyright: ignore[reportAttributeAccessIssue]


def outside_modes() -> bool:
    """Whether torch is in none of the modes that change what new tensors are."""
    return not (
        torch._C._len_torch_function_stack()
        or torch.is_inference_mode_enabled()
        or torch._C._len_torch_dispatch_stack()
        or PRE_DISPATCH.count()
        or torch._C._get_tracing_state()
        or peek_interpreter_stack()
    )
