"""`videoespresso dataset build`: a progress line on stderr, the counts on stdout."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from typing_extensions import TypedDict

from videoespresso.cli import options
from videoespresso.cli.console import (
    CountBar,
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
    from videoespresso.dataset.batch_rounds import Batch
    from videoespresso.dataset.run import Built, Progress
    from videoespresso.models.batch_api.collector import BatchState


Engine = Literal["local", "ray"]

EPILOG = examples(
    "dataset build examples/videos --out demo-dataset",
    "dataset build @videos.txt --out set --profile openai --dry-run",
    "dataset build @videos.txt --out set --profile openai --max-usd 20",
    "dataset build clips --out set -m verifier=ollama:qwen3",
    "dataset build clips --out set --profile openai --batch --no-wait",
    codes=True,
)


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
    options.note_where(settings, quiet=quiet or json)
    if dry_run:
        if batch and not quiet:
            err().print("note: these are full prices; in a batch OpenAI's models cost half")
        which = {"seed": seed, "group": group, "sample": sample}
        forecast(videos, out_folder, settings, **which, json=json, quiet=quiet)
        return
    if not (wait or batch):
        say_warning("--no-wait means nothing without --batch")
    if ray_address and engine != "ray":
        say_warning("--ray-address means nothing without --engine ray")
    how = How(
        seed=seed,
        group=group,
        jobs=jobs,
        engine=engine,
        ray_address=ray_address,
        batch=_batch(wait) if batch else None,
    )
    built = run(videos, out_folder, settings, how, json=json, quiet=quiet)
    show_problems(built)
    if built.failed:
        raise typer.Exit(Exit.FAILED)
    from videoespresso.dataset_record import UNKNOWN

    if built.refused.get(UNKNOWN) == built.videos:
        from videoespresso.models.unknown_film import unknown_films

        raise unknown_films(settings, videos[0], videos, str(out_folder))
    if built.left_out == built.videos:
        raise typer.Exit(Exit.USER)
    if not (built.records or built.deferred or built.busy):
        say_warning("no record was made; rejects.jsonl says why of each video and pair")
        raise typer.Exit(Exit.NOT_ANSWERED)


class How(TypedDict):
    """How a run is done, as `build_dataset` has it."""

    seed: int
    group: int
    jobs: int | None
    engine: Engine
    ray_address: str
    batch: "Batch | None"


def _batch(wait: bool) -> "Batch":
    from videoespresso.dataset.batch_rounds import Batch

    def show_states(states: "list[BatchState]") -> None:
        for state in states:
            about = f"{state.good} good, {state.bad} bad of {state.requests}"
            err().print(
                f"batch {state.batch_id or state.name[:8]} ({one_line(state.spec)}): "
                f"{state.status}, {about} {one_line(state.reason)}".rstrip(),
                style="dim",
            )

    return Batch(wait=wait, tell=show_states)


def run(
    videos: Sequence[str],
    folder: Path,
    settings: Settings,
    how: How,
    *,
    json: bool,
    quiet: bool,
) -> "Built":
    """Builds, with a line that moves on a terminal, and prints the counts, also those of a run that
    a limit, a refused key or Ctrl-C has ended. On Ctrl-C says how to go on."""
    from videoespresso.api.build_dataset import Built, build_dataset
    from videoespresso.dataset.engine import few_arenas
    from videoespresso.models.profiles import UNCONFIGURED, configured, notes

    few_arenas()
    for warning in (*settings.warnings, *notes(settings, dataset=True)):
        say_warning(warning)
    if not configured(settings) and not quiet:
        err().print(f"note: {UNCONFIGURED}", style="dim")
    bar = Bar("videos", quiet=quiet)
    ended: list[Built] = []
    try:
        return build_dataset(
            videos,
            folder,
            settings=settings,
            **how,
            on_progress=bar.show,
            on_end=ended.append,
        )
    except KeyboardInterrupt:
        err().print(
            f"interrupted; what is complete is in {one_line(str(folder))}: the same command goes "
            "on, and no reply that came is paid again",
            style="yellow",
        )
        raise typer.Exit(Exit.INTERRUPTED) from None
    except (BudgetExceeded, ModelError) as error:
        say_error(error)
        code = Exit.BUDGET if isinstance(error, BudgetExceeded) else Exit.FAILED
        raise typer.Exit(code) from error
    finally:
        bar.close()
        if ended:
            (write_json if json else show)(ended[-1])


SHOWN = 10
"""At most so many failures, and so many videos that were left out, are listed one by one."""


class Bar(CountBar):
    """Videos done, records, rate, what is left, what was spent."""

    def show(self, progress: "Progress") -> None:
        """The state of the run."""
        if progress.stopping:
            self.stopping()
        self.update(progress.done, progress.videos, about_of(progress))


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
    if built.refused:
        refused = ", ".join(f"{n} {one_line(name)}" for name, n in built.refused.items())
        out().print(f"rejects of these videos: {refused}", style="dim")


def show_problems(built: "Built") -> None:
    """On stderr: videos left out, failures, what is still to come, each with what to do."""
    from videoespresso.dataset.videos import summary

    for line in summary(built.skipped_files):
        err().print(f"not looked at: {one_line(line)}", style="dim")
    for line in built.reasons[:SHOWN]:
        say_warning(f"left out: {line}")
    if built.left_out > SHOWN:
        say_warning(f"{built.left_out} videos in all were left out: see rejects.jsonl")
    for line in built.failures[:SHOWN]:
        say_warning(f"not done: {line}")
    if built.failed:
        say_warning(
            f"{built.failed} failures in all; the same command tries these again, "
            "and pays for nothing else"
        )
    if built.busy:
        videos = "1 video is" if len(built.busy) == 1 else f"{len(built.busy)} videos are"
        err().print(
            f"{videos} being done by another process; the same command does what it leaves",
            style="dim",
        )
    if built.deferred:
        err().print(
            f"{built.deferred} replies are to come in batches: the same command goes on with them",
            style="yellow",
        )
