"""Options that several commands share, declared once, and the settings they make."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import typer

from videoespresso.cli.console import err, say_warning
from videoespresso.errors import UserError
from videoespresso.settings import ROLES, Settings

R = TypeVar("R")

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
Fps = Annotated[float | None, typer.Option(help="Frames a second on static parts.")]
MaxUsd = Annotated[
    float | None, typer.Option(help="Spend no more dollars a question (ask-many: in all).")
]
MaxCalls = Annotated[
    int | None, typer.Option(help="Make no more model calls a question (ask-many: in all).")
]
MaxFrames = Annotated[int | None, typer.Option(help="Look at no more frames a question.")]
MaxSeconds = Annotated[
    float | None, typer.Option(help="Take no longer for a question (ask-many: in all).")
]
Private = Annotated[
    bool,
    typer.Option(
        "--allow-private-addresses", help="Fetch videos from this machine and network, too."
    ),
]
Tool = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="A tool, or package.module:name; may be repeated."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Do not show the steps.")]

MODELS: dict[str, Any] = {"profile": Profile, "model": Model, "detector": Detector}
"""Options of commands that only need the models: parameter of `settings_of` -> option."""
QUESTION: dict[str, Any] = {
    "select": Select,
    **MODELS,
    "fps": Fps,
    "max_usd": MaxUsd,
    "max_calls": MaxCalls,
    "max_frames": MaxFrames,
    "max_seconds": MaxSeconds,
    "private": Private,
}
"""Options of commands that answer questions."""


def takes_settings(options: dict[str, Any]) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Puts `options` in the place of a command's keyword parameter `settings`.

    typer reads a command's options from its signature: the decorated function has them there, and
    calls the command with the `Settings` that they make. Warnings of the settings are shown.
    """

    def decorate(command: Callable[..., R]) -> Callable[..., R]:
        @functools.wraps(command)
        def run(**given: Any) -> R:
            settings = settings_of(**{name: given.pop(name) for name in options})
            for warning in settings.warnings:
                say_warning(warning)
            return command(settings=settings, **given)

        declared = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=False if option is Private else None,
                annotation=option,
            )
            for name, option in options.items()
        ]
        signature = inspect.signature(command)
        parameters: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            parameters += declared if parameter.name == "settings" else [parameter]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return decorate


def note_unconfigured(settings: Settings, *, quiet: bool) -> None:
    """Says on stderr when the embedded models answer because no others are configured."""
    from videoespresso.models.profiles import UNCONFIGURED, configured

    if not quiet and not configured(settings):
        err().print(f"note: {UNCONFIGURED}", style="dim")


_KEYS = {f"max_{what}": f"budget_{what}" for what in ("usd", "calls", "frames", "seconds")}
"""Options whose setting has another name."""


def settings_of(
    *, model: Sequence[str] | None = None, private: bool = False, **given: Any
) -> Settings:
    """The settings, with the given options before the environment and the file; None is not given.

    Raises UserError for an unusable --model, SettingsError for an unusable value.
    """
    named = {_KEYS.get(name, name): value for name, value in given.items()}
    allowed = {"allow_private_addresses": private or None}
    return Settings.load({**named, **roles(model or ()), **allowed})


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
