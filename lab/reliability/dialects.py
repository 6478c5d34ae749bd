"""Every dialect of models and servers through every role's own call: what a role makes of a reply
must be what it makes of the same reply said plainly."""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.helpers import chat_server as fake
from tests.helpers.dialects import DIALECTS, ROLES, spoken
from tests.helpers.server_agent import agent

from lab.reliability.trials import Trials

Json = dict[str, Any]


def pairs() -> list[tuple[str, str]]:
    """(dialect, role), those that there are: words are not fenced."""
    every = ((d, r) for d in DIALECTS for r in ROLES)
    return [(d, r) for d, r in every if spoken(d, ROLES[r].good) is not None]


def trials(_folder: Path, count: int, known: set[str]) -> Iterator[Json]:
    """The records of those that are not known yet."""
    runner = Trials(trial, patience_s=60.0)
    try:
        for dialect, role in pairs()[:count]:
            if (key := f"dialect {dialect}, {role}") not in known:
                yield {"key": key, "part": "dialects", **runner.run((dialect, role))}
    finally:
        runner.end()


def trial(given: tuple[str, str]) -> Json:
    """ "ok" where the role's result is that of the plain reply, else "wrong" and what came."""
    os.environ.setdefault("OPENAI_API_KEY", "not-needed")
    dialect, role = given
    made = _made(dialect, role)
    if made == _made("plain", role):
        return {"outcome": "ok"}
    return {"outcome": "wrong", "error": made[:300]}


@cache
def _made(dialect: str, role: str) -> str:
    """What the role makes of its good reply in that dialect."""
    call, good = ROLES[role]
    behaviour = spoken(dialect, good)
    assert behaviour is not None
    with fake.Server([behaviour]) as server:
        try:
            return repr(call(agent(server)))
        except Exception as error:  # noqa: BLE001 - whatever came is what is measured
            return f"{type(error).__name__}: {error}"
