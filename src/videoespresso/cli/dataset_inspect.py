"""`videoespresso dataset stats|validate|show|split|check`: look at a dataset, and divide it."""

import tempfile
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videoespresso.cli.console import Exit, err, examples, out, say_warning, write_json
from videoespresso.errors import UserError
from videoespresso.report.text import printable

if TYPE_CHECKING:
    from videoespresso.dataset_record import DatasetItem

ID_LENGTH = 16
"""Digits of a record's id: fewer, and it is a number."""


class Together(StrEnum):
    """split.TOGETHER, written out, as that module loads numpy; a test holds them equal."""

    STEM = "stem"
    IMAGES = "images"
    QUESTIONS = "questions"


class Kind(StrEnum):
    """overlap.KINDS, likewise."""

    VIDEO = "video"
    STEM = "stem"
    IMAGE = "image"
    QUESTION = "question"


FolderArgument = Annotated[
    Path, typer.Argument(help="The dataset's folder.", show_default=False, metavar="DIR")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON record on stdout.")]


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    app.command("stats", epilog=examples("dataset stats my-set --html stats.html"))(stats)
    app.command("validate", epilog=examples("dataset validate my-set --videos videos/"))(validate)
    app.command("show", epilog=examples("dataset show my-set 1 --open"))(show)
    app.command(
        "split",
        epilog=examples(
            "dataset split my-set --out parts",
            "dataset split my-set --out parts --together stem --together images --stratify",
        ),
    )(split)
    app.command(
        "check", epilog=examples("dataset check parts", "dataset check train test --ignore stem")
    )(check)


def stats(
    folder: FolderArgument,
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write one page with plots, all inside it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Count tasks, lengths, core frames, key items, sources, rejects, cost; beside the paper's.

    And what guessers get who see no video: options should not give the answer away.
    """
    from videoespresso.cli.dataset_tables import show_stats
    from videoespresso.dataset.inspect.stats import dataset_stats

    if html is not None:
        from videoespresso.dataset.records_io import PAGE, refuse_own
        from videoespresso.report.parts import check_target

        check_target(html)
        refuse_own(folder, html, spare={PAGE})
    figures = dataset_stats(folder)
    if not figures.records:
        say_warning(f"{folder} has no records")
    if html is not None:
        from videoespresso.report.dataset_page import write_page

        write_page(folder, html, stats=figures)
        err().print(printable(f"page: {html}"), style="dim")
    if as_json:
        write_json(figures)
    else:
        show_stats(figures)


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
    """Check records, images, boxes, instants, options, rejects. Exit code 1 when one is wrong."""
    from videoespresso.cli.dataset_tables import show_validation
    from videoespresso.dataset.inspect.validate import validate as find

    report = find(folder, videos=videos, images=images, longest=longest)
    if as_json:
        write_json(report)
    else:
        show_validation(report)
    if not report.ok:
        raise typer.Exit(Exit.UNEXPECTED)


def show(
    folder: FolderArgument,
    which: Annotated[
        str, typer.Argument(help="Number from 1, or id.", show_default=False, metavar="N|ID")
    ],
    html: Annotated[
        Path | None, typer.Option("--html", help="Write its evidence page here.")
    ] = None,
    open_it: Annotated[
        bool, typer.Option("--open", help="Open its evidence page in a browser.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a record: question, options, evidence, core frames with boxes, who made each part."""
    from videoespresso.cli.dataset_tables import show_item
    from videoespresso.dataset.records_io import records_file, refuse_own

    if html is not None:
        refuse_own(folder, html)
    item = pick(folder, which)
    if as_json:
        write_json(item)
    else:
        show_item(item)
    if html is None and not open_it:
        return
    from videoespresso.report.record_page import write

    if html is None:
        html = Path(tempfile.mkdtemp(prefix="videoespresso-")) / "record.html"
    write(item, records_file(folder).parent, html)
    err().print(printable(f"page: {html}"), style="dim")
    if open_it:
        typer.launch(html.resolve().as_uri())


def pick(folder: Path, which: str) -> "DatasetItem":
    """A record by its number from 1, or by its id. Raises UserError where there is none such."""
    from videoespresso.dataset.records_io import read_items, records_file

    number = int(which) if which.isdecimal() and len(which) < ID_LENGTH else 0
    count = 0
    for count, item in enumerate(read_items(folder), 1):
        if count == number or item.id == which:
            return item
    raise UserError(
        f"no record {which} in {folder}, which has {count:,}",
        hint=f"Give a number from 1, or the `id` that a line of {records_file(folder)} has.",
    )


def split(
    folder: FolderArgument,
    target: Annotated[
        Path, typer.Option("--out", help="Gets a dataset for each part.", show_default=False)
    ],
    ratios: Annotated[
        str, typer.Option(help="Parts of the videos, by name.")
    ] = "train=0.9,validation=0.05,test=0.05",
    seed: Annotated[int, typer.Option(help="Another seed, another division.")] = 7,
    together: Annotated[
        list[Together] | None,
        typer.Option(
            help="Keep videos on one side that share a file name (stem), a core frame (images) or "
            "a near-duplicate question (questions). May be repeated."
        ),
    ] = None,
    stratify: Annotated[
        bool,
        typer.Option(
            "--stratify", help="Fill up the tasks a part lacks. New videos may then move old ones."
        ),
    ] = False,
    like: Annotated[
        Path | None, typer.Option(help="An earlier split: its videos stay where they were.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the parts in --out, remove others.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Divide a dataset by video: by a hash of its content, so new videos do not move old ones."""
    from videoespresso.cli.dataset_tables import show_split
    from videoespresso.dataset.inspect.split import TOGETHER, parse_ratios
    from videoespresso.dataset.inspect.split import split as divide

    chosen = [what for what in TOGETHER if what in (together or [])]
    done = divide(
        folder, target, parse_ratios(ratios), seed=seed, together=chosen, stratify=stratify,
        like=like, replace=force,
    )  # fmt: skip
    if as_json:
        write_json(done)
    else:
        show_split(done)
        out().print(printable(f"\n{target}"), style="dim")


def check(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Datasets that must share nothing, or the folder of a split. One dataset alone: "
            "near-duplicate questions in it.",
            show_default=False,
            metavar="DIR [OTHER]...",
        ),
    ],
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Cosine from which two texts say the same.")
    ] = 0.9,
    encoder: Annotated[
        str, typer.Option("--embedder", help="wordllama, openai:MODEL or hf:PATH_OR_ID.")
    ] = "wordllama",
    ignore: Annotated[
        list[Kind] | None,
        typer.Option(help="Do not look for this kind of leak. May be repeated."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find what splits share: videos, frames, questions. Exit code 1 when there is something."""
    from videoespresso.cli.dataset_tables import show_duplicates, show_leakage
    from videoespresso.dataset import records_io
    from videoespresso.dataset.inspect.overlap import KINDS, duplicates, leakage
    from videoespresso.dataset.inspect.split import parts
    from videoespresso.models.paid_embedder import within_limits

    if len(folders) == 1 and folders[0].is_dir() and (names := parts(folders[0])):
        folders = [folders[0] / name for name in names]
    _different(folders)
    readers = {str(folder): partial(records_io.read_items, folder) for folder in folders}
    if len(readers) == 1:
        (read,) = readers.values()
        repeated = duplicates(read, within_limits(encoder), threshold)
        ok = not repeated.same_video
        write_json(repeated) if as_json else show_duplicates(repeated)
    else:
        wanted = [kind for kind in KINDS if kind not in (ignore or [])]
        shared = leakage(readers, within_limits(encoder), threshold=threshold, kinds=wanted)
        ok = shared.ok
        write_json(shared) if as_json else show_leakage(shared)
    if not ok:
        raise typer.Exit(Exit.UNEXPECTED)


def _different(folders: list[Path]) -> None:
    """Raises UserError for a dataset that is named twice: it would be compared with nothing."""
    from videoespresso.dataset.records_io import records_file

    known: dict[Path, Path] = {}
    for folder in folders:
        place = records_file(folder).resolve()
        if place in known:
            raise UserError(
                f"{known[place]} and {folder} are the same dataset",
                hint="Name each once; one alone is looked through for near-duplicate questions.",
            )
        known[place] = folder
