"""`videoespresso dataset convert | export | schema`: between our records and everyone's formats."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from videoespresso.cli.console import examples, one_line, out, say_warning, show_table, write_json

if TYPE_CHECKING:
    from videoespresso.dataset.formats.conversion_report import Converted
    from videoespresso.dataset.formats.writing import Choices

From = Literal["auto", "videoespresso-train", "videoespresso-test", "ours"]
Export = Literal[
    "videoespresso-train",
    "videoespresso-train-images",
    "videoespresso-test",
    "trl",
    "trl-selector",
    "llama-factory",
    "ms-swift",
    "parquet",
]
To = Literal["ours", Export]

SCALES: dict[str, Literal[1, 100, 1000] | None] = {"auto": None, "1": 1, "100": 100, "1000": 1000}

OutOption = Annotated[
    Path, typer.Option("--out", help="A folder, or a file for a format that is one file.")
]
ScaleOption = Annotated[
    Literal["auto", "1", "100", "1000"],
    typer.Option(help="Scale of the boxes that are read; auto looks at all of them."),
]
ImagesOption = Annotated[
    Path | None, typer.Option(help="Folder that the records' image paths are relative to.")
]
VideosOption = Annotated[
    Path | None,
    typer.Option(help="Folder with the videos; convert reads rates there, for instants."),
]
RepliesOption = Annotated[
    Literal["json", "text"],
    typer.Option(help="json: as our own reasoner answers; text: the paper's, boxes in the text."),
]
ShowOption = Annotated[
    Literal["frames", "video"], typer.Option(help="What a trainer shows: core frames or the video.")
]
BaseOption = Annotated[
    str, typer.Option(help="hf:PATH of the model to train: counts tokens, for llama-factory.")
]
CutoffOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="LLaMA-Factory's cutoff_len (its own: 2048), in tokens of --base: a longer record is "
        "left out.",
        show_default=False,
    ),
]
EmbedOption = Annotated[bool, typer.Option("--embed", help="Put images into the Parquet file.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]
JsonOption = Annotated[bool, typer.Option("--json", help="The summary as JSON on stdout.")]

CONVERT = (
    "dataset convert bench_hard.json --out test-set",
    "dataset convert videoespresso_train_video.json --videos videos/ --out train-set",
    "dataset convert train.json --to trl --replies text --images images/ --out sft",
)
EXPORT = (
    "dataset export my-dataset --to videoespresso-train --out train.json",
    "dataset export my-dataset --to trl --out sft",
    "dataset export my-dataset --to llama-factory --base hf:models/my-vlm --out lf",
    "dataset export my-dataset --to ms-swift --replies text --out swift",
    "dataset export my-dataset --to parquet --embed --out my-dataset.parquet",
)


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    app.command("convert", epilog=examples(*CONVERT, codes=True))(convert)
    app.command("export", epilog=examples(*EXPORT, codes=True))(export)
    app.command("schema", epilog=examples("dataset schema > record.schema.json"))(schema)


def convert(
    source: Annotated[Path, typer.Argument(help="A released JSON file, or a dataset of ours.")],
    target: OutOption,
    form: Annotated[From, typer.Option("--from", help="What it is; auto looks.")] = "auto",
    to: Annotated[To, typer.Option(help="What it becomes.")] = "ours",
    box_scale: ScaleOption = "auto",
    images: ImagesOption = None,
    videos: VideosOption = None,
    replies: RepliesOption = "json",
    show: ShowOption = "frames",
    base: BaseOption = "",
    cutoff: CutoffOption = None,
    embed: EmbedOption = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Read a dataset in any of its forms and write it in another; ours, if you do not say."""
    choices = _choices(images, videos, replies, show, base, cutoff, embed, force)
    _run(source, target, form, to, box_scale, choices, as_json)


def export(
    folder: Annotated[Path, typer.Argument(help="A dataset of ours.")],
    target: OutOption,
    to: Annotated[Export, typer.Option(help="What it becomes.")],
    images: ImagesOption = None,
    videos: VideosOption = None,
    replies: RepliesOption = "json",
    show: ShowOption = "frames",
    base: BaseOption = "",
    cutoff: CutoffOption = None,
    embed: EmbedOption = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a dataset for a trainer, for `datasets`, or as the authors release theirs."""
    choices = _choices(images, videos, replies, show, base, cutoff, embed, force)
    _run(folder, target, "ours", to, "auto", choices, as_json)


def schema() -> None:
    """Print the JSON Schema of a record."""
    from videoespresso.dataset_record import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def _choices(
    images: Path | None,
    videos: Path | None,
    replies: Literal["json", "text"],
    show: Literal["frames", "video"],
    base: str,
    cutoff: int | None,
    embed: bool,
    force: bool,
) -> "Choices":
    from videoespresso.dataset.formats import lengths
    from videoespresso.dataset.formats.writing import CUTOFF, Choices
    from videoespresso.errors import SettingsError

    if cutoff is not None and not base:
        raise SettingsError("--cutoff counts tokens of --base", hint="Give --base hf:PATH.")
    if ":" in base.removeprefix("hf:") and not Path(base.removeprefix("hf:")).is_dir():
        raise SettingsError(
            f"--base {base} is not a model of Hugging Face", hint="Give --base hf:PATH."
        )
    for name, folder in (("--images", images), ("--videos", videos)):
        if folder is not None and not folder.is_dir():
            raise SettingsError(
                f"{name} {folder} is no folder", hint="Give the folder they are in."
            )
    return Choices(
        replies=replies, shows=show, images=images, videos=videos, embed=embed, replace=force,
        tokens=lengths.counter(base) if base else None,
        cutoff=CUTOFF if cutoff is None else cutoff,
    )  # fmt: skip


def _run(
    source: Path,
    target: Path,
    form: From,
    to: To,
    box_scale: str,
    choices: "Choices",
    as_json: bool,
) -> None:
    from videoespresso.dataset.formats.convert import convert as run

    done = run(source, target, form=form, to=to, scale=SCALES[box_scale], choices=choices)
    if as_json:
        write_json(done)
    else:
        _show(done)


def _show(done: "Converted") -> None:
    """The counts for a person; what was left out goes to stderr."""
    out().print(f"{done.form} → {done.to}: {done.written} of {done.read} records")
    if done.scale is not None and done.boxes:
        out().print(f"boxes: {done.boxes}, read as cx, cy, w, h at scale {done.scale}")
    if done.longest:
        out().print(f"longest record: {done.longest} tokens")
    rows = [("spelling", what, str(n)) for what, n in sorted(done.variants.items())]
    rows += [("changed", what, str(n)) for what, n in sorted(done.changed.items())]
    if rows:
        show_table("", "what", "records#", rows=rows)
    for left in done.left_out:
        line = f"{left.count} left out: {left.criterion}; the first: {left.first}, {left.reason}"
        if left.also:
            more = ", …" if left.count > 1 + len(left.also) else ""
            line += f"; also {', '.join(left.also)}{more}"
        say_warning(line)
    for file in done.files:
        out().print(one_line(file), style="dim")
