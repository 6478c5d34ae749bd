"""One thing changed at a time: the conditions of an axis, and the table of a run over them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from videoespresso import comparison, statistics
from videoespresso.comparison import Paired
from videoespresso.errors import UserError
from videoespresso.evaluation import efficiency, protocols
from videoespresso.evaluation.agreement import spearman
from videoespresso.evaluation.compare import compared, rights
from videoespresso.evaluation.conditions import DIRECT, GOLD_SENTENCES, OURS
from videoespresso.evaluation.scores import Scores
from videoespresso.evaluation.stress import STAGED, STRENGTHS, strength, strengths
from videoespresso.evaluation.summary import (
    Json,
    Series,
    Unmeasured,
    evidence_means,
    parameters,
    scored,
    series,
)
from videoespresso.memory.captions import Embedder
from videoespresso.statistics import Estimate
from videoespresso.types import Record

Axis = Literal["filter", "selector", "evidence", "boxes", "checker", "budget"]
BUDGETS = (1, 2, 4, 8, 16)
"""Core frames, in doublings."""
PICKED, EVEN = "captions+mmr", "uniform"
"""Picked by the captions' similarity to the question, against even distances."""
AXES: dict[Axis, tuple[str, ...]] = {
    "filter": (OURS, *(f"{OURS}@tau={k / 10:g}" for k in range(5, 11)), f"{OURS}@tau=off"),
    "selector": (OURS, "paper", "retrieval", f"{PICKED}:3", "uniform:3", "keyframes", "all"),
    "evidence": (OURS, GOLD_SENTENCES, DIRECT),
    "boxes": (OURS, f"{OURS}@boxes=off"),
    "checker": (OURS, f"{OURS}@checker=off"),
    "budget": (OURS, *(f"{name}:{k}" for name in (PICKED, EVEN) for k in BUDGETS)),
}
"""Conditions by axis; the first is what the others are compared with."""

_MEANS: dict[str, Callable[[Json], float | None]] = {
    "frames kept": lambda r: r.get("kept"),
    "checked": lambda r: None if r.get("checked") is None else float(r["checked"]),
}
CITED = ("sentences true at their instant", "acc@evidence")
_COSTS = ("core frames", "captions paid", "model calls", "seconds", "dollars", "TFLOPs")


def stressed(kinds: Sequence[str]) -> tuple[str, ...]:
    """The conditions of a stress, the films as they are first. `blur` is all strengths, `blur=3`
    one. Raises UserError for a kind or a strength that is none."""
    asked = [kind.partition("=") for kind in kinds]
    if unknown := [kind for kind, *_ in asked if not strengths(kind)]:
        known = ", ".join((*STRENGTHS, *STAGED))
        raise UserError(f"no stress {unknown[0]!r}", hint=f"Known: {known}.")
    every = [
        f"{OURS}@{kind}={k}"
        for kind, given, one in asked
        for k in ([strength(kind, one)] if given else range(1, strengths(kind) + 1))
    ]
    return OURS, *dict.fromkeys(every)


class Row(Record):
    """One condition. accuracy: what the protocol reports. paired: this condition minus the first;
    holm: its p by sign flips of whole videos, corrected for the number of conditions. truth: shares
    of what was cited, where that is known (CITED). means: a question; what the cache had is among
    calls and TFLOPs, and took no seconds and no dollars."""

    condition: str
    n: int
    missing: int
    videos: int
    accuracy: Estimate | None
    paired: Paired | None
    holm: float | None
    truth: dict[str, Estimate]
    means: dict[str, Estimate]


class Ablation(Record):
    """A table. area: area under accuracy against core frames, picked frames minus even ones, in
    pairs of questions; only of the axis `budget`. confidence: Spearman's correlation, over the
    conditions, of the share that the checker confirms with accuracy: 1 where its confidence falls
    as accuracy does."""

    run: str
    benchmark: str
    note: str
    protocol: str
    over: str
    identity: dict[str, str]
    rows: tuple[Row, ...]
    area: Estimate | None
    confidence: Estimate | None
    not_measured: tuple[Unmeasured, ...]

    @property
    def whole(self) -> bool:
        """Whether every item was measured under every condition."""
        return not self.not_measured and not any(row.missing for row in self.rows)


def ablation(
    run: Path,
    over: str,
    conditions: Sequence[str],
    encoder: Embedder | None = None,
    tau: float = protocols.TAU,
) -> Ablation:
    """The table of a run; the first of the conditions is what the others are compared with. Raises
    UserError for what is no run."""
    by = {one.condition: one for one in series(run)}
    mine = [by[name] for name in conditions]
    scores = {one.condition: scored(one, encoder, tau) for one in mine}
    right = {one.condition: rights(one, scores[one.condition]) for one in mine}
    first, about = mine[0], mine[0].about
    pairs = {
        one.condition: compared(one, first, encoder=encoder, tau=tau).paired
        for one in mine[1:]
        if right[one.condition].keys() & right[first.condition].keys()
    }
    holm = comparison.holm({name: pair.p_clustered for name, pair in pairs.items()})
    rows = tuple(
        _row(one, scores[name], right[name], pairs.get(name), holm.get(name))
        for name, one in zip(conditions, mine, strict=True)
    )
    return Ablation(
        run=str(run),
        benchmark=about["benchmark"],
        note=about["note"],
        protocol=about["protocol"],
        over=over,
        identity=about["identity"],
        rows=rows,
        area=_area(mine, right),
        confidence=_confidence(rows),
        not_measured=tuple(
            Unmeasured(item=r["item"], condition=one.condition, why=r["error"])
            for one in mine
            for r in one.records
            if "error" in r
        ),
    )


def _row(
    one: Series,
    scores: Scores,
    right: dict[str, bool],
    paired: Paired | None,
    holm: float | None,
) -> Row:
    good = [r for r in one.records if r["item"] in right]
    videos = [r["video"] for r in good]
    truth = evidence_means(one.condition, [(r, float(right[r["item"]])) for r in good])
    costs = efficiency.costs(good, parameters(one.about))
    means = {name: costs[name] for name in _COSTS if name in costs}
    for name, value in _MEANS.items():
        known = [v for r in good if (v := value(r)) is not None]
        if known and len(known) == len(good):
            means[name] = statistics.amounts(known, videos)
    return Row(
        condition=one.condition,
        n=len(good),
        missing=one.missing,
        videos=len({*videos}),
        accuracy=scores.headline,
        paired=paired,
        holm=holm,
        truth={name: truth[name] for name in CITED if name in truth},
        means=means,
    )


def _confidence(rows: Sequence[Row]) -> Estimate | None:
    """Over the conditions of which both are known."""
    both = [
        (row.accuracy.value, row.means["checked"].value)
        for row in rows
        if row.accuracy is not None and "checked" in row.means
    ]
    return spearman(*map(list, zip(*both, strict=True))) if both else None


def _area(mine: Sequence[Series], right: dict[str, dict[str, bool]]) -> Estimate | None:
    """Over the questions measured at every number of frames; None where these were not asked."""
    curves = [[f"{name}:{k}" for k in BUDGETS] for name in (PICKED, EVEN)]
    if any(name not in right for curve in curves for name in curve):
        return None
    of = {r["item"]: r["video"] for r in mine[0].records}
    items = [i for i in of if all(i in right[name] for curve in curves for name in curve)]
    if not items:
        return None
    picked, even = ([[float(right[n][i]) for n in curve] for i in items] for curve in curves)
    return comparison.area_difference(BUDGETS, picked, even, [of[i] for i in items])
