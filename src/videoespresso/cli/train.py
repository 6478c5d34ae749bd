"""`videoespresso train`: teach a model of your own from a dataset."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from pydantic import BaseModel

from videoespresso.cli.console import (
    Exit,
    err,
    examples,
    one_line,
    out,
    say_warning,
    show_table,
    write_json,
)
from videoespresso.cli.options import Quiet

if TYPE_CHECKING:
    from videoespresso.training.forecast import Plan
    from videoespresso.training.recipes import Line, Stage
    from videoespresso.training.run import Prepared, Progress, Trained

LINES = 100
"""Of a run, at most, where they are not on a terminal."""

app = typer.Typer(
    name="train",
    help="Teach a model of your own from a dataset: LoRA adapters that hf: loads.",
    no_args_is_help=True,
)

HELP: "dict[Stage, str]" = {
    "evidence": "Stage 1: core frames and question, then the evidence.",
    "answer": "Stage 2: the evidence, then the answer; goes on from an adapter of stage 1.",
    "both": "Both replies of a record in one pass.",
    "selector": "Captions and question, then the core frames.",
    "captioner": "A core frame, then its caption.",
}
EXAMPLES: "dict[Stage, tuple[str, ...]]" = {
    "evidence": ("train evidence my-dataset --base hf:SmolVLM2-500M --out out/evidence",),
    "answer": (
        "train answer my-dataset --base hf:out/evidence --out out/answer",
        'ask clip.mp4 "Why does it stop?" -m captioner=hf:SmolVLM2-500M -m reasoner=hf:out/answer',
    ),
    "both": ("train both my-dataset --base hf:Qwen2.5-VL-3B --out out/both --epochs 2",),
    "selector": ("train selector my-dataset --base hf:SmolVLM2-500M --out out/selector",),
    "captioner": (
        "train captioner my-dataset --base hf:SmolVLM2-500M --out out/captioner --train-vision",
    ),
}

DataArgument = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="A dataset's folder, one of `dataset split`, or one of --to trl.",
        show_default=False,
    ),
]
BaseOption = Annotated[
    str,
    typer.Option(
        metavar="hf:PATH", help="The model, or an adapter that is gone on with.", show_default=False
    ),
]
OutOption = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Where the adapter goes.", show_default=False)
]
ConfigOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Values of the recipe as TOML; flags go first.")
]
LeakOption = Annotated[
    bool, typer.Option("--allow-leak", help="Even where parts of the data share a video.")
]
ThreadsOption = Annotated[
    int, typer.Option(min=1, help="Of a CPU; more than free cores make it slower.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON, only.")]


def _option(kind: Any, text: str, default: str) -> Any:
    return Annotated[kind | None, typer.Option(help=text, show_default=default)]


RECIPE: dict[str, Any] = {
    "learning_rate": _option(float, "The highest, with cosine decay.", "by stage and model"),
    "epochs": _option(float, "Times each record is seen.", "1"),
    "steps": _option(int, "End after so many steps.", "none"),
    "batch": _option(int, "Records a step.", "16"),
    "rows": _option(int, "Records a forward pass; a batch is accumulated.", "4"),
    "rank": _option(int, "Of the LoRA adapter.", "16"),
    "alpha": _option(int, "Of the LoRA adapter.", "32"),
    "dropout": _option(float, "Of the LoRA adapter.", "0"),
    "train_vision": _option(bool, "An adapter on the vision tower, too.", "off"),
    "side": _option(int, "Longer side of a picture in pixels.", "224"),
    "max_tokens": _option(int, "A longer row ends the command: nothing is cut.", "6144"),
    "too_long": _option(Literal["refuse", "drop"], "What becomes of longer rows.", "refuse"),
    "evidence": _option(
        Literal["gold", "generated", "mixed"], "What stage 2 reads (answer).", "mixed"
    ),
    "eval_steps": _option(int, "Steps between validations.", "a tenth of the run"),
    "validation": _option(int, "Records answered in each, at most.", "200"),
    "seed": _option(int, "Of order and adapter.", "0"),
}
"""Options that are values of the recipe; None is not given."""


def _takes_recipe(command: Callable[..., None]) -> Callable[..., None]:
    """Puts the options of RECIPE in the place of a command's keyword parameter `recipe`."""

    @functools.wraps(command)
    def run(**given: Any) -> None:
        command(recipe={name: given.pop(name) for name in RECIPE}, **given)

    keyword = inspect.Parameter.KEYWORD_ONLY
    signature = inspect.signature(command)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name == "recipe":
            parameters += [
                inspect.Parameter(name, keyword, default=None, annotation=option)
                for name, option in RECIPE.items()
            ]
        else:
            parameters.append(parameter)
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def _stage(stage: "Stage") -> Callable[..., None]:
    def run(
        *,
        data: DataArgument,
        base: BaseOption,
        out_folder: OutOption,
        config: ConfigOption = None,
        recipe: dict[str, Any],
        allow_leak: LeakOption = False,
        threads: ThreadsOption = 1,
        json: JsonOption = False,
        quiet: Quiet = False,
    ) -> None:
        from videoespresso.training.run import train

        bar = Bar(quiet=quiet)
        try:
            done = train(
                stage,
                data,
                base=base,
                out=out_folder,
                config=config,
                allow_leak=allow_leak,
                threads=threads,
                on_start=lambda prepared: _show_start(prepared, quiet=quiet or json),
                on_progress=bar.show,
                on_note=lambda text: None if quiet else err().print(text, style="dim"),
                **recipe,
            )
        except KeyboardInterrupt:
            err().print(
                f"interrupted; what was learned is in {one_line(str(out_folder))}: the same "
                "command goes on",
                style="yellow",
            )
            raise typer.Exit(Exit.INTERRUPTED) from None
        finally:
            bar.close()
        (write_json if json else _show)(done)

    run.__doc__ = HELP[stage]
    return _takes_recipe(run)


for _name in HELP:
    app.command(_name, epilog=examples(*EXAMPLES[_name], codes=True))(_stage(_name))


@app.command(
    "plan",
    epilog=examples("train plan my-dataset --stage evidence --base hf:SmolVLM2-500M", codes=True),
)
@_takes_recipe
def plan(
    *,
    data: DataArgument,
    stage: Annotated[
        Literal["evidence", "answer", "both", "selector", "captioner"],
        typer.Option(help="What would be taught."),
    ],
    base: BaseOption,
    config: ConfigOption = None,
    recipe: dict[str, Any],
    allow_leak: LeakOption = False,
    threads: ThreadsOption = 1,
    trial: Annotated[
        bool, typer.Option("--trial/--no-trial", help="Load the model, time and weigh a few rows.")
    ] = True,
    json: JsonOption = False,
) -> None:
    """Counts, tokens, memory and time of a run; trains nothing."""
    from videoespresso.training.forecast import plan as planned

    found = planned(
        stage,
        data,
        base=base,
        config=config,
        allow_leak=allow_leak,
        threads=threads,
        trial=trial,
        **recipe,
    )
    (write_json if json else _show_plan)(found)


@app.command("merge", epilog=examples("train merge out/answer --out out/merged", codes=True))
def merge(
    adapter: Annotated[Path, typer.Argument(help="The --out of a run.", show_default=False)],
    out_folder: OutOption,
    json: JsonOption = False,
) -> None:
    """Full weights of an adapter and its base in one folder, for servers."""
    from videoespresso.training.merge import merge as merged

    where = merged(adapter, out_folder)
    if json:
        write_json(Merged(out=str(where)))
    else:
        out().print(f"hf:{one_line(str(where))}")


class Merged(BaseModel):
    """Where a merged model lies."""

    out: str


class Bar:
    """Steps, loss, score, rate and what is left: a line that moves, on a pipe LINES lines."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._quiet, self._stopping, self._step = quiet, False, -1
        self._bar: Any = Progress(
            TextColumn("steps"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[about]}"),
            console=err(),
            transient=True,
        )
        self._task = self._bar.add_task("train", total=None, about="")
        if err().is_terminal and not quiet:
            self._bar.start()

    def show(self, progress: "Progress") -> None:
        """The state of the run."""
        if progress.stopping and not self._stopping:
            self._stopping = True
            _say("finishing this step, then it is kept; Ctrl-C again leaves at once")
        if self._quiet or (progress.loss is None and not err().is_terminal):
            return
        about = about_of(progress)
        if err().is_terminal:
            self._bar.update(self._task, total=progress.steps, completed=progress.step, about=about)
        elif progress.step >= self._step + max(1, progress.steps // LINES):
            self._step = progress.step
            err().print(f"[{progress.step}/{progress.steps}] {about}", style="dim")

    def close(self) -> None:
        """Leaves the terminal as it was."""
        if self._bar.live.is_started:
            self._bar.stop()


def _say(text: str) -> None:
    """From a signal's handler: the main thread may be in the middle of printing."""
    import threading

    threading.Thread(target=err().print, args=(text,), kwargs={"style": "yellow"}).start()


def about_of(progress: "Progress") -> str:
    """ "loss 1.234, score 0.500, 2.1 rows/s, 812 tokens/s, 2:10 left"."""
    parts = [f"{progress.rows_s:.1f} rows/s", f"{progress.tokens_s:.0f} tokens/s"]
    if progress.score is not None:
        parts.insert(0, f"score {progress.score:.3f}")
    if progress.loss is not None:
        parts.insert(0, f"loss {progress.loss:.3f}")
    if progress.eta_s is not None and progress.step < progress.steps:
        parts.append(f"{_clock(progress.eta_s)} left")
    return ", ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _show_start(prepared: "Prepared", *, quiet: bool) -> None:
    if quiet:
        return
    for line in _recipe(prepared.lines):
        err().print(line, style="dim")
    err().print(
        f"{prepared.rows} rows to learn from, {prepared.validation} for validation "
        f"({one_line(prepared.split)}), {prepared.steps} steps",
        style="dim",
    )


def _recipe(lines: "tuple[Line, ...]") -> list[str]:
    """The values, those that the paper does not say marked with a star."""
    width = max(len(line.name) for line in lines)
    shown = [
        f"{' ' if line.in_paper else '*'} {line.name:<{width}}  {line.value:<8} {line.source}"
        for line in lines
    ]
    return [*shown, "* not said by the paper"]


def _show(done: "Trained") -> None:
    from videoespresso.training.card import interval

    for why, n in done.left_out.items():
        say_warning(f"{n} records left out: {why}")
    if done.dropped:
        say_warning(f"{done.dropped} rows were too long and are left out")
    if done.leaked:
        say_warning(f"{len(done.leaked)} rows are of videos that another part has, too: "
                    + ", ".join(done.leaked[:5]))  # fmt: skip
    out().print(f"hf:{one_line(done.out)}")
    loss = "" if done.loss is None else f", last loss {done.loss:.4f}"
    out().print(f"{done.steps} steps, {done.rows} rows{loss}, {done.seconds:.0f} s", style="dim")
    if done.score is None:
        out().print("no validation records: nothing is known of its answers", style="dim")
    else:
        out().print(
            f"{done.measure}: {done.score:.3f} ({interval(done.model_dump())}; "
            f"n={done.n}) at step {done.best_step}, which is kept; "
            f"unparsable {done.unparsable:.1%}",
            style="dim",
        )


def _show_plan(found: "Plan") -> None:
    for why, n in found.left_out.items():
        say_warning(f"{n} records left out: {why}")
    if found.too_long:
        say_warning(
            f"{found.too_long} rows are longer than the limit: `train` refuses them, or leaves "
            "them out with --too-long drop"
        )
    rows = [
        ("rows", f"{found.rows}, and {found.validation} for validation ({found.split})"),
        ("tokens", f"{found.tokens:,}, of which {found.learned:,} are learned"),
        ("a picture", f"{found.image_tokens:.0f} tokens"),
        ("longest", ", ".join(f"{x.id}: {x.tokens}" for x in found.longest)),
        ("steps", str(found.steps)),
        ("parameters", f"{found.parameters:,}"
         + (f", {found.taught:,} are taught" if found.taught else "")),
        ("device", f"{found.device}, {found.free / 1e9:.1f} GB free"),
    ]  # fmt: skip
    if found.memory is not None:
        rows.append(("memory", f"{found.memory / 1e9:.2f} GB, measured on the longest rows"))
    if found.learn_s is not None:
        rows.append(("time", f"{_clock(found.learn_s)}, and {_clock(found.validate_s or 0)} for "
                     "validations, from a few rows"))  # fmt: skip
    show_table("", "", rows=rows)
    for line in _recipe(found.lines):
        out().print(line, style="dim")
