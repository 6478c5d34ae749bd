"""`videoespresso dataset build`: a progress line on stderr, the counts on stdout."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typing_extensions import TypedDict

from videoespresso.cli import options
from videoespresso.cli.console import (
    Exit,
    err,
    examples,
    one_line,
    out,
    say_error,
    say_warning,
    write_json,
)
from videoespresso.cli.dataset_forecast import dry_run as forecast
from videoespresso.errors import BudgetExceeded, ModelError
from videoespresso.report.text import money, total
from videoespresso.settings import Settings

if TYPE_CHECKING:
    from videoespresso.agents.deferred import BatchState
    from videoespresso.dataset.batches import Batch
    from videoespresso.dataset.build import Built, Progress

Engine = Literal["local", "ray"]

EPILOG = examples(
    "dataset build examples/videos --out demo-dataset",
    "dataset build @videos.txt --out set --profile openai --dry-run",
    "dataset build @videos.txt --out set --profile openai --max-usd 20",
    "dataset build clips --out set -m verifier=ollama:qwen3",
    "dataset build clips --out set --profile openai --batch --no-wait",
    codes=True,
)


def add_to(app: typer.Typer) -> None:
    """Registers the command."""
    app.command("build", epilog=EPILOG)(build)


def build(
    videos: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders, or @list.txt: a path a line, # a comment.", show_default=False
        ),
    ],
    out_folder: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The dataset's folder.", show_default=False)
    ],
    profile: options.Profile = None,
    model: options.Model = None,
    detector: options.Detector = None,
    label_check: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="What checks boxes: colors, a CLIP (hf:NAME), or off.",
            show_default="colors",
        ),
    ] = None,
    fps: options.Fps = None,
    group: Annotated[
        int, typer.Option(min=2, help="Captions a question is made from (paper: 15).")
    ] = 15,
    seed: Annotated[int, typer.Option(help="Decides the order of the options.")] = 0,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Videos at a time.", show_default="4; on a cluster one a CPU"),
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Model calls at a time.", show_default="4")
    ] = None,
    engine: Annotated[
        Engine, typer.Option(help="Threads here, or workers of a Ray cluster.")
    ] = "local",
    ray_address: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="The cluster; `local` starts one here.",
            show_default="RAY_ADDRESS, or this machine's",
        ),
    ] = "",
    batch: Annotated[
        bool, typer.Option("--batch", help="OpenAI's Batch API: half the price, within a day.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="With --batch: wait for the replies.")
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do a sample only, and forecast what all will cost.")
    ] = False,
    sample: Annotated[int, typer.Option(min=2, help="With --dry-run: videos really done.")] = 3,
    max_usd: Annotated[float | None, typer.Option(help="Spend no more dollars in all.")] = None,
    max_calls: Annotated[int | None, typer.Option(help="Make no more model calls in all.")] = None,
    max_seconds: Annotated[float | None, typer.Option(help="Take no longer in all.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON, only.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Make a chain-of-thought dataset from videos, or go on with one: the same command resumes."""
    settings = options.settings_of(
        profile=profile,
        model=model,
        detector=detector,
        fps=fps,
        max_usd=max_usd,
        max_calls=max_calls,
        max_seconds=max_seconds,
        concurrency=concurrency,
        label_check=label_check,
    )
    if dry_run:
        if batch and not quiet:
            err().print("note: full prices are said; in a batch OpenAI's models cost half")
        if engine == "ray" and not quiet:
            err().print("note: the time is said for this machine alone")
        which = {"seed": seed, "group": group, "sample": sample}
        forecast(videos, out_folder, settings, **which, json=json, quiet=quiet)
        return
    how = How(
        seed=seed,
        group=group,
        jobs=jobs,
        engine=engine,
        ray_address=ray_address,
        batch=_batch(wait) if batch else None,
    )
    built = run(videos, out_folder, settings, how, quiet=quiet)
    if json:
        write_json(built)
    else:
        show(built)
    for told in built.busy:
        say_warning(told)
    for told in built.unread[:SHOWN]:
        say_warning(f"not read: {told}")
    if built.unreadable > SHOWN:
        say_warning(f"{built.unreadable} files in all cannot be read: see rejects.jsonl")
    for told in built.failures[:SHOWN]:
        say_warning(f"not done: {told}")
    if built.deferred:
        err().print(
            f"{built.deferred} replies are to come in batches: the same command goes on with them",
            style="yellow",
        )
    if built.failed:
        say_warning(
            f"{built.failed} failures in all; the same command tries these again, "
            "and pays for nothing else"
        )
        raise typer.Exit(Exit.FAILED)
    if built.unreadable == built.videos:
        raise typer.Exit(Exit.USER)


SHOWN = 10
"""Failures, and files that cannot be read, said one by one."""


class How(TypedDict):
    """How a run is done, as `build_dataset` has it."""

    seed: int
    group: int
    jobs: int | None
    engine: Engine
    ray_address: str
    batch: "Batch | None"


def _batch(wait: bool) -> "Batch":
    from videoespresso.dataset.batches import Batch

    def tell(states: "list[BatchState]") -> None:
        for state in states:
            about = f"{state.good} good, {state.bad} bad of {state.requests}"
            err().print(
                f"batch {state.batch_id or state.name[:8]} ({one_line(state.spec)}): "
                f"{state.status}, {about} {one_line(state.reason)}".rstrip(),
                style="dim",
            )

    return Batch(wait=wait, tell=tell)


def run(
    videos: Sequence[str],
    folder: Path,
    settings: Settings,
    how: How,
    *,
    quiet: bool,
) -> "Built":
    """Builds, with a line that moves on a terminal. On Ctrl-C says how to go on."""
    from videoespresso.dataset.arenas import few_arenas
    from videoespresso.dataset.build import build_dataset
    from videoespresso.models.profiles import UNCONFIGURED, configured

    few_arenas()
    for warning in settings.warnings:
        say_warning(warning)
    if not configured(settings) and not quiet:
        err().print(f"note: {UNCONFIGURED}", style="dim")
    bar = None if quiet else _Bar()
    try:
        return build_dataset(
            videos,
            folder,
            settings=settings,
            **how,
            on_progress=bar.show if bar else lambda _progress: None,
        )
    except KeyboardInterrupt:
        err().print(
            f"interrupted; what is complete is in {one_line(str(folder))}: the same command goes "
            "on, and pays for nothing twice",
            style="yellow",
        )
        raise typer.Exit(Exit.INTERRUPTED) from None
    except (BudgetExceeded, ModelError) as error:
        say_error(error)
        code = Exit.BUDGET if isinstance(error, BudgetExceeded) else Exit.FAILED
        raise typer.Exit(code) from error
    finally:
        if bar:
            bar.close()


class _Bar:
    """Videos done, records, rate, what is left, what was spent. On a pipe a line a video."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._told = -1
        self._bar: Any = Progress(
            TextColumn("videos"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[about]}"),
            console=err(),
            transient=True,
        )
        self._task = self._bar.add_task("build", total=None, about="")
        if err().is_terminal:
            self._bar.start()

    def show(self, progress: "Progress") -> None:
        """The state of the run."""
        about = about_of(progress)
        if err().is_terminal:
            self._bar.update(
                self._task, total=progress.videos, completed=progress.done, about=about
            )
        elif progress.done > self._told:
            self._told = progress.done
            err().print(f"[{progress.done}/{progress.videos}] {about}", style="dim")

    def close(self) -> None:
        """Leaves the terminal as it was."""
        self._bar.stop()


def about_of(progress: "Progress") -> str:
    """ "12 records (18/min), 3 rejects, 210 calls, $0.41, 2:10 left"."""
    rate = 60 * progress.records / max(progress.seconds, 1e-9)
    parts = [
        f"{progress.records} records ({rate:.0f}/min)",
        f"{progress.rejects} rejects",
        *([f"{progress.failures} failures"] if progress.failures else []),
        f"{progress.calls} calls",
        money(progress.usd),
    ]
    if progress.eta_s is not None and progress.done < progress.videos:
        minutes, seconds = divmod(round(progress.eta_s), 60)
        parts.append(f"{minutes}:{seconds:02} left")
    return ", ".join(parts)


def show(built: "Built") -> None:
    """The counts for a person."""
    spent = total(built.usage.values())
    out().print(f"{built.records} records, {built.rejects} rejects in {one_line(built.out)}")
    out().print(
        f"{built.done} of {built.videos} videos done in this run: {spent.calls} model calls "
        f"({spent.cached_calls} from cache), {spent.input_tokens:,} + {spent.output_tokens:,} "
        f"tokens, {money(spent.usd)}, {built.seconds:.0f} s",
        style="dim",
    )
