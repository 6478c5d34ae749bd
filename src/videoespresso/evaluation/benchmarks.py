"""Benchmarks by name: the theatre, datasets of ours, the authors' files, others, and those that
packages bring (entry points `videoespresso.benchmarks`, docs/evaluation.md)."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from videoespresso.dataset_record import DatasetItem
from videoespresso.errors import UserError
from videoespresso.evaluation.cases import Benchmark, Case, Listed, Truth, file_of
from videoespresso.evaluation.reply_files import read_bench
from videoespresso.evaluation.scores import video_of
from videoespresso.evidence_scores import Placed

GROUP = "videoespresso.benchmarks"


@dataclass(frozen=True)
class Given:
    """What a benchmark is opened with. rest: what stands behind "NAME:", a path or a split. videos:
    the folder its paths are relative to. films: where films may be made."""

    rest: str
    videos: Path | None
    films: Path

    def file(self) -> Path:
        """`rest` as a file. Raises UserError where there is none."""
        if not (path := Path(self.rest)).is_file():
            raise UserError(
                f"there is no file {self.rest!r}",
                hint="Write NAME:FILE, e.g. minerva:minerva.json.",
            )
        return path

    @property
    def roots(self) -> list[Path]:
        """Where videos are looked for: --videos, else beside the file."""
        return [self.videos] if self.videos else [Path(self.rest).parent]


Opener = Callable[[Given], Benchmark]
_HERE = "videoespresso.evaluation"
_OURS = {
    "theatre": f"{_HERE}.theatre_benchmark:theatre",
    "cg-bench": f"{_HERE}.others:cg_bench",
    "v-star": f"{_HERE}.others:v_star",
    "minerva": f"{_HERE}.others:minerva",
    "kfs-bench": f"{_HERE}.others:kfs_bench",
}
"""In the form in which other packages name theirs, and loaded by the same code."""


def known() -> list[str]:
    """The names, others' too."""
    return sorted({*_OURS, *(entry.name for entry in entry_points(group=GROUP))})


def open_benchmark(spec: str, *, videos: Path | None = None, films: Path) -> Benchmark:
    """ "theatre:test", "minerva:FILE" and the like, or a path: a dataset of ours or a file of the
    authors. Raises UserError for what is none, or cannot be read."""
    if videos is not None and not videos.is_dir():
        raise UserError(f"--videos {videos} is no folder", hint="Give the folder they are in.")
    name, _, rest = spec.partition(":")
    opener = _opener(name)
    if opener is not None:
        benchmark: Benchmark = opener(Given(rest, videos, films))
        return benchmark
    if Path(spec).exists():
        return _records(Path(spec), videos)
    raise UserError(
        f"there is no benchmark and no file {spec!r}",
        hint=f"Known: {', '.join(known())} (as NAME:FILE; theatre:test, theatre:held_out, "
        "theatre:winter), a dataset's folder, or a file of the authors (bench_hard.json).",
    )


def _opener(name: str) -> Any:
    if name in _OURS:
        return EntryPoint(name, _OURS[name], GROUP).load()
    entry = next(iter(entry_points(group=GROUP, name=name)), None)
    return None if entry is None else entry.load()


def _records(source: Path, videos: Path | None) -> Listed:
    """A dataset of ours, or the authors' file, read as `eval score` does."""
    bench = read_bench(source, videos)
    if not bench.items:
        raise UserError(f"{source} has no question that can be read", hint="Is it the right file?")
    folder = source if source.is_dir() else source.parent
    roots = [videos] if videos else [folder, folder.parent]
    cases = tuple(
        Case(
            item,
            video_of(item),
            file_of(item.video.path, roots, alone=videos is None),
            _truth(item),
        )
        for item in bench.items
    )
    left = sum(one.count for one in bench.left_out)
    return Listed(str(source), cases, f"{left} records could not be read" if left else "")


def _truth(item: DatasetItem) -> Truth:
    """Core frames with their instants, sentences and boxes, as far as a record has them."""
    times = [frame.time_s for frame in item.core_frames]
    known = [t for t in times if t is not None]

    def at(frame: int | None) -> float | None:
        return None if frame is None else times[frame]

    placed = [
        Placed(t, box.xyxy)
        for sentence in item.evidence
        for thing in sentence.items
        for box in thing.boxes
        if (t := at(box.frame if box.frame is not None else sentence.frame)) is not None
    ]
    return Truth(
        instants=tuple(known),
        sentences=tuple((t, s.text) for s in item.evidence if (t := at(s.frame)) is not None),
        boxes=(lambda t: [p for p in placed if abs(p.time_s - t) <= 0.5]) if placed else None,
    )
