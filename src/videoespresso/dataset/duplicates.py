"""Questions that ask the same: by their words, and by the cosine of their embeddings.

Every pair is compared, block by block: vectors lie in a temporary file at half precision, memory
holds two blocks and a few dozen bytes a record.
"""

import contextlib
import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from videoespresso.dataset.checks import plain
from videoespresso.dataset.measures import digest, video_key
from videoespresso.items import DatasetItem
from videoespresso.memory.embedders import Embedder
from videoespresso.types import Record

THRESHOLD: Final = 0.9
"""Cosine from which two texts say the same. wordllama: "stop" for "halt" gives 0.93, "leaves" for
"left" 0.95, "blue" for "red" 0.82, another way to ask 0.86-0.88. It does not see word order."""
BLOCK: Final = 2048
"""Records a block: 16 MB of cosines, large enough for the matrix product to run at full speed."""
EXAMPLES: Final = 20

Rows = NDArray[np.intp]
Read = Callable[[], Iterator[DatasetItem]]
"""Reads the records from the start, each time it is called."""
Vectors = NDArray[np.float16]


class Example(Record):
    """Two records whose questions say the same; cosine: of the questions."""

    first: str
    second: str
    cosine: float
    question: str
    other: str


class Duplicates(Record):
    """Near-duplicate questions with the same answer.

    pairs: of records. groups: of records that hang together by such pairs; largest: records of the
    largest one. extra: records that could go, one of each group kept. same_video: pairs about one
    video, which are the same question twice.
    """

    records: int
    threshold: float
    pairs: int
    groups: int
    largest: int
    extra: int
    same_video: int
    examples: tuple[Example, ...]


class Asked(NamedTuple):
    """What is compared. Each array has a row a record; `side`: number of the set it is from.

    questions, answers: unit vectors, (n, d). words, said, videos: hashes of the question's and the
    answer's plain text and of the video.
    """

    ids: list[str]
    side: NDArray[np.uint8]
    videos: NDArray[np.uint64]
    words: NDArray[np.uint64]
    said: NDArray[np.uint64]
    questions: Vectors
    answers: Vectors


class Groups:
    """What hangs together: union-find over 0 ... n-1, many edges at a time."""

    def __init__(self, n: int) -> None:
        self._parent: Rows = np.arange(n)

    def roots(self, rows: Rows) -> Rows:
        """The smallest number each one hangs together with."""
        found = self._parent[rows]
        while (above := self._parent[found]).tolist() != found.tolist():
            found = above
        self._parent[rows] = found
        return found

    def join(self, one: Rows, other: Rows) -> None:
        """Joins one[k] with other[k]. Each round joins every root that is left, so few rounds."""
        while True:
            a, b = self.roots(one), self.roots(other)
            apart = a != b
            if not apart.any():
                return
            one, other, a, b = one[apart], other[apart], a[apart], b[apart]
            _, first = np.unique(np.maximum(a, b), return_index=True)
            high, low = np.maximum(a, b)[first], np.minimum(a, b)[first]
            self._parent[high] = low  # high is a root, low is smaller: no circle

    def sizes(self) -> NDArray[np.intp]:
        """How many hang together in each group, alone ones too."""
        return np.unique(self.roots(np.arange(len(self._parent))), return_counts=True)[1]


def find(read: Read, embed: Embedder, threshold: float = THRESHOLD) -> Duplicates:
    """Near-duplicates within one dataset, whatever video they are about."""
    with asked([read()], embed) as told:
        groups, pairs, same_video = Groups(len(told.ids)), 0, 0
        kept: list[tuple[int, int]] = []
        for i, j in near(told, threshold):
            pairs += len(i)
            same_video += int((told.videos[i] == told.videos[j]).sum())
            groups.join(i, j)
            kept += zip(i[: EXAMPLES - len(kept)].tolist(), j.tolist(), strict=False)
        sizes = groups.sizes() if told.ids else np.zeros(0, np.intp)
        shown = examples(told, kept)
        return Duplicates(
            records=len(told.ids),
            threshold=threshold,
            pairs=pairs,
            groups=int((sizes > 1).sum()),
            largest=int(sizes.max(initial=0)),
            extra=int((sizes - 1).sum()),
            same_video=same_video,
            examples=with_texts(shown, read()),
        )


def examples(told: Asked, pairs: Iterable[tuple[int, int]]) -> tuple[Example, ...]:
    """Pairs of rows as examples; their texts are told by `with_texts`."""
    return tuple(
        Example(
            first=told.ids[i],
            second=told.ids[j],
            cosine=float(np.dot(told.questions[i].astype(np.float32), told.questions[j])),
            question="",
            other="",
        )
        for i, j in pairs
    )


def with_texts(found: tuple[Example, ...], items: Iterable[DatasetItem]) -> tuple[Example, ...]:
    """The examples with the questions they are about, out of another pass over the records."""
    if not found:
        return found
    wanted = {name for example in found for name in (example.first, example.second)}
    texts = {item.id: item.question for item in items if item.id in wanted}
    return tuple(
        e.model_copy(update={"question": texts.get(e.first, ""), "other": texts.get(e.second, "")})
        for e in found
    )


@contextlib.contextmanager
def asked(sets: Iterable[Iterable[DatasetItem]], embed: Embedder) -> Iterator[Asked]:
    """Embeds the questions and answers of all sets; the vectors' files go when the block ends."""
    ids: list[str] = []
    sides, hashes = bytearray(), bytearray()
    with tempfile.TemporaryDirectory(prefix="videoespresso-") as folder:
        places = [Path(folder) / name for name in ("questions", "answers")]
        with places[0].open("wb") as questions, places[1].open("wb") as answers:
            for side, items in enumerate(sets):
                stream = iter(items)
                while batch := list(itertools.islice(stream, BLOCK)):
                    ids += [item.id for item in batch]
                    sides += bytes([side]) * len(batch)
                    for item in batch:
                        hashes += video_key(item) + digest(plain(item.question))
                        hashes += digest(plain(item.answer))
                    for file, texts in (
                        (questions, [item.question for item in batch]),
                        (answers, [item.answer for item in batch]),
                    ):
                        file.write(embed(texts).astype(np.float16).tobytes())
        columns = np.frombuffer(bytes(hashes), np.uint64).reshape(-1, 3)
        vectors = [_vectors(place, len(ids)) for place in places]
        yield Asked(ids, np.frombuffer(bytes(sides), np.uint8), *columns.T.copy(), *vectors)


def near(
    told: Asked, threshold: float = THRESHOLD, *, across: bool = False
) -> Iterator[tuple[Rows, Rows]]:
    """Rows (i < j) of records that ask the same and answer the same, block by block.

    across: only pairs of different sets.
    """
    starts = range(0, len(told.ids), BLOCK)
    for at in starts:
        for to in range(at, len(told.ids), BLOCK):
            a, b = slice(at, at + BLOCK), slice(to, to + BLOCK)
            if across and len(np.unique(np.concatenate([told.side[a], told.side[b]]))) < 2:
                continue
            same = _alike(told.questions, told.words, a, b, threshold)
            if across:
                same &= told.side[a][:, None] != told.side[b][None, :]
            if at == to:
                same = np.triu(same, 1)
            if same.any():
                same &= _alike(told.answers, told.said, a, b, threshold)
                i, j = np.nonzero(same)
                if len(i):
                    yield i + at, j + to


def _alike(
    vectors: Vectors, hashes: NDArray[np.uint64], a: slice, b: slice, threshold: float
) -> NDArray[np.bool_]:
    cosines = vectors[a].astype(np.float32) @ vectors[b].astype(np.float32).T
    same: NDArray[np.bool_] = cosines >= threshold
    same |= hashes[a][:, None] == hashes[b][None, :]
    return same


def _vectors(file: Path, n: int) -> Vectors:
    """(n, d) at half precision: a cosine is right to 0.001."""
    if not n:
        file = file.with_suffix(".none")
        file.write_bytes(bytes(2))
        return np.memmap(file, np.float16, "r", shape=(1, 1))
    return np.memmap(file, np.float16, "r").reshape(n, -1)
