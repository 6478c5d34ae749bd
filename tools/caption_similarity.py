"""Do two captions say the same? Compares their words; the semantic filter's guard."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from videoespresso.memory.captions import Embedder
from videoespresso.models.embedders import embedder

LIKE = 0.72
"""Cosine of two single words from which they count as one. Measured with wordllama: of 124 pairs
that must differ (happy/sad, red/green, knife/fork, on/off, ...) the highest is husband/wife 0.70,
and car/carrot 0.60; of 81 pairs that mean the same 48 % are above, mostly inflections (runs/running
0.83). The others are not recognised, which keeps a redundant frame and loses nothing."""

STOP_WORDS = frozenset(
    [
        *("a", "an", "the", "this", "that", "these", "those", "some", "its", "of"),
        *("is", "are", "was", "were", "be", "been", "being", "am", "there"),
        *("and", "then", "also", "while", "seems", "appears", "shown", "seen", "visible"),
    ]
)
"""Words without content. Numbers, "not", "no", his/her and prepositions (on/under) have some."""

_WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")
_CLAUSE_END = re.compile(r"[;:,!?\n]+|\.(?=\s|$)|\band\b", re.IGNORECASE)


class CaptionGuard:
    """Captions are similar when they consist of the same clauses, in any order.

    A clause is its content words in their order, since the order says who does what: "man gives
    the cat to the girl". Words that are one by `like` (inflections, close synonyms) are one here.
    words: the embedder of single words; the bundled one whatever embeds the captions, because
    `like` was measured with it.
    """

    def __init__(self, words: Embedder | None = None, like: float = LIKE) -> None:
        self._given, self.like = words, like
        self._known: dict[str, NDArray[np.float32]] = {}

    @cached_property
    def _words(self) -> Embedder:
        return self._given or embedder()

    def similar(self, a: str, b: str) -> bool:
        """Whether nothing in either caption is missing from the other, and nothing is swapped."""
        if a == b:
            return True
        clauses_a, clauses_b = clauses(a), clauses(b)
        words_a = {word for clause in clauses_a for word in clause}
        words_b = {word for clause in clauses_b for word in clause}
        into_b = self._translate(sorted(words_a - words_b), sorted(words_b))
        into_a = self._translate(sorted(words_b - words_a), sorted(words_a))
        if into_a is None or into_b is None:
            return False
        # words of b that replace words of a are also written as `into_b` writes them
        translation = {word: into_b.get(other, other) for word, other in into_a.items()}
        return _translated(clauses_a, into_b) == _translated(clauses_b, translation)

    def _translate(self, words: Sequence[str], others: Sequence[str]) -> dict[str, str] | None:
        """word -> the word among `others` that means the same; None if one has no such word."""
        if not words:
            return {}
        if not others:
            return None
        near = self._vectors(words) @ self._vectors(others).T
        best = near.argmax(axis=1)
        if (near[np.arange(len(words)), best] < self.like).any():
            return None
        return {word: others[k] for word, k in zip(words, best, strict=True)}

    def _vectors(self, words: Sequence[str]) -> NDArray[np.float32]:
        """(n, d); each word is embedded once in a guard's life."""
        if new := [word for word in words if word not in self._known]:
            self._known.update(zip(new, self._words(new), strict=True))
        return np.stack([self._known[word] for word in words])


def clauses(text: str) -> list[tuple[str, ...]]:
    """The content words of each clause, lower case, in order; clauses without any are left out."""
    parts = []
    for part in _CLAUSE_END.split(text):
        words = tuple(w for w in _WORD.findall(part.casefold()) if w not in STOP_WORDS)
        if words:
            parts.append(words)
    return parts


def _translated(
    given: Sequence[tuple[str, ...]], translation: dict[str, str]
) -> Counter[tuple[str, ...]]:
    """How often each clause occurs, its words replaced by their translation."""
    return Counter(tuple(translation.get(word, word) for word in clause) for clause in given)
