"""A run's records -> numbers: accuracy by its protocol, what its evidence is worth, its cost."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videoespresso import evidence_scores as evidence
from videoespresso import statistics
from videoespresso.dataset_record import DatasetItem, SourceVideo
from videoespresso.errors import UserError
from videoespresso.evaluation import conditions, efficiency, evidence_summary, protocols, results
from videoespresso.evaluation.efficiency import Parameters
from videoespresso.evaluation.evidence_summary import Scored
from videoespresso.evaluation.first_fault import Stage, faults
from videoespresso.evaluation.judging import Judged
from videoespresso.evaluation.scores import Scores
from videoespresso.evidence_scores import Placed
from videoespresso.memory.captions import Embedder
from videoespresso.statistics import Estimate
from videoespresso.tasks import TASKS
from videoespresso.types import Record

Json = dict[str, Any]
PARTS = (
    ("evidence", "Evidence, % (95 %)"),
    ("checker", "The checker, % (95 %)"),
    ("refusals", "Refusals, % (95 %)"),
    ("groups", "Fours of linked questions, % (95 %)"),
    ("cost", "What a question takes"),
    ("stages", "Seconds of a question in each node"),
)
"""Tables of a report: a field of ConditionScores, and its title."""
AMOUNTS = ("cost", "stages")
"""Those that are no shares."""
JUDGED = "judged.json"
"""Beside a run's records: what a judge said of its answers."""
WITHIN_S = 1.0
"""How far a cited instant may lie from a true one, where a benchmark knows instants only."""
SPAN_S = 0.5
"""What was cited is a stretch from this much before the first instant to as much after the last:
our evidence cites instants, and CG-Bench asks for a stretch."""


@dataclass(frozen=True)
class Series:
    """The records of one condition of a run, in the order of its items. missing: items without a
    record yet. unanswerable: those of items that nothing answers; the keys of `about` have none."""

    run: Path
    condition: str
    about: Json
    records: tuple[Json, ...]
    missing: int
    unanswerable: tuple[Json, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.run.name}:{self.condition}"


class Unmeasured(Record):
    """An item that was not measured, and why."""

    item: str
    condition: str
    why: str


class ConditionScores(Record):
    """One condition. missing: items that were not asked yet; with any, `over_all` of the scores is
    None. judged: what a judge said of its answers, if one was asked. evidence: shares of 0 to 1
    against what is true, empty where nothing is known or nothing was cited. checker: how far what
    it confirms is right; groups: fours of linked questions; refusals: where nothing answers, and
    where the film does; faults: wrong answers by the first stage that went wrong, empty where
    nobody can tell. cost: means a question; `first` is the first question on a video, `later` one
    on a video that was seen before. stages: seconds a question in each node of the graph. peak_mb:
    the most memory of the process until then, which conditions before it may have taken."""

    condition: str
    scores: Scores
    missing: int
    judged: Judged | None
    evidence: dict[str, Estimate]
    checker: dict[str, Estimate]
    refusals: dict[str, Estimate]
    groups: dict[str, Estimate]
    faults: dict[Stage, int]
    cost: dict[str, Estimate]
    stages: dict[str, Estimate]
    peak_mb: float | None


class Summary(Record):
    """A run. identity: all that its numbers depend on. parameters: of each role's model, None
    where they are not known, and then TFLOPs are not. oracle_gap: what accuracy gains over `ours`
    by what is true, paired."""

    run: str
    benchmark: str
    note: str
    protocol: str
    identity: dict[str, str]
    parameters: dict[str, Parameters | None]
    conditions: tuple[ConditionScores, ...]
    oracle_gap: dict[str, Estimate]
    not_measured: tuple[Unmeasured, ...]

    @property
    def whole(self) -> bool:
        """Whether every item was measured under every condition."""
        return not self.not_measured and all(not c.missing for c in self.conditions)


def series(run: Path) -> list[Series]:
    """The conditions of a run's folder; records of other code or models are not among them.
    Raises UserError for what is no run."""
    try:
        about = json.loads((run / "run.json").read_text(encoding="utf-8"))
        keys = dict(about["keys"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{run} is no folder of a run", hint="videoespresso eval run BENCH --out RUN makes one."
        ) from error
    records = results.read(run / "records.jsonl")
    none = {*about.get("unanswerable", ())}
    answerable = {c: {i: k for i, k in mine.items() if i not in none} for c, mine in keys.items()}
    return [
        Series(
            run,
            condition,
            about | {"keys": answerable},
            tuple(records[key] for key in answerable[condition].values() if key in records),
            sum(key not in records for key in mine.values()),
            tuple(records[k] for i, k in mine.items() if i in none and k in records),
        )
        for condition, mine in keys.items()
    ]


def parameters(about: Json) -> dict[str, Parameters | None]:
    """Of each role's model, as the run found them."""
    sizes: dict[str, Json | None] = about.get("parameters", {})
    return {role: None if p is None else Parameters.model_validate(p) for role, p in sizes.items()}


def scored(one: Series, encoder: Embedder | None = None, tau: float = protocols.TAU) -> Scores:
    """The protocol's verdicts of a condition. encoder: for `open`."""
    items = [item_of(record) for record in one.records]
    replies = [reply_of(record) for record in one.records]
    if one.about["protocol"] == "letter":
        return protocols.letter(items, replies)
    if one.about["protocol"] == "judge":
        if (judged := judged_of(one)) is None:
            raise UserError(
                f"{one.name} was not judged, or answers changed since",
                hint="The command of the run with --judge SPEC asks the judge.",
            )
        ratings = {o.id: o.ratings["overall"] for o in judged.opinions if o.ratings}
        return protocols.by_judge(items, replies, ratings, judged.judge)
    if encoder is None:
        raise UserError(f"{one.name} is open-ended", hint="Give an encoder: --encoder wordllama.")
    return protocols.open_ended(items, replies, encoder=encoder, tau=tau)


def judged_of(one: Series) -> Judged | None:
    """What a judge said of the answers as they stand; None where none was asked of these."""
    try:
        kept = json.loads((one.run / JUDGED).read_text(encoding="utf-8"))[one.condition]
        return Judged.model_validate(kept["judged"]) if kept["of"] == _answers(one) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep_judged(found: Sequence[tuple[Series, Judged]]) -> None:
    """Writes what a judge said beside the run's records. Raises UserError where it cannot be."""
    file = found[0][0].run / JUDGED
    kept = {
        one.condition: {"of": _answers(one), "judged": judged.model_dump(mode="json")}
        for one, judged in found
    }
    try:
        results.write(file, json.dumps(kept, ensure_ascii=False) + "\n")
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror}") from error


def _answers(one: Series) -> str:
    text = json.dumps([[r["key"], r.get("reply")] for r in one.records])
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def item_of(record: Json) -> DatasetItem:
    """The item that a record is about."""
    task = next((task for task in TASKS if task == record["task"]), None)
    return DatasetItem(
        id=record["item"],
        video=SourceVideo(path=record["video"]),
        task=task,
        question=record["question"],
        answer=record["answer"],
        options=tuple(record["options"]),
        letter=record["letter"],
        extra={} if task else {"task": record["task"]},
    )


def reply_of(record: Json) -> str | None:
    """What is scored; None where it was not measured."""
    if "error" in record:
        return None
    reply: str = record["reply"]
    return f"({record['said']}) {reply}" if record.get("said") else reply


def summary(run: Path, encoder: Embedder | None = None, tau: float = protocols.TAU) -> Summary:
    """Everything about a run. Raises UserError for what is none."""
    every = series(run)
    about = every[0].about
    scores = {one.condition: scored(one, encoder, tau) for one in every}
    good = {one.condition: _measured(one, scores[one.condition]) for one in every}
    return Summary(
        run=str(run),
        benchmark=about["benchmark"],
        note=about["note"],
        protocol=about["protocol"],
        identity=about["identity"],
        parameters=parameters(about),
        conditions=tuple(_condition(one, scores[one.condition], good) for one in every),
        oracle_gap=evidence_summary.oracle_gap(good),
        not_measured=tuple(
            Unmeasured(item=r["item"], condition=one.condition, why=r["error"])
            for one in every
            for r in (*one.records, *one.unanswerable)
            if "error" in r
        ),
    )


def _measured(one: Series, scores: Scores) -> list[tuple[Json, float]]:
    """The records that were measured, each with its credit."""
    pairs = zip(one.records, scores.verdicts, strict=True)
    return [(record, v.credit) for record, v in pairs if v.credit is not None]


def _condition(one: Series, scores: Scores, by: Mapping[str, Scored]) -> ConditionScores:
    good = by[one.condition]
    return ConditionScores(
        condition=one.condition,
        # of items that were not asked, nobody knows whether they are right
        scores=scores.model_copy(update={"over_all": None}) if one.missing else scores,
        missing=one.missing,
        judged=judged_of(one),
        evidence=evidence_means(one.condition, good)
        | evidence_summary.necessity(one.condition, by),
        checker=evidence_summary.checker(good),
        refusals=evidence_summary.refusals(one.unanswerable, good),
        groups=evidence_summary.groups(good),
        faults=faults(r for r, credit in good if credit < 1),
        cost=efficiency.costs([r for r, _ in good], parameters(one.about)),
        stages=efficiency.stages([r for r, _ in good]),
        peak_mb=efficiency.peak_of(one.records),
    )


# ---- evidence

Numbers = dict[str, float]


def evidence_of(record: Json, right: bool) -> Numbers:
    """The numbers of one record against its truth; none where nothing is true of it."""
    truth, numbers = record["truth"], Numbers()
    cited = [step["time_s"] for step in record["steps"]]
    spans = [tuple(span) for span in truth["intervals"]]
    instants = truth["instants"]
    if spans or instants:
        hit = evidence.inside(cited, spans) if spans else evidence.frames(cited, instants, WITHIN_S)
        numbers["temporal hit rate"] = float(hit.recall > 0)
        numbers["cited instants that are true"] = hit.precision
        numbers["true parts that are cited"] = hit.recall
        around = spans or [(t - WITHIN_S, t + WITHIN_S) for t in instants]
        mine, true = _boxes(record)
        numbers["acc@evidence"] = float(
            evidence.right_with_evidence(right, cited, around, mine, true)
        )
        if true:
            numbers["mean best box IoU"] = evidence.boxes(mine, true, 0.05)
            numbers["box F1"] = evidence.boxes_found(mine, true, 0.05).f1
    if spans:
        stretch = [(min(cited) - SPAN_S, max(cited) + SPAN_S)] if cited else []
        iou = evidence.temporal_iou(stretch, spans)
        numbers |= {"temporal IoU": iou, "acc@IoU": evidence.acc_at_iou(right, iou)}
    if truth["scenes"]:
        picked = evidence.selection(record["picked_s"], truth["scenes"])
        numbers |= {"key-frame rate": picked.kfr, "scene hit rate": picked.shr}
        numbers |= {"balanced scene recall": picked.bsr, "balance of scenes": picked.bds}
    return numbers


def _boxes(record: Json) -> tuple[list[Placed], list[Placed]]:
    """Cited boxes, and the true ones at the cited instants."""
    mine = [Placed(s["time_s"], tuple(b)) for s in record["steps"] for b in s["boxes"]]
    true = [Placed(t, tuple(corners)) for t, corners in record["truth"]["boxes"] or ()]
    return mine, list(dict.fromkeys(true))


def evidence_means(condition: str, good: Sequence[tuple[Json, float]]) -> dict[str, Estimate]:
    """Means over the items; a true answer of a reasoner that was shown nothing cites nothing."""
    if condition in conditions.UNCITED:
        return {}
    scored = [(r["video"], evidence_of(r, credit == 1.0), credit) for r, credit in good]
    rows = [(video, row) for video, row, _ in scored]
    names = dict.fromkeys(name for _, row in rows for name in row)
    means = {}
    for name in names:
        mine = [(row[name], video) for video, row in rows if name in row]
        means[name] = statistics.proportion([v for v, _ in mine], [w for _, w in mine])
    return means | evidence_summary.chain(scored) | evidence_summary.entailment(good)
