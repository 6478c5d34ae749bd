"""`videoespresso eval score`: somebody's replies, scored; only a judge is a model that is asked."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from videoespresso.cli.console import Exit, err, examples, one_line, say_warning, write_json
from videoespresso.cli.eval_judge import (
    DryRunOption,
    JudgeOption,
    MaxUsdOption,
    SeesOption,
    refuse_costs,
)
from videoespresso.errors import UserError

if TYPE_CHECKING:
    from videoespresso.evaluation.scored import Scored

EPILOG = examples(
    "eval score outputs.json                             # the authors' file, with model_output",
    "eval score outputs.json --official                  # their rule beside ours",
    "eval score replies.jsonl --items bench_hard.json    # lines of id and reply",
    "eval score answers.jsonl --items bench_hard.json    # what ask-many wrote",
    "eval score outputs.json --protocol open --encoder hf:BAAI/bge-m3",
    "eval score answers.jsonl --items bench_hard.json --to official --out outputs.json",
    "eval score outputs.json --judge openai:gpt-4o --max-usd 5",
    codes=True,
)

ItemsOption = Annotated[
    Path | None,
    typer.Option(
        "--items",
        metavar="BENCH",
        help="The benchmark, where FILE has ids and replies only: the authors' file, or a dataset.",
    ),
]
ProtocolOption = Annotated[
    Literal["letter", "open"],
    typer.Option(help="letter: which option it chooses; open: the paper's Algorithm 1."),
]
UnparsedOption = Annotated[
    Literal["wrong", "guess"],
    typer.Option(help="What a reply without a letter counts: 0, or 1 of the number of options."),
]
TauOption = Annotated[
    float, typer.Option(min=0, max=1, help="open: the similarity that must be exceeded.")
]
EncoderOption = Annotated[
    str,
    typer.Option(
        metavar="SPEC",
        help="open: wordllama (offline), hf:BAAI/bge-m3 (the paper's), openai:MODEL.",
    ),
]


def score(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="The replies, JSON or JSON lines.", show_default=False),
    ],
    items: ItemsOption = None,
    protocol: ProtocolOption = "letter",
    official: Annotated[
        bool,
        typer.Option("--official", help="The authors' rule, too, and where it reads otherwise."),
    ] = False,
    unparsed: UnparsedOption = "wrong",
    tau: TauOption = 0.8,
    encoder: EncoderOption = "wordllama",
    judge: JudgeOption = None,
    judge_sees: SeesOption = "nothing",
    max_usd: MaxUsdOption = None,
    dry_run: DryRunOption = False,
    to: Annotated[
        Literal["scores", "official"],
        typer.Option(help="What --out gets: the scores, or the items with `model_output`."),
    ] = "scores",
    target: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write it here.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The scores as JSON on stdout.")] = False,
) -> None:
    """Score somebody's replies; only --judge asks a model. Exit code 3: items were not measured."""
    from videoespresso.cli.eval_judge import ask_judge
    from videoespresso.cli.eval_tables import show_scored
    from videoespresso.evaluation.reply_files import read_replies
    from videoespresso.evaluation.scored import official_records, scored, write_official
    from videoespresso.models.paid_embedder import within_limits

    _check(file, items, protocol, judge, to, target, costs=max_usd is not None or dry_run)
    embed = within_limits(encoder) if protocol == "open" else None
    replied = read_replies(file, items)
    scores = scored(
        replied, protocol=protocol, official=official, unparsed=unparsed, tau=tau, encoder=embed
    )
    if judge is not None:
        judged = ask_judge(replied, scores.scores, judge, judge_sees, max_usd, dry_run=dry_run)
        if judged is None:
            return
        scores = scores.model_copy(update={"judged": judged})
    if target is not None and to == "official":
        write_official(official_records(replied, scores.scores.verdicts), target, replace=force)
    elif target is not None:
        _write(scores, target, force)
    if as_json:
        write_json(scores)
    else:
        show_scored(scores)
        if target is not None:
            err().print(one_line(str(target)), style="dim")
    _warn(scores)
    if not scores.whole:
        raise typer.Exit(Exit.NOT_ANSWERED)


def _check(
    file: Path,
    items: Path | None,
    protocol: str,
    judge: str | None,
    to: str,
    target: Path | None,
    *,
    costs: bool,
) -> None:
    """Raises UserError for options that do not go together, before anything is read."""
    from videoespresso.dataset.records_io import refuse_own

    if to == "official" and (protocol != "letter" or target is None):
        raise UserError("--to official is a file of letters", hint="Give --out, --protocol letter.")
    for source in (file, items):
        if target is not None and source is not None:
            refuse_own(source, target)
    refuse_costs(judge, costs=costs)


def _write(scores: "Scored", target: Path, force: bool) -> None:
    from videoespresso.dataset import records_io

    with records_io.writing(target, replace=force) as file:
        file.write(records_io.dump(scores.model_dump(mode="json"), indent=2) + b"\n")


def _warn(scores: "Scored") -> None:
    """What was not measured, on stderr."""
    missing = scores.scores.items - scores.scores.measured
    for count, what in (
        (missing, "items have no reply: not measured, and wrong over all items"),
        (scores.strangers, "replies are to nothing in the benchmark"),
        (scores.not_text, "replies are no text and count as missing"),
        (scores.repeated, "items stand there before, and count each time"),
    ):
        if count:
            say_warning(f"{count:,} {what}")
    for left in scores.left_out:
        say_warning(
            f"{left.count} records are no items: {left.criterion}; the first: {left.first}, "
            f"{left.reason}"
        )
