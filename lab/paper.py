"""The paper's Tables 1, 3, 4 and 5 in miniature, ours beside the paper's: `make paper N=280`.

    python -m lab.paper --n 280 --out runs/paper --page docs/results/paper.md

Questions of the theatre's test split, even over the 14 tasks, about as many films as there are
questions, 56 at most, under eight conditions, by the embedded models. A run is resumed; when all is
known, only the page is written. The paper's numbers are of arXiv 2411.14794, by its own protocol
(Algorithm 1) on 1,382 questions about real videos, with models a thousand times as large: what may
be set beside them is which row is better than which, and by how much, never the level.
"""

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from videoespresso.evaluation.compare import Compared, compare
from videoespresso.evaluation.run import Plan, Run
from videoespresso.evaluation.summary import ConditionScores, Summary, summary
from videoespresso.evaluation.theatre_benchmark import Theatre
from videoespresso.settings import Settings
from videoespresso.statistics import Estimate
from videoespresso.types import Progress

FILMS = 56
"""For fewer than 50 an interval over films says little."""
OURS, EVEN, FEW_EVEN = "ours", "uniform:16", "uniform:8"
NO_BOXES, NO_EVIDENCE, BLIND = "ours@boxes=off", "direct", "blind"
GOLD_FRAMES, GOLD = "oracle-frames", "oracle-evidence"
CONDITIONS = (OURS, EVEN, FEW_EVEN, NO_BOXES, NO_EVIDENCE, BLIND, GOLD_FRAMES, GOLD)

EACH = {"conditions": {"__all__": {"scores": {"verdicts"}}}}
"""A line an answer: the run's records say it."""

TABLE_1 = {
    "Narrative Structuring": (45.2, 24.2), "Event Process": (27.0, 23.6),
    "Ingredient Details": (33.7, 26.5), "Causal Inference": (26.1, 19.2),
    "Thematic Insight": (39.3, 31.1), "Contextual Interpretation": (36.7, 32.1),
    "Influence Tracing": (55.6, 31.9), "Role Identification": (41.3, 17.5),
    "Interaction Dynamics": (30.6, 24.2), "Behavior Profiling": (29.8, 21.1),
    "Emotional Recognition": (30.8, 26.2), "Cooking Steps": (35.8, 30.2),
    "Traffic Analysis": (20.0, 13.3), "Situational Awareness": (26.0, 20.0),
}  # fmt: skip
"""Table 1: VideoEspresso (2.36 frames), and its base LLaVA-NeXT-Interleave (FPS = 1), % right."""
AVERAGE_1 = (34.1, 24.4)
TABLE_3 = {OURS: 34.13, GOLD: 72.95, NO_BOXES: 33.14, NO_EVIDENCE: 31.32}
TABLE_4 = {OURS: (2.36, 34.13), FEW_EVEN: (8.0, 33.74), GOLD_FRAMES: (2.98, 37.54)}
"""Frames, and % right."""
TABLE_5 = {EVEN: (16.0, 1.0, 62.78, 24.37), OURS: (2.36, 0.15, 9.26, 24.26)}
"""LLaVA-NeXT-Interleave: frames, share of the image tokens, TFLOPs, % right."""


def main() -> int:
    """Runs what is missing, writes the page and its numbers, and says where."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=280)
    parser.add_argument("--out", type=Path, default=Path("runs/paper"))
    parser.add_argument("--page", type=Path, default=Path("docs/results/paper.md"))
    parser.add_argument("--films", type=int, default=FILMS)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    began = time.monotonic(), sum(os.times()[:4])
    cache = given.out.resolve().with_name(f"{given.out.name}-cache")
    settings = Settings.load({"profile": "embedded", "cache_dir": cache}, environ={})
    bench = Theatre("theatre:test", "train", cache / "theatre", each=-(-given.n // given.films))
    run = Run(Plan(bench, given.out, settings, CONDITIONS, n=given.n, jobs=given.jobs))
    made = run.missing(run.known())
    run.go(_listen, threading.Event())
    print(
        f"{made} records made in {time.monotonic() - began[0]:.0f} s, "
        f"{sum(os.times()[:4]) - began[1]:.0f} CPU-seconds, what decoded included",
        file=sys.stderr,
    )
    scores, pairs = summary(given.out), compare([given.out])
    given.page.write_text(
        "\n".join(page(scores, pairs, given.n, given.films)) + "\n", encoding="utf-8"
    )
    told = scores.model_copy(update={"run": given.out.name})
    numbers = {
        "summary": told.model_dump(mode="json", exclude=EACH),
        "pairs": [pair.model_dump(mode="json") for pair in pairs],
    }
    given.page.with_suffix(".json").write_text(json.dumps(numbers, indent=1) + "\n")
    return 0 if scores.whole else 3


def _listen(progress: Progress) -> None:
    print(f"\r{progress}   ", end="", file=sys.stderr, flush=True)


def page(scores: Summary, pairs: Sequence[Compared], n: int, films: int) -> Iterator[str]:
    """The page, a line at a time."""
    by = {c.condition: c for c in scores.conditions}
    videos, identity = by[OURS].scores.videos, scores.identity
    yield from (
        "# The paper's tables in miniature",
        "",
        f"    make paper N={n} FILMS={films}",
        "",
        f"{n} questions of `{scores.benchmark}` about {videos} films, protocol {scores.protocol}, "
        f"by the embedded models; code {identity['code']}, prompts {identity['prompts']}. Full "
        "size is `make paper N=280`. 95 % intervals in which films vary. The paper's figures "
        "(arXiv 2411.14794) are by Algorithm 1 on 1,382 questions about real videos with models of "
        "8.5 billion parameters: levels are **not** comparable; set beside each other are the rows "
        "of one column. All numbers: [paper.json](paper.json).",
        "",
    )
    yield from _table_1(by)
    yield from _differences(pairs)
    yield from _lost(by)
    yield from _table_3(by)
    yield from _table_4(by)
    yield from _table_5(by)
    for one in scores.not_measured:
        yield f"Not measured: {one.item} under `{one.condition}`: {one.why}"


def _accuracy(c: ConditionScores) -> str:
    return "-" if c.scores.micro is None else c.scores.micro.text()


def _cost(c: ConditionScores, name: str) -> str:
    one: Estimate | None = c.cost.get(name)
    return "-" if one is None else one.amount()


def _table_1(by: dict[str, ConditionScores]) -> Iterator[str]:
    tasks = {name: {t.task: t for t in by[name].scores.tasks} for name in (OURS, EVEN, BLIND)}
    yield from (
        "## Table 1: accuracy by task, % (95 %)",
        "",
        "| task | n | ours | uniform:16 | blind | paper: ours | paper: LLaVA-N-Inter |",
        "|---|---|---|---|---|---|---|",
    )
    for task, (paper, base) in TABLE_1.items():
        cells = [t[task].accuracy.text() if task in t else "-" for t in tasks.values()]
        n = tasks[OURS][task].n if task in tasks[OURS] else 0
        yield f"| {task} | {n} | {' | '.join(cells)} | {paper} | {base} |"
    whole = " | ".join(_accuracy(by[name]) for name in tasks)
    yield f"| all | {by[OURS].scores.measured} | {whole} | {AVERAGE_1[0]} | {AVERAGE_1[1]} |"
    yield ""


def _differences(pairs: Sequence[Compared]) -> Iterator[str]:
    yield from (
        "## What the differences are worth",
        "",
        "Points in pairs of questions; `shows`: what such a table would show 8 times in 10.",
        "",
        "| pair | points (95 %) | only first | only second | sign flips of films p | shows |",
        "|---|---|---|---|---|---|",
    )
    for c in pairs:
        p, shows = c.paired, c.paired.detectable
        yield (
            f"| {c.first} − {c.second} | {p.difference.text()} | {p.first_only} | {p.second_only} "
            f"| {p.p_clustered:.2g} | {'-' if shows is None else f'{100 * shows:.1f}'} |"
        )
    yield ""


def _lost(by: dict[str, ConditionScores]) -> Iterator[str]:
    """Conditions with less that did no worse than all of it."""
    micro = {name: c.scores.micro for name, c in by.items()}
    whole = micro[OURS]
    for name in (EVEN, FEW_EVEN, NO_BOXES, NO_EVIDENCE, BLIND):
        less = micro[name]
        if whole is not None and less is not None and less.value >= whole.value:
            yield f"Lost: `{name}` has {less.text()}, `{OURS}` no more than {whole.text()}."
    yield ""


def _table_3(by: dict[str, ConditionScores]) -> Iterator[str]:
    named = {OURS: "all of it", GOLD: "true evidence", NO_BOXES: "without boxes",
             NO_EVIDENCE: "without evidence"}  # fmt: skip
    yield "## Table 3: what evidence and boxes bring"
    yield from ("", "| | n | ours, % (95 %) | paper |", "|---|---|---|---|")
    for name, paper in TABLE_3.items():
        c = by[name]
        yield f"| {named[name]} (`{name}`) | {c.scores.measured} | {_accuracy(c)} | {paper} |"
    yield ""


def _table_4(by: dict[str, ConditionScores]) -> Iterator[str]:
    yield "## Table 4: which frames"
    yield from (
        "",
        "| | n | frames | ours, % (95 %) | paper: frames | paper |",
        "|---|---|---|---|---|---|",
    )
    for name, (frames, paper) in TABLE_4.items():
        c = by[name]
        yield (
            f"| `{name}` | {c.scores.measured} | {_cost(c, 'core frames')} | {_accuracy(c)} "
            f"| {frames:g} | {paper} |"
        )
    yield ""


def _table_5(by: dict[str, ConditionScores]) -> Iterator[str]:
    yield from (
        "## Table 5: the selector's frames in the place of sixteen, one reasoner",
        "",
        "TFLOPs by 2 × parameters × tokens, the vision tower apart. The paper's leave selector and "
        "captioner out; ours stand beside them with both, a first question about a film.",
        "",
        "| | n | frames | image tokens, the captioner's too | TFLOPs without looking | and its "
        "tower | TFLOPs, first question | ours, % (95 %) | paper: share of tokens | TFLOPs | % |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    )
    names = ("core frames", "image tokens", "TFLOPs without looking",
             "TFLOPs without looking, vision tower", "TFLOPs, first")  # fmt: skip
    for name, (_, share, flops, paper) in TABLE_5.items():
        c = by[name]
        cells = " | ".join(_cost(c, what) for what in names)
        yield (
            f"| `{name}` | {c.scores.measured} | {cells} | {_accuracy(c)} | {share} | {flops} "
            f"| {paper} |"
        )
    yield ""


if __name__ == "__main__":
    raise SystemExit(main())
