"""A judge judged: answers about theatre stories that are known to be right, or wrong in one way.

The stories are written, so nobody has to be asked what is true. `auc` is how often the judge rates
a right answer above a wrong one: 1 is a judge, 0.5 is noise.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from videoespresso import statistics
from videoespresso.dataset_record import DatasetItem, EvidenceSentence, SourceVideo, item_id
from videoespresso.evaluation.judging import Judged
from videoespresso.evaluation.scores import video_of
from videoespresso.statistics import Estimate
from videoespresso.theatre import SPLITS, Story, make_story
from videoespresso.theatre.truth.planted import Planted, spoilt, true_pairs
from videoespresso.types import Record

Kind = Literal["true", "padded", "wrong actor", "wrong order", "unsupported"]
KINDS: dict[Kind, tuple[str, ...]] = {
    "true": (),
    "padded": (),
    "wrong actor": ("actor",),
    "wrong order": ("order",),
    "unsupported": ("object", "mood"),
}
"""What is planted, and how `theatre.truth.planted` calls it. The first two are right."""
RIGHT: tuple[Kind, ...] = ("true", "padded")
DEFAULT_N = 200
MOST_STORIES = 2000
PADDING = (
    "This can be told from the video when it is watched with care from its beginning to its end.",
    "Many things may be seen in such a scene, and each of them deserves some attention.",
    "To answer in full, one has to think of what was asked, and of what the pictures show.",
)
"""Words that say nothing, so that the answer stays right and is long."""


@dataclass(frozen=True)
class PlantedAnswer:
    """An answer about a story; item: the question with the right answer as its reference, and all
    that happens in the story, in order, as evidence."""

    item: DatasetItem
    reply: str
    kind: Kind

    @property
    def right(self) -> bool:
        return self.kind in RIGHT


class JudgeWorth(Record):
    """What a judge is worth on planted answers. auc: None where only one side was rated. means: its
    overall rating of each kind, 1 to 10. rated: answers that it could tell of, by kind."""

    judged: Judged
    planted: dict[str, int]
    rated: dict[str, int]
    auc: Estimate | None
    means: dict[str, Estimate]


def planted_answers(n: int = DEFAULT_N, seed: int = 0) -> list[PlantedAnswer]:
    """n answers, as many of each kind, one of a kind a story; the same ones for the same seed.

    Raises ValueError for fewer than one of each kind.
    """
    if n < len(KINDS):
        raise ValueError(f"{n} answers are fewer than one of each of {len(KINDS)} kinds")
    need = Counter[Kind]({kind: n // len(KINDS) for kind in KINDS})
    need.update(dict.fromkeys(list(KINDS)[: n % len(KINDS)], 1))
    planted: list[PlantedAnswer] = []
    rng, first = random.Random(seed), SPLITS["test"][0]
    for number in range(first, first + MOST_STORIES):
        story = make_story(number)
        for kind in KINDS:
            if need[kind] and (made := _planted(story, number, kind, rng)) is not None:
                need[kind] -= 1
                planted.append(made)
        if not need.total():
            break
    return planted


def _planted(story: Story, number: int, kind: Kind, rng: random.Random) -> PlantedAnswer | None:
    """One of a kind about a story, where it has any."""
    pairs = list(true_pairs(story))
    rng.shuffle(pairs)
    return next(
        (
            PlantedAnswer(_item(story, number, p), reply, kind)
            for p in pairs
            for reply in _replies(p, story, kind, rng)
        ),
        None,
    )


def _replies(pair: Planted, story: Story, kind: Kind, rng: random.Random) -> Iterator[str]:
    if kind == "true":
        yield f"It is this: {pair.answer[:1].lower()}{pair.answer[1:]}"
    elif kind == "padded":
        yield " ".join((PADDING[0], PADDING[1], pair.answer, PADDING[2]))
    for made in spoilt(pair, story, rng):
        if made.how in KINDS[kind] and made.question == pair.question:
            yield made.answer


def _item(story: Story, number: int, pair: Planted) -> DatasetItem:
    return DatasetItem(
        id=item_id(str(number), pair.question, pair.answer),
        video=SourceVideo(path=f"theatre:{number}"),
        task=None,
        question=pair.question,
        answer=pair.answer,
        evidence=tuple(EvidenceSentence(text=e.text) for e in story.events),
        seed=number,
    )


def worth(planted: Sequence[PlantedAnswer], judged: Judged) -> JudgeWorth:
    """What its opinions of these answers, in the same order, are worth. Raises ValueError for
    another number of opinions."""
    rated = [
        (p, opinions.ratings["overall"])
        for p, opinions in zip(planted, judged.opinions, strict=True)
        if opinions.ratings
    ]
    means = {}
    for kind in KINDS:
        mine = [(rating, video_of(p.item)) for p, rating in rated if p.kind == kind]
        if mine:
            means[str(kind)] = statistics.mean(*map(list, zip(*mine, strict=True)))
    return JudgeWorth(
        judged=judged,
        planted=dict(Counter(str(p.kind) for p in planted)),
        rated=dict(Counter(str(p.kind) for p, _ in rated)),
        auc=auc(
            [rating for _, rating in rated],
            [p.right for p, _ in rated],
            [video_of(p.item) for p, _ in rated],
        ),
        means=means,
    )


def auc(
    scores: Sequence[float], right: Sequence[bool], clusters: Sequence[str], *, seed: int = 0
) -> Estimate | None:
    """How often a right one scores above a wrong one, ties half; a bootstrap over whole clusters.
    None where there is no right one, or no wrong one."""
    yes = [k for k, r in enumerate(right) if r]
    no = [k for k, r in enumerate(right) if not r]
    if not yes or not no:
        return None
    given = np.asarray(scores, dtype=np.float64)
    gaps = given[yes][:, None] - given[no][None]
    wins = (gaps > 0) + 0.5 * (gaps == 0)
    value, names = float(wins.mean()), list(dict.fromkeys(clusters))
    if len(names) < 2:
        return Estimate(value, None, None, len(scores), statistics.TOO_FEW)
    at = np.array([names.index(c) for c in clusters])
    drawn = np.random.default_rng(seed).multinomial(
        len(names), np.full(len(names), 1 / len(names)), statistics.RESAMPLES
    )
    first, second = drawn[:, at[yes]].astype(np.float64), drawn[:, at[no]].astype(np.float64)
    weight = first.sum(1) * second.sum(1)
    kept = weight > 0
    shares = ((first @ wins) * second).sum(1)[kept] / weight[kept]
    if np.ptp(shares) == 0:
        return Estimate(value, None, None, len(scores), statistics.ALIKE)
    low, high = statistics.bounds(shares)
    return Estimate(value, low, high, len(scores), "bootstrap over videos")
