"""`videoespresso train`: teach a model of your own from a dataset."""

import functools
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
    write_json,
)
from videoespresso.cli.options import Quiet, declared
from videoespresso.cli.train_output import Bar, show, show_plan, show_start

if TYPE_CHECKING:
    from videoespresso.training.recipes import Stage

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
    "prefer": "DPO: the record's reply rather than one with a planted fault, a refused one, or a "
    "wrong one of the model's own.",
    "rl": "GRPO: replies of stage 1 of its own, rewarded for true evidence (--reward).",
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
    "prefer": (
        "train prefer my-dataset --base hf:out/answer --out out/dpo",
        "train prefer my-dataset --base hf:out/answer --out out/dpo --rollouts 4 --beta 0.2",
    ),
    "rl": (
        "train rl my-dataset --base hf:out/answer --out out/rl",
        "train rl my-dataset --base hf:out/answer --out out/rl --reward format --reward useful=2 "
        "--reward my_module:polite=0.1",
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
ReportOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help="A tracker that transformers knows: tensorboard, wandb, mlflow, …"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON, only.")]


def _option(kind: Any, text: str, default: str) -> Any:
    return Annotated[kind | None, typer.Option(help=text, show_default=default)]


RECIPE: dict[str, Any] = {
    "learning_rate": _option(float, "The highest, with cosine decay.", "by stage and model"),
    "epochs": _option(float, "Times each record is seen.", "1"),
    "steps": _option(int, "End after so many steps.", "none"),
    "batch": _option(int, "Records a step; of rl: replies.", "16"),
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
    "beta": _option(float, "How near the model stays to what it was (prefer, rl).", "0.1; of rl 0"),
    "rollouts": _option(
        int,
        "Replies of its own a record: wrong ones are rejected (prefer), all rewarded (rl).",
        "0; of rl 8",
    ),
    "temperature": _option(float, "Of these replies (prefer, rl).", "1.3"),
    "reply_tokens": _option(int, "Of such a reply, at most (rl).", "160"),
    "reward": _option(
        list[str],
        "NAME=WEIGHT: format, frames, time, boxes, useful, true, short, or module:function (rl).",
        "format=0.2 useful=1 frames=0.5 boxes=0.5, true=0.5 where stories are known",
    ),
}
"""Options that are values of the recipe; None is not given."""


def _takes_recipe(command: Callable[..., None]) -> Callable[..., None]:
    """Puts the options of RECIPE in the place of a command's keyword parameter `recipe`."""

    @functools.wraps(command)
    def run(**given: Any) -> None:
        recipe = {name: given.pop(name) for name in RECIPE}
        recipe["reward"] = recipe["reward"] or None  # of a list, none given is an empty one
        command(recipe=recipe, **given)

    return declared(run, "recipe", RECIPE)


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
        report_to: ReportOption = None,
        json: JsonOption = False,
        quiet: Quiet = False,
    ) -> None:
        from videoespresso.training.run import train

        bar = Bar("steps", quiet=quiet)
        try:
            done = train(
                stage,
                data,
                base=base,
                out=out_folder,
                config=config,
                allow_leak=allow_leak,
                threads=threads,
                report_to=tuple(report_to or ()),
                on_start=lambda prepared: show_start(prepared, quiet=quiet or json),
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
        (write_json if json else show)(done)

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
        Literal["evidence", "answer", "both", "selector", "captioner", "prefer", "rl"],
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

    expected = planned(
        stage,
        data,
        base=base,
        config=config,
        allow_leak=allow_leak,
        threads=threads,
        trial=trial,
        **recipe,
    )
    (write_json if json else show_plan)(expected)


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


@app.command(
    "export-onnx",
    epilog=examples(
        "train export-onnx out/merged --out my-pack",
        'ask clip.mp4 "Who is surprised?" -m embedded:my-pack --profile embedded',
        codes=True,
    ),
)
def export_onnx(
    folder: Annotated[Path, typer.Argument(help="The --out of `merge`.", show_default=False)],
    out_folder: OutOption,
    json: JsonOption = False,
) -> None:
    """A pack of merged weights of the pack's own shape: runs without torch, as embedded:DIR."""
    from videoespresso.training.pack.folder import export_onnx as exported

    where = exported(folder, out_folder)
    if json:
        write_json(Merged(out=str(where)))
    else:
        out().print(f"embedded:{one_line(str(where))}")


class Merged(BaseModel):
    """Where a merged model, or a pack, lies."""

    out: str
