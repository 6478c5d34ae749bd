"""What is said to somebody whose film the embedded models do not know: whole commands that work."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from videoespresso.errors import UnknownFilmError
from videoespresso.models.profiles import configured, resolve
from videoespresso.models.specs import EMBEDDED
from videoespresso.settings import DATASET_ROLES, MODEL_ROLES, Settings


class AskCommand(NamedTuple):
    """A question as one types it; what is not a word of the question is in the settings."""

    paths: Sequence[str]
    question: str = ""
    options: Sequence[str] = ()

    def __str__(self) -> str:
        words = [*self.paths, self.question or "What happens?"]
        for option in self.options:
            words += ["--option", option]
        return f"videoespresso ask {shlex.join(words)}"


def unknown_film(
    settings: Settings, roles: Sequence[str], path: str, command: object
) -> UnknownFilmError:
    """The error for a film that is not the theatre's. roles: those that the pack would fill.
    command: what was typed, without the models."""
    if not configured(settings) and len(roles) > 1:
        return UnknownFilmError(
            f"no model is configured that knows {Path(path).name}: the embedded ones were taught "
            "the synthetic theatre only, and say nothing about other films",
            hint=three_ways(command),
        )
    few = "detector" if tuple(roles) == ("detector",) else ", ".join(roles)
    verb = "is" if len(roles) == 1 else "are"
    detector = " --detector off" if settings.detector.startswith(EMBEDDED) else ""
    them = "it another model" if len(roles) == 1 else "them other models"
    other = _other(settings)
    return UnknownFilmError(
        f"{Path(path).name} is not from the synthetic theatre, which is all that the embedded "
        f"models know, and {few} {verb} embedded",
        hint=f"Give {them}:\n{command} {other}{detector}"
        if other
        else three_ways(command, detector),
    )


def unknown_films(
    settings: Settings, path: str, videos: Sequence[str], out: str
) -> UnknownFilmError:
    """The error for dataset mode where that is all there is. path: the first of the films."""
    roles = resolve(settings)
    pack = [r for r in ("captioner", *DATASET_ROLES) if roles[r].model.provider == EMBEDDED]
    pack += ["detector"] if roles["detector"].spec.startswith(EMBEDDED) else []
    command = shlex.join(["videoespresso", "dataset", "build", *videos, "--out", out])
    return unknown_film(settings, pack, path, command)


def three_ways(command: object, more: str = "") -> str:
    """The command with a key, a server, or this machine, each whole and on a line of its own. more:
    options that each has."""
    return (
        "Choose one of these:\n"
        f"a key:        OPENAI_API_KEY=YOUR_KEY {command} --profile openai{more}\n"
        f"a server:     {command} -m openai:@http://localhost:8000/v1{more}\n"
        f"this machine: videoespresso models pull laptop && {command} --profile laptop{more}"
    )


def _other(settings: Settings) -> str:
    """The option with which every role has a model that was chosen; "" where all are embedded."""
    specs = resolve(settings)
    others = [specs[role].spec for role in MODEL_ROLES if specs[role].model.provider != EMBEDDED]
    return f"-m {shlex.quote(others[0])}" if others else ""
