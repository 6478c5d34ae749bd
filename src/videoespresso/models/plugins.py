"""Embedders and model providers of other packages (docs/extend.md)."""

from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any

from videoespresso.errors import SettingsError
from videoespresso.models.client.errors import redact

PROVIDERS = "videoespresso.models"
EMBEDDERS = "videoespresso.embedders"
"""Groups of entry points."""


def plugin(group: str, name: str) -> Any | None:
    """What a package registered under this name, or what "package.module:name" stands for.

    None where there is neither. Of two packages with one name the first by alphabet counts. Raises
    SettingsError when it cannot be imported.
    """
    installed = entry_points(group=group, name=name)
    entry = min(installed, key=lambda e: e.dist.name if e.dist else "", default=None)
    if entry is None:
        parts = name.replace(":", ".").split(".")
        if name.count(":") != 1 or not all(part.isidentifier() for part in parts):
            return None
        if find_spec(parts[0]) is None:
            return None
        entry = EntryPoint(name=name, value=name, group=group)
    try:
        return entry.load()
    except Exception as error:  # others' code runs on import
        raise SettingsError(
            f"{name!r} cannot be imported: {type(error).__name__}: {redact(str(error))}",
            hint="Check the name, or repair the package that brings it.",
        ) from error
