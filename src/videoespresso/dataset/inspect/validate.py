"""Is a dataset sound? Each record by itself, its files, and what the whole gives away."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Final

from PIL import Image
from pydantic import ValidationError

from videoespresso.dataset.inspect.record_checks import CHECKS, MEND, Check, Fault, faults
from videoespresso.dataset.inspect.record_measures import right_and_wrong, words_in
from videoespresso.dataset.records_io import (
    REJECTS,
    NewerSchemaError,
    lines_of,
    records_file,
    value_of,
)
from videoespresso.dataset_record import LETTERS, DatasetItem, KeyFrame, Reject, SourceVideo
from videoespresso.models.embedded.domain import is_theatre
from videoespresso.statistics import at_least
from videoespresso.types import Record

FAULTS: Final = (OSError, SyntaxError, ValueError, ImportError, Image.DecompressionBombError)
"""What Pillow raises for a file that is no picture, or not a whole one. ImportError: ultralytics,
once it was imported, makes Pillow look for a package for every file that is no picture."""


def decode(picture: Image.Image) -> None:
    """Reads an opened picture to its end, a JPEG at an eighth of its size. Raises FAULTS."""
    picture.draft("RGB", (max(1, picture.width // 8), max(1, picture.height // 8)))
    picture.load()


LISTED: Final = 1000
"""Problems listed one by one; all are counted."""
LEANING: Final = 0.02
"""How far a letter's share may lie from even, beyond chance: less is worth nothing to a guesser."""
CHANCE: Final = 0.001
"""A lean of the whole is reported when chance alone does as much in less than this."""
BY_FAR: Final = 1.3
"""A right option of more than this many times the longest wrong one's words is seen at a glance."""
LONGEST: Final = 0.2
"""Share of records with such a right option that is let pass. In the paper's test set right and
longest wrong option differ by about 0 words (Fig. 12), so half of the right ones are longest."""
IMAGES_KNOWN: Final = 20_000
"""Images remembered as sound, as neighbouring records share their frames."""


class Problem(Record):
    """line: of records.jsonl from 1, of rejects.jsonl where the check is "rejects", None for the
    whole. mend: what to do about it."""

    line: int | None
    id: str
    check: Check
    what: str
    mend: str


class Validation(Record):
    """What was found. counts: problems by check, those that are not listed too."""

    records: int
    ok: bool
    counts: dict[Check, int]
    problems: tuple[Problem, ...]
    left_out: int


def validate(
    folder: Path, *, videos: Path | None = None, images: bool = True, longest: float = LONGEST
) -> Validation:
    """Checks the dataset in `folder`, reading record by record.

    videos: root of the source videos, which then must be there with the right bytes. images: open
    each core frame's file. longest: see LONGEST. Raises UserError where there is no dataset.
    """
    records = records_file(folder)
    checking = _Checking(records.parent if images else None, videos, longest)
    counts: Counter[Check] = Counter()
    listed: list[Problem] = []
    for problem in chain(checking.problems(records), _rejects(records.parent / REJECTS)):
        counts[problem.check] += 1
        if len(listed) < LISTED:
            listed.append(problem)
    return Validation(
        records=checking.records,
        ok=not counts,
        counts={check: counts[check] for check in CHECKS if counts[check]},
        problems=tuple(listed),
        left_out=counts.total() - len(listed),
    )


class _Checking:
    """One pass over the records; a few bytes stay of each."""

    def __init__(self, folder: Path | None, videos: Path | None, longest: float) -> None:
        self._folder, self._root, self._longest = folder, videos, longest
        self.records = 0
        self._lines: dict[str, int] = {}
        self._letters: dict[int, Counter[str]] = {}
        self._by_far = Counter[bool]()
        self._images: dict[KeyFrame, str] = {}
        self._videos: dict[tuple[str, str], str] = {}
        self._embedded = EmbeddedParts()

    def problems(self, records: Path) -> Iterator[Problem]:
        """All problems, those of the whole last. Raises UserError when the file cannot be read."""
        for number, line in lines_of(records):
            self.records += 1
            try:
                item = DatasetItem.model_validate(value_of(line))
            except NewerSchemaError as error:
                yield _problem("schema", str(error), number)
            except ValidationError as error:
                yield _problem("unreadable", _schema_faults(error), number)
            except ValueError as error:
                yield _problem("unreadable", str(error), number)
            else:
                for check, what in self._item(number, item):
                    yield _problem(check, what, number, item.id)
        for check, what in self._whole():
            yield _problem(check, what)

    def _item(self, number: int, item: DatasetItem) -> Iterator[Fault]:
        first = self._lines.setdefault(item.id, number)
        if first != number:
            yield "twice", f"the id is also on line {first}"
        yield from faults(item)
        self._count_options(item)
        if self._folder is not None:
            for frame in item.core_frames:
                if wrong := self._image(self._folder, frame, ours=bool(item.made)):
                    yield "image", wrong
            files = [inside(self._folder, frame.image) for frame in item.core_frames]
            if wrong := self._embedded.fault(item, [file for file in files if file]):
                yield "embedded", wrong
        if self._root is not None and (wrong := self._video(self._root, item.video)):
            yield "video", wrong

    def _count_options(self, item: DatasetItem) -> None:
        if item.letter is None:
            return
        right, wrong = right_and_wrong(item)
        self._letters.setdefault(len(item.options), Counter())[item.letter] += 1
        if wrong:
            length = max(words_in(option) for option in wrong)
            self._by_far[words_in(right) > BY_FAR * length] += 1

    def _image(self, folder: Path, frame: KeyFrame, *, ours: bool) -> str:
        if not frame.image:
            return "a core frame names no image" if ours else ""
        file = KeyFrame(image=frame.image, sha=frame.sha, width=frame.width, height=frame.height)
        if file not in self._images:
            if len(self._images) >= IMAGES_KNOWN:
                self._images.clear()
            self._images[file] = image_fault(folder, file)
        return self._images[file]

    def _video(self, root: Path, video: SourceVideo) -> str:
        known = (video.path, video.id)
        if known not in self._videos:
            self._videos[known] = video_fault(root, video)
        return self._videos[known]

    def _whole(self) -> Iterator[Fault]:
        """What the letters and the lengths give away, beyond chance."""
        if not self.records:
            yield "empty", "there are no records"
        for options, letters in sorted(self._letters.items()):
            for letter in LETTERS[:options]:
                if leans(letters[letter], n := letters.total(), 1 / options):
                    share = f"{letters[letter] / n:.0%} of {n} records with {options} options"
                    yield "letters", f"{letter} is right in {share}"
        far, n = self._by_far[True], self._by_far.total()
        if n and far / n > self._longest and at_least(far, n, self._longest) < CHANCE:
            share = f"{far / n:.0%} of {n} records; at most {self._longest:.0%} may be"
            yield "longest", f"the right option is the longest by far in {share}"


def _rejects(file: Path) -> Iterator[Problem]:
    """The lines of rejects.jsonl that are no rejects; there may be no such file."""
    for number, line in lines_of(file) if file.is_file() else ():
        try:
            Reject.model_validate(value_of(line))
        except ValidationError as error:
            yield _problem("rejects", f"in {REJECTS}: {_schema_faults(error)}", number)
        except (ValueError, NewerSchemaError) as error:
            yield _problem("rejects", f"in {REJECTS}: {error}", number)


def leans(hits: int, n: int, even: float) -> bool:
    """Whether a letter is right more or less often than even, beyond LEANING and beyond chance."""
    if abs(hits / n - even) <= LEANING:
        return False
    tail = at_least(hits, n, even) if hits > even * n else at_least(n - hits, n, 1 - even)
    return tail < CHANCE


def inside(folder: Path, name: str) -> Path | None:
    """The file of that name in the folder, or None: a record must not lead outside of it."""
    try:
        file = (folder / name).resolve()
        return file if file.is_relative_to(folder.resolve()) else None
    except (OSError, ValueError):  # too long for a name, or a NUL in it
        return None


def image_fault(folder: Path, frame: KeyFrame) -> str:
    """What is wrong with a core frame's file; "" when nothing is."""
    file = inside(folder, frame.image)
    if file is None:
        return f"the image {frame.image!r} is not inside the dataset's folder"
    try:
        if not file.is_file():
            return f"the image {frame.image!r} is missing"
        if frame.sha and _sha(file) != frame.sha:
            return f"the image {frame.image!r} is not the one that was written: its sha differs"
        with Image.open(file) as picture:
            if frame.width and frame.height and picture.size != (frame.width, frame.height):
                wide, high = picture.size
                return f"the image {frame.image!r} is {wide} x {high}, not as the record says"
            decode(picture)
    except FAULTS as error:
        return f"the image {frame.image!r} cannot be read: {error}"
    return ""


def video_fault(root: Path, video: SourceVideo) -> str:
    """What is wrong with a source video below `root`; "" when nothing is.

    An absolute path, or one that starts elsewhere, is looked for by what is below `root` of it.
    """
    parts = [part for part in PurePosixPath(video.path).parts if part not in {"/", ".."}]
    tails = ("/".join(parts[k:]) for k in range(len(parts)))
    try:
        files = [file for tail in tails if (file := inside(root, tail)) and file.is_file()]
        if not files:
            return f"the video {video.path!r} is not below {root}"
        if video.id and all(_sha(file) != video.id for file in files):
            return f"the video {video.path!r} is not the one that was seen: its sha differs"
    except OSError as error:
        return f"the video {video.path!r} cannot be read: {error.strerror}"
    return ""


def _sha(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def _problem(check: Check, what: str, line: int | None = None, id: str = "") -> Problem:
    return Problem(line=line, id=id, check=check, what=what, mend=MEND[check])


def _schema_faults(error: ValidationError) -> str:
    """The first faults of a line that does not fit the schema."""
    faults = error.errors(include_url=False, include_input=False)
    first = [": ".join((".".join(map(str, e["loc"])) or "line", e["msg"])) for e in faults[:3]]
    return "; ".join(first) + (f"; and {len(faults) - 3} more" if len(faults) > 3 else "")


class EmbeddedParts:
    """Did embedded models speak of a film that is not the theatre's? Judges each video once, by the
    core frames of its first record."""

    def __init__(self) -> None:
        self._theatre: dict[str, bool] = {}

    def fault(self, item: DatasetItem, files: list[Path]) -> str:
        """What embedded models should not have made; "" when nothing. files: the core frames'
        images; without one that can be read nothing is said."""
        if not item.embedded:
            return ""
        video = item.video.id or item.video.path
        if video not in self._theatre:
            pictures = [picture for file in files if (picture := _read(file)) is not None]
            if not pictures:
                return ""
            self._theatre[video] = is_theatre(pictures)
        if self._theatre[video]:
            return ""
        stages = ", ".join(item.embedded)
        return f"embedded models made {stages}, and know the synthetic theatre only, not this film"


def _read(file: Path) -> Image.Image | None:
    try:
        with Image.open(file) as picture:
            return picture.convert("RGB")
    except FAULTS:
        return None
