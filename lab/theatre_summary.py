"""Records -> numbers with intervals, and whether the project's targets are met."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.theatre_bench import Bench
from videoespresso import comparison, statistics
from videoespresso.comparison import Paired
from videoespresso.evaluation.results import Json
from videoespresso.statistics import Estimate
from videoespresso.tasks import TASKS

Records = Sequence[Json]
BASELINE = "uniform:16"


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


def write_summary(bench: Bench, folder: Path, records: Records) -> str:
    """Writes summary.json and summary.md; returns the latter."""
    by = {name: [r for r in records if r["condition"] == name] for name in _names(records)}
    found = _targets(by, _image_tokens(bench))
    summary = {
        "targets": [{**asdict(t), "verdict": t.verdict} for t in found],
        "conditions": {n: _condition(rs) for n, rs in by.items() if n not in PLAIN},
        "comparisons": {name: asdict(p) for name, p in _comparisons(by).items()},
        "tasks": {task: asdict(e) for task, e in _tasks(by.get("paper", [])).items()},
        "families": _families(by.get("paper", [])),
        "captions": _captions(by.get("captions", [])),
        "boxes": by.get("boxes", []),
        "items": _items(by),
        "image_tokens_a_frame": _image_tokens(bench),
        "settings": bench.identity,
    }
    text = _markdown(found, by, bench)
    _write(folder / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    _write(folder / "summary.md", text)
    return text


PLAIN = ("captions", "boxes")
"""Conditions that are not about questions."""


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _names(records: Records) -> list[str]:
    return list(dict.fromkeys(r["condition"] for r in records))


def _image_tokens(bench: Bench) -> int | None:
    """Tokens a frame costs the reasoner; known of the pack only."""
    if bench.context.agents["reasoner"].spec.provider != "embedded":
        return None
    from videoespresso.models.embedded.chat import runtime  # noqa: PLC0415 - onnxruntime

    return int(runtime().facts["image_tokens"])


# ---- numbers


def accuracy(records: Records) -> Estimate | None:
    """Share of right letters; failures and refusals count as wrong."""
    if not records:
        return None
    return statistics.wilson(sum(r["right"] for r in records), len(records))


def _mean(records: Records, value: Callable[[Json], float]) -> Estimate | None:
    """Over items that did not fail, videos resampled."""
    good = [r for r in records if not r.get("error")]
    if not good:
        return None
    return statistics.mean([value(r) for r in good], [r["video"] for r in good])


def _pairs(a: Records, b: Records) -> tuple[list[Json], list[Json]]:
    """The items that both have, in one order."""
    other = {r["item"]: r for r in b}
    both = [(r, other[r["item"]]) for r in a if r["item"] in other]
    return [x for x, _ in both], [y for _, y in both]


def compared(a: Records, b: Records) -> Paired | None:
    """Right answers of two conditions on the same items; the interval resamples videos."""
    first, second = _pairs(a, b)
    if not first:
        return None
    right = [[bool(r["right"]) for r in rs] for rs in (first, second)]
    return comparison.paired(right[0], right[1], [r["video"] for r in first])


def _comparisons(by: dict[str, list[Json]]) -> dict[str, Paired]:
    """`paper` against every other condition on the same items; and without what failed."""
    found = {}
    for name in by:
        if name in ("paper", "held_out", *PLAIN):
            continue
        if pair := compared(by.get("paper", []), by[name]):
            found[f"paper - {name}"] = pair
        good = [[r for r in by.get(n, []) if not r.get("error")] for n in ("paper", name)]
        failed = any(r.get("error") for n in ("paper", name) for r in by.get(n, []))
        if failed and (pair := compared(good[0], good[1])):
            found[f"paper - {name}, where neither failed"] = pair
    return found


def _share(by: dict[str, list[Json]], value: str) -> Estimate | None:
    """The frames the reasoner is shown under `paper`, as a share of those under the baseline."""
    a, b = _pairs(by.get("paper", []), by.get(BASELINE, []))
    good = [(x, y) for x, y in zip(a, b, strict=True) if not (x.get("error") or y.get("error"))]
    if not any(y[value] for _, y in good):
        return None
    return statistics.ratio(
        [x[value] for x, _ in good], [y[value] for _, y in good], [x["video"] for x, _ in good]
    )


def _boxes(by: dict[str, list[Json]], style: str) -> Estimate | None:
    for r in by.get("boxes", []):
        if r["style"] == style and r["frames"]:
            return Estimate(r["f1"], r["low"], r["high"], r["n"], "bootstrap over frames")
    return None


def _targets(by: dict[str, list[Json]], tokens: int | None) -> list[Target]:
    """The project's targets (README, "Measured"), in the README's order."""
    paper, held_out = by.get("paper", []), by.get("held_out", [])
    uniform, direct = compared(paper, by.get(BASELINE, [])), compared(paper, by.get("direct", []))
    apart = None
    if paper and held_out:
        sides = [
            statistics.proportion([float(r["right"]) for r in rs], [r["video"] for r in rs])
            for rs in (paper, held_out)
        ]
        apart = statistics.apart(sides[0], sides[1])
    cost = f"{tokens} tokens a frame; both stages and second looks" if tokens else "in frames"
    return [
        Target("Right letter, core frames", 0.80, True, accuracy(paper)),
        Target("Core frames a question", 3.0, False, _mean(paper, lambda r: r["frames"]), ""),
        Target("Right letter, blind (no frames)", 0.32, False, accuracy(by.get("blind", []))),
        Target("Core frames − uniform 16", 0.0, True, _gap(uniform), "points", _p(uniform)),
        Target("Image tokens, of uniform 16's", 0.15, False, _share(by, "shown"), note=cost),
        Target("Evidence first − direct answer", 0.0, True, _gap(direct), "points", _p(direct)),
        Target("Box F1 at IoU 0.5", 0.85, True, _boxes(by, "train")),
        Target("Drop in the held-out style", 0.10, False, apart, "points"),
    ]


def _gap(pair: Paired | None) -> Estimate | None:
    return pair.difference if pair else None


def _p(pair: Paired | None) -> str:
    if pair is None:
        return ""
    return f"{pair.first_only} against {pair.second_only} items, McNemar p = {pair.p:.2g}"


def _condition(records: Records) -> Json:
    """Everything about one condition."""
    errors = Counter(r["error"] for r in records if r.get("error"))
    numbers: dict[str, Estimate | None] = {"accuracy": accuracy(records)}
    numbers["accuracy, over videos"] = statistics.proportion(
        [float(r["right"]) for r in records], [r["video"] for r in records]
    )
    numbers["answered"] = _mean(records, lambda r: r["answered"])
    if records[0]["condition"] != "blind":
        numbers["core frames"] = _mean(records, lambda r: r["frames"])
        numbers["frames shown to the reasoner"] = _mean(records, lambda r: r["shown"])
    if any("hit" in r for r in records):
        numbers["core frames, first look"] = _mean(records, lambda r: r["first_frames"])
        numbers["second looks"] = _mean(records, lambda r: r["looks"] > 1)
        numbers["every core phase has a core frame"] = _mean(records, lambda r: r["hit"])
    return {
        **{name: asdict(e) for name, e in numbers.items() if e},
        "errors": sum(errors.values()),
        "error texts": dict(errors.most_common(5)),
        "with gaps": sum(bool(r.get("gaps")) for r in records),
        "seconds a question": round(sum(r["seconds"] for r in records) / len(records), 3),
    }


def _tasks(records: Records) -> dict[str, Estimate]:
    found: dict[str, Estimate] = {}
    for task in TASKS:
        if e := accuracy([r for r in records if r["task"] == task]):
            found[task] = e
    return found


def _families(records: Records) -> dict[str, Json]:
    found = {}
    for family in sorted({r["family"] for r in records}):
        if e := accuracy([r for r in records if r["family"] == family]):
            found[family] = asdict(e)
    return found


def _captions(records: Records) -> Json:
    """Exact captions by style: of all sampled frames, and of those shown to the captioner."""
    found = {}
    for style in dict.fromkeys(r["style"] for r in records):
        mine = [r for r in records if r["style"] == style]
        for name, exact, out_of in (("all", "exact", "frames"), ("shown", "own_exact", "own")):
            if sum(r[out_of] for r in mine):
                e = statistics.ratio([r[exact] for r in mine], [r[out_of] for r in mine])
                found[f"{style}, {name}"] = {
                    **asdict(e),
                    "interval": "bootstrap over videos",
                    "n": sum(r[out_of] for r in mine),
                    "videos": len(mine),
                }
    return found


def _items(by: dict[str, list[Json]]) -> dict[str, Json]:
    """What was asked: how many, about how many videos, which tasks and letters."""
    asked = [r for name, rs in by.items() if name not in PLAIN for r in rs]
    found = {}
    for style in dict.fromkeys(r["style"] for r in asked):
        records = list({r["item"]: r for r in asked if r["style"] == style}.values())
        found[style] = {
            "questions": len(records),
            "videos": len({r["video"] for r in records}),
            "tasks": {t: sum(r["task"] == t for r in records) for t in TASKS},
            "letters": dict(sorted(Counter("ABCD"[r["truth"]] for r in records).items())),
        }
    return found


# ---- words


def _number(value: float, unit: str) -> str:
    if unit == "%":
        return f"{100 * value:.1f} %"
    return f"{100 * value:.1f} points" if unit == "points" else f"{value:.2f}"


def _measured(e: Estimate, unit: str) -> str:
    scale, digits = (1.0, 2) if unit == "" else (100.0, 1)
    return e.text(scale=scale, digits=digits, unit=unit)


def _markdown(found: Sequence[Target], by: dict[str, list[Json]], bench: Bench) -> str:
    lines = ["| | target | measured (95 % interval) | n | |", "|---|---|---|---|---|"]
    for t in found:
        sign = "≥" if t.at_least else "≤"
        measured = _measured(t.estimate, t.unit) if t.estimate else "–"
        note = f"; {t.note}" if t.note else ""
        n = t.estimate.n if t.estimate else 0
        lines.append(
            f"| {t.name} | {sign} {_number(t.bar, t.unit)} | {measured}{note} | {n} | {t.verdict} |"
        )
    lines += ["", "| also | measured (95 % interval) | n |", "|---|---|---|"]
    for name, e in _also(by).items():
        lines.append(f"| {name} | {_measured(e, '%')} | {e.n} |")
    lines += ["", "| task | right letter | n |", "|---|---|---|"]
    for task, e in _tasks(by.get("paper", [])).items():
        lines.append(f"| {task} | {_measured(e, '%')} | {e.n} |")
    return "\n".join(lines) + "\n\n" + _settings(by, bench)


def _also(by: dict[str, list[Json]]) -> dict[str, Estimate]:
    """Numbers without a target."""
    found = {
        f"right letter, {name}": accuracy(by.get(name, []))
        for name in by
        if name not in ("paper", "blind", *PLAIN)
    }
    found["every core phase has a core frame"] = _mean(by.get("paper", []), lambda r: r["hit"])
    found["second looks"] = _mean(by.get("paper", []), lambda r: r["looks"] > 1)
    found["image tokens of uniform 16's, first look"] = _share(by, "first_frames")
    found["box F1, held-out style"] = _boxes(by, "held_out")
    for name, row in _captions(by.get("captions", [])).items():
        keep = {k: row[k] for k in ("value", "low", "high", "n", "interval")}
        found[f"captions exactly true ({name} frames)"] = Estimate(**keep)
    return {name: e for name, e in found.items() if e}


def _settings(by: dict[str, list[Json]], bench: Bench) -> str:
    """One paragraph: what the numbers depend on, and what failed."""
    s = bench.identity
    failed = {n: sum(bool(r.get("error")) for r in rs) for n, rs in by.items()}
    wrong = ", ".join(f"{k} {n}" for n, k in failed.items() if k) or "none"
    items = "; ".join(
        f"{n} style: {i['questions']} questions about {i['videos']} videos"
        for n, i in _items(by).items()
    )
    return (
        f"Test split ({items}). Reasoner {s['reasoner']} ({s['reasoner weights'] or 'no digest'}), "
        f"detector {s['detector']} ({s.get('detector weights', 'no digest')}), prompts "
        f"{s['prompts']}, {s['fps']}-{s['dynamic_fps']} frames a second, longer side "
        f"{s['max_side']} px, checker asked: {s['checker asked']}. Failed runs count as wrong "
        f"answers: {wrong}. Proportions have Wilson's intervals; paired differences Tango's, the "
        f"drop Newcombe's, means and shares Student's t or a bootstrap, all over videos; the p "
        f"values take questions as independent.\n"
    )
