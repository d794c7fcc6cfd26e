"""From a text to words and back, for English and French."""

import re
import unicodedata
from collections.abc import Iterable

from geodl.data.arguments import check_text, check_texts

# A word may begin with its hyphen ("-toi") and end with its apostrophe ("l'"); English endings
# ("'s") stand alone.
APOSTROPHES = "'", "\u2019"
ENDING = r"['\u2019](?:s|t|m|re|ve|ll|d)(?![\w'\u2019])"
TOKEN = re.compile(
    rf"(?P<ending>(?<=\w){ENDING})"
    r"|(?P<number>\d+(?:[.,:]\d+)+\w*)"
    rf"|(?P<word>(?:(?<=\w)-)?\w+(?:(?!{ENDING})['\u2019](?=\w))?)"
    r"|(?P<mark>(?:(?<=\S)\s)?(?P<sign>[^\w\s])(?P=sign)*)",
    re.IGNORECASE,
)
OPENING = tuple("([{\u201c\u2018$£€#¿¡")


def normalized(text: str) -> str:
    """The text in Unicode's NFC with one plain space for every run of white space, and none at the
    ends.

    French sets a narrow no-break space (U+202F), a no-break space (U+00A0) or a thin space (U+2009)
    before some marks, or a plain one: all four become U+0020 here, and nowhere else. Case,
    apostrophes and quotation marks stay as they are.

    >>> import geodl as g
    >>> g.data.normalized(" Ça\\u202fva\\xa0 ? ")
    'Ça va ?'
    """
    check_text("a normalized text", text)
    return " ".join(unicodedata.normalize("NFC", text).split())


def words(text: str) -> list[str]:
    """The words and marks of a text, after `normalized`; case is kept (`words(text.lower())` where
    it should not count).

    A French elision ends with its apostrophe (`l'`), an English ending begins with it (`'s`), what
    follows a hyphen begins with it (`-toi`), and a mark that stands after a space takes the space
    along (`" ?"`), so that `join` can put them back. A mark repeated is one (`...`).

    >>> import geodl as g
    >>> g.data.words("L'as-tu vu\\u202f? I don't know...")
    ["L'", 'as', '-tu', 'vu', ' ?', 'I', 'don', "'t", 'know', '...']
    """
    return [found.group() for found in TOKEN.finditer(normalized(text))]


def join(words: Iterable[str]) -> str:
    """The text of words and marks: a space before each word, but none after an elision or an
    opening mark.

    `join(words(text)) == normalized(text)` for plain sentences in English and French. Lost is
    whether a space stood after a mark that may open or close (`"`, a single `'`) or between a mark
    and a word in one piece (`R&B`, `geodl.data`).

    >>> import geodl as g
    >>> g.data.join(["C'", "est", "Tom", "'s", "chat", " !"])
    "C'est Tom's chat !"
    """
    parts: list[str] = []
    for word in check_texts("words to join", words):
        begins = word[:1].isalnum() or word[:1] == "_" or word in ("<unk>", "<mask>")
        if parts and begins and not _holds(parts[-1]):
            parts.append(" ")
        parts.append(word)
    return "".join(parts)


def _holds(word: str) -> bool:
    """Whether the next word follows without a space."""
    return word.endswith(OPENING) or (word.endswith(APOSTROPHES) and word.strip(" '\u2019") != "")
