"""Each target: the files it has and what goes into them, record by record."""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast, get_args

from videoespresso.dataset import records_io
from videoespresso.dataset.formats import conversations, parquet, release
from videoespresso.dataset.formats.conversion_report import Report, Unusable
from videoespresso.dataset.formats.media import Media
from videoespresso.dataset.formats.reading import Placed
from videoespresso.dataset.formats.released_boxes import RELEASED, Scale
from videoespresso.dataset_record import DatasetItem
from videoespresso.errors import UserError

CUTOFF = 2048
"""Tokens of LLaMA-Factory's own `cutoff_len`."""
Target = Literal[
    "ours",
    "videoespresso-train",
    "videoespresso-train-images",
    "videoespresso-test",
    "trl",
    "trl-selector",
    "llama-factory",
    "ms-swift",
    "parquet",
]
TARGETS: tuple[Target, ...] = get_args(Target)
NAMES = {
    "videoespresso-train": "videoespresso_train_video.json",
    "videoespresso-train-images": "merged_ano_all.json",
    "videoespresso-test": "bench_final.json",
    "parquet": "data.parquet",
}
"""Files of targets that are one file, where `--out` is a folder; the authors' names for theirs."""
STAGES = ("evidence.jsonl", "answer.jsonl")
"""A file a stage, because the stages have learning rates of their own (Table 8)."""
IN_FOLDER: dict[Target, tuple[str, ...]] = {
    "ours": (records_io.RECORDS, records_io.REJECTS),
    "trl": STAGES,
    "trl-selector": ("select.jsonl",),
    "llama-factory": (*STAGES, "dataset_info.json"),
    "ms-swift": STAGES,
}
"""Files of the other targets, in the folder that `--out` names."""


@dataclass(frozen=True)
class Choices:
    """How to write. box_scale: of released boxes. images, videos: folders that paths in the records
    are relative to; None leaves the paths as they are. local: the paths are files of this machine,
    so they are looked for. embed: images go into the Parquet file. replace: files may exist.
    tokens: the length of a conversation (`lengths.counter`), None where it is not asked for; a
    record whose stages are longer than cutoff is left out."""

    box_scale: Scale = RELEASED
    replies: conversations.Replies = "json"
    shows: conversations.Shows = "frames"
    images: Path | None = None
    videos: Path | None = None
    local: bool = False
    embed: bool = False
    replace: bool = False
    tokens: Callable[[conversations.Conversation], int] | None = None
    cutoff: int = CUTOFF


@dataclass(frozen=True)
class Job:
    """What a writer gets."""

    records: Iterable[Placed]
    out: Path
    to: Target
    choices: Choices
    report: Report

    def each(self, make: Callable[[DatasetItem], Any]) -> Iterator[Any]:
        """What is made of each record; those of which nothing can be made are counted."""
        for placed in self.records:
            try:
                made = make(placed.item)
            except Unusable as why:
                self.report.leave(placed.where, why)
                continue
            self.report.written += 1
            yield made

    @property
    def file(self) -> Path:
        """The one file of a target that has one: `out`, or its usual name in that folder."""
        return self.out if self.out.suffix else self.out / NAMES[self.to]

    @property
    def targets(self) -> tuple[Path, ...]:
        """All files that are written."""
        if self.to in NAMES:
            return (self.file,)
        return tuple(self.out / name for name in IN_FOLDER[self.to])

    def lines(self, stack: contextlib.ExitStack, name: str) -> records_io.Writer:
        """A file of lines in the folder."""
        place = records_io.writing_lines(self.out / name, replace=self.choices.replace)
        return stack.enter_context(place)


def write(job: Job) -> None:
    """Writes the records to `job.targets`. Raises UserError; then no file is there."""
    _check_choices(job)
    if job.to == "ours":
        _ours(job)
    elif job.to == "parquet":
        _parquet(job)
    elif job.to in NAMES:
        _released(job)
    elif job.to == "trl-selector":
        _selector(job)
    else:
        _reasoner(job)


def _check_choices(job: Job) -> None:
    """Raises UserError for choices that do not go together."""
    if job.choices.embed and job.to != "parquet":
        raise UserError(f"{job.to} has no images inside", hint="--embed is for --to parquet.")
    if job.choices.tokens and (job.to != "llama-factory" or job.choices.shows == "video"):
        raise UserError(
            "tokens are counted for llama-factory, and of pictures",
            hint="Leave out --base, or take --to llama-factory without --show video.",
        )
    if job.choices.shows == "frames":
        return
    if job.to not in ("llama-factory", "ms-swift"):
        raise UserError(
            f"{job.to} shows no video", hint="--show video is for llama-factory and ms-swift."
        )
    if job.choices.replies == "json":
        raise UserError(
            "our reasoner's JSON names core frames by number, and a video has none",
            hint="Add --replies text.",
        )


def _refuse_empty(job: Job) -> None:
    """Raises UserError where nothing was written: a file without records helps nobody."""
    if job.report.written:
        return
    why = "; ".join(f"{x.criterion} ({x.first}: {x.reason})" for x in job.report.left_out[:3])
    raise UserError(
        f"no record can be written as {job.to}: {why or 'there are none'}",
        hint="docs/dataset-formats.md says what each format needs.",
    )


def _ours(job: Job) -> None:
    with contextlib.ExitStack() as stack:
        records, rejects = (job.lines(stack, name) for name in IN_FOLDER["ours"])
        job.report.rejected = rejects.record
        for item in job.each(lambda item: item):
            records.record(item)
        _refuse_empty(job)


def _released(job: Job) -> None:
    """One list, as the authors' files are; a record a line where the file is called so."""
    form = cast(release.Released, job.to)
    made = job.each(lambda item: release.released(item, form, job.choices.box_scale))
    with records_io.writing(job.file, replace=job.choices.replace) as target:
        if job.file.suffix == ".jsonl":
            writer = records_io.Writer(target)
            for record in made:
                writer.value(record)
        else:
            _list(made, target)
        _refuse_empty(job)


def _list(records: Iterable[Any], target: IO[bytes]) -> None:
    between = b"[\n"
    for record in records:
        target.write(between + records_io.dump(record))
        between = b",\n"
    target.write(b"\n]\n" if between == b",\n" else b"[]\n")


def _parquet(job: Job) -> None:
    parquet.needed()
    media = _media(job.choices)

    def row(item: DatasetItem) -> dict[str, Any]:
        return parquet.row(item, [media.picture(frame.image) for frame in item.core_frames])

    with records_io.writing(job.file, replace=job.choices.replace) as target:
        parquet.write(job.each(row), target)
        _refuse_empty(job)


def _reasoner(job: Job) -> None:
    media = _media(job.choices)
    replies, shows = job.choices.replies, job.choices.shows

    def shaped(conversation: conversations.Conversation, item: DatasetItem) -> dict[str, Any]:
        if job.to == "trl":
            return conversations.trl(conversation)
        if (job.to, replies, shows) == ("ms-swift", "text", "frames"):
            return conversations.with_objects(conversation, item)
        return conversations.tagged(conversation)

    def rows(item: DatasetItem) -> tuple[dict[str, Any], dict[str, Any]]:
        first = media.opened(conversations.evidence_conversation(item, replies, shows))
        second = media.opened(conversations.answer_conversation(item, replies, shows))
        _check_length(job, second)
        return shaped(first, item), shaped(second, item)

    with contextlib.ExitStack() as stack:
        evidence, answer = (job.lines(stack, name) for name in STAGES)
        for first, second in job.each(rows):
            evidence.value(first)
            answer.value(second)
        if job.to == "llama-factory":
            stem = {f"videoespresso_{name.partition('.')[0]}": name for name in STAGES}
            columns = conversations.dataset_info(stem, "videos" if shows == "video" else "images")
            info = records_io.writing(job.targets[-1], replace=job.choices.replace)
            stack.enter_context(info).write(json.dumps(columns, indent=2).encode() + b"\n")
        _refuse_empty(job)


def _check_length(job: Job, longer: conversations.Conversation) -> None:
    """Raises Unusable for a record that LLaMA-Factory would cut; stage 2 holds stage 1."""
    if job.choices.tokens is None:
        return
    tokens = job.choices.tokens(longer)
    job.report.longest = max(job.report.longest, tokens)
    if tokens > job.choices.cutoff:
        raise Unusable(
            f"longer than {job.choices.cutoff} tokens", f"{tokens}; LLaMA-Factory would cut it"
        )


def _selector(job: Job) -> None:
    replies = job.choices.replies
    with contextlib.ExitStack() as stack:
        writer = job.lines(stack, *IN_FOLDER["trl-selector"])
        for row in job.each(
            lambda item: conversations.trl(conversations.select_conversation(item, replies))
        ):
            writer.value(row)
        _refuse_empty(job)


def _media(choices: Choices) -> Media:
    return Media(choices.images, choices.videos, local=choices.local, embed=choices.embed)
