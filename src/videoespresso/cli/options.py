"""Options that several commands share, declared once, and the settings they make."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar

import typer

from videoespresso.cli.console import err, one_line, say_warning
from videoespresso.errors import SettingsError, UserError
from videoespresso.models.specs import ModelSpec
from videoespresso.settings import KNOWN, MODEL, MODEL_ROLES, ROLES, Settings, from_file

R = TypeVar("R")

Select = Annotated[
    str | None,
    typer.Option(
        help="auto, paper, retrieval, uniform:K, keyframes, all or SCORER+PICKER[:K].",
        show_default="auto",
    ),
]
Quick = Annotated[
    bool,
    typer.Option("--quick", help="Eight frames in one call: no captions, no selector, no check."),
]
Stages = Annotated[
    str | None,
    typer.Option(
        metavar="two|one",
        help="Evidence and answer in two replies, or in one, which sends pictures once.",
        show_default="two; one with --quick",
    ),
]
Look = Annotated[
    str | None,
    typer.Option(
        metavar="fast|normal|thorough",
        help="How densely: 60 frames at most, 240, or every second of two hours.",
        show_default="normal",
    ),
]
Profile = Annotated[
    str | None, typer.Option(help="A named set of models; `models list` shows them.")
]
Model = Annotated[
    list[str] | None,
    typer.Option(
        "--model", "-m", metavar="[ROLE=]SPEC", help="A model for every role, or for one."
    ),
]
Detector = Annotated[
    str | None,
    typer.Option(metavar="SPEC", help="onnx:PATH, yolo:PATH.pt, hf:NAME, embedded: or off."),
]
Fps = Annotated[float | None, typer.Option(help="Frames a second on static parts.")]
MaxUsd = Annotated[
    float | None,
    typer.Option(
        help="Spend no more dollars a question (ask-many and eval run: in all).",
        show_default="0.25 a question with paid models",
    ),
]
MaxCalls = Annotated[
    int | None,
    typer.Option(help="Make no more model calls a question (ask-many and eval run: in all)."),
]
MaxFrames = Annotated[int | None, typer.Option(help="Look at no more frames a question.")]
MaxSeconds = Annotated[
    float | None,
    typer.Option(help="Take no longer for a question (ask-many and eval run: in all)."),
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
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Do not show what is under way.")]
How = Literal["line", "steps"] | None
"""What is under way is a line that goes away again, or the steps stay, too; None shows nothing."""
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Keep a line for each step.")]


def how_shown(*, quiet: bool, verbose: bool) -> How:
    """What the two flags mean together."""
    return None if quiet else ("steps" if verbose else "line")


MODELS: dict[str, Any] = {"profile": Profile, "model": Model, "detector": Detector}
"""Options of commands that only need the models: parameter of `settings_of` -> option."""
QUESTION: dict[str, Any] = {
    "select": Select,
    "quick": Quick,
    "stages": Stages,
    "look": Look,
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

        return declared(run, "settings", options)

    return decorate


def declared(run: Callable[..., R], keyword: str, options: dict[str, Any]) -> Callable[..., R]:
    """The function, in whose signature the options stand in the place of that parameter."""
    given = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=False if option in (Private, Quick) else None,
            annotation=option,
        )
        for name, option in options.items()
    ]
    signature = inspect.signature(run)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        parameters += given if parameter.name == keyword else [parameter]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def note_unconfigured(settings: Settings, *, quiet: bool) -> None:
    """Says on stderr when the embedded models answer because no others are configured."""
    from videoespresso.models.profiles import UNCONFIGURED, configured

    if not quiet and not configured(settings):
        err().print(f"note: {UNCONFIGURED}", style="dim")


def note_where(settings: Settings, *, quiet: bool, sends: bool = True) -> None:
    """One line on stderr: the settings files that are in use, and the other machines that get the
    frames. That they get them unencrypted is a warning, `quiet` or not. sends: frames go anywhere
    at all."""
    from videoespresso.models.profiles import destinations

    hosts = destinations(settings) if sends else {}
    for host in (host for host, open_ in hosts.items() if open_):
        say_warning(
            f"frames and key go to {host} over plain http: anybody on the way can read them"
        )
    if quiet:
        return
    files = {settings.source(key) for key in KNOWN if from_file(settings.source(key))}
    parts = [f"settings: {name}" for name in sorted(files)]
    parts += [f"frames go to {', '.join(hosts)}"] if hosts else []
    if parts:
        err().print(one_line("; ".join(parts)), style="dim")


_KEYS = {f"max_{what}": f"budget_{what}" for what in ("usd", "calls", "frames", "seconds")}
"""Options whose setting has another name."""


def settings_of(
    *, model: Sequence[str] | None = None, private: bool = False, **given: Any
) -> Settings:
    """The settings, with the given options before the environment and the file; None is not given.

    Raises UserError for an unusable --model, SettingsError for an unusable value.
    """
    named = {_KEYS.get(name, name): value for name, value in given.items()}
    named["quick"] = named.get("quick") or None  # not given, rather than no
    allowed = {"allow_private_addresses": private or None}
    return Settings.load({**named, **roles(model or ()), **allowed})


def roles(given: Sequence[str]) -> dict[str, str]:
    """('openai:gpt-4o', 'captioner=openai:gpt-4.1-nano', …) as settings: a spec alone is for every
    chat role. Raises UserError for what is neither, and for two specs for the same."""
    specs: dict[str, str] = {}
    for text in given:
        role, equals, spec = text.partition("=")
        if role not in ROLES or not equals:  # a spec may hold an "=" of its own
            role, spec = MODEL, text
        fault = _fault(role, spec)
        if specs.setdefault(role, spec) != spec:
            fault = f"there are two for {'every role' if role == MODEL else f'the {role}'}"
        if fault:
            raise UserError(
                f"--model {text!r}: {fault}",
                hint="Write --model SPEC for every role, e.g. openai:gpt-4o, or --model ROLE=SPEC, "
                f"with a role of: {', '.join(ROLES)}.",
            )
    return specs


def _fault(role: str, spec: str) -> str:
    """What is wrong with a spec; detector and embedder read their own."""
    if role not in (MODEL, *MODEL_ROLES):
        return "" if spec else "no model is named"
    try:
        ModelSpec.parse(spec)
    except SettingsError as error:
        return str(error)
    return ""
