"""State dicts of torch's networks of the same names, both ways: numbers change shape, not place."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from geodl.errors import GeodlError
from geodl.interop.conv import is_plain
from geodl.layer import Conv, Layer
from geodl.neighborhood import itself


def load_torch_state(model: Layer, state: Mapping[str, Tensor]) -> None:
    """Copy the state_dict of a torch network into a model whose parts have the same names, as those
    of torchvision are: `g.models.alexnet`, `vgg`, `googlenet`, `resnet`.

    A convolution's weight `[C_out, C_in, *kernel]` becomes `[K, C_in, C_out]`, and so does that of
    a linear layer on a flattened image, `[C_out, C_in K]`, where the model has a window as large as
    the image: the numbers are the same ones in the same order.

    Args:
        model: of convolutions over plain windows or `itself()`, and of modules whose parameters
            have torch's shapes.
        state: of the torch network.

    Raises:
        GeodlError: if a name is missing on either side, if a parameter has another number of
            entries, or if a convolution runs over another rule.

    >>> import torch, geodl as g
    >>> ours = g.Sequential({"conv": g.Conv(2, 4, g.window(3))})
    >>> theirs = nn.Sequential()
    >>> theirs.add_module("conv", nn.Conv2d(2, 4, 3))
    >>> load_torch_state(ours, theirs.state_dict())
    >>> torch.equal(ours[0].weight[0].T, theirs.conv.weight[:, :, 0, 0])
    True
    """
    asked = f"load_torch_state({type(model).__name__}, state)"
    if not isinstance(state, Mapping):
        raise GeodlError(asked, f"a {type(state).__name__}", "give a state_dict")
    own = model.state_dict()
    _check_names(asked, own, state)
    convolutions = _convolutions(asked, model)
    turned = {}
    for name, value in state.items():
        if value.numel() != own[name].numel():
            found = f"{name} of shape {list(value.shape)} for one of {list(own[name].shape)}"
            raise GeodlError(asked, found, "build the model with the sizes of the state")
        if name in convolutions:
            places, channels_in, channels_out = own[name].shape
            value = value.reshape(channels_out, channels_in, places).permute(2, 1, 0)
        elif value.shape != own[name].shape:
            found = f"{name} of shape {list(value.shape)} for one of {list(own[name].shape)}"
            raise GeodlError(asked, found, "build the model with the sizes of the state")
        turned[name] = value
    model.load_state_dict(turned)


def torch_state(model: Layer, like: nn.Module) -> dict[str, Tensor]:
    """The inverse of :func:`load_torch_state`: copies of a model's parameters and buffers in the
    shapes that a torch network of the same names has, for its `load_state_dict`.

    Args:
        model: as there.
        like: the torch network, of which shapes alone are read: one on the meta device will do.

    Raises:
        GeodlError: as there.

    >>> import geodl as g
    >>> ours = g.Sequential({"fc": g.Conv(2, 4, g.window(3, padding="valid"))})
    >>> theirs = nn.Sequential()
    >>> theirs.add_module("fc", nn.Linear(18, 4))
    >>> torch_state(ours, theirs)["fc.weight"].shape
    torch.Size([4, 18])
    """
    asked = f"torch_state({type(model).__name__}, like)"
    if not isinstance(like, nn.Module):
        raise GeodlError(asked, f"a {type(like).__name__}", "give a module of torch")
    own, wanted = model.state_dict(), like.state_dict()
    _check_names(asked, own, wanted)
    convolutions = _convolutions(asked, model)
    turned = {}
    for name, value in own.items():
        shape = wanted[name].shape
        if value.numel() != shape.numel() or (name not in convolutions and value.shape != shape):
            found = f"{name} of shape {list(value.shape)} for one of {list(shape)}"
            raise GeodlError(asked, found, "build both with the same sizes")
        if name in convolutions:
            value = value.permute(2, 1, 0)
        turned[name] = value.detach().reshape(shape).clone()
    return turned


def _check_names(asked: str, own: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Refuse two states whose names differ."""
    missing = [name for name in own if name not in other]
    unknown = [name for name in other if name not in own]
    if missing or unknown:
        named = ", ".join((missing or unknown)[:3])
        found = f"no {named} in torch's" if missing else f"no {named} in the model"
        do = "build it as the torch network is: googlenet without its auxiliary heads"
        raise GeodlError(asked, found, do)


def _convolutions(asked: str, model: Layer) -> dict[str, Conv]:
    """The convolutions of a model by the names of their weights."""
    found = {}
    for path, part in model.named_modules():
        if not isinstance(part, Conv):
            continue
        if part.rule != itself() and not is_plain(part.rule):
            kind = f"{path}: a convolution over {part.rule}"
            raise GeodlError(asked, kind, "convert its layers one by one: g.interop.from_torch")
        found[f"{path}.weight".lstrip(".")] = part
    return found
