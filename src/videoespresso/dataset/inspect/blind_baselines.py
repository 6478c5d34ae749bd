"""How often a baseline that sees neither video nor evidence picks the right option.

What it gains is a fault of the options: their length, their wording, or that wrong ones are made
from the right one by changing one thing, so that the right one is most like the others.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

from videoespresso.dataset.inspect.record_measures import video_key
from videoespresso.dataset_record import LETTERS, DatasetItem
from videoespresso.statistics import clustered
from videoespresso.types import Record

Read = Callable[[], Iterable[DatasetItem]]
"""Gives the records, from the first one, as often as it is called."""

PARTS: Final = 10
"""Naive Bayes predicts each tenth of the videos and has learned from the others."""
SHELVES: Final = 256
"""Videos lie on shelves by a byte of their hash; the letter is learned from the shelves before.
Chosen on what it is scored on, a letter beats chance by more than its interval where letters are
fair, too; chosen on all other videos it is the same for nearly all, and does so half as often."""
LETTER: Final = "the most frequent letter, other videos"
BAYES: Final = "naive Bayes on words, other videos"


class Guess(Record):
    """What a baseline gets of n records with options: a share from 0 to 1 and its 95 % interval,
    which knows that records of a video are alike; None where there are too few videos for one.
    chance: what dice would get."""

    guesser: str
    n: int
    value: float
    low: float | None
    high: float | None
    chance: float


def guesses(read: Read) -> tuple[Guess, ...]:
    """Every baseline's share. Memory holds a few numbers a video, and words, but no record."""
    sums: dict[str, dict[bytes, list[float]]] = {}
    chances: list[float] = [0.0, 0.0]
    for item, credit in credits(read):
        chances[0] += 1 / len(item.options)
        chances[1] += 1
        for guesser, got in credit.items():
            one = sums.setdefault(guesser, {}).setdefault(video_key(item), [0.0, 0.0])
            one[0] += got
            one[1] += 1
    return tuple(
        _guess(guesser, list(by_video.values()), chances[0] / chances[1])
        for guesser, by_video in sums.items()
    )


def _guess(guesser: str, sums: Sequence[Sequence[float]], chance: float) -> Guess:
    estimate = clustered(sums)
    return Guess(
        guesser=guesser,
        n=estimate.n,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        chance=chance,
    )


def credits(read: Read) -> Iterator[tuple[DatasetItem, dict[str, float]]]:
    """Each record that has a letter, and every baseline's credit for it: 1 for the right option, a
    share of it where several look equally good to the baseline. Reads the records twice."""
    learned = _Counted(_with_letter(read))
    for item in _with_letter(read):
        rated = {
            name: _credit(item, [score(item, option) for option in item.options])
            for name, score in _BASELINES.items()
        }
        rated[LETTER] = _credit(item, learned.letters(item))
        rated[BAYES] = _credit(item, learned.scores(item))
        yield item, rated


def _with_letter(read: Read) -> Iterator[DatasetItem]:
    return (item for item in read() if item.letter is not None)


def _credit(item: DatasetItem, scores: Sequence[float]) -> float:
    best = [k for k, s in enumerate(scores) if s == max(scores)]
    assert item.letter is not None, "the record has no letter"
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
    mine, question = set(_words(option)), set(_words(item.question))
    return len(mine & question) / max(1, len(mine))


_BASELINES: Mapping[str, Callable[[DatasetItem, str], float]] = {
    "the longest option": lambda _item, option: len(option),
    "the shortest option": lambda _item, option: -len(option),
    "the option most like the others": _likeness,
    "the option with most of the question's words": _echo,
}


class _Counted:
    """What is learned: how many options, wrong ones and right ones, have a word, in all videos and
    in each part of them (naive Bayes); and how often each letter is right on the shelves before."""

    def __init__(self, items: Iterable[DatasetItem]) -> None:
        letters = [Counter[str]() for _ in range(SHELVES)]
        self._parts = [(Counter[str](), Counter[str]()) for _ in range(PARTS)]
        self._all = (Counter[str](), Counter[str]())
        for item in items:
            letters[_shelf(item)][str(item.letter)] += 1
            for letter, option in zip(LETTERS, item.options, strict=False):
                words, right = _features(item, option), letter == item.letter
                self._parts[_part(item)][right].update(words)
                self._all[right].update(words)
        self._before = list(accumulate(letters, initial=Counter[str]()))
        kinds = len(self._all[0].keys() | self._all[1].keys()) + 1
        self._totals = [
            [
                every.total() - own.total() + kinds
                for every, own in zip(self._all, part, strict=True)
            ]
            for part in self._parts
        ]

    def letters(self, item: DatasetItem) -> list[int]:
        """How often each option's letter is right in the videos before."""
        before = self._before[_shelf(item)]
        return [before[x] for x in LETTERS[: len(item.options)]]

    def scores(self, item: DatasetItem) -> list[float]:
        """The logarithms of the odds that an option is right, from the other parts' words."""
        part = _part(item)
        own, every, (low, high) = self._parts[part], self._all, self._totals[part]

        def odds(word: str) -> float:
            wrong, right = (every[k][word] - own[k][word] + 1 for k in (0, 1))
            return math.log(right / high) - math.log(wrong / low)

        return [round(sum(map(odds, _features(item, option))), 9) for option in item.options]


def _part(item: DatasetItem) -> int:
    return int.from_bytes(video_key(item)[:4]) % PARTS


def _shelf(item: DatasetItem) -> int:
    return video_key(item)[-1]


def _features(item: DatasetItem, option: str) -> list[str]:
    """An option's words, each once, and whether the question has them."""
    question = set(_words(item.question))
    mine = sorted(set(_words(option)))
    return [f"{word} {'asked' if word in question else ''}".strip() for word in mine]
