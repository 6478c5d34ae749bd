"""Counts that stay small however many records are counted: spreads, frequent words, shares."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Final

from videoespresso.evaluation.statistics import wilson
from videoespresso.types import Record

DIGITS: Final = 3
"""Values are counted at this many significant digits: whole numbers below 1,000 exactly, others to
0.5 %, and never more than some 900 different ones a power of ten."""

BARS: Final = 24
"""Bars of a histogram at most; more are not told apart in a small picture."""

WORDS: Final = 50_000
"""Different words that are counted at once. English text has fewer that come twice."""


class Share(Record):
    """A proportion with Wilson's 95 % interval."""

    hits: int
    n: int
    value: float
    low: float
    high: float


class Bar(Record):
    """How many values lie in [low, high); the last bar of a spread also holds what is above."""

    low: float
    high: float
    n: int


class Spread(Record):
    """How a number is spread over n values. Quantiles are values that were seen (see DIGITS)."""

    n: int
    mean: float
    least: float
    p5: float
    p25: float
    median: float
    p75: float
    p95: float
    most: float
    bars: tuple[Bar, ...]


class Word(Record):
    """A word and how many texts have it."""

    word: str
    n: int


def share(hits: int, n: int) -> Share | None:
    """hits of n; None of nothing."""
    if not n:
        return None
    found = wilson(hits, n)
    return Share(hits=hits, n=n, value=found.value, low=found.low, high=found.high)


class Tally:
    """Values as they come; `spread` says how they lie."""

    def __init__(self) -> None:
        self._seen: Counter[float] = Counter()
        self._sum = 0.0
        self.n = 0

    def add(self, value: float) -> None:
        """Counts a finite value; one that is no number has no place on an axis and is left out."""
        if math.isfinite(value):
            self._seen[float(f"{value:.{DIGITS}g}")] += 1
            self._sum += value
            self.n += 1

    def spread(self) -> Spread | None:
        """None when nothing was counted."""
        if not self.n:
            return None
        values = sorted(self._seen)
        wanted = {"p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}
        return Spread(
            n=self.n,
            mean=self._sum / self.n,
            least=values[0],
            most=values[-1],
            bars=self._bars(values),
            **{name: self._quantile(values, part) for name, part in wanted.items()},
        )

    def _quantile(self, values: list[float], part: float) -> float:
        """The smallest value with at least `part` of all at or below it."""
        below = 0
        for value in values:
            below += self._seen[value]
            if below >= part * self.n:
                return value
        return values[-1]

    def _bars(self, values: list[float]) -> tuple[Bar, ...]:
        """Equal bars of a round width up to the 99th percentile; the rest is in the last one."""
        low, top = values[0], self._quantile(values, 0.99)
        width = round_width((top - low) / (BARS - 2), whole=all(v.is_integer() for v in values))
        start = math.floor(low / width)
        count = math.floor(top / width) - start + 1
        filled = [0] * count
        for value in values:
            filled[min(math.floor(value / width) - start, count - 1)] += self._seen[value]
        return tuple(
            Bar(low=_tidy((start + k) * width), high=_tidy((start + k + 1) * width), n=n)
            for k, n in enumerate(filled)
        )


def round_width(least: float, *, whole: bool = False) -> float:
    """The next 1, 2 or 5 times a power of ten that is at least `least`; whole: 1 at least."""
    if least <= 0:
        return 1.0 if whole else 0.1
    power = 10.0 ** math.floor(math.log10(least))
    found = next((power * k for k in (1, 2, 5) if power * k >= least * (1 - 1e-9)), power * 10)
    return max(found, 1.0) if whole else found


def _tidy(value: float) -> float:
    """Without the noise of a float's last digits."""
    return float(f"{value:.10g}")


class Frequent:
    """The most frequent words of any number of texts, in bounded room.

    When more than `limit` different words are known the rarer half is forgotten. `lost` is how
    often a forgotten word was seen at most: a count may be too small by that much, 0 is exact.
    """

    def __init__(self, limit: int = WORDS) -> None:
        self._limit, self._seen = limit, Counter[str]()
        self.lost = 0

    def add(self, words: Iterable[str]) -> None:
        """Counts each different word once."""
        self._seen.update(set(words))
        if len(self._seen) > self._limit:
            kept = self._seen.most_common(self._limit // 2)
            self.lost += kept[-1][1]
            self._seen = Counter(dict(kept))

    def most(self, k: int) -> tuple[Word, ...]:
        """The k most frequent, equally frequent ones by their letters."""
        ranked = sorted(self._seen.items(), key=lambda pair: (-pair[1], pair[0]))
        return tuple(Word(word=word, n=n) for word, n in ranked[:k])
