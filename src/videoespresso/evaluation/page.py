"""Runs as one page: accuracy by task, accuracy against frames, evidence, cost, and errors.

Each error of the gallery has a page of evidence, from the run's record and the frame store.
"""

import hashlib
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from videoespresso.errors import UserError
from videoespresso.evaluation.compare import Compared, compare, pairs
from videoespresso.evaluation.summary import AMOUNTS, PARTS, Json, Summary, scored, series
from videoespresso.memory.captions import Embedder
from videoespresso.report import charts, page
from videoespresso.report.parts import check_target, template, write_text
from videoespresso.types import Answer, Box, CoreFrame, DroppedFrame, EvidenceStep, KeyItem, Video

if TYPE_CHECKING:
    from PIL.Image import Image

    from videoespresso.types import FrameRef


ERRORS = 12
"""Errors shown of a condition, the same ones every time."""

PageOf = Callable[[str, Json], str]
"""(run, record) -> address of the record's page of evidence, or ""."""


class Wrong(NamedTuple):
    """An error: what was asked, said and true, and what it was said to stand on. page: address of
    its page of evidence, or ""."""

    item: str
    task: str
    question: str
    options: tuple[str, ...]
    reply: str
    true: str
    why: str
    steps: tuple[tuple[float, str], ...]
    page: str


class Shown(NamedTuple):
    """A condition of a run as the page draws it."""

    name: str
    tasks: charts.Rows | None
    errors: tuple[Wrong, ...]
    wrong: int


def write_page(
    summaries: Sequence[Summary],
    path: Path,
    encoder: Embedder | None = None,
    pages: PageOf = lambda run, record: "",
) -> None:
    """Writes the page, whole or not at all; it holds all it needs. pages: writes an error's page of
    evidence and gives its address. Raises UserError where it cannot be written."""
    check_target(path)
    write_text(render(summaries, encoder, pages), path, flag="--html")


def render(
    summaries: Sequence[Summary],
    encoder: Embedder | None = None,
    pages: PageOf = lambda run, record: "",
) -> str:
    """The page as text."""
    runs = [Path(one.run) for one in summaries]
    return template("eval_page.html").render(
        runs=summaries,
        shown=[s for run in runs for s in _shown(run, encoder, pages, many=len(runs) > 1)],
        overview=charts.estimates(
            "Accuracy",
            "share with its 95 % interval",
            [
                (_name(one, c.condition, summaries), c.scores.headline)
                for one in summaries
                for c in one.conditions
            ],
        ),
        frames=charts.against(
            "Accuracy against core frames",
            "core frames a question, doublings the same distance; 95 % intervals",
            [
                (_name(one, c.condition, summaries), c.cost["core frames"].value, c.scores.headline)
                for one in summaries
                for c in one.conditions
                if "core frames" in c.cost and c.scores.headline
            ],
        ),
        wrong_at=[
            charts.counts(
                f"First went wrong at, {_name(one, c.condition, summaries)}",
                f"{sum(c.faults.values()):,} wrong answers, by the first stage that was at fault",
                list(c.faults.items()),
            )
            for one in summaries
            for c in one.conditions
            if any(c.faults.values())
        ],
        parts=PARTS,
        amounts=AMOUNTS,
        compared=_compared(runs, encoder),
        version=version("videoespresso"),
    )


def _name(one: Summary, condition: str, summaries: Sequence[Summary]) -> str:
    return condition if len(summaries) == 1 else f"{Path(one.run).name}: {condition}"


def _compared(runs: Sequence[Path], encoder: Embedder | None) -> tuple[list[Compared], str]:
    """The comparisons, or why there are none."""
    try:
        pairs(runs)
        return compare(runs, encoder=encoder), ""
    except UserError as error:
        return [], f"Not compared: {error}."


def _shown(run: Path, encoder: Embedder | None, pages: PageOf, *, many: bool) -> list[Shown]:
    shown = []
    for one in series(run):
        scores = scored(one, encoder)
        by = list(zip(one.records, scores.verdicts, strict=True))
        wrong = [(r, v.why) for r, v in by if v.credit is not None and v.credit < 1]
        wrong.sort(key=lambda pair: hashlib.sha256(pair[0]["item"].encode()).hexdigest())
        shown.append(
            Shown(
                name=one.name if many else one.condition,
                tasks=charts.estimates(
                    f"By task, {one.condition}",
                    "share with its 95 % interval",
                    [(task.task, task.accuracy) for task in scores.tasks],
                ),
                errors=tuple(_wrong(r, why, pages(str(run), r)) for r, why in wrong[:ERRORS]),
                wrong=len(wrong),
            )
        )
    return shown


def _wrong(record: Json, why: str, page: str) -> Wrong:
    return Wrong(
        item=record["item"],
        task=record["task"],
        question=record["question"],
        options=tuple(record["options"]),
        reply=record["reply"],
        true=record["answer"],
        why=why,
        steps=tuple((step["time_s"], step["text"]) for step in record["steps"]),
        page=page,
    )


# ---- a record's page of evidence


_DROPPED = ("frame_id", "time_s", "stage", "reason")


class EvidencePages:
    """Writes them into a folder beside the gallery. image: a frame's pixels (FrameStore.image)."""

    def __init__(self, gallery: Path, image: "Callable[[FrameRef], Image]") -> None:
        self.folder, self._image = gallery.with_name(f"{gallery.stem}-evidence"), image

    def __call__(self, run: str, record: Json) -> str:
        """Writes the page of a record; its address from the gallery, "" where the record has no
        film. Raises UserError where it cannot be written."""
        if "dropped" not in record:
            return ""
        identity = f"{run} {record['condition']} {record['item']}"
        name = f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.html"
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.folder} cannot be made: {error.strerror}") from error
        page.write(answer_of(record), self.folder / name, self._image)
        return f"{self.folder.name}/{name}"


def answer_of(record: Json) -> Answer:
    """The answer as far as the record keeps it."""
    core = tuple(CoreFrame.model_validate(c) for c in record["core"])
    at = {round(c.frame.time_s, 3): c.frame.id for c in core}
    steps = [
        EvidenceStep(
            text=step["text"],
            frame_id=at.get(step["time_s"], ""),
            time_s=step["time_s"],
            items=(KeyItem(name="box", boxes=boxes),) if (boxes := _boxes(step)) else (),
        )
        for step in record["steps"]
    ]
    return Answer(
        question=record["question"],
        options=tuple(record["options"]),
        text=record["reply"],
        choice=record["choice"],
        answered=record["answered"],
        checked=record["checked"],
        evidence=tuple(steps),
        core_frames=core,
        dropped=tuple(
            DroppedFrame.model_validate(dict(zip(_DROPPED, row, strict=True)))
            for row in record["dropped"]
        ),
        video=Video.model_validate(record["film"]),
    )


def _boxes(step: Json) -> tuple[Box, ...]:
    return tuple(Box(label="cited", xyxy=tuple(box), score=1.0) for box in step["boxes"])
