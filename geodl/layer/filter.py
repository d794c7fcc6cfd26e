"""Filters by a function of frequency."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.domain.check import check_finite
from geodl.errors import GeodlError, as_integer
from geodl.layer.base import MessagePassing
from geodl.layer.check import check_function, check_no_sender, check_signal
from geodl.layer.entries import entries_of_call
from geodl.layer.folding import GraphState, MergedMembers
from geodl.lowering import ConvolveOptions, Plan, cached_tensors
from geodl.neighborhood import Neighborhood, laplacian, polynomial
from geodl.signal import Signal
from geodl.signal.check import mixes_dtypes
from geodl.spectrum import modes, transforms_of


class Points(NamedTuple):
    """The frequencies at which the response of a filter is evaluated, and how weights follow.

    Attributes:
        frequencies: `[P]` eigenvalues of modes, or Chebyshev's points.
        coefficients: `[T, P]` the matrix from responses to the weights of the T terms of a
            polynomial; None where each response is the weight of a mode.
    """

    frequencies: Tensor
    coefficients: Tensor | None


class Filter(MessagePassing):
    """`y = U f(Lambda) U' x`: each mode of the domain's Laplacian is multiplied by a function of
    its frequency.

    Exactly, by the Fourier transform of the domain (:func:`geodl.fourier`), or, where an order is
    named, by the polynomial of that order that agrees with the function in Chebyshev's points, one
    sparse product for each order and no eigenvector (Hammond, Vandergheynst, Gribonval, "Wavelets
    on Graphs via Spectral Graph Theory", 2011). Gradients flow to the signal, and to the parameters
    of a function that is a module.

    A function that answers with a matrix for each frequency mixes channels: the spectral
    convolution of Bruna et al. (2014) with weights that are smooth in frequency, however many nodes
    the domain has.

    Args:
        function: of frequencies `[P]`, eigenvalues of the Laplacian, to `[P]` or `[P, C_in,
            C_out]`; as `geodl.heat(2.0)`. Or the numbers themselves, a tensor or list of such a
            shape, one for each of the first P modes, which become a parameter `weight`; higher
            modes do not pass. Modes of one frequency have no order of their own: which of them a
            number meets is the solver's choice, and no symmetry is kept.
        norm: of the Laplacian: None for `D - A`, "sym" or "rw".
        order: of the polynomial; None for the exact filter.
        lambda_max: the largest eigenvalue that the polynomial is fitted up to; None takes 2 for
            "sym" and "rw", else that of the domain.
        on: a domain; the layer then takes and returns tensors `[B, N, C]`.

    Shapes: in `[B, N, C]`, any C or C_in; out `[B, N, C]` or `[B, N, C_out]`.

    Raises:
        GeodlError: if the order is negative, or is given beside numbers mode by mode; if
            `lambda_max` is given without an order; at the call, if the function answers with
            another shape or dtype, if there are more numbers than modes, if values of an exact
            filter are NaN or infinite, and as :func:`geodl.spectrum`.

    >>> from geodl import Chain, heat
    >>> s = Signal(torch.tensor([[[0.0], [3.0], [0.0]]]), Chain(3))
    >>> Filter(heat(20.0))(s).x.detach().flatten().round(decimals=4).tolist()
    [1.0, 1.0, 1.0]
    """

    verb = "convolve"
    transparent = True
    weight: nn.Parameter | None
    function: Any

    def __init__(
        self,
        function: Callable[[Tensor], Tensor] | Tensor | list[Any],
        norm: str | None = None,
        order: int | None = None,
        *,
        lambda_max: float | None = None,
        on: Domain | None = None,
    ):
        asked = f"Filter(function, {norm!r}, {order!r})"
        # Numbers are given mode by mode; a function is evaluated at each domain's frequencies.
        weight, count = None, None
        if not callable(function):
            weight = _as_numbers(asked, function, order)
            count = len(weight)
        rule: Neighborhood = modes(count, norm=norm)
        if order is not None:
            rule = polynomial(laplacian(norm), _checked_order(asked, order), lambda_max=lambda_max)
        elif lambda_max is not None:
            found = f"lambda_max={lambda_max!r} and no order"
            raise GeodlError(asked, found, "name the order of a polynomial, or leave it out")
        super().__init__(rule, on, ConvolveOptions(None, None, None))
        self.norm, self.order, self.lambda_max, self.count = norm, order, lambda_max, count
        self.register_parameter("weight", weight)
        self.function = None
        if weight is None:
            self.function = function

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The filtered signal on its own domain."""
        check_no_sender(self, sender)
        domain = check_signal(self, receiver).domain
        if self.order is None:
            check_finite(self.label, receiver.x, "which would spread over all modes")
        # Weights are the coefficients of one polynomial for all nodes: the members of a union share
        # it, up to the largest eigenvalue of them all.
        if self.order is not None and domain.equal_member is None:
            rule = replace(rule, lambda_max=self._largest(domain))
        return super().compute(receiver, None, rule)

    def _options_on(self, source: Domain) -> ConvolveOptions:
        # How many channels the weights mix is known once the function has answered: kernels read
        # it off the weights.
        return ConvolveOptions(self.rule.num_types(source), None, None)

    def _run(
        self,
        plan: Plan,
        receiver: Tensor,
        sender: Tensor,
        parts: MergedMembers,
        state: GraphState,
    ) -> Tensor:
        weight = self._weights(parts.source, sender)
        entries = entries_of_call(plan, parts, sender)
        if entries is None:
            return plan.run(sender, weight, None)
        return plan.run(sender, weight, None, entries)

    def _weights(self, domain: Domain, x: Tensor) -> Tensor:
        """One weight for each edge type of the rule: a number for all channels, `[T, 1, C]`, or a
        matrix, `[T, C_in, C_out]`.
        """
        weight: Any = self.weight
        if weight is None:
            points = self._points(domain, x)
            weight = self._checked(self._responses(points.frequencies, x), points, x)
            if points.coefficients is not None:
                coefficients = points.coefficients.to(weight.dtype)
                weight = torch.tensordot(coefficients, weight, dims=1)
            weight = weight.to(x.dtype)
        # One number for all channels is a depthwise weight, which kernels apply without a product.
        if weight.dim() == 1:
            return weight[:, None, None].expand(-1, 1, x.shape[2])
        if weight.shape[1] != x.shape[2]:
            found = f"matrices of {weight.shape[1]} rows for {x.shape[2]} channels"
            raise GeodlError(self.label, found, "answer with [P, C_in, C_out]")
        return weight

    def _points(self, domain: Domain, x: Tensor) -> Points:
        """Where the function is evaluated, found once for a domain."""
        # The response of half-precision signals is computed in single precision, as their transform
        # is: the exponential of a frequency has no digits to lose.
        like = (x.device, torch.promote_types(x.dtype, torch.float32))
        name = ("frequencies", self.norm, self.order, self.lambda_max, *like)

        def make() -> Points:
            if self.order is None:
                return Points(transforms_of(domain, self.norm).eigenvalues.to(*like), None)
            angles, coefficients = chebyshev_points(self.order)
            # The polynomial's variable runs from -1 to 1, frequencies from 0 to the largest.
            frequencies = self._largest(domain) * (torch.cos(angles) + 1) / 2
            return Points(frequencies.to(*like), coefficients.to(*like))

        return cached_tensors(domain, None, name, make)

    def _responses(self, frequencies: Tensor, x: Tensor) -> Any:
        """What the function answers, in the precision of the frequencies.

        Raises:
            GeodlError: if it fails and has parameters of another dtype or device.
        """
        function = self.function
        try:
            if x.dtype != frequencies.dtype and isinstance(function, nn.Module):
                return _in_single_precision(function, x.dtype, frequencies)
            return function(frequencies)
        except RuntimeError:
            check_function(self, "function", function, frequencies)
            raise

    def _largest(self, domain: Domain) -> float:
        """The largest eigenvalue that the polynomial is fitted up to."""
        if self.lambda_max is not None:
            return float(self.lambda_max)
        if self.norm is not None:
            return 2.0
        base = laplacian()
        if domain.runtime_weight is not None:
            # Refused there, in words: what is kept belongs to the graph's own weights.
            return float(base.largest_eigenvalues(domain).max())

        def make() -> float:
            return float(base.largest_eigenvalues(domain).max())

        return cached_tensors(domain, None, "largest eigenvalue of all members", make)

    def _checked(self, responses: Any, points: Points, x: Tensor) -> Tensor:
        """The responses, `[P]` or `[P, C_in, C_out]`, once they are known to fit."""
        count = len(points.frequencies)
        found = f"a function that answers with a {type(responses).__name__}"
        if isinstance(responses, Tensor):
            shape = list(responses.shape)
            found = f"a function that answers with {responses.dtype} of shape {shape}"
            # Numbers of another dtype would be cast in silence where they meet the signal.
            fits = responses.dim() in (1, 3) and len(responses) == count
            same = responses.dtype == points.frequencies.dtype
            if fits and (same or mixes_dtypes(x.device)):
                return responses
        do = f"answer with [{count}] or [{count}, C_in, C_out] of {points.frequencies.dtype}"
        raise GeodlError(self.label, found, do)

    def extra_repr(self) -> str:
        name = "numbers"
        if self.function is not None:
            name = getattr(self.function, "__name__", type(self.function).__name__)
        parts = [name]
        if self.norm is not None:
            parts.append(f"norm={self.norm!r}")
        if self.order is not None:
            parts.append(f"order={self.order}")
        return ", ".join(parts)


def chebyshev_points(order: int) -> tuple[Tensor, Tensor]:
    """The angles `[K + 1]` of Chebyshev's points, and the matrix `[K + 1, K + 1]` from the values
    of a function there to the coefficients of the polynomial that has them.

    The points `x_m = cos(a_m)` are the zeros of `T_(K+1)`, over which the `T_k` are orthogonal:
    `c_k = (2 - [k = 0]) / (K + 1) sum_m f(x_m) T_k(x_m)`.
    """
    count = order + 1
    angles = (torch.arange(count, dtype=torch.float64) + 0.5) * math.pi / count
    coefficients = 2 / count * torch.cos(torch.arange(count)[:, None] * angles)
    coefficients[0] /= 2
    return angles, coefficients


def _in_single_precision(module: nn.Module, half: torch.dtype, frequencies: Tensor) -> Any:
    """A module's answer with its numbers of half precision widened; gradients reach those."""
    parameters = {n: p.to(frequencies) for n, p in module.named_parameters() if p.dtype == half}
    buffers = {n: b for n, b in module.named_buffers() if b.dtype == half}
    if not parameters and not buffers:
        return module(frequencies)
    wide = {name: buffer.to(frequencies) for name, buffer in buffers.items()}
    answer = torch.func.functional_call(module, {**parameters, **wide}, (frequencies,))
    if module.training:
        # Running statistics that the module moved.
        for name, buffer in buffers.items():
            buffer.copy_(wide[name])
    return answer


def _checked_order(asked: str, order: Any) -> int:
    number = as_integer(order)
    if number is None or number < 0:
        raise GeodlError(asked, f"the order {order!r}", "give an integer from 0, or None")
    return number


def _as_numbers(asked: str, numbers: Any, order: int | None) -> nn.Parameter:
    """The response of each of the first modes as a parameter."""
    if order is not None:
        found = "an order, and numbers mode by mode"
        raise GeodlError(asked, found, "give a function of frequency to fit a polynomial to")
    if isinstance(numbers, nn.Parameter):
        values: Tensor = numbers
    else:
        try:
            values = torch.as_tensor(numbers)
        except (TypeError, ValueError, RuntimeError) as error:
            found = f"a {type(numbers).__name__}"
            raise GeodlError(asked, found, "give a function, or numbers") from error
    if values.dim() not in (1, 3) or not len(values) or not values.is_floating_point():
        found = f"{values.dtype} of shape {list(values.shape)}"
        raise GeodlError(asked, found, "give real floating point numbers [P] or [P, C_in, C_out]")
    if isinstance(values, nn.Parameter):
        return values
    return nn.Parameter(values.detach().clone())
