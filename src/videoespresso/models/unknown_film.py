"""What is said to somebody whose film the embedded models do not know: whole commands that work."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from videoespresso.errors import UnknownFilmError
from videoespresso.models.profiles import configured, resolve
from videoespresso.models.specs import EMBEDDED
from videoespresso.settings import MODEL_ROLES, Settings


def unknown_film(
    settings: Settings, roles: Sequence[str], path: str, question: str = ""
) -> UnknownFilmError:
    """The error for a film that is not the theatre's. roles: those that the pack would fill."""
    asked = question or "What happens?"
    ask = f"videoespresso ask {shlex.quote(path)} {shlex.quote(asked)}"
    if not configured(settings) and len(roles) > 1:
        return UnknownFilmError(
            f"no model is configured that knows {Path(path).name}: the embedded ones were taught "
            "the synthetic theatre only, and say nothing about other films",
            hint="Choose one of these:\n"
            f"a key:        OPENAI_API_KEY=YOUR_KEY {ask} --profile openai\n"
            f"a server:     {ask} -m openai:NAME@http://localhost:8000/v1\n"
            f"this machine: videoespresso models pull laptop && {ask} --profile laptop",
        )
    few = "detector" if tuple(roles) == ("detector",) else ", ".join(roles)
    verb = "is" if len(roles) == 1 else "are"
    return UnknownFilmError(
        f"{Path(path).name} is not from the synthetic theatre, which is all that the embedded "
        f"models know, and {few} {verb} embedded",
        hint=f"Give {'it another model' if len(roles) == 1 else 'them other models'}:\n"
        f"{ask} {_other(settings)}",
    )


def _other(settings: Settings) -> str:
    """Options with which no role is embedded: the models that were chosen, for every role."""
    specs = resolve(settings)
    others = [specs[role].spec for role in MODEL_ROLES if specs[role].model.provider != EMBEDDED]
    detector = " --detector off" if settings.detector.startswith(EMBEDDED) else ""
    return (f"-m {shlex.quote(others[0])}" if others else "--profile openai") + detector
