"""`eval score --judge`: what a judge will take, what it said, and what it is worth."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from videoespresso.cli.console import err, one_line, out, say_warning, show_table, write_json
from videoespresso.report.text import money
from videoespresso.statistics import Estimate

if TYPE_CHECKING:
    from videoespresso.evaluation.judging import Judged, JudgeForecast, Sees
    from videoespresso.evaluation.reply_files import Replied
    from videoespresso.evaluation.scores import Scores


def ask_judge(
    replied: "Replied",
    scores: "Scores",
    spec: str,
    sees: "Sees",
    max_usd: float | None,
    *,
    dry_run: bool,
) -> "Judged | None":
    """Says what it will take, then asks; None for a dry run, whose forecast goes to stdout."""
    from videoespresso.evaluation import judging
    from videoespresso.settings import Settings

    agent = judging.open_judge(spec, Settings.load(), max_usd=max_usd)
    shown = judging.answered(replied.bench.items, replied.replies)
    forecast = judging.forecast(shown, agent.spec, sees)
    if dry_run:
        write_json(forecast)
        return None
    _say(forecast)
    letters = scores.verdicts if scores.protocol == "letter" else ()
    with err().status("judging"):
        return judging.judge(shown, agent, sees=sees, letters=letters)


def _say(forecast: "JudgeForecast") -> None:
    usd = "at a price nobody knows" if forecast.usd is None else f"about {money(forecast.usd)}"
    err().print(
        one_line(
            f"judge {forecast.judge}: {forecast.calls:,} calls, {forecast.input_tokens:,} tokens "
            f"in, {forecast.output_tokens:,} out, {usd}; what is cached is free"
        ),
        style="dim",
    )


def show_judged(judged: "Judged") -> None:
    """The means, and beside them what the judge is worth."""
    named = one_line(f"{judged.judge} {judged.snapshot}".strip())
    out().print(
        f"\njudge {named}, temperature {judged.temperature:g}, sees {judged.sees}, "
        f"prompt {judged.prompt[:12]}"
    )
    out().print(
        f"{judged.n:,} answers in both orders, {judged.rated:,} rated; {judged.cannot_tell:,} "
        f"replies cannot tell, {judged.unreadable:,} cannot be read\n"
    )
    rows = ((name, f"{e.n:,}", _text(e)) for name, e in judged.ratings.items())
    show_table("1 to 10", "n#", "Mean (95 %)#", rows=rows)
    out().print()
    show_table("The judge itself", "n#", "(95 %)#", rows=_worth(judged))
    if judged.agreement is None:
        say_warning(
            "without --protocol letter nothing says whether the judge knows right from wrong"
        )


def _worth(judged: "Judged") -> Iterator[tuple[str, str, str]]:
    for name, estimate in (
        ("Krippendorff's alpha between the orders", judged.alpha),
        ("verdicts that turn with the order", judged.turned),
        ("rank correlation with length", judged.length),
        ("agreement with the letters", judged.agreement),
    ):
        yield name, f"{estimate.n:,}" if estimate else "0", _text(estimate)


def _text(estimate: Estimate | None) -> str:
    return "-" if estimate is None else estimate.text(scale=1, digits=2)
