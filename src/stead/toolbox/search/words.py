"""The words of code and prose, as the ranked search counts them.

Contract: `words(text)` gives every word in small letters: the parts of names (`userModel`, `user_model`, `HTTPServer2`) and,
for names of several parts, all of it together, so that each way of writing finds the others; endings of the plural and the
like are cut. `expression(query)` is what SQLite's full text search is asked, "" when there is nothing to ask.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

OFTEN = 5
"""A word counts at most so often in one piece of text."""
WORD_CHARACTERS = 64
QUERY_WORDS = 32

_NAMES = re.compile(r"\w+")
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")
_EMPTY = (
    *(
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "by",
        "can",
        "do",
        "does",
        "for",
        "from",
        "get",
        "how",
        "i",
        "in",
        "is",
    ),
    *("it", "me", "my", "of", "on", "or", "our", "that", "the", "this", "to", "used", "we", "what", "when", "where"),
    *("which", "who", "why", "with", "you", "your"),
)


def words(text: str) -> Iterator[str]:
    for found in _NAMES.finditer(text):
        name = found[0]
        if name.islower() and name.isalpha():
            yield _stem(name)
            continue
        parts = [part.lower() for part in _PARTS.findall(name)]
        for part in parts:
            yield _stem(part)
        if len(parts) > 1:
            yield _stem("".join(parts))


def counted(texts: Iterable[str]) -> str:
    """The words of a piece of text as they are kept; what is repeated without end does not count without end."""
    counts = Counter(word for text in texts for word in words(text))
    return " ".join(" ".join([word] * min(count, OFTEN)) for word, count in counts.items())


def expression(query: str) -> str:
    """Any of the words; those that say nothing only when there are no others."""
    found = list(dict.fromkeys(words(query)))
    empty = {_stem(word) for word in _EMPTY}
    telling = [word for word in found if word not in empty] or found
    return " OR ".join(f'"{word}"' for word in telling[:QUERY_WORDS])


def _stem(word: str) -> str:
    word = word[:WORD_CHARACTERS]
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("es", "e"), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            return word[: len(word) - len(ending)] + instead
    return word
