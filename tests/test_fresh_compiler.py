"""The fixture of tests that compile: what torch says as it loads its compiler is no fault."""

import warnings

import pytest
import torch


def saying(module: str):
    """A reset that warns as code of a module does."""

    def reset() -> None:
        warnings.warn_explicit("old", DeprecationWarning, "file.py", 1, module)

    return reset


@pytest.mark.parametrize("module", ["torch.jit._script", "torch.utils.mkldnn"])
def test_torch_may_speak_as_it_resets(module, monkeypatch, request):
    monkeypatch.setattr(torch.compiler, "reset", saying(module))
    request.getfixturevalue("fresh_compiler")


def test_others_may_not(monkeypatch, request):
    monkeypatch.setattr(torch.compiler, "reset", saying("geodl.layer"))
    with pytest.raises(DeprecationWarning):
        request.getfixturevalue("fresh_compiler")


@pytest.mark.parametrize("name", ["script", "script_method"])
@pytest.mark.parametrize("fate", ["deprecated. Please", "not supported in Python 3.14+ and may"])
def test_what_an_import_of_inductor_says_is_ignored_everywhere(name, fate):
    warnings.warn(f"`torch.jit.{name}` is {fate}", DeprecationWarning, stacklevel=1)
