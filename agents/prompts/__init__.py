"""Prompts: `<role>.md` beside this file, with `$placeholders` checked both ways."""

import hashlib
from pathlib import Path
from string import Template

from videoespresso.errors import SettingsError
from videoespresso.models.client.request import Prompt

FOLDER = Path(__file__).parent


def load(role: str, **values: str) -> Prompt:
    """Reads and fills in a role's prompt. A dollar sign is written `$$`.

    Raises SettingsError for an unknown role, a placeholder without a value, a value without a
    placeholder, and a stray `$`.
    """
    path = FOLDER / f"{role}.md"
    try:
        source = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.md")))
        raise SettingsError(f"no prompt for the role {role!r}", hint=f"Known: {known}.") from None
    template = Template(source)
    if not template.is_valid():
        raise SettingsError(f"{path.name} has a stray `$`", hint="Write `$$` for a dollar sign.")
    wanted, given = set(template.get_identifiers()), set(values)
    if wanted != given:
        missing, unused = sorted(wanted - given), sorted(given - wanted)
        raise SettingsError(
            f"{path.name}: no value for {missing}, no placeholder for {unused}",
            hint="The placeholders in the file and the values in the code must be the same.",
        )
    text = template.substitute(values).strip()
    return Prompt(role, text, hashlib.sha256(source.encode()).hexdigest())
