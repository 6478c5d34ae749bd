"""`videoespresso eval ablate | stress`: one thing changed at a time, and films made worse."""

from typing import TYPE_CHECKING, Annotated, get_args

import typer

from videoespresso.cli.console import examples
from videoespresso.cli.eval_run import (
    AsJson,
    Bench,
    DryRun,
    EncoderOption,
    Jobs,
    Many,
    ProtocolOption,
    RetryErrors,
    Target,
    TauOption,
    Videos,
    execute,
)
from videoespresso.cli.options import QUESTION, Quiet, takes_settings
from videoespresso.errors import UserError
from videoespresso.settings import Settings

if TYPE_CHECKING:
    from videoespresso.evaluation.run import Plan

ABLATE = (
    "eval ablate theatre:test --over filter --n 70 --out runs/filter --profile embedded",
    "eval ablate theatre:test --over budget --n 70 --out runs/budget --profile embedded --json",
    "eval ablate bench_hard.json --videos videos/ --over boxes --out runs/boxes -m openai:gpt-4o "
    "--max-usd 20 --dry-run",
)
STRESS = (
    "eval stress theatre:test --with blur,noise --n 70 --out runs/blur --profile embedded",
    "eval stress bench_hard.json --videos videos/ --with jpeg --out runs/jpeg -m openai:gpt-4o "
    "--max-usd 20 --dry-run",
)


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    app.command("ablate", epilog=examples(*ABLATE, codes=True))(ablate)
    app.command("stress", epilog=examples(*STRESS, codes=True))(stress)


@takes_settings(QUESTION)
def ablate(
    bench: Bench,
    over: Annotated[
        str,
        typer.Option(
            metavar="AXIS",
            help="filter, selector, evidence, boxes, checker or budget.",
            show_default=False,
        ),
    ],
    target: Target,
    protocol: ProtocolOption = "letter",
    n: Many = None,
    videos: Videos = None,
    jobs: Jobs = 2,
    dry_run: DryRun = False,
    retry_errors: RetryErrors = False,
    encoder: EncoderOption = "wordllama",
    tau: TauOption = 0.8,
    *,
    settings: Settings,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Change one thing at a time, everything else the same; each is compared with `ours`.

    --out is a run: stopped, the same command goes on; `eval report` and `eval compare` read it."""
    from videoespresso.api.evaluate import opened
    from videoespresso.evaluation.ablation import AXES, Axis
    from videoespresso.evaluation.run import Plan

    names = next((AXES[axis] for axis in get_args(Axis) if axis == over), None)
    if names is None:
        raise UserError(f"no axis {over!r}", hint=f"Known: {', '.join(AXES)}.")
    plan = Plan(
        opened(bench, settings, videos), target, settings, names, protocol, n, jobs, retry_errors
    )
    _tabulate(plan, over, encoder, tau, dry_run=dry_run, as_json=as_json, quiet=quiet)


@takes_settings(QUESTION)
def stress(
    bench: Bench,
    kinds: Annotated[
        str,
        typer.Option(
            "--with",
            metavar="KINDS",
            help="blur, noise, dark, jpeg, crop, drop, fps, speed; of the theatre also style, "
            "length; several separated by commas. blur=3 is one strength.",
            show_default=False,
        ),
    ],
    target: Target,
    protocol: ProtocolOption = "letter",
    n: Many = None,
    videos: Videos = None,
    jobs: Jobs = 2,
    dry_run: DryRun = False,
    retry_errors: RetryErrors = False,
    encoder: EncoderOption = "wordllama",
    tau: TauOption = 0.8,
    *,
    settings: Settings,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make the films worse, in strengths; each is compared with the films as they are.

    --out is a run: stopped, the same command goes on; `eval report` and `eval compare` read it."""
    from videoespresso.api.evaluate import opened
    from videoespresso.evaluation.ablation import stressed
    from videoespresso.evaluation.run import Plan

    names = stressed([kind.strip() for kind in kinds.split(",")])
    plan = Plan(
        opened(bench, settings, videos), target, settings, names, protocol, n, jobs, retry_errors
    )
    _tabulate(plan, kinds, encoder, tau, dry_run=dry_run, as_json=as_json, quiet=quiet)


def _tabulate(
    plan: "Plan", over: str, encoder: str, tau: float, *, dry_run: bool, as_json: bool, quiet: bool
) -> None:
    """Runs a plan whose first condition the others are compared with, and shows its table."""
    from videoespresso.api.evaluate import encoder_of
    from videoespresso.cli.eval_run_tables import show_ablation
    from videoespresso.evaluation.ablation import ablation

    embed = None if dry_run else encoder_of(plan.protocol, encoder)
    execute(
        plan, lambda: ablation(plan.out, over, plan.conditions, embed, tau), show_ablation,
        dry_run=dry_run, as_json=as_json, quiet=quiet,
    )  # fmt: skip
