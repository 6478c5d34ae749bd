"""`videoespresso models pull`: weights for this machine; their sizes first."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videoespresso.cli.cache import size
from videoespresso.cli.console import Exit, err, examples, fetching, out, show_table
from videoespresso.errors import SettingsError, UserError
from videoespresso.settings import Settings

if TYPE_CHECKING:
    from videoespresso.models.pull.hub import OnBytes
    from videoespresso.models.pull.plan import Plan
    from videoespresso.models.weights import Pulled

AGPL = (
    "ultralytics and its checkpoints are AGPL-3.0: who serves them to others owes those others "
    "the source"
)

CUT = "interrupted; what came is kept: the same command goes on from there"

Names = Annotated[
    list[str],
    typer.Argument(
        metavar="WHAT...",
        help="laptop (vlm, detector and clip), or one of these, vlm-256m, rf-detr, mobileclip; or "
        "hf:OWNER/NAME.",
    ),
]
From = Annotated[
    Path | None,
    typer.Option("--from", metavar="FOLDER", help="A folder with the files, instead of the hub."),
]
Repo = Annotated[
    str, typer.Option("--repo", metavar="OWNER/NAME", help="Another repository of the hub.")
]
Dtype = Annotated[
    str, typer.Option("--dtype", help="Another type of weights, e.g. fp32, fp16, q4, int8.")
]
Yolo = Annotated[
    str,
    typer.Option(
        "--yolo",
        metavar="NAME",
        help="As the detector an ultralytics YOLO, by name or file (extra `yolo`, AGPL-3.0).",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Json = Annotated[bool, typer.Option("--json", help="Print what was pulled as JSON.")]


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "pull",
        epilog=examples(
            "models pull laptop",
            "models pull vlm-256m detector --yes",
            "models pull vlm --from SmolVLM2-500M-Video-Instruct",
            "models pull detector --yolo yolo11n",
            "models pull hf:IDEA-Research/grounding-dino-tiny",
            codes=True,
        ),
    )(pull)


def pull(
    names: Names,
    folder: From = None,
    repo: Repo = "",
    dtype: Dtype = "",
    yolo: Yolo = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Fetch open weights for this machine, checked; afterwards nothing needs the network.

    They come from the Hugging Face hub; HF_ENDPOINT, HF_HOME, HF_TOKEN and HF_HUB_OFFLINE count.
    A pull that was cut goes on where it was. They are kept in VIDEOESPRESSO_MODELS_DIR.
    """
    settings = Settings.load()
    repos = [name.removeprefix("hf:") for name in names if name.startswith("hf:")]
    if repos:
        if folder is not None:
            hint = f"A folder is used as it is: -m hf:{folder}"
            raise SettingsError("hf:OWNER/NAME comes from the hub", hint=hint)
        _hf(names, repos, given=bool(repo or dtype or yolo), yes=yes, as_json=as_json)
        return
    if yolo:
        notes = [_yolo(settings, names, yolo, yes=yes)]
    else:
        plans = _plans(settings, names, folder, repo, dtype)
        _say(settings, plans)
        _agree(sum(plan.bytes for plan in plans), yes=yes)
        _pull(settings, plans)
        notes = [plan.note for plan in plans]
    if as_json:
        _write(settings, notes)
    else:
        _next(settings, notes)


def _hf(names: list[str], repos: list[str], *, given: bool, yes: bool, as_json: bool) -> None:
    """Repositories for transformers, into the cache of Hugging Face."""
    from videoespresso.models.pull import snapshot

    if given or len(repos) < len(names):
        raise SettingsError(
            "hf:OWNER/NAME is pulled by itself, into the cache of Hugging Face",
            hint=f"videoespresso models pull {' '.join(f'hf:{repo}' for repo in repos)}",
        )
    with err().status("looking what there is"):
        plans = [snapshot.planned(repo) for repo in dict.fromkeys(repos)]
    for plan in plans:
        there = f", {size(plan.have)} there" if plan.have else ""
        err().print(f"{plan.repo} · {len(plan.files)} files, {size(plan.bytes)}{there}")
    left = sum(plan.bytes - plan.have for plan in plans)
    err().print(f"to come: {size(left)}, into the cache of Hugging Face")
    _agree(left, yes=yes)
    try:
        rows = []
        for plan in plans:
            with _counting(plan.repo, plan.bytes) as count:
                rows.append((snapshot.fetch(plan, count), plan.bytes))
    except KeyboardInterrupt:
        err().print(CUT)
        raise typer.Exit(Exit.INTERRUPTED) from None
    if as_json:
        sizes = [{"spec": spec, "bytes": count} for spec, count in rows]
        sys.stdout.write(json.dumps(sizes, indent=2) + "\n")
    else:
        show_table("Spec", "Size#", rows=[(spec, size(count)) for spec, count in rows])


def _plans(
    settings: Settings, names: list[str], folder: Path | None, repo: str, dtype: str
) -> "list[Plan]":
    from videoespresso.models.pull.catalogue import SUFFIXES, named
    from videoespresso.models.pull.plan import planned

    chosen = named(names)
    if len(chosen) > 1 and (folder or repo or dtype):
        raise SettingsError(
            "--from, --repo and --dtype are for one set of weights",
            hint=f"Pull one after the other: {', '.join(weights.name for weights in chosen)}.",
        )
    if folder and repo:
        raise SettingsError("both --from and --repo", hint="The files come from one of them.")
    if dtype and dtype not in SUFFIXES:
        raise SettingsError(
            f"there is no type of weights {dtype!r}", hint=f"Choose of {', '.join(SUFFIXES)}."
        )
    with err().status("looking what there is"):
        return [
            planned(settings, weights, repo=repo, dtype=dtype, source=folder) for weights in chosen
        ]


def _say(settings: Settings, plans: "list[Plan]") -> None:
    """What would be fetched, on stderr: stdout is for what was."""
    for plan in plans:
        source = plan.note.repo or plan.source
        licence = f" · {plan.note.licence}" if plan.note.licence else ""
        err().print(
            f"{plan.weights.about} · {source}{licence} · {len(plan.files)} files, "
            f"{size(plan.note.bytes)}" + (f", {size(plan.have)} there" if plan.have else "")
        )
    err().print(f"to come: {size(sum(plan.bytes for plan in plans))}, into {settings.models_dir}")


def _agree(count: int, *, yes: bool) -> None:
    """Asks, unless there is nothing to ask. Raises UserError where nobody can be asked."""
    if yes or not count:
        return
    if not sys.stdin.isatty():
        raise UserError("nobody is there to ask", hint="Add --yes to fetch it.")
    if not typer.confirm("Fetch it?", err=True):
        err().print("nothing fetched")
        raise typer.Exit(Exit.ANSWERED)


def _pull(settings: Settings, plans: "list[Plan]") -> None:
    from videoespresso.models.pull.plan import pull as pull_plan

    try:
        for plan in plans:
            with _counting(plan.weights.name, plan.note.bytes) as count:
                pull_plan(settings, plan, count)
    except KeyboardInterrupt:
        err().print(CUT)
        raise typer.Exit(Exit.INTERRUPTED) from None


@contextmanager
def _counting(name: str, total: int) -> "Iterator[OnBytes]":
    """A line with bytes, rate and time to go while one set of weights is fetched."""
    from videoespresso.tools.fetch.transfer import Progress

    begun, received = time.monotonic(), 0
    with err().status(name) as status:
        show = fetching(lambda text: status.update(f"{name}: {text}"))

        def count(more: int) -> None:
            nonlocal received
            received += more
            show(Progress(received, total, received / max(time.monotonic() - begun, 1e-3)))

        yield count


def _yolo(settings: Settings, names: list[str], yolo: str, *, yes: bool) -> "Pulled":
    from videoespresso.models.pull.plan import put, staging
    from videoespresso.models.weights import Pulled
    from videoespresso.tools.detectors.ultralytics import fetch_checkpoint

    if names != ["detector"]:
        raise SettingsError("--yolo is for the detector", hint="models pull detector --yolo NAME")
    err().print(AGPL)
    if not Path(yolo).is_file():
        _agree(1, yes=yes)
    with staging(settings, "yolo") as staged, err().status(f"fetching {yolo}"):
        with redirect_stdout(sys.stderr):  # where ultralytics talks
            file = fetch_checkpoint(yolo, staged)
        note = Pulled(
            part="detector",
            repo="",
            licence="AGPL-3.0",
            kind="yolo",
            file=file.name,
            files={file.name: file.stat().st_size},
        )
        put(settings, note, staged)
    return note


def _write(settings: Settings, notes: "list[Pulled]") -> None:
    from videoespresso.models.weights import pulled_spec

    rows = [
        {**note.model_dump(mode="json"), "bytes": note.bytes, "spec": spec}
        for note in notes
        if (spec := pulled_spec(settings, note.part))
    ]
    sys.stdout.write(json.dumps(rows, indent=2) + "\n")


def _next(settings: Settings, notes: "list[Pulled]") -> None:
    from videoespresso.models.weights import pulled, pulled_spec

    show_table(
        "Pulled",
        "Size#",
        "Spec",
        rows=[
            (note.part, size(note.bytes), pulled_spec(settings, note.part) or "") for note in notes
        ],
    )
    if pulled(settings, "vlm"):
        out().print("\nnext: videoespresso ask VIDEO QUESTION --profile laptop")
