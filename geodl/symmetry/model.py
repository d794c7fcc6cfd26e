"""`certify`: the proof for a model, which is run once; each call of a rule is examined."""

from collections.abc import Iterable
from typing import Any

from torch import nn

from geodl.errors import GeodlError
from geodl.group import Group
from geodl.layer import MessagePassing
from geodl.neighborhood import Neighborhood
from geodl.symmetry.inputs import read_ends
from geodl.symmetry.interpolation import approximated
from geodl.symmetry.model_rules import parts_of
from geodl.symmetry.progress import watched
from geodl.symmetry.proof import Certificate, Examined, examine, own_claims, with_goals
from geodl.symmetry.runs import check_acts, examine_turns, turned_runs
from geodl.symmetry.turning import domain_of

IDENTITY = "the identity, which claims nothing: it holds for any model that runs"


def certify(
    subject: Neighborhood | nn.Module, domain: Any, group: Group | None = None
) -> Certificate:
    """Prove the symmetries of a rule, a layer or a model at the user's own size, edge by edge.

    A model is run once, in evaluation mode, on zeros; what its layers did is read from the record
    of that run (`g.trace`). A model that computes between its layers (`x + 1` in its forward)
    cannot be proved: the certificate then names the layer that reads such values as a violation.
    Only writes that torch counts are seen: not those through `y.x.data` or a numpy array of it.
    On a terminal a bar shows how far it is, where it takes more than a second.

    Args:
        subject: a neighborhood, a layer, or a model composed of layers.
        domain: the domain of the input; for a model of two signals a pair, (receivers, senders). A
            Signal may be given instead of a domain: the model is then run on it, else on zeros.
        group: the point group to prove. None takes the group that the rules name: of several the
            one that lies in all others, because the model has no symmetry that one of its rules
            lacks; where no rule names a group, every symmetry that the rules claim (shifts,
            permutations).

    Returns:
        A certificate; of the group of one element it is exact, whatever the model computes. Of
        others `exact` needs at least one claim proved on all nodes: nothing checked is not
        exact. An element that carries the domain to another one is proved between the two: a
        quarter turn of a 28 x 32 image leads to 32 x 28, where the model is run as well.

    Raises:
        GeodlError: if `subject` is not a neighborhood or a module, `domain` not a domain or a
            Signal, or `group` not a Group; if no group is given and of those that the rules name
            none lies in all others; as the call of the model.

    >>> from geodl import C, Conv, Grid, lift, window
    >>> certify(Conv(1, 8, lift(3, group=C(4))), Grid(5, 5)).exact
    True
    >>> certify(Conv(1, 8, lift(3, group=C(4))), Grid(5, 6)).exact
    True
    >>> certify(Conv(1, 8, window(3)), Grid(5, 5), C(4)).exact
    False
    """
    if not isinstance(subject, Neighborhood | nn.Module):
        raise GeodlError(
            f"certify({subject!r})",
            f"a {type(subject).__name__}",
            "give a rule, a layer or a model",
        )
    subject = getattr(subject, "_orig_mod", subject)  # what a compiled model was made of
    name = str(subject)
    if isinstance(subject, nn.Module):
        name = type(subject).__name__
    ends = read_ends(f"certify({name}, domain)", domain)
    check_group(f"certify({name}, domain, group)", group)
    parts, violations = parts_of(subject, ends)
    if group is None:
        group = common_group(f"certify({name}, domain)", [part.rule for part in parts])
    domains = tuple(domain_of(end) for end in ends)
    if group is None:
        every = watched(parts, "layers")
        examined = [examine(part, with_goals(part, own_claims(part))) for part in every]
    else:
        check_acts(group, domains)
        runs, failed = turned_runs(subject, ends, parts, group)
        violations += [words for words in failed if words not in violations]
        examined = examine_turns(runs, group)
    subject_line = f"{name} on {' <- '.join(map(str, domains))}"
    if group is not None and group.order == 1:
        return Certificate(subject_line, group, True, (IDENTITY,), (), ())
    return _certificate(subject_line, group, examined, violations)


def own_group(asked: str, model: nn.Module) -> Group | None:
    """The group that the rules in a model name, as :func:`common_group` finds it."""
    rules = [m.rule for m in model.modules() if isinstance(m, MessagePassing)]
    return common_group(asked, rules)


def common_group(asked: str, rules: Iterable[Neighborhood]) -> Group | None:
    """The group that rules name; of several groups the one that lies in all others.

    Args:
        asked: what the caller asked for, the beginning of the error.
        rules: of a model.

    Returns:
        None where no rule names a group.

    Raises:
        GeodlError: if none of several groups lies in all others.
    """
    named = dict.fromkeys(rule.group for rule in rules if rule.group is not None)
    if not named:
        return None
    for group in named:
        if all(other.contains(group) for other in named):
            return group
    names = " and ".join(map(str, named))
    found = f"rules of {names}, none of which lies in all others"
    raise GeodlError(asked, found, "name the group that they share, as C(2)")


def check_group(asked: str, group: Any) -> None:
    """Refuse what is neither a group nor None."""
    if group is not None and not isinstance(group, Group):
        raise GeodlError(asked, f"a {type(group).__name__}", "give a group, as C(4)")


def _certificate(
    subject: str, group: Group | None, examined: list[Examined], violations: list[str]
) -> Certificate:
    """The certificate of a whole: a claim is proved where it is proved for every part."""
    every_violation = violations + [violation for part in examined for violation in part.violations]
    everywhere, somewhere = frozenset[str](), frozenset[str]()
    # Where there is one node on both sides nothing moves, and every claim holds.
    moving = [part for part in examined if part.moves] or examined
    if moving:
        everywhere = frozenset.intersection(*(part.proved for part in moving))
        somewhere = frozenset.intersection(*(part.proved | part.interior for part in moving))
    approximate = approximated(group)
    return Certificate(
        subject=subject,
        group=group,
        exact=bool(everywhere) and not every_violation and not approximate,
        proved=tuple(sorted(everywhere)),
        interior=tuple(sorted(somewhere - everywhere)),
        violations=tuple(every_violation),
        approximate=approximate,
    )
