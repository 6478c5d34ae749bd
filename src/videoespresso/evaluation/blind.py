"""How often a guesser who sees neither video nor evidence picks the right option.

What such a guesser finds is a fault of the options: their length, their wording, or that wrong ones
are made from the right one by changing one thing, so that the right one is most like the others.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Hashable, Sequence

from videoespresso.items import LETTERS, DatasetItem


def guessed(items: Sequence[DatasetItem], clusters: Sequence[Hashable]) -> dict[str, list[float]]:
    """Guesser -> its credit for each item: 1 for the right option, a share of it where several
    look equally good to the guesser. clusters: the video of each item; naive Bayes is trained on
    the items of all other videos. Items must have letters."""
    found = {
        name: [_credit(item, [score(item, o) for o in item.options]) for item in items]
        for name, score in _GUESSERS.items()
    }
    letters = Counter(item.letter for item in items)
    often = max(letters, key=lambda x: (letters[x], str(x))) if letters else None
    found["the most frequent letter"] = [float(item.letter == often) for item in items]
    found["naive Bayes on words, other videos"] = _bayes(items, clusters)
    return found


def _credit(item: DatasetItem, scores: Sequence[float]) -> float:
    best = [k for k, s in enumerate(scores) if s == max(scores)]
    assert item.letter is not None, "asked of a record with a letter"
    return (LETTERS.index(item.letter) in best) / len(best)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _likeness(item: DatasetItem, option: str) -> float:
    """How many words an option shares with the others, however often it is there itself."""
    mine = set(_words(option))
    others = [set(_words(o)) for o in item.options if o != option]
    return sum(len(mine & other) / max(1, len(mine | other)) for other in others)


def _echo(item: DatasetItem, option: str) -> float:
    """The share of an option's words that the question has too."""
    mine, asked = set(_words(option)), set(_words(item.question))
    return len(mine & asked) / max(1, len(mine))


_GUESSERS: dict[str, Callable[[DatasetItem, str], float]] = {
    "the longest option": lambda _item, option: len(option),
    "the shortest option": lambda _item, option: -len(option),
    "the option most like the others": _likeness,
    "the option with most of the question's words": _echo,
}


def _bayes(items: Sequence[DatasetItem], clusters: Sequence[Hashable]) -> list[float]:
    """Credits of naive Bayes: words of options, right against wrong, other videos' items only."""
    counts: dict[Hashable, tuple[Counter[str], Counter[str]]] = {}
    total: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for item, cluster in zip(items, clusters, strict=True):
        own = counts.setdefault(cluster, (Counter(), Counter()))
        for letter, option in zip(LETTERS, item.options, strict=False):
            for table in (own, total):
                table[letter == item.letter].update(_features(item, option))
    credits = []
    for item, cluster in zip(items, clusters, strict=True):
        own = counts[cluster]
        wrong, right = (total[k] - own[k] for k in (0, 1))
        scores = [_odds(_features(item, o), right, wrong) for o in item.options]
        credits.append(_credit(item, scores))
    return credits


def _features(item: DatasetItem, option: str) -> list[str]:
    """An option's words, each once, and whether the question has them."""
    asked = set(_words(item.question))
    mine = sorted(set(_words(option)))
    return [f"{word} {'asked' if word in asked else ''}".strip() for word in mine]


def _odds(features: Sequence[str], right: Counter[str], wrong: Counter[str]) -> float:
    kinds = len(right.keys() | wrong.keys()) + 1
    low, high = wrong.total() + kinds, right.total() + kinds
    odds = sum(math.log((right[f] + 1) / high) - math.log((wrong[f] + 1) / low) for f in features)
    return round(odds, 9)
