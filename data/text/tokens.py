"""How a text becomes tokens, the same way for every text set and every source of it."""

from __future__ import annotations

import re
from collections.abc import Iterable

_BREAK = re.compile(r"<\s*br\s*/?\s*>|\\n")  # HTML's line break, also where its signs were set apart; Yelp's
_UNICODE = re.compile(r"\\u([0-9a-f]{4})")
_ENTITY = re.compile(r"#\s*(\d{2,3})\s*;|&?\b(amp|quot|lt|gt)\s*;")  # as AG News has them, half undone
_NAMED = {"amp": "&", "quot": '"', "lt": "<", "gt": ">"}
_TOKEN = re.compile(
    r"\d+(?:[.,:]\d+)+"  # 6.5 and 1,000
    r"|(?:[^\W\d_]\.){2,}"  # u.s.
    r"|\w+?(?=n't\b)|n't\b"  # can't is ca and n't, as in GloVe's own vocabulary
    r"|'(?:s|m|d|re|ve|ll)\b"
    r"|\.{2,}|-{2,}"
    r"|\w+|[^\w\s]"
)


def tokenise(text: str) -> list[str]:
    """Lower-case tokens of a text: words, numbers, clitics such as ``n't`` and ``'s``, and single signs.

    Hyphens part words. What was tokenised before comes out the same where only blanks were put in, so texts as
    published and the tokenised ones of TextFooler's authors get the same tokens but for a few contractions.
    """
    text = _BREAK.sub(" ", text.lower())
    if "\\" in text:
        text = _UNICODE.sub(lambda found: chr(int(found[1], 16)), text).replace("\\", " ")
    if ";" in text:
        text = _ENTITY.sub(lambda found: chr(int(found[1])) if found[1] else _NAMED[found[2]], text)
    return _TOKEN.findall(text.replace("’", "'"))


def letters_and_digits(tokens: Iterable[str]) -> str:
    """What two versions of a text have in common that differ in blanks, signs and encoding: letters a-z and digits."""
    return re.sub(r"[^a-z0-9]+", "", "".join(tokens))
