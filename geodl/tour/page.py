"""What a stop of the tour found, as text and as a page."""

import platform
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import torch
from matplotlib.figure import Figure

import geodl
from geodl.columns import align

INDEX = "index.html"
MARK = '<meta name="generator" content="geodl tour">'

STYLE = """
body { font: 17px/1.55 Georgia, serif; color: #222; }
body { max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, table, figcaption, footer { font-family: system-ui, sans-serif; }
h2 { margin-top: 3rem; border-top: 1px solid #ddd; padding-top: 1.5rem; }
table { border-collapse: collapse; font-size: 0.85rem; width: 100%; }
th, td { text-align: left; vertical-align: top; border-bottom: 1px solid #ddd; }
th, td { padding: 0.35rem 0.9rem 0.35rem 0; }
pre { font-size: 0.75rem; background: #f6f6f6; padding: 0.8rem; overflow-x: auto; }
figure { margin: 1.5rem 0; }
img { max-width: 100%; height: auto; }
figcaption, footer { font-size: 0.85rem; color: #555; }
"""


class Picture(NamedTuple):
    """A picture on the page.

    Attributes:
        file: its name in the folder.
        figure: what is drawn.
        alt: what it shows, in words, for those who do not see it.
        caption: what to look for.
    """

    file: str
    figure: Figure
    alt: str
    caption: str


class Stop(NamedTuple):
    """What one stop found.

    Attributes:
        says: what it shows, in a few sentences.
        table: rows of words and numbers, the first is the head.
        proof: what the library printed, word for word.
        pictures: what goes into the folder.
        holds: whether everything that must be exact was.
    """

    says: str
    table: Sequence[Sequence[str]]
    proof: str = ""
    pictures: tuple[Picture, ...] = ()
    holds: bool = True


def text(stop: Stop) -> str:
    """A stop for a terminal, indented."""
    lines = align(stop.table).splitlines()
    if stop.proof:
        lines += ["", *stop.proof.splitlines()]
    return "\n".join(f"      {line}".rstrip() for line in lines)


def html(seen: Sequence[tuple[str, Stop, float]]) -> str:
    """The summary page of (title, stop, seconds), with relative links to the pictures."""
    total = sum(seconds for _, _, seconds in seen)
    versions = f"geodl {geodl.__version__}, torch {torch.__version__}"
    made = f"{versions}, Python {platform.python_version()}, {total:.0f} seconds"
    head = "One layer: messages on grids, chains, complete graphs, graphs and groups"
    sections = [_section(k, *each) for k, each in enumerate(seen, start=1)]
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{MARK}
<title>geodl tour</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{escape(head)}</h1>
<p>A CNN, an RNN, a Transformer, a GCN and a group CNN are the same message-passing layer on
different domains.
Every number below comes from the run that wrote this page.</p>
{"".join(sections)}
<footer>{escape(made)}</footer>
</body>
</html>
"""


def _section(number: int, title: str, stop: Stop, seconds: float) -> str:
    """The part of the page that tells of one stop."""
    head, *rows = stop.table
    names = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    cells = "".join(_table_row(row) for row in rows)
    figures = "".join(_figure(picture) for picture in stop.pictures)
    proof, warning = "", ""
    if stop.proof:
        proof = f"<pre>{escape(stop.proof)}</pre>\n"
    if not stop.holds:
        warning = "<p><strong>Something that must be exact was not.</strong></p>\n"
    return f"""<h2>{number}. {escape(title)}</h2>
<p>{escape(stop.says)}</p>
{warning}<table>
<thead><tr>{names}</tr></thead>
<tbody>
{cells}</tbody>
</table>
{proof}{figures}<footer>{seconds:.1f} seconds</footer>
"""


def _table_row(row: Sequence[str]) -> str:
    cells = "".join(f"<td>{escape(cell)}</td>" for cell in row)
    return f"<tr>{cells}</tr>\n"


def _figure(picture: Picture) -> str:
    image = f'<img src="{picture.file}" alt="{escape(picture.alt)}">'
    caption = f"<figcaption>{escape(picture.caption)}</figcaption>"
    return f"<figure>{image}{caption}</figure>\n"
