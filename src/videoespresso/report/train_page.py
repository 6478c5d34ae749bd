"""A page about a training run: its curves from the log, its values, what it came to."""

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from videoespresso.report import charts
from videoespresso.report.parts import template, write_text

FILE: Final = "report.html"
Table = tuple[str, Sequence[tuple[str, str, str]]]
"""A heading, and rows of name, value and note."""

LOSSES: Final = {"loss": "while learning", "eval_loss": "validation"}
SCORES: Final = {
    "eval_score": "score",
    "eval_unparsable": "unreadable replies",
    "mean_token_accuracy": "right tokens",
    "rewards/accuracies": "pairs the right way round",
    "frac_reward_zero_std": "groups that earn the same",
}
"""What a log's lines hold, 0 to 1, and what it is called here."""


def write(
    out: Path,
    title: str,
    summary: Sequence[str],
    log: Sequence[Mapping[str, Any]],
    tables: Sequence[Table],
) -> None:
    """Writes the page into a run's folder, whole or not at all. log: the lines of `log.jsonl`.
    Raises UserError where it cannot be written."""
    page = template("train_page.html").render(
        title=title,
        summary=list(summary),
        charts=[chart for chart in _charts(log) if chart is not None],
        tables=list(tables),
        version=version("videoespresso"),
    )
    write_text(page, out / FILE, flag="--out")


def _charts(log: Sequence[Mapping[str, Any]]) -> list[charts.Curves | None]:
    means = sorted({key for line in log for key in line if re.fullmatch(r"rewards/.+/mean", key)})
    names = {key: key.split("/")[1] for key in means}
    return [
        charts.curves("Loss", "by step", _series(log, LOSSES)),
        charts.curves("Scores", "by step, 0 to 1", _series(log, SCORES)),
        charts.curves("Rewards", "by step, means", _series(log, {**names, "reward": "sum"})),
        charts.curves("Learning rate", "by step", _series(log, {"learning_rate": "rate"})),
    ]


def _series(
    log: Sequence[Mapping[str, Any]], names: Mapping[str, str]
) -> list[tuple[str, list[tuple[float, float]]]]:
    return [
        (name, [(line["step"], line[key]) for line in log if line.get(key) is not None])
        for key, name in names.items()
    ]
