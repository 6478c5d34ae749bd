"""What two splits of a dataset share and must not: videos, frames, questions."""

from collections.abc import Collection, Mapping
from itertools import combinations
from typing import Final, Literal, get_args

from videoespresso.dataset.duplicates import (
    EXAMPLES,
    THRESHOLD,
    Asked,
    Read,
    asked,
    examples,
    near,
    with_texts,
)
from videoespresso.dataset.measures import digest, stem_of, video_key
from videoespresso.items import DatasetItem
from videoespresso.memory.embedders import Embedder
from videoespresso.types import Record

Kind = Literal["video", "stem", "image", "question"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
MEANING: Final[dict[Kind, str]] = {
    "video": "the same video",
    "stem": "another video with the same file name, as a second encoding has",
    "image": "the same core frame",
    "question": "the same question with the same answer",
}

Sets = Mapping[str, Read]
"""Name -> how its records are read."""


class Leak(Record):
    """n things of a kind that two splits share; of questions, pairs of records."""

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
    """What the sets share, each pair of them. embed: for questions; None leaves them out."""
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
        counted, kept = _across(told, len(names), threshold)
        shown = {place: examples(told, pairs) for place, pairs in kept.items()}
    every = tuple(example for found in shown.values() for example in found)
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
            examples=tuple(texts[e.first, e.second] for e in shown[a, b]),
        )
        for (a, b), n in counted.items()
        if n
    ]


def _across(
    told: Asked, sets: int, threshold: float
) -> tuple[dict[tuple[int, int], int], dict[tuple[int, int], list[tuple[int, int]]]]:
    """How many pairs each two sets share, and the first of them. Rows of earlier sets are first."""
    counted = dict.fromkeys(combinations(range(sets), 2), 0)
    kept: dict[tuple[int, int], list[tuple[int, int]]] = {place: [] for place in counted}
    for i, j in near(told, threshold, across=True):
        for place in counted:
            here = (told.side[i] == place[0]) & (told.side[j] == place[1])
            counted[place] += int(here.sum())
            left = EXAMPLES - len(kept[place])
            kept[place] += zip(i[here][:left].tolist(), j[here][:left].tolist(), strict=True)
    return counted, kept
