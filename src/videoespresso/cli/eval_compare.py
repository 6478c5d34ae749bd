"""`videoespresso eval compare | report`: runs set against each other, and as a page."""

from pathlib import Path
from typing import Annotated

import typer

from videoespresso.cli.console import err, examples, one_line, write_json
from videoespresso.cli.eval_judge import (
    DryRunOption,
    JudgeOption,
    MaxUsdOption,
    SeesOption,
    refuse_costs,
)
from videoespresso.cli.eval_run import EncoderOption, TauOption
from videoespresso.errors import UserError
from videoespresso.types import Record

Runs = Annotated[
    list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.", show_default=False)
]
COMPARE = (
    "eval compare runs/theatre                         # its first condition against the others",
    "eval compare runs/a runs/b                        # two models on the same items",
    "eval compare runs/a runs/b --allow pixels         # the table says so",
    "eval compare runs/a runs/b --judge openai:gpt-4o --max-usd 5",
    "eval compare runs/a runs/b --margin 2             # is a no worse than b by 2 points?",
)
REPORT = ("eval report runs/theatre", "eval report runs/a runs/b --html page.html")


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    app.command("compare", epilog=examples(*COMPARE, codes=True))(compare)
    app.command("report", epilog=examples(*REPORT, codes=True))(report)


class Reports(Record):
    """What `report --json` gives."""

    runs: tuple[object, ...]


class Comparisons(Record):
    """What `compare --json` gives."""

    comparisons: tuple[object, ...]
    judged: tuple[object, ...] = ()


def compare(
    runs: Runs,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="What else may differ: pixels, prompts, code, ..."),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(min=0.01, max=99, help="Points: also test `no worse by so much`."),
    ] = None,
    encoder: EncoderOption = "wordllama",
    tau: TauOption = 0.8,
    judge: JudgeOption = None,
    judge_sees: SeesOption = "nothing",
    max_usd: MaxUsdOption = None,
    dry_run: DryRunOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="All numbers as JSON on stdout.")] = False,
) -> None:
    """Compare runs in pairs of items; refused where they differ in more than what is compared.

    --judge: a language model also says which of two answers is better, in both orders."""
    from pydantic import TypeAdapter

    from videoespresso.api.evaluate import compare as comparing
    from videoespresso.cli.eval_judge import ask_pairs, show_pairs
    from videoespresso.cli.eval_run_tables import show_compared
    from videoespresso.evaluation.compare import Compared

    share = None if margin is None else margin / 100
    refuse_costs(judge, costs=max_usd is not None or dry_run)
    pairs = comparing(*runs, allow=allow or (), margin=share, encoder=encoder, tau=tau)
    judged = ask_pairs(runs, judge, judge_sees, max_usd, dry_run=dry_run) if judge else []
    if dry_run:
        return
    if as_json:
        dumped = TypeAdapter(list[Compared]).dump_python(pairs, mode="json")
        write_json(Comparisons(comparisons=tuple(dumped), judged=tuple(judged)))
    else:
        show_compared(pairs)
        for opinions in judged:
            show_pairs(opinions)


def report(
    runs: Runs,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page.")
    ] = None,
    encoder: EncoderOption = "wordllama",
    tau: TauOption = 0.8,
    force: Annotated[bool, typer.Option("--force", help="Replace a page that exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="All numbers as JSON on stdout.")] = False,
) -> None:
    """Show runs: accuracy, evidence, cost; as a page also bars by task and a gallery of errors."""
    from videoespresso.api.evaluate import encoder_of
    from videoespresso.cli.eval_run_tables import show_summary
    from videoespresso.evaluation.page import EvidencePages, write_page
    from videoespresso.evaluation.summary import series, summary
    from videoespresso.memory.frames import FrameStore
    from videoespresso.settings import Settings

    if html is not None and html.exists() and not force:
        raise UserError(f"{html} exists", hint="Give another name, or --force.")
    embed = encoder_of(series(runs[0])[0].about["protocol"], encoder)
    summaries = [summary(run, embed, tau) for run in runs]
    if html is not None:
        store = FrameStore(Settings.load().cache_dir / "frames")
        write_page(summaries, html, embed, EvidencePages(html, store.image))
        err().print(one_line(str(html)), style="dim")
    if as_json:
        write_json(Reports(runs=tuple(summaries)))
        return
    for one in summaries if html is None else ():
        show_summary(one)
