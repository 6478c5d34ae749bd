"""`videoespresso dataset stats|validate|show|split|check`: look at a dataset, and divide it."""

from pathlib import Path
from typing import Annotated

import typer

from videoespresso.cli.console import Exit, err, examples, write_json
from videoespresso.report.text import printable

FolderArgument = Annotated[
    Path, typer.Argument(help="The dataset's folder.", show_default=False, metavar="DIR")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON record on stdout.")]


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    app.command("stats", epilog=examples("dataset stats my-set --html stats.html"))(stats)
    app.command("validate", epilog=examples("dataset validate my-set --videos videos/"))(validate)


def stats(
    folder: FolderArgument,
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write one page with plots, all inside it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Count tasks, lengths, core frames, key items, sources, rejects, cost; beside the paper's."""
    from videoespresso.cli.dataset_tables import show_stats
    from videoespresso.dataset.files import read_items, read_rejects
    from videoespresso.dataset.stats import gather

    if html is not None:
        from videoespresso.report.parts import check_target

        check_target(html)
    found = gather(read_items(folder), read_rejects(folder))
    if html is not None:
        from videoespresso.report.dataset_page import write_page

        write_page(folder, html, stats=found)
        err().print(printable(f"page: {html}"), style="dim")
    if as_json:
        write_json(found)
    else:
        show_stats(found)


def validate(
    folder: FolderArgument,
    videos: Annotated[
        Path | None, typer.Option(help="Root of the source videos: check that they are the same.")
    ] = None,
    images: Annotated[
        bool, typer.Option("--images/--no-images", help="Open each core frame's image.")
    ] = True,
    longest: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Share of records whose right option may be the longest by far."
        ),
    ] = 0.2,
    as_json: JsonOption = False,
) -> None:
    """Check records, images, boxes, instants, options. Exit code 1 when something is wrong."""
    from videoespresso.cli.dataset_tables import show_validation
    from videoespresso.dataset.validate import validate as find

    found = find(folder, videos=videos, images=images, longest=longest)
    if as_json:
        write_json(found)
    else:
        show_validation(found)
    if not found.ok:
        raise typer.Exit(Exit.UNEXPECTED)
