"""Scores as text in the terminal; the numbers carry n and their 95 % interval."""

from collections.abc import Iterator

from videoespresso.cli.console import one_line, out, say_warning, show_table
from videoespresso.cli.eval_judge import show_judged
from videoespresso.cli.eval_run_tables import percent
from videoespresso.evaluation.scored import Scored
from videoespresso.evaluation.scores import Scores

SHOWN = 20
"""Replies that are listed where the authors' rule differs; --json has all."""
LONGEST = 60
"""Signs of a reply that are shown."""


def show_scored(result: Scored) -> None:
    """The averages, the tasks, and what the numbers depend on."""
    scores = result.scores
    out().print(f"protocol {settings_of(scores)}")
    missing = scores.items - scores.measured
    counts = f"{scores.items:,} items, {scores.measured:,} measured, {scores.videos:,} videos"
    if missing:
        counts += f", {missing:,} not measured"
    out().print(counts + "\n")
    show_table("", "n#", "Accuracy, % (95 %)#", rows=_averages(scores))
    out().print(f"* what {scores.protocol} is reported by", style="dim")
    if scores.tasks:
        out().print()
        show_table(*_task_columns(scores), rows=_tasks(scores))
    if scores.unknown_tasks:
        named = ", ".join(f"{label} ({n})" for label, n in scores.unknown_tasks.items())
        say_warning(f"none of the paper's 14 tasks, so in no row: {named}")
    _show_open(scores)
    if scores.detectable is not None:
        out().print(
            f"\nA second model on these items: a paired test shows {100 * scores.detectable:.1f} "
            "points or more (80 % power, 20 % disagreement)",
            style="dim",
        )
    _show_official(result)
    if result.judged is not None:
        show_judged(result.judged)


def settings_of(scores: Scores) -> str:
    """What the numbers depend on, in words: 'letter, unparsed counts as wrong'."""
    if scores.protocol == "letter":
        counts = "a guess" if scores.unparsed_counts == "guess" else "wrong"
        return f"letter, a reply without a letter counts as {counts}"
    return f"open (Algorithm 1), tau {scores.tau}, encoder {scores.encoder}"


def _averages(scores: Scores) -> Iterator[tuple[str, str, str]]:
    star = " *"
    letter = scores.protocol == "letter"
    rows = (
        (f"micro{star if letter else ''}", scores.micro),
        (f"macro, over tasks{'' if letter else star}", scores.macro),
        ("over all items, missing wrong", scores.over_all),
    )
    for name, estimate in rows:
        yield name, f"{estimate.n:,}" if estimate else "0", percent(estimate)


def _task_columns(scores: Scores) -> tuple[str, ...]:
    columns = ("Task", "n#", "Accuracy, % (95 %)#")
    return (*columns, "Unparsed#") if scores.protocol == "letter" else columns


def _tasks(scores: Scores) -> Iterator[tuple[str, ...]]:
    for row in scores.tasks:
        cells = (row.task, f"{row.n:,}", row.accuracy.text())
        yield (*cells, f"{row.unparsed:,}") if scores.protocol == "letter" else cells


def _show_open(scores: Scores) -> None:
    """Where the open protocol lost, accuracy against tau, and whose numbers these are like."""
    if scores.protocol != "open" or not scores.measured:
        return
    lost = {why: scores.whys.get(why, 0) for why in ("threshold", "distractor")}
    shares = {why: 100 * n / scores.measured for why, n in lost.items()}
    out().print(
        f"\nlost by the threshold {lost['threshold']:,} ({shares['threshold']:.1f} %), "
        f"by a nearer distractor {lost['distractor']:,} ({shares['distractor']:.1f} %)\n"
    )
    rows = (
        (f"{p.tau:.2f}", p.micro.text(), "-" if p.macro is None else f"{100 * p.macro:.1f}")
        for p in scores.curve
    )
    show_table("tau#", "micro, % (95 %)#", "macro, %#", rows=rows)
    if not scores.beside_paper:
        say_warning(
            f"encoder {scores.encoder}, tau {scores.tau}: the paper's are BAAI/bge-m3 and 0.8, so "
            "these numbers are not set beside the paper's"
        )


def _show_official(scored: Scored) -> None:
    """The authors' rule, and each reply that it reads otherwise."""
    if scored.official is None:
        return
    ruled = scored.official
    out().print(
        f"\nofficial: {ruled.accuracy:.2f} % of {ruled.items:,} items (the first capital A to D, "
        "missing and unparsed wrong)"
    )
    if not scored.differences:
        out().print("it reads every reply as we do")
        return
    matter = sum(d.matters for d in scored.differences)
    out().print(
        f"it reads {len(scored.differences):,} replies otherwise; of {matter:,} one of the two "
        "says right\n"
    )
    rows = (
        (d.id, d.right or "-", d.ours or "-", d.theirs or "-", one_line(d.reply)[:LONGEST])
        for d in scored.differences[:SHOWN]
    )
    show_table("Item", "Right", "Ours", "Theirs", "Reply", rows=rows)
    if len(scored.differences) > SHOWN:
        out().print(f"… and {len(scored.differences) - SHOWN:,} more: --json has them", style="dim")
