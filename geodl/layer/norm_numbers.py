"""The numbers that norms are built with."""

from typing import Any

from geodl.errors import GeodlError, is_real


def check_norm_numbers(name: str, eps: Any, momentum: Any = None) -> None:
    """Refuse an eps, or a momentum of running statistics, that is not a number.

    Args:
        name: of the norm, the beginning of the error.
        eps: added to the variance.
        momentum: None where running statistics move otherwise, or not at all.

    Raises:
        GeodlError: if one of them is not a real number.
    """
    for option, value in (("eps", eps), ("momentum", momentum)):
        if option == "momentum" and value is None:
            continue
        if not is_real(value):
            found = f"a {type(value).__name__}"
            raise GeodlError(f"{name}({option}={value!r})", found, "give a number")
