"""Questions that ask the same: by their words, and by the cosine of their embeddings.

Records with the same words are found by hashes, the others are compared each with each, block by
block: vectors lie in a temporary file at half precision, memory holds two blocks and some hundred
bytes a record.
"""

import contextlib
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from videoespresso.dataset.inspect.record_checks import plain
from videoespresso.dataset.inspect.record_measures import digest, video_key
from videoespresso.dataset_record import DatasetItem
from videoespresso.memory.captions import Embedder
from videoespresso.types import Record

THRESHOLD: Final = 0.9
"""Cosine from which two texts say the same. wordllama: "stop" for "halt" gives 0.93, "leaves" for
"left" 0.95, "blue" for "red" 0.82, another way to ask 0.86-0.88. It does not see word order."""
BLOCK: Final = 2048
"""Texts a block: 16 MB of cosines, large enough for the matrix product to run at full speed."""
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

    groups: of records that hang together by such pairs; repeated: records in them; largest:
    records of the largest group. extra: records that could go, one of each group kept.
    same_video: those of them that ask a second time about one video.
    """

    records: int
    threshold: float
    groups: int
    repeated: int
    largest: int
    extra: int
    same_video: int
    examples: tuple[Example, ...]


class Asked(NamedTuple):
    """What is compared. A text is a question with its answer, records of one text share it.

    ids, side (number of the set), videos (hash), text (its number): a row a record. first: the
    first record of each text. words, said: hashes of its question and answer. questions, answers:
    their unit vectors, (texts, d).
    """

    ids: list[str]
    side: NDArray[np.uint8]
    videos: NDArray[np.uint64]
    text: Rows
    first: Rows
    words: NDArray[np.uint64]
    said: NDArray[np.uint64]
    questions: Vectors
    answers: Vectors

    def cosine(self, i: int, j: int) -> float:
        """Of the questions of two texts."""
        if i == j:
            return 1.0
        one, other = (self.questions[k].astype(np.float32) for k in (i, j))
        return float(one @ other)


class Groups:
    """What hangs together: union-find over 0 ... n-1, many edges at a time."""

    def __init__(self, n: int) -> None:
        self._parent: Rows = np.arange(n)

    def roots(self, rows: Rows) -> Rows:
        """The smallest number each one hangs together with."""
        found = self._parent[rows]
        while not np.array_equal(above := self._parent[found], found):
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
        groups = Groups(len(told.first))
        again = np.flatnonzero(told.first[told.text] != np.arange(len(told.ids)))[:EXAMPLES]
        kept = [(int(told.first[told.text[row]]), int(row)) for row in again]
        for i, j in near(told, threshold):
            groups.join(i, j)
            few = EXAMPLES - len(kept)
            kept += zip(told.first[i[:few]].tolist(), told.first[j[:few]].tolist(), strict=True)
        group = groups.roots(told.text)
        sizes = np.unique(group, return_counts=True)[1]
        asked_of = np.unique(np.stack([group.astype(np.uint64), told.videos]), axis=1).shape[1]
        shown = tuple(example(told, i, j) for i, j in kept)
    return Duplicates(
        records=len(group),
        threshold=threshold,
        groups=int((sizes > 1).sum()),
        repeated=int(sizes[sizes > 1].sum()),
        largest=int(sizes.max(initial=0)),
        extra=int((sizes - 1).sum()),
        same_video=len(group) - asked_of,
        examples=with_texts(shown, read()),
    )


def example(told: Asked, i: int, j: int) -> Example:
    """Two records by their rows; `with_texts` adds the questions."""
    cosine = told.cosine(int(told.text[i]), int(told.text[j]))
    return Example(first=told.ids[i], second=told.ids[j], cosine=cosine, question="", other="")


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
    """Embeds each text of all sets once; the vectors' files go when the block ends."""
    ids: list[str] = []
    sides, videos, texts = bytearray(), bytearray(), array("q")
    known: dict[bytes, int] = {}
    first = array("q")
    with tempfile.TemporaryDirectory(prefix="videoespresso-") as folder:
        files = [Path(folder) / name for name in ("questions", "answers")]
        with _Vectors(files, embed) as vectors:
            for side, items in enumerate(sets):
                for item in items:
                    key = digest(plain(item.question)) + digest(plain(item.answer))
                    text = known.setdefault(key, len(known))
                    if text == len(first):
                        first.append(len(ids))
                        vectors.add(item.question, item.answer)
                    texts.append(text)
                    ids.append(item.id)
                    sides.append(side)
                    videos += video_key(item)
        hashes = np.frombuffer(b"".join(known), np.uint64).reshape(-1, 2)
        yield Asked(
            ids,
            np.frombuffer(bytes(sides), np.uint8),
            np.frombuffer(bytes(videos), np.uint64),
            np.array(texts, np.intp),
            np.array(first, np.intp),
            hashes[:, 0].copy(),
            hashes[:, 1].copy(),
            *(_mapped(file, len(known)) for file in files),
        )


class _Vectors:
    """Writes the vectors of pairs of texts to two files, a block at a time."""

    def __init__(self, files: Sequence[Path], embed: Embedder) -> None:
        self._embed = embed
        self._files = [file.open("wb") for file in files]
        self._waiting: list[tuple[str, str]] = []

    def add(self, question: str, answer: str) -> None:
        """One more pair."""
        self._waiting.append((question, answer))
        if len(self._waiting) == BLOCK:
            self._write()

    def _write(self) -> None:
        for file, texts in zip(self._files, zip(*self._waiting, strict=True), strict=False):
            file.write(self._embed(texts).astype(np.float16).tobytes())
        self._waiting.clear()

    def __enter__(self) -> "_Vectors":
        return self

    def __exit__(self, *failed: object) -> None:
        try:
            if failed[0] is None:
                self._write()
        finally:
            for file in self._files:
                file.close()


def near(told: Asked, threshold: float = THRESHOLD) -> Iterator[tuple[Rows, Rows]]:
    """Texts (i < j) that ask the same and answer the same in other words, block by block."""
    starts = range(0, len(told.first), BLOCK)
    for at in starts:
        for to in range(at, len(told.first), BLOCK):
            a, b = slice(at, at + BLOCK), slice(to, to + BLOCK)
            same = _alike(told.questions, told.words, a, b, threshold)
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


def _mapped(file: Path, n: int) -> Vectors:
    """(n, d) at half precision: a cosine is right to 0.001."""
    if not n:
        file = file.with_suffix(".none")
        file.write_bytes(bytes(2))
        return np.memmap(file, np.float16, "r", shape=(1, 1))
    return np.memmap(file, np.float16, "r").reshape(n, -1)
