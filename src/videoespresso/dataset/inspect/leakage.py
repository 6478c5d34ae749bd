"""What two splits of a dataset share and must not: videos, frames, questions."""

from collections import Counter
from collections.abc import Collection, Mapping
from itertools import combinations
from typing import Final, Literal, get_args

import numpy as np

from videoespresso.dataset.inspect.duplicates import (
    EXAMPLES,
    THRESHOLD,
    Asked,
    Example,
    Read,
    asked,
    example,
    near,
    with_texts,
)
from videoespresso.dataset.inspect.record_measures import digest, stem_of, video_key
from videoespresso.dataset_record import DatasetItem
from videoespresso.errors import UserError
from videoespresso.memory.captions import Embedder
from videoespresso.types import Record

Kind = Literal["video", "stem", "image", "question"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
MEANING: Final[dict[Kind, str]] = {
    "video": "the same video",
    "stem": "another video with the same file name, as a second encoding has",
    "image": "the same core frame",
    "question": "the same question with the same answer",
}

LOOKED_AT: Final = 20_000
"""Pairs of a block among which examples are looked for."""
MOST: Final = 64
"""Sets at most: which of them hold a thing is kept in as many bits."""

Sets = Mapping[str, Read]
"""Name -> how its records are read."""


class Leak(Record):
    """n things of a kind that two splits share; of questions, records of the second that repeat one
    of the first."""

    kind: Kind
    first: str
    second: str
    n: int
    examples: tuple[str, ...]


class Leakage(Record):
    """records: of each split. ok: nothing is shared."""

    records: dict[str, int]
    ok: bool
    leaks: tuple[Leak, ...]


def leakage(
    sets: Sets,
    embed: Embedder | None,
    *,
    threshold: float = THRESHOLD,
    kinds: Collection[Kind] = KINDS,
) -> Leakage:
    """What the sets share, each pair of them. embed: for questions; None leaves them out.

    Raises UserError for more than MOST sets.
    """
    if len(sets) > MOST:
        raise UserError(
            f"{len(sets)} datasets are too many to compare; at most {MOST} are",
            hint="Compare some of them at a time.",
        )
    names = list(sets)
    counted: dict[str, int] = {}
    sharing = _Sharing(names, kinds)
    for side, (name, read) in enumerate(sets.items()):
        counted[name] = 0
        for item in read():
            counted[name] += 1
            sharing.add(side, item)
    leaks = sharing.leaks()
    if embed is not None and "question" in kinds:
        leaks += _questions(sets, embed, threshold)
    return Leakage(records=counted, ok=not leaks, leaks=tuple(leaks))


class _Sharing:
    """Which sets have a thing: a bit a set, some hundred bytes a thing."""

    def __init__(self, names: list[str], kinds: Collection[Kind]) -> None:
        self._names, self._kinds = names, kinds
        self._seen: dict[Kind, dict[bytes, int]] = {kind: {} for kind in KINDS}
        self._found: dict[tuple[Kind, int, int], list[str]] = {}
        self._n: dict[tuple[Kind, int, int], int] = {}

    def add(self, side: int, item: DatasetItem) -> None:
        """Notes a record's video and core frames."""
        path, key = item.video.path, video_key(item)
        self._note("video", side, key, path)
        if not self._seen["video"][key] & ~(1 << side):
            self._note("stem", side, digest(stem_of(path)), path)
        for frame in item.core_frames:
            if frame.sha:
                self._note("image", side, digest(frame.sha), frame.image or frame.frame_id)

    def _note(self, kind: Kind, side: int, key: bytes, name: str) -> None:
        seen = self._seen[kind].get(key, 0)
        if seen & (1 << side):
            return
        self._seen[kind][key] = seen | (1 << side)
        if kind not in self._kinds:
            return
        for other in range(len(self._names)):
            if seen & (1 << other):
                place = (kind, other, side)
                self._n[place] = self._n.get(place, 0) + 1
                told = self._found.setdefault(place, [])
                if len(told) < EXAMPLES:
                    told.append(name)

    def leaks(self) -> list[Leak]:
        """What is shared, by kind."""
        places = sorted(self._n, key=lambda place: (KINDS.index(place[0]), place[1:]))
        return [
            Leak(
                kind=place[0],
                first=self._names[place[1]],
                second=self._names[place[2]],
                n=self._n[place],
                examples=tuple(self._found[place]),
            )
            for place in places
        ]


def _questions(sets: Sets, embed: Embedder, threshold: float) -> list[Leak]:
    names = list(sets)
    with asked([read() for read in sets.values()], embed) as told:
        twins = _Twins(told, threshold)
        found = {(a, b): twins.between(a, b) for a, b in combinations(range(len(names)), 2)}
    every = tuple(example for _, examples in found.values() for example in examples)
    texts = {
        (e.first, e.second): f"{e.first} {e.question!r} ~ {e.second} {e.other!r} ({e.cosine:.2f})"
        for e in with_texts(every, (item for read in sets.values() for item in read()))
    }
    return [
        Leak(
            kind="question",
            first=names[a],
            second=names[b],
            n=n,
            examples=tuple(texts[e.first, e.second] for e in examples),
        )
        for (a, b), (n, examples) in found.items()
        if n
    ]


class _Twins:
    """Which sets hold each text, and which hold one that says the same."""

    def __init__(self, told: Asked, threshold: float) -> None:
        self._told = told
        self._held = np.zeros(len(told.first), np.uint64)
        np.bitwise_or.at(self._held, told.text, np.uint64(1) << told.side.astype(np.uint64))
        self._near = self._held.copy()
        self._pairs: list[tuple[int, int]] = []
        shown: Counter[tuple[int, int]] = Counter()
        for i, j in near(told, threshold):
            np.bitwise_or.at(self._near, i, self._held[j])
            np.bitwise_or.at(self._near, j, self._held[i])
            i, j = i[:LOOKED_AT], j[:LOOKED_AT]
            held = np.stack([self._held[i], self._held[j]], axis=1)
            for place in np.unique(held, axis=0):
                key = (int(place[0]), int(place[1]))
                rows = np.flatnonzero((held == place).all(axis=1))[: EXAMPLES - shown[key]]
                shown[key] += len(rows)
                self._pairs += zip(i[rows].tolist(), j[rows].tolist(), strict=True)

    def between(self, a: int, b: int) -> tuple[int, tuple[Example, ...]]:
        """Records of set b that ask and answer what a record of set a does, and some of them."""
        told, bit = self._told, np.uint64(1) << np.uint64(a)
        leaked = (told.side == b) & ((self._near[told.text] & bit) != 0)
        shared = bit | np.uint64(1) << np.uint64(b)
        both = np.flatnonzero((self._held & shared) == shared)
        pairs = [(int(text), int(text)) for text in both[:EXAMPLES]]
        pairs += self._pairs
        pairs += [(j, i) for i, j in self._pairs]
        examples: list[Example] = []
        for i, j in pairs:
            if len(examples) == EXAMPLES:
                break
            one = np.flatnonzero((told.text == i) & (told.side == a))
            other = np.flatnonzero((told.text == j) & (told.side == b))
            if len(one) and len(other):
                examples.append(example(told, int(one[0]), int(other[0])))
        return int(leaked.sum()), tuple(examples)
