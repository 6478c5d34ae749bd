"""`videoespresso eval`: what replies are worth, under a protocol that every number names."""

import typer

from videoespresso.cli import eval_score
from videoespresso.cli.console import examples

app = typer.Typer(
    name="eval",
    help="Score replies to a benchmark, with intervals: by letter, or by the paper's Algorithm 1.",
    no_args_is_help=True,
    epilog=examples(
        "eval score outputs.json",
        "eval score outputs.json --official",
        "eval score replies.jsonl --items bench_hard.json --protocol open",
    ),
)
eval_score.add_to(app)
