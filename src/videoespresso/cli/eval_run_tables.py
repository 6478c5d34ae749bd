"""Runs and comparisons as text in the terminal: no table is wider than 80 columns, so that numbers
stay whole; what does not fit is a table below."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from videoespresso.cli.console import one_line, out, say_warning, show_table
from videoespresso.cli.eval_judge import show_judged
from videoespresso.evaluation.first_fault import STAGES
from videoespresso.evaluation.summary import AMOUNTS, PARTS
from videoespresso.statistics import Estimate

if TYPE_CHECKING:
    from videoespresso.evaluation.ablation import Ablation, Row
    from videoespresso.evaluation.compare import Compared
    from videoespresso.evaluation.summary import ConditionScores, Summary, Unmeasured

BESIDE = 2
"""Conditions side by side, each with an interval."""
SHOWN = 5
"""Items that were not measured and are listed; --json has all."""


def percent(estimate: Estimate | None) -> str:
    """'92.9 (86.5 to 95.6)'; '-' for nothing."""
    return "-" if estimate is None else estimate.text()


def show_summary(scores: "Summary") -> None:
    """A line a condition; evidence and cost below."""
    note = f"; {scores.note}" if scores.note else ""
    out().print(f"{one_line(scores.benchmark)}, protocol {scores.protocol}{note}\n")
    columns = ("Condition", "n#", "Videos#", "Unparsed#", "Micro, % (95 %)#")
    show_table(*columns, rows=map(_row, scores.conditions))
    out().print()
    averages = ("Condition", "acc@evidence, % (95 %)#", "Macro, % (95 %)#")
    show_table(*averages, rows=map(_averages, scores.conditions))
    out().print()
    all_ = ((c.condition, percent(c.scores.over_all)) for c in scores.conditions)
    show_table("Condition", "Over all, % (95 %)#", rows=all_)
    for part, title in PARTS:
        known = [c for c in scores.conditions if getattr(c, part)]
        names = dict.fromkeys(k for c in known for k in getattr(c, part))
        for begin in range(0, len(known), BESIDE):
            some = known[begin : begin + BESIDE]
            out().print()
            show_table(
                title,
                *(f"{c.condition}#" for c in some),
                rows=((name, *_cells(some, part, name)) for name in names),
            )
    for c in scores.conditions:
        if c.judged is not None:
            out().print(f"\n{one_line(c.condition)}:")
            show_judged(c.judged)
    _show_truth(scores)
    unknown = [role for role, sizes in scores.parameters.items() if sizes is None]
    if unknown:
        text = f"TFLOPs are not known: nor are the parameters of the {', '.join(unknown)}"
        out().print(f"\n{text}", style="dim")
    if peak := max((c.peak_mb or 0.0 for c in scores.conditions), default=0.0):
        out().print(f"\npeak memory of the process {peak:,.0f} MB", style="dim")
    missing = sum(c.missing for c in scores.conditions)
    if missing:
        say_warning(f"{missing:,} records are missing: the same command asks the rest")
    _say_not_measured(scores.not_measured)
    say_detectable(scores.conditions)


def _show_truth(scores: "Summary") -> None:
    """What the oracles gain, and where wrong answers first went wrong."""
    if scores.oracle_gap:
        gaps = ((k, f"{gap.n:,}", percent(gap)) for k, gap in scores.oracle_gap.items())
        out().print()
        show_table("Gained over ours by", "n#", "Points (95 %)#", rows=gaps)
    known = [c for c in scores.conditions if c.faults]
    if known:
        out().print()
        show_table(
            "First went wrong at",
            *(f"{c.condition}#" for c in known),
            rows=((stage, *(str(c.faults[stage]) for c in known)) for stage in STAGES),
        )


def _say_not_measured(items: "Sequence[Unmeasured]") -> None:
    if items:
        say_warning(f"{len(items):,} not measured; wrong in `over all`")
    for one in items[:SHOWN]:
        say_warning(f"  {one.item} ({one.condition}): {one.why}")


def show_ablation(table: "Ablation") -> None:
    """A line a condition: accuracy, its difference to the first, and what a question took."""
    note = f"; {table.note}" if table.note else ""
    out().print(f"{one_line(table.benchmark)} over {table.over}, protocol {table.protocol}{note}\n")
    show_table(
        "Condition", "n#", "Videos#", "Accuracy, % (95 %)#", "To the first, points (95 %)#",
        "Holm p#", rows=map(_ablated, table.rows),
    )  # fmt: skip
    names = dict.fromkeys(name for row in table.rows for name in row.means)
    out().print()
    show_table(
        "A question",
        *(f"{name}#" for name in names),
        rows=(
            (r.condition, *(r.means[k].amount() if k in r.means else "-" for k in names))
            for r in table.rows
        ),
    )
    shares = dict.fromkeys(name for row in table.rows for name in row.truth)
    if shares:
        rows = ((r.condition, *(percent(r.truth.get(k)) for k in shares)) for r in table.rows)
        out().print()
        show_table("Of what was cited, % (95 %)", *(f"{name}#" for name in shares), rows=rows)
    if (follows := table.confidence) is not None:
        out().print(
            "\nrank correlation of what the checker confirms with accuracy, over conditions: "
            f"{follows.text(scale=1, digits=2)}"
        )
    if table.area is not None:
        out().print(
            f"\narea under accuracy against frames, picked − even: {table.area.text()} points"
        )
    missing = sum(row.missing for row in table.rows)
    if missing:
        say_warning(f"{missing:,} records are missing: the same command asks the rest")
    _say_not_measured(table.not_measured)


def _ablated(row: "Row") -> tuple[str, ...]:
    return (
        row.condition,
        f"{row.n:,}",
        f"{row.videos:,}",
        percent(row.accuracy),
        percent(None if row.paired is None else row.paired.difference),
        "-" if row.holm is None else f"{row.holm:.2g}",
    )


def _row(c: "ConditionScores") -> tuple[str, ...]:
    s = c.scores
    return (
        c.condition,
        f"{s.measured:,} of {s.items + c.missing:,}",
        f"{s.videos:,}",
        f"{s.whys.get('unparsed', 0):,}",
        percent(s.micro),
    )


def _averages(c: "ConditionScores") -> tuple[str, ...]:
    return c.condition, percent(c.evidence.get("acc@evidence")), percent(c.scores.macro)


def _cells(conditions: "Sequence[ConditionScores]", part: str, name: str) -> Iterator[str]:
    for c in conditions:
        estimate: Estimate | None = getattr(c, part).get(name)
        if estimate is None:
            yield "-"
        else:
            yield estimate.amount() if part in AMOUNTS else estimate.text()


def say_detectable(conditions: "Sequence[ConditionScores]") -> None:
    """What a table of this size can show at all."""
    least = max((c.scores.detectable or 0.0 for c in conditions), default=0.0)
    if least:
        out().print(
            f"\na paired comparison of so many items shows {100 * least:.1f} points or more "
            "(80 % power, 20 % disagreement, items as independent)",
            style="dim",
        )


def show_compared(pairs: "Sequence[Compared]") -> None:
    """A line a comparison, then the tasks of each."""
    rows = [_compared(c) for c in pairs]
    show_table("First − second", "n#", "Videos#", "Points (95 %)#", rows=(r[:4] for r in rows))
    out().print()
    show_table(
        "First − second", "Only 1st#", "Only 2nd#", "McNemar p#", "Flips p#", "Shows#",
        rows=((r[0], *r[4:]) for r in rows),
    )  # fmt: skip
    for c in pairs:
        if c.macro is not None:
            out().print(
                f"{one_line(c.first)} − {one_line(c.second)}, macro: {c.macro.difference.text()} "
                f"points, p = {c.macro.p:.2g}"
            )
        if c.equivalence is not None:
            e = c.equivalence
            out().print(
                f"no worse by {100 * e.margin:.1f} points: p = {e.p_not_worse:.2g}; the same "
                f"within them: p = {e.p:.2g}"
            )
        if c.allowed:
            say_warning(f"{c.first} and {c.second} also differ in {', '.join(c.allowed)}")
        if c.left_out:
            say_warning(f"{c.left_out} items were not measured in both, and are left out")
        if len(c.tasks) > 1:
            out().print()
            show_table("Task", "n#", "Points (95 %)#", "Holm p#", rows=_tasks(c))


def _compared(c: "Compared") -> tuple[str, ...]:
    p = c.paired
    shows = "-" if p.detectable is None else f"{100 * p.detectable:.1f}"
    return (
        f"{c.first} − {c.second}", f"{c.n:,}", f"{c.videos:,}", percent(p.difference),
        f"{p.first_only}", f"{p.second_only}", f"{p.p:.2g}", f"{p.p_clustered:.2g}", shows,
    )  # fmt: skip


def _tasks(c: "Compared") -> Iterator[tuple[str, ...]]:
    for t in c.tasks:
        yield t.task, str(t.n), percent(t.paired.difference), f"{t.holm:.2g}"
