"""The kind of lattice, bounded or periodic, on which a layer accepts a value."""

from typing import Any

from geodl.interop.whole.layout import Layout
from geodl.interop.whole.values import Value


def where_accepted(build: Any, part: Any, value: Value) -> Value:
    """The value, with its lattice bounded or periodic as the rule of a layer needs it."""
    rule = getattr(part, "rule", None)
    if rule is None or not rule.refuses(value.on.domain):
        return value
    layout = value.kept
    if not layout.is_plain() or layout.num_axes == 0:
        return value
    for places in ("grid", "torus", "chain"):
        made = Layout(layout.dims, places)
        domain = made.to_signal(value.tensor).domain
        if not rule.refuses(domain):
            return build.rearrange(value, made)
    return value
