"""Conditions that change one thing of how a film is asked about: `ours@tau=0.8`, `ours@boxes=off`,
`ours@captions=off`, `uniform:8@checker=off`, `ours@blur=3`; several separated by commas."""

import contextlib
import math
from dataclasses import dataclass, field
from typing import Any

from videoespresso.errors import SettingsError
from videoespresso.evaluation.stress import STRENGTHS, Stress
from videoespresso.settings import Settings

_HINT = (
    "Write CONDITION@tau=0.8 (or off), @boxes=off, @captions=off, @checker=off, @blur=1 to 5; "
    "several separated by commas."
)


@dataclass(frozen=True)
class Variant:
    """A condition taken apart. base: its selection or its own name. over: settings in the place of
    the run's. checked: the checker is asked. captions: the reasoner reads them. stress: how the
    film is seen."""

    base: str
    over: dict[str, Any] = field(default_factory=dict)
    checked: bool = True
    captions: bool = True
    stress: Stress | None = None

    def settings(self, settings: Settings) -> Settings:
        """Those of the run with this condition's over them."""
        return settings.model_copy(update=self.over)


def variant(condition: str) -> Variant:
    """Takes a condition's name apart. Raises SettingsError for a change that is none."""
    base, at, changes = condition.partition("@")
    over: dict[str, Any] = {}
    checked, captions, stress = True, True, None
    for change in changes.split(",") if at else ():
        key, _, value = change.partition("=")
        match key, value:
            case "boxes", "off":
                over["detector"] = "off"
            case "checker", "off":
                checked = False
            case "captions", "off":
                captions = False
            case "tau", "off":
                over["tau"] = math.inf
            case "tau", _:
                over["tau"] = _cosine(value)
            case _, "1" | "2" | "3" | "4" | "5" if key in STRENGTHS and stress is None:
                stress = Stress(key, int(value))
            case _:
                raise SettingsError(f"{condition}: {change!r} is no change", hint=_HINT)
    return Variant(base, over, checked, captions, stress)


def _cosine(value: str) -> float:
    """Raises SettingsError for what is none."""
    with contextlib.suppress(ValueError):
        if -1 <= (tau := float(value)) <= 1:
            return tau
    raise SettingsError(f"tau {value!r} is no cosine from -1 to 1", hint=_HINT)
