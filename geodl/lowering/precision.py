"""The precision in which a kernel computes."""

from contextlib import AbstractContextManager, nullcontext

import torch


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Inside, operations keep the types of their values. Devices without autocast, as meta, need
    nothing.
    """
    # Meta tensors are the ones without autocast. To ask torch whether a device has one cannot be
    # traced by the compilers of older releases.
    if device.type == "meta":
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
