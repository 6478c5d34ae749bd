"""Measures the embedded models on the theatre's test split, against the targets of the project.

    python -m lab.theatre_scores --out runs/theatre --n 1000

Questions are asked as `videoespresso eval run` asks them, selected as the paper does: `--n` of
`theatre:test`, `--held-out-n` of `theatre:held_out`. Stopped anywhere, the same command goes on
where it was. Captions and boxes are held against the films' own truth. Audit seeds are never used.
"""

import argparse
import json
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.detector_data import split_frames
from lab.detector_score import score
from videoespresso import statistics
from videoespresso.comparison import Paired
from videoespresso.errors import VideoEspressoError
from videoespresso.evaluation import results
from videoespresso.evaluation.compare import Compared, compare
from videoespresso.evaluation.run import Plan, Run
from videoespresso.evaluation.summary import Series, Summary, series, summary
from videoespresso.evaluation.theatre_benchmark import Theatre, draw, filmed
from videoespresso.graphs import watch
from videoespresso.graphs.context import Context, open_context
from videoespresso.settings import Settings
from videoespresso.statistics import Estimate
from videoespresso.theatre import Story, make_story
from videoespresso.theatre.style import StyleFamily
from videoespresso.tools.video import probe
from videoespresso.types import Progress

OURS, EVEN, DIRECT, BLIND = CONDITIONS = ("ours", "uniform:16", "direct", "blind")
SPLIT_OF: dict[StyleFamily, str] = {"train": "test", "held_out": "held_out"}
Estimates = dict[str, Estimate | None]


@dataclass(frozen=True)
class Target:
    """A line of the table. bar: in the unit of `estimate`; at_least: which side of it is met."""

    name: str
    bar: float
    at_least: bool
    estimate: Estimate | None
    unit: str = "%"
    note: str = ""

    @property
    def verdict(self) -> str:
        """By the measured value; says so when the interval reaches across the bar."""
        e = self.estimate
        if e is None:
            return "not measured"
        short = self.bar - e.value if self.at_least else e.value - self.bar
        if short > 0:
            unit = "points" if self.unit == "%" else self.unit
            return f"missed by {_number(short, unit)}"
        if e.low is None or e.high is None:
            return f"met ({e.interval})"
        surely = e.low >= self.bar if self.at_least else e.high <= self.bar
        return "met" if surely else "met (the interval reaches across)"

    @property
    def row(self) -> str:
        """As a row of Markdown."""
        e = self.estimate
        measured = "–" if e is None else _measured(e, self.unit)
        return (
            f"| {self.name} | {'≥' if self.at_least else '≤'} {_number(self.bar, self.unit)} | "
            f"{measured}{self.note and f'; {self.note}'} | {0 if e is None else e.n} | "
            f"{self.verdict} |"
        )


def run_of(
    out: Path, settings: Settings, style: StyleFamily, n: int, jobs: int, *, retry: bool
) -> Run:
    """The questions of a style. Raises SettingsError and UserError as a run does."""
    name = f"theatre:{SPLIT_OF[style]}"
    conditions = CONDITIONS if style == "train" else (OURS,)
    bench = Theatre(name, style, out / "videos")
    plan = Plan(bench, out / style, settings, conditions, n=n, jobs=jobs, retry=retry)
    return Run(plan)


# ---- numbers


def targets(
    here: Summary, there: Summary | None, pairs: Sequence[Compared], boxes: Estimate | None
) -> list[Target]:
    """The project's targets (docs/scores.md), in their order. there: the held-out style."""
    by = {c.condition: c for c in here.conditions}
    ours, blind = by[OURS].scores.micro, by[BLIND].scores.micro
    apart = None
    if there is not None and ours is not None:
        held_out = there.conditions[0].scores.micro
        apart = None if held_out is None else statistics.apart(ours, held_out)
    gaps = {pair.second: pair.paired for pair in pairs}
    even, direct = gaps[EVEN], gaps[DIRECT]
    return [
        Target("Right letter, core frames", 0.80, True, ours),
        Target("Core frames a question", 3.0, False, by[OURS].cost.get("core frames"), ""),
        Target("Right letter, blind (no frames)", 0.32, False, blind),
        Target("Core frames − uniform 16", 0.0, True, even.difference, "points", _counts(even)),
        Target(
            "Image tokens, of uniform 16's", 0.15, False, token_share(series(Path(here.run))),
            note="both stages and second looks",
        ),
        Target(
            "Evidence first − direct answer", 0.0, True, direct.difference, "points",
            _counts(direct),
        ),
        Target("Box F1 at IoU 0.5", 0.85, True, boxes),
        Target("Drop in the held-out style", 0.10, False, apart, "points"),
    ]  # fmt: skip


def _counts(pair: Paired) -> str:
    return f"{pair.first_only} against {pair.second_only} items, McNemar p = {pair.p:.2g}"


def token_share(every: Sequence[Series]) -> Estimate | None:
    """The image tokens that the reasoner reads for core frames, as a share of those for even ones,
    over the questions measured with both."""
    mine, even = (
        {r["item"]: r for r in one.records if "error" not in r}
        for name in (OURS, EVEN)
        for one in every
        if one.condition == name
    )
    both = [item for item in mine if item in even]
    over, under = ([_image_tokens(side[item]) for item in both] for side in (mine, even))
    return statistics.ratio(over, under, [mine[i]["video"] for i in both]) if any(under) else None


def _image_tokens(record: results.Json) -> float:
    return float(record["needed"]["reasoner"]["image_tokens"])


def box_f1(context: Context, style: StyleFamily, frames: int) -> Estimate | None:
    """F1 on frames nobody trained on, by the function that scores the training. None for no frames,
    and for a detector without labels of its own."""
    if not (frames and context.detector.labels):
        return None
    overall = score(context.detector, split_frames(frames, "test", style))["overall"]
    return Estimate(
        overall["f1"], overall["low"], overall["high"], overall["n"], "bootstrap over frames"
    )


def exact_captions(context: Context, films: Sequence[tuple[Story, Path]]) -> Estimates:
    """Frames that have exactly the true caption: of all sampled, and of those that were shown to
    the captioner (the others share the caption of a frame equal to the eye)."""
    rows: dict[str, list[list[bool]]] = {"all": [], "shown": []}
    for story, film in films:
        video = probe(film).id
        of = {c.frame_id: c for c in context.memory.captions(context.memory_key(video))}
        frames = context.store.sampling(video, watch.sampling_key(context)) or []
        mine = [(of[f.id], f.time_s) for f in frames if f.id in of]
        rows["all"].append([_is_true(c.text, story, t) for c, t in mine])
        rows["shown"].append([_is_true(c.text, story, t) for c, t in mine if not c.shared_from])
    return {
        name: statistics.ratio([sum(row) for row in each], [len(row) for row in each])
        for name, each in rows.items()
        if any(each)
    }


def _is_true(caption: str, story: Story, time_s: float) -> bool:
    """At the film frame's own instant: film frames are drawn at whole multiples of 1/fps."""
    at = round(time_s * story.fps) / story.fps
    return caption.strip() == story.phases[story.phase_at(at)].caption


# ---- words


def _number(value: float, unit: str) -> str:
    if unit == "%":
        return f"{100 * value:.1f} %"
    return f"{100 * value:.1f} points" if unit == "points" else f"{value:.2f}"


def _measured(e: Estimate, unit: str) -> str:
    scale, digits = (1.0, 2) if unit == "" else (100.0, 1)
    return e.text(scale=scale, digits=digits, unit=unit)


def markdown(rows: Sequence[Target], here: Summary, also: Estimates) -> Iterator[str]:
    """The tables, a line at a time, and what the numbers depend on."""
    yield from ("| | target | measured (95 % interval) | n | |", "|---|---|---|---|---|")
    yield from (row.row for row in rows)
    ours, *others = here.conditions
    also = {f"right letter, {c.condition}": c.scores.micro for c in others} | also
    tasks = {task.task: task.accuracy for task in ours.scores.tasks}
    for title, numbers in (("also", ours.evidence | also), ("task, right letter", tasks)):
        yield from ("", f"| {title} | measured (95 % interval) | n |", "|---|---|---|")
        for name, e in numbers.items():
            if e is not None:
                yield f"| {name} | {_measured(e, '%')} | {e.n} |"
    identity = here.identity
    yield ""
    yield (
        f"{ours.scores.items} questions about {ours.scores.videos} videos of the test split, "
        f"{len(here.not_measured)} not measured. Reasoner {identity['reasoner']} "
        f"({identity['reasoner weights'] or 'no digest'}), detector {identity['detector']}, "
        f"prompts {identity['prompts']}, code {identity['code']}, {identity['fps']}-"
        f"{identity['dynamic_fps']} frames a second, longer side {identity['max_side']} px."
    )


# ---- the command


def main(argv: Sequence[str] | None = None) -> int:
    """0 when everything is measured, 1 for an error, 130 for Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/theatre"), help="results, films, cache, summary")
    add("--n", type=int, default=1000, help="questions (%(default)s)")
    add("--held-out-n", type=int, default=300, help="0 leaves that style out (%(default)s)")
    add("--box-frames", type=int, default=500, help="a style, for the detector (%(default)s)")
    add("--jobs", type=int, default=2, help="videos at a time (%(default)s)")
    add("--retry-errors", action="store_true", help="ask again what was not measured")
    given = parser.parse_args(argv)
    try:
        sys.stdout.write(measured(given))
    except VideoEspressoError as error:
        print(f"{error}\n{error.hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; what is done is kept, the same command goes on", file=sys.stderr)
        return 130
    return 0


def measured(given: argparse.Namespace) -> str:
    """Asks what is missing; writes summary.json and summary.md, and returns the latter."""
    out: Path = given.out
    settings = Settings.load({"cache_dir": out / "cache", "select": "paper"})
    limits = {key: None for key in Settings.model_fields if key.startswith("budget_")}
    settings = settings.model_copy(update=limits)
    numbers: dict[StyleFamily, int] = {"train": given.n, "held_out": given.held_out_n}
    scores: dict[StyleFamily, Summary] = {}
    also: Estimates = {}
    context = open_context(settings)
    for style, n in numbers.items():
        if not n:
            continue
        run = run_of(out, settings, style, n, given.jobs, retry=given.retry_errors)
        run.go(_listen, threading.Event())
        scores[style] = summary(run.plan.out)
        stories = {item.seed: item for item in draw(n, style)}.values()
        films = [(make_story(i.seed, style), filmed(i, out / "videos")) for i in stories]
        for name, e in exact_captions(context, films).items():
            also[f"captions exactly true ({style}, {name} frames)"] = e
    boxes = {style: box_f1(context, style, given.box_frames) for style in scores}
    also["box F1, held-out style"] = boxes.get("held_out")
    here = scores["train"]
    pairs = compare([Path(here.run)])
    rows = targets(here, scores.get("held_out"), pairs, boxes["train"])
    text = "\n".join(markdown(rows, here, also)) + "\n"
    record: dict[str, Any] = {
        "targets": [{**asdict(row), "verdict": row.verdict} for row in rows],
        "also": {name: e and asdict(e) for name, e in also.items()},
        "runs": {style: one.model_dump(mode="json") for style, one in scores.items()},
        "pairs": [pair.model_dump(mode="json") for pair in pairs],
    }
    results.write(out / "summary.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    results.write(out / "summary.md", text)
    return text


def _listen(progress: Progress) -> None:
    print(f"\r{progress}   ", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
