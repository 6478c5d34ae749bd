"""What a dataset has twice, and what its splits share: videos, frames, questions.

Questions are compared with their answers, by their words and by the cosine of their embeddings.
Texts of the same words are found by hashes, the others are compared each with each, block by block:
vectors lie in a temporary file at half precision, memory holds two blocks and some hundred bytes a
record.
"""

import contextlib
import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import combinations, islice
from pathlib import Path
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from videoespresso.dataset.inspect.record_checks import plain
from videoespresso.dataset.inspect.record_measures import digest, stem_of, video_key
from videoespresso.dataset_record import DatasetItem
from videoespresso.errors import UserError
from videoespresso.memory.captions import Embedder
from videoespresso.types import Record

THRESHOLD: Final = 0.9
"""Cosine from which two texts say the same. wordllama: "stop" for "halt" gives 0.93, "leaves" for
"left" 0.95, "blue" for "red" 0.82, another way to ask 0.86-0.88. It does not see word order."""
BLOCK: Final = 2048
"""Texts a block: 16 MB of cosines, large enough for the matrix product to run at full speed."""
EXAMPLES: Final = 20
MOST_SETS: Final = 64
"""Which sets hold a thing is kept in as many bits."""

Kind = Literal["video", "stem", "image", "question"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
MEANING: Final[dict[Kind, str]] = {
    "video": "the same video",
    "stem": "another video with the same file name, as a second encoding has",
    "image": "the same core frame",
    "question": "the same question with the same answer",
}

Rows = NDArray[np.intp]
Hashes = NDArray[np.uint64]
Vectors = NDArray[np.float16]
Read = Callable[[], Iterator[DatasetItem]]
"""Reads the records from the start, each time it is called."""
Sets = Mapping[str, Read]
"""Name -> how its records are read."""


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


class Texts(NamedTuple):
    """What is compared. A text is a question with its answer, records of one text share it.

    ids, side (number of the set), videos (hash), text (its number): a row a record. first: the
    first record of each text. question_hashes, answer_hashes: of their words. questions, answers:
    their unit vectors, (texts, d).
    """

    ids: list[str]
    side: NDArray[np.uint8]
    videos: Hashes
    text: Rows
    first: Rows
    question_hashes: Hashes
    answer_hashes: Hashes
    questions: Vectors
    answers: Vectors

    def example(self, one: int, other: int, questions: Mapping[str, str]) -> Example:
        """Two records by their rows. questions: by id."""
        i, j = self.text[one], self.text[other]
        a, b = (self.questions[k].astype(np.float32) for k in (i, j))
        first, second = self.ids[one], self.ids[other]
        return Example(
            first=first,
            second=second,
            cosine=1.0 if i == j else float(a @ b),
            question=questions.get(first, ""),
            other=questions.get(second, ""),
        )

    def questions_of(
        self, rows: Iterable[tuple[int, int]], reads: Iterable[Read]
    ) -> dict[str, str]:
        """id -> question of the records in these pairs of rows, out of another pass."""
        wanted = {self.ids[row] for pair in rows for row in pair}
        items = (item for read in reads if wanted for item in read())
        return {item.id: item.question for item in items if item.id in wanted}


class Groups:
    """What hangs together: union-find over 0 ... n-1, many edges at a time."""

    def __init__(self, n: int) -> None:
        self._parent: Rows = np.arange(n)

    def roots(self, rows: Rows) -> Rows:
        """The smallest number each one hangs together with."""
        parents = self._parent[rows]
        while not np.array_equal(above := self._parent[parents], parents):
            parents = above
        self._parent[rows] = parents
        return parents

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


def duplicates(read: Read, embed: Embedder, threshold: float = THRESHOLD) -> Duplicates:
    """Near-duplicates within one dataset, whatever video they are about."""
    with embedded([read], embed) as texts:
        groups = Groups(len(texts.first))
        again = np.flatnonzero(texts.first[texts.text] != np.arange(len(texts.ids)))[:EXAMPLES]
        pairs = [(int(texts.first[texts.text[row]]), int(row)) for row in again]
        for i, j in near(texts, threshold):
            groups.join(i, j)
            few = EXAMPLES - len(pairs)
            pairs += zip(texts.first[i[:few]].tolist(), texts.first[j[:few]].tolist(), strict=True)
        group = groups.roots(texts.text)
        sizes = np.unique(group, return_counts=True)[1]
        per_video = np.unique(np.stack([group.astype(np.uint64), texts.videos]), axis=1).shape[1]
        questions = texts.questions_of(pairs, [read])
        examples = tuple(texts.example(i, j, questions) for i, j in pairs)
    return Duplicates(
        records=len(group),
        threshold=threshold,
        groups=int((sizes > 1).sum()),
        repeated=int(sizes[sizes > 1].sum()),
        largest=int(sizes.max(initial=0)),
        extra=int((sizes - 1).sum()),
        same_video=len(group) - per_video,
        examples=examples,
    )


def leakage(
    sets: Sets,
    embed: Embedder | None,
    *,
    threshold: float = THRESHOLD,
    kinds: Collection[Kind] = KINDS,
) -> Leakage:
    """What the sets share, each pair of them. embed: for questions; None leaves them out.

    Raises UserError for more than MOST_SETS sets.
    """
    if len(sets) > MOST_SETS:
        raise UserError(
            f"{len(sets)} datasets are too many to compare; at most {MOST_SETS} are",
            hint="Compare some of them at a time.",
        )
    names = list(sets)
    records = dict.fromkeys(names, 0)
    shared = _Shared(kinds)
    for side, (name, read) in enumerate(sets.items()):
        for item in read():
            records[name] += 1
            shared.add(side, item)
    leaks = [
        Leak(kind=k, first=names[a], second=names[b], n=n, examples=tuple(shared.examples[k, a, b]))
        for (k, a, b), n in sorted(
            shared.counts.items(), key=lambda at: (KINDS.index(at[0][0]), at[0][1:])
        )
    ]
    if embed is not None and "question" in kinds:
        leaks += _questions(sets, embed, threshold)
    return Leakage(records=records, ok=not leaks, leaks=tuple(leaks))


class _Shared:
    """Videos, file names and core frames that sets share: which sets have a thing is a bit a set,
    some hundred bytes a thing. counts, examples: by kind and the numbers of two sets."""

    def __init__(self, kinds: Collection[Kind]) -> None:
        self._kinds = kinds
        self._seen: dict[Kind, dict[bytes, int]] = {kind: {} for kind in KINDS}
        self.counts: Counter[tuple[Kind, int, int]] = Counter()
        self.examples: dict[tuple[Kind, int, int], list[str]] = {}

    def add(self, side: int, item: DatasetItem) -> None:
        """Notes a record's video and core frames. Sets come one after the other."""
        path, key = item.video.path, video_key(item)
        self._note("video", side, key, path)
        if self._seen["video"][key] == 1 << side:
            self._note("stem", side, digest(stem_of(path)), path)
        for frame in item.core_frames:
            if frame.sha:
                self._note("image", side, digest(frame.sha), frame.image or frame.frame_id)

    def _note(self, kind: Kind, side: int, key: bytes, name: str) -> None:
        seen = self._seen[kind].get(key, 0)
        self._seen[kind][key] = seen | 1 << side
        if seen >> side & 1 or kind not in self._kinds:
            return
        for other in (k for k in range(side) if seen >> k & 1):
            self.counts[kind, other, side] += 1
            examples = self.examples.setdefault((kind, other, side), [])
            if len(examples) < EXAMPLES:
                examples.append(name)


def _questions(sets: Sets, embed: Embedder, threshold: float) -> list[Leak]:
    """Per pair of sets, the records of the second that ask and answer what one of the first does,
    and some of them: same words first, then near ones in the order they are found."""
    names, leaks = list(sets), []
    with embedded(list(sets.values()), embed) as texts:
        held = np.zeros(len(texts.first), np.uint64)  # which sets have a text, a bit a set
        np.bitwise_or.at(held, texts.text, np.uint64(1) << texts.side.astype(np.uint64))
        reached = held.copy()  # ... or one that says the same
        pairs: dict[tuple[int, int], tuple[list[tuple[int, int]], ...]] = {}
        for a, b in combinations(range(len(names)), 2):
            both = np.flatnonzero(_has(held, a) & _has(held, b))[:EXAMPLES].tolist()
            pairs[a, b] = [(text, text) for text in both], [], []
        for i, j in near(texts, threshold):
            np.bitwise_or.at(reached, i, held[j])
            np.bitwise_or.at(reached, j, held[i])
            for (a, b), (_, *kept) in pairs.items():
                for some, one, other in zip(kept, (i, j), (j, i), strict=True):
                    if few := EXAMPLES - len(some):
                        rows = np.flatnonzero(_has(held[one], a) & _has(held[other], b))[:few]
                        some += zip(one[rows].tolist(), other[rows].tolist(), strict=True)
        for (a, b), lists in pairs.items():
            leaked = int(((texts.side == b) & _has(reached, a)[texts.text]).sum())
            if leaked:
                examples = [pair for some in lists for pair in some][:EXAMPLES]
                rows_of = [(_row(texts, i, a), _row(texts, j, b)) for i, j in examples]
                leaks.append((a, b, leaked, rows_of))
        every = (pair for *_, rows_of in leaks for pair in rows_of)
        questions = texts.questions_of(every, sets.values())
        return [
            Leak(
                kind="question",
                first=names[a],
                second=names[b],
                n=n,
                examples=tuple(_shown(texts.example(i, j, questions)) for i, j in rows_of),
            )
            for a, b, n, rows_of in leaks
        ]


def _has(sets: Hashes, side: int) -> NDArray[np.bool_]:
    """Whether a set's bit is there."""
    has: NDArray[np.bool_] = (sets & (np.uint64(1) << np.uint64(side))) != 0
    return has


def _row(texts: Texts, text: int, side: int) -> int:
    """The first record of a set with that text."""
    return int(np.argmax((texts.text == text) & (texts.side == side)))


def _shown(e: Example) -> str:
    return f"{e.first} {e.question!r} ~ {e.second} {e.other!r} ({e.cosine:.2f})"


@contextlib.contextmanager
def embedded(sets: Iterable[Read], embed: Embedder) -> Iterator[Texts]:
    """Embeds each text of all sets once; the vectors' files go when the block ends."""
    ids: list[str] = []
    sides, videos, numbers = bytearray(), bytearray(), array("q")
    known: dict[bytes, int] = {}
    first = array("q")

    def new_texts() -> Iterator[tuple[str, str]]:
        for side, read in enumerate(sets):
            for item in read():
                key = digest(plain(item.question)) + digest(plain(item.answer))
                numbers.append(known.setdefault(key, len(known)))
                ids.append(item.id)
                sides.append(side)
                videos.extend(video_key(item))
                if numbers[-1] == len(first):
                    first.append(len(ids) - 1)
                    yield item.question, item.answer

    with tempfile.TemporaryDirectory(prefix="videoespresso-") as folder:
        paths = [Path(folder) / name for name in ("questions", "answers")]
        with paths[0].open("wb") as questions, paths[1].open("wb") as answers:
            waiting = new_texts()
            while block := list(islice(waiting, BLOCK)):
                for file, texts in zip((questions, answers), zip(*block, strict=True), strict=True):
                    file.write(embed(texts).astype(np.float16).tobytes())
        hashes = np.frombuffer(b"".join(known), np.uint64).reshape(-1, 2)
        yield Texts(
            ids,
            np.frombuffer(bytes(sides), np.uint8),
            np.frombuffer(bytes(videos), np.uint64),
            np.array(numbers, np.intp),
            np.array(first, np.intp),
            hashes[:, 0].copy(),
            hashes[:, 1].copy(),
            *(_mapped(path, len(known)) for path in paths),
        )


def _mapped(file: Path, n: int) -> Vectors:
    """(n, d) at half precision: a cosine is right to 0.001."""
    return np.memmap(file, np.float16, "r").reshape(n, -1) if n else np.zeros((0, 1), np.float16)


def near(texts: Texts, threshold: float = THRESHOLD) -> Iterator[tuple[Rows, Rows]]:
    """Texts (i < j) that ask the same and answer the same in other words, block by block."""
    for at in range(0, len(texts.first), BLOCK):
        for to in range(at, len(texts.first), BLOCK):
            a, b = slice(at, at + BLOCK), slice(to, to + BLOCK)
            same = _alike(texts.questions, texts.question_hashes, a, b, threshold)
            if at == to:
                same = np.triu(same, 1)
            if same.any():
                same &= _alike(texts.answers, texts.answer_hashes, a, b, threshold)
                i, j = np.nonzero(same)
                if len(i):
                    yield i + at, j + to


def _alike(
    vectors: Vectors, hashes: Hashes, a: slice, b: slice, threshold: float
) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (
        vectors[a].astype(np.float32) @ vectors[b].astype(np.float32).T >= threshold
    )
    same |= hashes[a][:, None] == hashes[b][None, :]
    return same
