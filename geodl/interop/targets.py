"""On which domain a layer, or each node of a network, ends: a twin of torch is built for one."""

from typing import Any

from geodl.domain import Domain
from geodl.layer import Network, Residual, Sequential


def target_of(part: Any, domain: Domain | None) -> Domain | None:
    """The domain on which a part ends that begins on `domain`; None where that is not known."""
    if domain is None:
        return None
    if isinstance(part, Sequential):
        for inner in part:
            domain = target_of(inner, domain)
        return domain
    if isinstance(part, Residual):
        return target_of(part.inner, domain)
    if isinstance(part, Network):
        return domains_of(part, domain)[part.outputs[0]]
    rule = getattr(part, "rule", None)
    if rule is None:
        return domain
    return rule.target(domain)


def domains_of(network: Network, on: Domain | None) -> dict[str, Domain | None]:
    """The domain of each input, which is `on`, and of each node of a network, by name."""
    domains = dict.fromkeys(network.inputs, on)
    for node in network.nodes:
        domain = domains[node.inputs[0]]
        if not node.join:
            domain = target_of(network[node.path], domain)
        domains[node.name] = domain
    return domains
