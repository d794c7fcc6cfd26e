"""How wide the parts of an attention layer are: its arguments, checked and completed."""

from typing import Any, NamedTuple

from geodl.errors import GeodlError, nearest, positive
from geodl.lowering.scores import SCORES

JOINS = ("concat", "mean")
BIASES = (True, False, "in", "out")
ROOTS = (True, False, "gated")


class Widths(NamedTuple):
    """The sizes of an attention layer.

    Attributes:
        channels: C of the receivers.
        context: C of the senders.
        heads: H.
        key: D, the channels of a query and of a key in each head.
        value: V, those of a value.
        projections: 3 where queries, keys and values are projected apart, 2 where keys are values,
            1 where queries are, too.
        joined: channels of the joined heads, H V or V.
        out: channels of the answer.
        edges: C_e of the edges' features; None where none are read.
    """

    channels: int
    context: int
    heads: int
    key: int
    value: int
    projections: int
    joined: int
    out: int
    edges: int | None

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows of each projection's weight: queries, keys, values."""
        rows = (self.heads * self.key, self.heads * self.key, self.heads * self.value)
        return rows[3 - self.projections :]


class Asked(NamedTuple):
    """What the caller of an attention layer says of its sizes, as it was said."""

    channels: Any
    heads: Any
    score: Any
    head_dim: Any
    channels_out: Any
    value_dim: Any
    context_channels: Any
    edge_channels: Any
    projections: Any
    out_proj: Any
    join: Any


def resolve_widths(given: Asked) -> Widths:
    """The sizes of an attention layer from its arguments.

    Raises:
        GeodlError: if the score or the join is unknown, or if sizes are not positive integers or
            contradict each other.
    """
    given = _checked(given)
    channels, heads = given.channels, given.heads
    context = given.context_channels or channels
    projections = _projections(given, context)
    concat = given.join == "concat"
    value = given.value_dim
    # Without W_o the joined heads are the answer, whose width then says how wide a value is.
    if not given.out_proj and given.channels_out is not None:
        value = _value_of_answer(given, value)
    key = given.head_dim
    # Keys that are values have their width; so have, where nothing else is said, those of heads
    # that are the answer (PyG's layers), while W_o leaves them at C / H (a Transformer's).
    if key is None and value is not None and (projections < 3 or not given.out_proj):
        key = value
    if key is None:
        if channels % heads:
            raise GeodlError(_said(given), "heads that do not divide the channels", "give head_dim")
        key = channels // heads
    if value is None:
        value = key
    _check_one_width(given, projections, key, value)
    joined = value
    if concat:
        joined = heads * value
    out = given.channels_out
    if out is None:
        out = joined
        if given.out_proj:
            out = channels
    return Widths(
        channels, context, heads, key, value, projections, joined, out, given.edge_channels
    )


def _checked(given: Asked) -> Asked:
    """The arguments with every size a positive integer, or None where none is given."""
    if not isinstance(given.score, str) or given.score not in SCORES:
        raise GeodlError(f"Attention(score={given.score!r})", do=nearest(str(given.score), SCORES))
    if given.join not in JOINS:
        raise GeodlError(f"Attention(join={given.join!r})", do=nearest(str(given.join), JOINS))
    asked = f"Attention({given.channels!r}, heads={given.heads!r})"
    channels = positive(asked, given.channels)
    sizes = {"heads": positive(asked, given.heads)}
    for name in ("head_dim", "channels_out", "value_dim", "context_channels", "edge_channels"):
        size = getattr(given, name)
        if size is not None:
            sizes[name] = positive(f"Attention({channels}, {name}={size!r})", size)
    return given._replace(channels=channels, **sizes)


def _projections(given: Asked, context: int) -> int:
    """How many projections there are: what the score has by itself, unless it is said."""
    count = given.projections
    if count is None:
        count = SCORES[given.score].projections
        if given.context_channels is not None:
            # Senders of their own kind have projections of their own.
            count = max(2, count)
    if count not in (1, 2, 3):
        raise GeodlError(f"Attention(projections={count!r})", do="give 1, 2 or 3")
    if count == 1 and context != given.channels:
        found = f"one projection for {given.channels} and {context} channels"
        raise GeodlError(_said(given), found, "give projections=2")
    return count


def _value_of_answer(given: Asked, value: int | None) -> int:
    """V where the heads, joined, are the answer."""
    found = f"channels_out={given.channels_out} of heads that are the answer"
    wide = given.channels_out
    if given.join == "concat":
        # H values side by side.
        wide, rest = divmod(given.channels_out, given.heads)
        if rest:
            do = "give a multiple of heads, join='mean', or an out_proj"
            raise GeodlError(_said(given), found, do)
    if value not in (None, wide):
        raise GeodlError(f"{_said(given)} with value_dim={value}", found, f"give value_dim={wide}")
    return wide


def _check_one_width(given: Asked, projections: int, key: int, value: int) -> None:
    """Refuse widths of keys and values that have to be one."""
    if key == value:
        return
    asked = f"{_said(given)} with keys of {key} and values of {value} channels"
    if projections < 3:
        found = "keys and values of one projection"
        raise GeodlError(asked, found, "give one width, or projections=3")
    if given.edge_channels is not None and SCORES[given.score].carries_edges:
        raise GeodlError(asked, "features of edges, added to both", "give one width")


def _said(given: Asked) -> str:
    return f"Attention({given.channels}, heads={given.heads})"


def check_word(name: str, value: Any, words: tuple[Any, ...]) -> None:
    """Refuse an argument that is none of some values; 1 is not True here."""
    # By identity first: 1 equals True and is no answer to a question of yes and no.
    if any(value is word or (isinstance(word, str) and value == word) for word in words):
        return
    known = ", ".join(map(repr, words))
    raise GeodlError(f"Attention({name}={value!r})", do=f"give one of {known}")
