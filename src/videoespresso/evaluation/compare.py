"""Two conditions, or two runs, on the same items: paired, and only where nothing else differs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from videoespresso import comparison
from videoespresso.comparison import Equivalence, MacroPaired, Paired
from videoespresso.errors import UserError
from videoespresso.evaluation import protocols
from videoespresso.evaluation.conditions import OURS, variant
from videoespresso.evaluation.judging import Judged
from videoespresso.evaluation.scores import Scores
from videoespresso.evaluation.summary import Json, Series, judged_of, scored, series
from videoespresso.memory.captions import Embedder
from videoespresso.settings import CHAT_ROLES
from videoespresso.types import Record

MODELS = "models"
CONDITION = "condition"
_NAMES = {
    "fps": "frames", "dynamic_fps": "frames", "max_frames": "frames", "tau": "frames",
    "select": CONDITION, "max_side": "pixels", "prompts": "prompts", "protocol": "protocol",
    "code": "code", "detector": "detector", "embedder": "embedder", "tools": "tools",
}  # fmt: skip
"""Key of a run's identity -> what it is called; roles and their weights are `models`."""


class TaskDifference(Record):
    """One task. p: sign flips of whole videos; holm: corrected for the number of tasks."""

    task: str
    n: int
    paired: Paired
    holm: float


class Compared(Record):
    """First minus second. n: items measured under both; left_out: those that were not. allowed:
    what else differs, by the user's leave."""

    first: str
    second: str
    protocol: str
    n: int
    left_out: int
    videos: int
    paired: Paired
    macro: MacroPaired | None
    tasks: tuple[TaskDifference, ...]
    equivalence: Equivalence | None = None
    allowed: tuple[str, ...] = ()


def compare(
    runs: Sequence[Path],
    *,
    allow: Sequence[str] = (),
    margin: float | None = None,
    encoder: Embedder | None = None,
    tau: float = protocols.TAU,
) -> list[Compared]:
    """The first run against the others, condition by condition; of one run its first condition
    against the others. margin: also test whether the first is no worse by as much (a share).

    Raises UserError where runs differ in something else than what is compared, and for nothing to
    compare.
    """
    return [
        compared(one, two, allow=allow, margin=margin, encoder=encoder, tau=tau)
        for one, two in pairs(runs)
    ]


def pairs(runs: Sequence[Path]) -> list[tuple[Series, Series]]:
    """Who is set against whom. Raises UserError for nobody."""
    every = [series(run) for run in runs]
    first = every[0]
    if len(every) == 1:
        chosen = [(first[0], other) for other in first[1:]]
    else:
        chosen = [
            (one, other)
            for others in every[1:]
            for other in others
            for one in first
            if one.condition == other.condition
        ]
        if not chosen and all(len(conditions) == 1 for conditions in every):
            chosen = [(first[0], others[0]) for others in every[1:]]
    if not chosen:
        raise UserError(
            "there is nothing to compare: one condition, or none that the runs have in common",
            hint="Give a run of several conditions, or runs of the same.",
        )
    return chosen


def differences(one: Series, other: Series) -> list[str]:
    """What two series differ in, by name."""
    names: dict[str, None] = {}
    a, b = one.about["identity"], other.about["identity"]
    for key in dict.fromkeys([*a, *b]):
        if key == "select" and OURS not in (
            variant(one.condition).base,
            variant(other.condition).base,
        ):
            continue  # only `ours` asks the settings
        if a.get(key) != b.get(key):
            role = key.partition(" ")[0]
            names[MODELS if role in CHAT_ROLES else _NAMES.get(key, key)] = None
    if one.about["benchmark"] != other.about["benchmark"]:
        names["benchmark"] = None
    if one.condition != other.condition:
        names[CONDITION] = None
    judges = {_judge(judged) for judged in map(judged_of, (one, other)) if judged is not None}
    if len(judges) > 1:
        names["judge"] = None
    if _items(one) != _items(other):
        names["items"] = None
    return list(names)


def _judge(judged: Judged) -> tuple[str, ...]:
    return judged.judge, judged.snapshot, judged.prompt, judged.sees


def _items(one: Series) -> Mapping[str, Any]:
    items: set[str] = set(one.about["keys"][one.condition])
    texts = {r["item"]: (r["question"], tuple(r["options"]), r["letter"]) for r in one.records}
    return (
        {item: texts.get(item) for item in sorted(items)}
        if len(texts) == len(items)
        else {item: None for item in sorted(items)}
    )


def _check(one: Series, other: Series, allow: Sequence[str]) -> tuple[str, ...]:
    """What else differs and is allowed. Raises UserError for what is not."""
    names = differences(one, other)
    compared = next((name for name in (CONDITION, MODELS) if name in names), None)
    if one.run == other.run or compared is None:
        compared = CONDITION if compared is None else compared
    rest = [name for name in names if name != compared]
    refused = [name for name in rest if name not in allow]
    if "protocol" in rest:
        raise UserError(
            f"{one.name} is by {one.about['protocol']}, {other.name} by {other.about['protocol']}: "
            "numbers of two protocols are never set beside each other",
            hint="Repeat one of the runs with the other's --protocol.",
        )
    if refused:
        raise UserError(
            f"{one.name} and {other.name} differ in {', '.join(refused)}, not only in what is "
            f"compared ({compared})",
            hint=f"Repeat one of the runs, or: {' '.join(f'--allow {name}' for name in refused)}",
        )
    return tuple(rest)


def compared(
    one: Series,
    other: Series,
    *,
    allow: Sequence[str] = (),
    margin: float | None = None,
    encoder: Embedder | None = None,
    tau: float = protocols.TAU,
) -> Compared:
    """One pair, as `compare`. Raises UserError where it does, and for no item measured in both."""
    allowed = _check(one, other, allow)
    mine = rights(one, scored(one, encoder, tau))
    theirs = rights(other, scored(other, encoder, tau))
    both = [r for r in one.records if r["item"] in mine and r["item"] in theirs]
    if not both:
        raise UserError(f"no item was measured in both of {one.name} and {other.name}")
    videos = [r["video"] for r in both]
    first, second = ([side[r["item"]] for r in both] for side in (mine, theirs))
    tasks = [r["task"] for r in both]
    items = {*one.about["keys"][one.condition], *other.about["keys"][other.condition]}
    return Compared(
        first=one.condition if one.run == other.run else one.name,
        second=other.condition if one.run == other.run else other.name,
        protocol=one.about["protocol"],
        n=len(both),
        left_out=len(items) - len(both),
        videos=len({*videos}),
        paired=comparison.paired(first, second, videos),
        macro=comparison.macro_paired(first, second, tasks, videos) if len({*tasks}) > 1 else None,
        tasks=_tasks(tasks, first, second, videos),
        equivalence=comparison.equivalence(first, second, margin, videos) if margin else None,
        allowed=allowed,
    )


def rights(one: Series, scores: Scores) -> dict[str, bool]:
    """Item -> whether it was right, of those measured."""
    return {
        record["item"]: verdict.credit == 1.0
        for record, verdict in zip(one.records, scores.verdicts, strict=True)
        if verdict.credit is not None
    }


def _tasks(
    tasks: Sequence[str], first: Sequence[bool], second: Sequence[bool], videos: Sequence[str]
) -> tuple[TaskDifference, ...]:
    pairs: dict[str, Paired] = {}
    for task in dict.fromkeys(tasks):
        at = [k for k, name in enumerate(tasks) if name == task]
        pairs[task] = comparison.paired(
            [first[k] for k in at], [second[k] for k in at], [videos[k] for k in at]
        )
    corrected = comparison.holm({task: pair.p_clustered for task, pair in pairs.items()})
    return tuple(
        TaskDifference(task=task, n=pair.difference.n, paired=pair, holm=corrected[task])
        for task, pair in pairs.items()
    )


__all__ = ["Compared", "Json", "compare", "differences", "pairs"]
