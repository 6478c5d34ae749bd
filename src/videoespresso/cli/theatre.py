"""`videoespresso theatre`: videos of the small theatre, and question sets about them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from videoespresso.cli.console import err, examples, out
from videoespresso.report.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

app = typer.Typer(
    name="theatre",
    help="The small theatre: rendered videos with exact truth, and questions about them.",
    no_args_is_help=True,
    epilog=examples("theatre render --seed 7 out/", "theatre build --split test --n 1000 out/"),
)

FolderArgument = Annotated[Path, typer.Argument(help="Where it is written.", show_default=False)]
StyleOption = Annotated[
    Literal["train", "held_out", "winter"],
    typer.Option(
        help="How it is drawn; held_out and winter have colours and noise no model was trained on, "
        "and winter may be taught."
    ),
]


@app.command("render", epilog=examples("theatre render --seed 7 out/"))
def render(
    folder: FolderArgument,
    seed: Annotated[int, typer.Option(min=0, help="The story; the same seed, the same bytes.")] = 0,
    style: StyleOption = "train",
) -> None:
    """Draw one story: seed-N.mp4 and, with everything that is true about it, seed-N.json."""
    from videoespresso.theatre.film import film, frame_count, truth, write_json
    from videoespresso.theatre.stories import make_story

    story = make_story(seed, style)
    video, facts = folder / f"seed-{seed}.mp4", folder / f"seed-{seed}.json"
    with _bar("frames", frame_count(story)) as (progress, task):
        film(story, video, lambda: progress.advance(task))
    write_json(truth(story), facts)
    out().print(printable(f"{video}\n{facts}"))


@app.command(
    "build",
    epilog=examples(
        "theatre build --split test --n 1000 out/",
        "theatre build --split test --n 200 --style held_out out/",
        "theatre build --split train --n 2000 --style winter --records out/",
    ),
)
def build(
    folder: FolderArgument,
    n: Annotated[int, typer.Option(min=1, help="How many questions.")] = 1000,
    split: Annotated[Literal["train", "validation", "test"], typer.Option()] = "test",
    style: StyleOption = "train",
    records: Annotated[
        bool,
        typer.Option(
            "--records",
            help="Records of a dataset, with gold evidence and boxes, for `train`; no films.",
        ),
    ] = False,
) -> None:
    """Make a question set: questions.jsonl, videos and truth. Interrupted, it goes on."""
    from videoespresso.theatre.sets import FILE, build_records
    from videoespresso.theatre.sets import build as build_set

    make, made = (build_records, FILE) if records else (build_set, "questions.jsonl")
    with _bar("questions", n) as (progress, task):
        for ready in make(n, split, folder, style):
            progress.update(task, completed=ready)
    out().print(printable(str(folder / made)))


@contextmanager
def _bar(what: str, total: int) -> "Iterator[tuple[Progress, TaskID]]":
    """A progress bar on stderr; a pipe gets its last state only."""
    from rich.progress import Progress

    with Progress(console=err()) as progress:
        yield progress, progress.add_task(what, total=total)
