"""`videoespresso dataset`: videos in, questions with evidence out, and what is done with them."""

import typer

from videoespresso.cli import dataset_build, dataset_convert, dataset_inspect
from videoespresso.cli.console import examples

app = typer.Typer(
    name="dataset",
    help="Datasets of questions with core frames and evidence: build, look, check, split, convert.",
    no_args_is_help=True,
    epilog=examples(
        "dataset build examples/videos --out demo-dataset",
        "dataset show demo-dataset 1",
        "dataset convert bench_hard.json --out test-set",
        "dataset export my-dataset --to trl --out my-dataset-trl",
    ),
)
app.command("build", epilog=dataset_build.EPILOG)(dataset_build.build)
dataset_convert.add_to(app)
dataset_inspect.add_to(app)
