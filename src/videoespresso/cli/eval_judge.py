"""`eval judge`, and `eval score --judge`: what a judge takes, what it said, what it is worth."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from videoespresso.cli.console import (
    Exit,
    err,
    examples,
    one_line,
    out,
    show_table,
    write_json,
)
from videoespresso.errors import UserError
from videoespresso.report.text import money

if TYPE_CHECKING:
    from videoespresso.evaluation.judged_runs import JudgedPairs
    from videoespresso.evaluation.judging import Judged, JudgeForecast, Sees
    from videoespresso.evaluation.planted_answers import JudgeWorth
    from videoespresso.evaluation.reply_files import Replied
    from videoespresso.evaluation.scores import Scores
    from videoespresso.statistics import Estimate

SeesOption = Annotated[
    Literal["frames", "evidence", "nothing"],
    typer.Option(help="What the judge gets of the video: core frames, true sentences, or nothing."),
]
JudgeOption = Annotated[
    str | None,
    typer.Option(metavar="SPEC", help="A language model that rates the answers; it costs money."),
]
MaxUsdOption = Annotated[
    float | None, typer.Option(min=0, help="The judge may cost no more dollars.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Say what the judge would take, and ask nothing.")
]


def add_to(app: typer.Typer) -> None:
    """Registers the command."""
    app.command(
        "judge",
        epilog=examples(
            "eval judge openai:gpt-4o --dry-run",
            "eval judge openai:gpt-4o --max-usd 2 --out judge.json",
            codes=True,
        ),
    )(judge_the_judge)


def judge_the_judge(
    spec: Annotated[
        str, typer.Argument(metavar="SPEC", help="The judge: a model.", show_default=False)
    ],
    n: Annotated[int, typer.Option("--n", min=5, help="Planted answers.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Which ones.")] = 0,
    judge_sees: SeesOption = "nothing",
    max_usd: MaxUsdOption = None,
    dry_run: DryRunOption = False,
    target: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write it here, as JSON.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
) -> None:
    """Judge a judge: answers about written stories, right or wrong in a known way. Exit code 3: it
    could tell of none."""
    from videoespresso.dataset import records_io
    from videoespresso.evaluation import judging, planted_answers
    from videoespresso.settings import Settings

    if judge_sees == "frames":
        raise UserError("written stories have no frames", hint="--judge-sees evidence, or nothing.")
    agent = judging.open_judge(spec, Settings.load(), max_usd=max_usd)
    planted = planted_answers.planted_answers(n, seed)
    shown = [(one.item, one.reply) for one in planted]
    forecast = judging.forecast(shown, agent.spec, judge_sees)
    if dry_run:
        write_json(forecast)
        return
    say_forecast(forecast)
    with err().status("judging"):
        worth = planted_answers.worth(planted, judging.judge(shown, agent, sees=judge_sees))
    if target is not None:
        with records_io.writing(target, replace=force) as file:
            file.write(records_io.dump(worth.model_dump(mode="json"), indent=2) + b"\n")
    write_json(worth) if as_json else _show_worth(worth)
    if not worth.judged.rated:
        raise typer.Exit(Exit.NOT_ANSWERED)


def _show_worth(worth: "JudgeWorth") -> None:
    show_judged(worth.judged)
    rows = (
        (kind, f"{n:,}", f"{worth.rated.get(kind, 0):,}", _text(worth.means.get(kind)))
        for kind, n in worth.planted.items()
    )
    out().print()
    show_table("Planted", "n#", "rated#", "Overall, 1 to 10 (95 %)#", rows=rows)
    out().print(
        f"\nAUC, right above wrong: {_text(worth.auc)}; 1 is a judge, 0.5 is noise "
        "(true and padded answers are right)"
    )


def refuse_costs(judge: str | None, *, costs: bool) -> None:
    """Raises UserError for limits of a judge that nobody named."""
    if judge is None and costs:
        raise UserError("nothing here costs anything", hint="--max-usd, --dry-run are for --judge.")


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
    pictures = judging.pictures_of(Path(replied.bench.source))
    forecast = judging.forecast(shown, agent.spec, sees, pictures)
    if dry_run:
        write_json(forecast)
        return None
    say_forecast(forecast)
    letters = scores.verdicts if scores.protocol == "letter" else ()
    with err().status("judging"):
        return judging.judge(shown, agent, sees=sees, letters=letters, pictures=pictures)


def ask_pairs(
    runs: "Sequence[Path]", spec: str, sees: "Sees", max_usd: float | None, *, dry_run: bool
) -> "list[JudgedPairs]":
    """Says what judging the runs' pairs will take, then asks; of a dry run the forecast goes to
    stdout, and nothing is asked."""
    from videoespresso.agents import judge as role
    from videoespresso.evaluation import judged_runs, judging
    from videoespresso.evaluation.compare import pairs
    from videoespresso.memory.frames import FrameStore
    from videoespresso.settings import Settings

    settings = Settings.load()
    agent = judging.open_judge(spec, settings, max_usd=max_usd)
    store, every = FrameStore(settings.cache_dir / "frames"), pairs(runs)
    asked = (turns for pair in every for turns in judged_runs.asked(*pair, sees, store))
    forecast = judging.forecast_of(asked, role.pair_prompt(), agent.spec)
    if dry_run:
        write_json(forecast)
        return []
    say_forecast(forecast)
    with err().status("judging"):
        return [judged_runs.judge_pairs(*pair, agent, sees, store) for pair in every]


def show_pairs(pairs: "JudgedPairs") -> None:
    """Which answers are better, and beside it what the judge is worth."""
    _show_judge(pairs)
    out().print(
        f"{pairs.n:,} pairs in both orders, {pairs.rated:,} rated, {pairs.ties:,} ties; "
        f"{pairs.cannot_tell:,} replies cannot tell, {pairs.unreadable:,} cannot be read\n"
    )
    if (p := pairs.paired) is not None:
        rows = [(f"{pairs.first} − {pairs.second}", str(p.first_only), str(p.second_only),
                 p.difference.text(), f"{p.p_clustered:.2g}")]  # fmt: skip
        show_table("Better answers", "1st#", "2nd#", "Points (95 %)#", "Flips p#", rows=rows)
        out().print()
    show_table("The judge itself", "n#", "(95 %)#", rows=_worth(pairs))


def say_forecast(forecast: "JudgeForecast") -> None:
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
    _show_judge(judged)
    out().print(
        f"{judged.n:,} answers in both orders, {judged.rated:,} rated; {judged.cannot_tell:,} "
        f"replies cannot tell, {judged.unreadable:,} cannot be read\n"
    )
    rows = ((name, f"{e.n:,}", _text(e)) for name, e in judged.ratings.items())
    show_table("1 to 10", "n#", "Mean (95 %)#", rows=rows)
    out().print()
    show_table("The judge itself", "n#", "(95 %)#", rows=_worth(judged))


def _show_judge(judged: "Judged | JudgedPairs") -> None:
    named = one_line(f"{judged.judge} {judged.snapshot}".strip())
    heat = "its own" if judged.temperature is None else f"{judged.temperature:g}"
    out().print(
        f"\njudge {named}, temperature {heat}, sees {judged.sees}, prompt {judged.prompt[:12]}"
    )


def _worth(judged: "Judged | JudgedPairs") -> Iterator[tuple[str, str, str]]:
    for name, estimate in (
        ("Krippendorff's alpha between the orders", judged.alpha),
        ("verdicts that turn with the order", judged.turned),
        ("rank correlation with length", judged.length),
        ("agreement with the letters", judged.agreement),
    ):
        yield name, f"{estimate.n:,}" if estimate else "0", _text(estimate)


def _text(estimate: "Estimate | None") -> str:
    return "-" if estimate is None else estimate.text(scale=1, digits=2)
