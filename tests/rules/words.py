"""What no tracked file says: paths of somebody's machine, hosts of package registries, marks of
work left over.
"""

import re

FORBIDDEN = [
    re.compile(r"(?<![\w.$}-])/(?:home|root|Users|tmp|work|mnt|scratch|opt)/\w+"),
    re.compile(r"\b[A-Z]:\\+Users"),
    re.compile(
        r"\b(?:pypi|pythonhosted|download\.pytorch|npmjs|anaconda|data\.pyg)\.(?:org|com)\b"
    ),
    re.compile(r"\b(?:T[O]DO|F[I]XME|X[X]X)\b"),
]


def not_ours(name: str, text: str) -> list[str]:
    """Every forbidden word of a text."""
    lines = list(enumerate(text.splitlines(), 1))
    return [
        f"{name}:{k} says {hit.group()}"
        for k, line in lines
        for rule in FORBIDDEN
        for hit in rule.finditer(line)
    ]
