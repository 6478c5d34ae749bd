"""A dataset as one HTML page: what it is made of, in plots, and some records with their evidence.

Self-contained: no script, no outside address, thumbnails inside. Its size does not grow with the
number of records.
"""

import hashlib
import heapq
import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from videoespresso.dataset.inspect.stats import DatasetStats, dataset_stats
from videoespresso.dataset.records_io import read_items, records_file
from videoespresso.dataset_record import DatasetItem
from videoespresso.report import charts
from videoespresso.report.parts import check_target, template, write_text
from videoespresso.report.record_page import boxes_found, view
from videoespresso.report.text import total

SAMPLES = 14
"""Records shown: one a task, where there is one."""
THUMBNAIL_SIDE, THUMBNAIL_QUALITY = 400, 75
"""About 15 kB a picture: the page stays near 1 MB."""
SETTINGS = 200
"""Lines of the manifest shown at most."""
LISTED = 30
"""Reasons of rejects, sources and words in a plot at most."""


def write_page(
    folder: Path, out: Path, *, samples: int = SAMPLES, stats: DatasetStats | None = None
) -> None:
    """Writes the page of the dataset in `folder`, whole or not at all.

    stats: where they are counted already. Raises UserError where there is no dataset, where a line
    is no record, and where the page cannot be written.
    """
    check_target(out)
    records = records_file(folder)
    counted = stats or dataset_stats(records)
    chosen = choose(read_items(records), samples)
    write_text(render(records.parent, counted, chosen), out, flag="--html")


def render(folder: Path, stats: DatasetStats, chosen: Iterable[DatasetItem]) -> str:
    """The page as text."""
    shown = [view(item, folder, side=THUMBNAIL_SIDE, quality=THUMBNAIL_QUALITY) for item in chosen]
    return template("dataset_page.html").render(
        name=folder.resolve().name,
        stats=stats,
        plots=_plots(stats),
        usage=total(stats.cost.values()),
        settings=list(_settings(folder)),
        records=shown,
        boxes_found=boxes_found,
        version=version("videoespresso"),
    )


def choose(items: Iterable[DatasetItem], samples: int) -> list[DatasetItem]:
    """Records of all tasks in equal numbers, by the hash of their ids: the same ones every time."""
    each: dict[str, list[tuple[str, int, DatasetItem]]] = {}
    for number, item in enumerate(items):
        kept = each.setdefault(item.task or "", [])
        # the records with the largest hashes are kept; heappop removes the smallest
        rank = hashlib.sha256(item.id.encode("utf-8", "backslashreplace")).hexdigest()
        heapq.heappush(kept, (rank, -number, item))
        if len(kept) > samples:
            heapq.heappop(kept)
    rounds: list[DatasetItem] = []
    queues = [sorted(each[task], key=lambda row: row[:2], reverse=True) for task in sorted(each)]
    while len(rounds) < samples and any(queues):
        rounds += [queue.pop(0)[2] for queue in queues if queue]
    return rounds[:samples]


def _plots(stats: DatasetStats) -> dict[str, Any]:
    figures = {
        "tasks": charts.shares(
            "Records a task",
            "share with its 95 % interval; the mark is the paper's share (Table 7)",
            [(row.task, row.share, row.paper_share) for row in stats.tasks],
        ),
        "distances_by_task": charts.ranges(
            "Seconds between neighbouring core frames, by task (Fig. 3a)",
            "s",
            ((row.task, row.distances) for row in stats.tasks),
        ),
        "sources": charts.counts(
            "Records a source (Fig. 3c)",
            f"by folder; {stats.videos:,} videos",
            [(row.source, row.records) for row in stats.sources[:LISTED]],
        ),
        "rejects": charts.shares(
            "Why pairs were refused",
            "share of rejects with its 95 % interval",
            [(f"{r.stage}: {r.criterion}", r.share, None) for r in stats.rejects[:LISTED]],
        ),
    }
    return figures | _histograms(stats) | {"words": list(_words(stats))}


def _histograms(stats: DatasetStats) -> dict[str, Any]:
    lengths = stats.lengths
    histogram = charts.histogram
    return {
        "core_frames": histogram("Core frames a record", stats.core_frames, "core frames"),
        "distances": histogram("Between neighbouring core frames", stats.distances, "s"),
        "key_items": histogram("Key items a record (Fig. 3b)", stats.key_items, "key items"),
        "box_scores": histogram("Scores of boxes", stats.box_scores, ""),
        "placement": histogram(
            "Cosine by which core frames were placed (eq. 3)", stats.placement_scores, ""
        ),
        "longest_by": histogram(
            "Right option minus longest wrong one (Fig. 12)", stats.longest_by, "words"
        ),
        "lengths": [
            histogram(f"Length of the {name} (Fig. 4)", lengths.get(name), "words")
            for name in ("question", "answer", "evidence")
        ],
    }


def _words(stats: DatasetStats) -> Iterator[charts.Rows | None]:
    note = "texts that have it; common words left out"
    if stats.words_lost:
        note += f"; counts may be {stats.words_lost:,} too small"
    for what, words in stats.words.items():
        figures = [(word.word, word.n) for word in words[:LISTED]]
        yield charts.counts(f"Frequent words of {what}s (Fig. 4)", note, figures)


def _settings(folder: Path) -> Iterator[tuple[str, str]]:
    """What the manifest says, flat, one line a value; nothing where there is none to read."""
    try:
        manifest = json.loads((folder / "dataset.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return
    for k, (name, value) in enumerate(_flat("", manifest, depth=6)):
        if k == SETTINGS:
            yield "…", "more is in dataset.json"
            return
        yield name, value


def _flat(name: str, value: Any, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value and depth:
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}" if name else str(key), inner, depth - 1)
    elif isinstance(value, str | int | float | bool):
        yield name, str(value)
    elif value is not None:
        yield name, json.dumps(value, ensure_ascii=True)
