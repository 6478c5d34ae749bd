"""What `train` prints: the live line, the recipe, and what came of it."""

from typing import TYPE_CHECKING

from videoespresso.cli.console import CountBar, err, one_line, out, say_warning, show_table

if TYPE_CHECKING:
    from videoespresso.training.forecast import Plan
    from videoespresso.training.recipes import Line
    from videoespresso.training.run import Prepared, Progress, Trained

LINES = 100
"""Of a run, at most, where they are not on a terminal."""


class Bar(CountBar):
    """Steps, loss, score, rate and what is left; on a pipe LINES lines."""

    def show(self, progress: "Progress") -> None:
        """The state of the run."""
        if progress.stopping:
            self.stopping("finishing this step, then it is kept; Ctrl-C again leaves at once")
        if progress.loss is not None or err().is_terminal:
            every = max(1, progress.steps // LINES)
            self.update(progress.step, progress.steps, about_of(progress), every=every)


def about_of(progress: "Progress") -> str:
    """ "loss 1.234, score 0.500, 2.1 rows/s, 812 tokens/s, 2:10 left"."""
    parts = [f"{progress.rows_s:.1f} rows/s", f"{progress.tokens_s:.0f} tokens/s"]
    if progress.score is not None:
        parts.insert(0, f"score {progress.score:.3f}")
    for name, (mean, spread) in progress.rewards.items():
        if mean is not None:
            parts.insert(0, f"{name} {mean:.2f} ± {spread or 0:.2f}")
    if progress.loss is not None:
        parts.insert(0, f"loss {progress.loss:.3f}")
    if progress.eta_s is not None and progress.step < progress.steps:
        parts.append(f"{_clock(progress.eta_s)} left")
    return ", ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def show_start(prepared: "Prepared", *, quiet: bool) -> None:
    if quiet:
        return
    for line in _recipe(prepared.lines):
        err().print(line, style="dim")
    err().print(
        f"{prepared.rows} rows to learn from, {prepared.validation} for validation "
        f"({one_line(prepared.split)}), {prepared.steps} steps",
        style="dim",
    )
    if prepared.sources:
        err().print(f"pairs: {_counts(prepared.sources)}", style="dim")


def _counts(sources: "dict[str, int]") -> str:
    return ", ".join(f"{n} {name}" for name, n in sources.items())


def _recipe(lines: "tuple[Line, ...]") -> list[str]:
    """The values, those that the paper does not say marked with a star."""
    width = max(len(line.name) for line in lines)
    shown = [
        f"{' ' if line.in_paper else '*'} {line.name:<{width}}  {line.value:<8} {line.source}"
        for line in lines
    ]
    return [*shown, "* not said by the paper"]


def show(done: "Trained") -> None:
    from videoespresso.training.card import interval

    for why, n in done.left_out.items():
        say_warning(f"{n} records left out: {why}")
    if done.dropped:
        say_warning(f"{done.dropped} rows were too long and are left out")
    if done.equal:
        say_warning(f"{done.equal} of {done.groups} groups of replies earned the same: nothing is "
                    "learned from these")  # fmt: skip
    if done.leaked:
        say_warning(f"{len(done.leaked)} rows are of videos that another part has, too: "
                    + ", ".join(done.leaked[:5]))  # fmt: skip
    out().print(f"hf:{one_line(done.out)}")
    loss = "" if done.loss is None else f", last loss {done.loss:.4f}"
    out().print(f"{done.steps} steps, {done.rows} rows{loss}, {done.seconds:.0f} s", style="dim")
    if done.score is None:
        out().print("no validation records: nothing is known of its answers", style="dim")
    else:
        out().print(
            f"{done.measure}: {done.score:.3f} ({interval(done.model_dump())}; "
            f"n={done.n}) at step {done.best_step}, which is kept; "
            f"unparsable {done.unparsable:.1%}",
            style="dim",
        )


def show_plan(plan: "Plan") -> None:
    for why, n in plan.left_out.items():
        say_warning(f"{n} records left out: {why}")
    if plan.too_long:
        say_warning(
            f"{plan.too_long} rows are longer than the limit: `train` refuses them, or leaves "
            "them out with --too-long drop"
        )
    rows = [
        *([("pairs", _counts(plan.sources))] if plan.sources else []),
        ("rows", f"{plan.rows}, and {plan.validation} for validation ({plan.split})"),
        ("tokens", f"{plan.tokens:,}, of which {plan.learned:,} are learned"),
        ("a picture", f"{plan.image_tokens:.0f} tokens"),
        ("longest", ", ".join(f"{x.id}: {x.tokens}" for x in plan.longest)),
        ("steps", str(plan.steps)),
        ("parameters", f"{plan.parameters:,}"
         + (f", {plan.taught:,} are taught" if plan.taught else "")),
        ("device", f"{plan.device}, {plan.free / 1e9:.1f} GB free"),
    ]  # fmt: skip
    if plan.memory is not None:
        rows.append(("memory", f"{plan.memory / 1e9:.2f} GB, measured on the longest rows"))
    if plan.learn_s is not None:
        rows.append(("time", f"{_clock(plan.learn_s)}, and {_clock(plan.validate_s or 0)} for "
                     "validations, from a few rows"))  # fmt: skip
    show_table("", "", rows=rows)
    for line in _recipe(plan.lines):
        out().print(line, style="dim")
