"""`videoespresso synthetic`: videos of the small theatre, and question sets about them."""

import typer

from videoespresso.cli.console import examples

app = typer.Typer(
    name="synthetic",
    help="The small theatre: rendered videos with exact truth, and questions about them.",
    no_args_is_help=True,
    epilog=examples("synthetic render --seed 7 out/", "synthetic build --split test --n 1000 out/"),
)
