"""Options that several commands share, and the settings they make."""

from collections.abc import Sequence
from typing import Annotated

import typer

from videoespresso.errors import UserError
from videoespresso.settings import ROLES, Settings

Select = Annotated[
    str | None,
    typer.Option(help="paper, retrieval, uniform:K, keyframes or all.", show_default="paper"),
]
Profile = Annotated[
    str | None, typer.Option(help="A named set of models; `models list` shows them.")
]
Model = Annotated[
    list[str] | None,
    typer.Option("--model", "-m", metavar="ROLE=SPEC", help="A model for one role."),
]
Detector = Annotated[
    str | None,
    typer.Option(metavar="SPEC", help="onnx:PATH, yolo:PATH.pt, hf:NAME, embedded: or off."),
]
Tool = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="A tool, or package.module:name; may be repeated."),
]
Fps = Annotated[float | None, typer.Option(help="Frames a second on static parts.")]
MaxUsd = Annotated[
    float | None, typer.Option(help="Spend no more dollars a question (a batch: in all).")
]
MaxCalls = Annotated[
    int | None, typer.Option(help="Make no more model calls a question (a batch: in all).")
]
MaxFrames = Annotated[int | None, typer.Option(help="Look at no more frames a question.")]
MaxSeconds = Annotated[
    float | None, typer.Option(help="Take no longer for a question (a batch: in all).")
]
Private = Annotated[
    bool,
    typer.Option(
        "--allow-private-addresses", help="Fetch videos from this machine and network, too."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Do not show the steps.")]


def settings_of(
    *,
    select: str | None = None,
    profile: str | None = None,
    model: Sequence[str] | None = None,
    detector: str | None = None,
    fps: float | None = None,
    max_usd: float | None = None,
    max_calls: int | None = None,
    max_frames: int | None = None,
    max_seconds: float | None = None,
    concurrency: int | None = None,
    label_check: str | None = None,
    private: bool = False,
) -> Settings:
    """The settings with what was given on top. Raises UserError, SettingsError."""
    return Settings.load(
        {
            "profile": profile,
            **roles(model or ()),
            "detector": detector,
            "select": select,
            "fps": fps,
            "budget_usd": max_usd,
            "budget_calls": max_calls,
            "budget_frames": max_frames,
            "budget_seconds": max_seconds,
            "concurrency": concurrency,
            "label_check": label_check,
            "allow_private_addresses": private or None,
        }
    )


def roles(given: Sequence[str]) -> dict[str, str]:
    """('reasoner=openai:gpt-4o', …) as settings. Raises UserError for anything else."""
    specs: dict[str, str] = {}
    for text in given:
        role, equals, spec = text.partition("=")
        if role not in ROLES or not equals or not spec:
            raise UserError(
                f"--model {text!r} does not name a role and a model",
                hint=f"Write --model ROLE=SPEC, with a role of: {', '.join(ROLES)}.",
            )
        specs[role] = spec
    return specs
