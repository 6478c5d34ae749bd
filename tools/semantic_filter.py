"""Redundancy removal (paper, step 3): of neighbouring captions that say the same, one stays.

Captions in time order are compared by the cosine of their embeddings; from tau on the later frame
is dropped ("LIFO": last in, first out; the earlier one stays). The paper does not say with what a
caption is compared, nor what tau is. Here it is the last caption that was *kept*: in a slow change
(dusk, a pan) each caption is much like the one before, but in the end unlike the one that was kept,
and then it is kept too. Every dropped frame is like a frame that still is there. Compared with the
caption just before, dropped or not, a slow change would be lost but for its start.

A static embedder (wordllama) averages words, so it hardly sees the one that matters and does not
see their order: "street, rain: red car stops; dog crosses; light is red; man in blue is sad" has
cosine 0.97 with the same where the car moves, and 1.0 with the same where the man and the car swap
colours. So by default a `guard` reads the words (tools/semantic_filter.py) and forbids to drop a
caption which says something else. guard=False is the paper's plain rule.

Measured with wordllama on the true captions of the theatre's validation stories (seeds 1,000,000 to
1,000,399), adjacent ones that differ (n = 2,901), how many were merged: plain rule 18.7 % at 0.9,
4.4 % at 0.95, 1.0 % at 0.972, that is one lost change in about every 14th story; with the guard 0
at any tau. Its price are paraphrases it does not recognise: of captions reworded without another
meaning (n = 600 each) it merges, at 0.9, all that are reordered or have other articles, 96 % with
other inflections, 11 % with synonyms. For long free captions of a large captioner it will drop
little; there an embedder that reads sentences (hf:BAAI/bge-m3, as in the paper), calibrated, and
guard=False may serve better. That has not been measured.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from videoespresso.errors import ToolError
from videoespresso.memory.captions import Embedder
from videoespresso.models.embedders import embedder
from videoespresso.types import Caption, DroppedFrame

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


TAU = 0.9
"""Default with the guard, which then decides what is the same; tau only asks for likeness. The
paper's value is not known; this is what TaYS (arXiv 2603.02872) takes for adjacent frames of the
same data."""

TAU_PLAIN = 0.972
"""Default without the guard: what calibrate_tau found on those 2,901 pairs and on 3,000 equal ones
(the same text, and the text reordered, reworded, inflected). It keeps 99.0 % of the different apart
and merges 79.6 % of the equal. It belongs to wordllama: calibrate for another embedder."""

KEEP = 0.99
"""calibrate_tau: of the pairs that differ in meaning at least this share must not be merged."""

DIGITS = 6
"""Cosines are rounded: float32 has no more, and a text is exactly 1.0 like itself."""


@dataclass(frozen=True)
class FilterResult:
    """The captions that stay and the frames that go, both in time order."""

    kept: tuple[Caption, ...]
    dropped: tuple[DroppedFrame, ...]


def semantic_filter(
    captions: Sequence[Caption],
    embed: Embedder,
    tau: float | None = None,
    *,
    guard: CaptionGuard | bool = True,
) -> FilterResult:
    """Drops captions at least tau like the one they are compared with; see the module.

    tau: cosine, -1 to 1; infinity drops nothing; None for TAU, or TAU_PLAIN without a guard. Each
    different text is embedded once. A blank caption (a captioner that failed) is kept, and nothing
    is compared with it: not to know what is on a frame is no reason to drop it. Raises ToolError
    for a tau that is no cosine, and ModelError from the embedder.
    """
    check = _guard(guard)
    if tau is None:
        tau = TAU if check else TAU_PLAIN
    if not (-1.0 <= tau <= 1.0 or tau == math.inf):
        raise ToolError(f"semantic filter: tau {tau}", hint="tau is a cosine from -1 to 1.")
    ordered = sorted(captions, key=lambda caption: caption.time_s)
    vectors = _vectors((caption.text for caption in ordered), embed)
    kept: list[Caption] = []
    dropped: list[DroppedFrame] = []
    before: Caption | None = None
    for caption in ordered:
        if caption.text not in vectors:
            kept.append(caption)
            continue
        score = cosine(vectors[before.text], vectors[caption.text]) if before else -2.0
        if before and score >= tau and (not check or check.similar(before.text, caption.text)):
            dropped.append(_drop(caption, before, score, tau))
        else:
            kept.append(caption)
            before = caption
    return FilterResult(tuple(kept), tuple(dropped))


def cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Cosine of two unit vectors (d,), -1 to 1, rounded to DIGITS."""
    return round(float(np.clip(np.dot(a.astype(np.float64), b), -1.0, 1.0)), DIGITS)


@dataclass(frozen=True)
class Agreement:
    """How a tau does on labelled pairs.

    kept_different: share of the pairs differing in meaning that stay apart; dropped_same: share
    of the pairs that mean the same which are merged. different, same: how many pairs of each.
    """

    tau: float
    kept_different: float
    dropped_same: float
    different: int
    same: int


def calibrate_tau(
    pairs: Iterable[tuple[str, str, bool]], embed: Embedder, *, keep: float = KEEP
) -> Agreement:
    """The tau of the plain rule: the lowest that keeps apart a share `keep` of what differs.

    pairs: (caption, caption, same meaning?). The lowest such tau merges the most redundant pairs;
    it lies halfway between the last cosine that has to stay below and the next one seen. It never
    exceeds 1.0, so where too many different texts have equal vectors `kept_different` is below
    `keep`: then no tau will do, and the guard is needed. There is none here, as it would leave
    tau nothing to decide (with it even -0.5 keeps all of the theatre's pairs apart). Raises
    ToolError without pairs of both kinds.
    """
    different, same = _cosines(pairs, embed)
    allowed = int(np.floor(round((1.0 - keep) * len(different), 9)))
    worst = np.sort(different)[::-1][min(allowed, len(different) - 1)]
    seen = np.concatenate([different, same])
    above = seen[seen > worst]
    tau = float(worst + above.min()) / 2 if above.size else float(worst) + 10.0**-DIGITS
    tau = min(1.0, float(np.ceil(tau * 10**DIGITS)) / 10**DIGITS)
    return Agreement(
        tau=tau,
        kept_different=float(np.mean(different < tau)),
        dropped_same=float(np.mean(same >= tau)),
        different=len(different),
        same=len(same),
    )


def _cosines(
    pairs: Iterable[tuple[str, str, bool]], embed: Embedder
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of the different pairs, and of the same; -2 where a text is blank."""
    labelled = list(pairs)
    vectors = _vectors((text for a, b, _same in labelled for text in (a, b)), embed)
    cosines: dict[bool, list[float]] = {False: [], True: []}
    for a, b, same in labelled:
        known = a in vectors and b in vectors
        cosines[same].append(cosine(vectors[a], vectors[b]) if known else -2.0)
    if not cosines[False] or not cosines[True]:
        raise ToolError(
            f"{len(cosines[False])} different and {len(cosines[True])} equal pairs show no tau",
            hint="Give pairs of both kinds; a few hundred of each make a figure to trust.",
        )
    return np.array(cosines[False]), np.array(cosines[True])


def _vectors(texts: Iterable[str], embed: Embedder) -> dict[str, NDArray[np.float32]]:
    """text -> (d,), each different text embedded once; blank ones are left out."""
    distinct = list(dict.fromkeys(text for text in texts if text.strip()))
    return dict(zip(distinct, embed(distinct), strict=True)) if distinct else {}


def _guard(guard: CaptionGuard | bool) -> CaptionGuard | None:
    if isinstance(guard, bool):
        return CaptionGuard() if guard else None
    return guard


def _drop(caption: Caption, before: Caption, score: float, tau: float) -> DroppedFrame:
    """E.g. "0.97 >= tau 0.95 with 12.0 s"."""
    return DroppedFrame(
        frame_id=caption.frame_id,
        time_s=caption.time_s,
        stage="filter",
        reason=f"{score:.2f} >= tau {tau:g} with {before.time_s:.1f} s",
    )
