"""Every dialect of models and servers through every role's own call: what a role makes of a reply
must be what it makes of the same reply said plainly."""

import importlib.util
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Self

from tests.helpers import chat_server as fake
from tests.helpers.dialects import DIALECTS, ROLES
from tests.helpers.server_agent import PROVIDERS, provider_agent
from tests.helpers.wires import spoken

from lab.reliability.trials import Trials
from videoespresso.agents.base import Agent
from videoespresso.models.client.usage import UsageLog

Json = dict[str, Any]


Case = tuple[str, str, str]
"""Dialect, role, provider."""


def cases() -> list[Case]:
    """Those that there are, on each wire whose package is installed: words are not fenced."""
    here = [name for name, found in PROVIDERS.items() if importlib.util.find_spec(found.package)]
    every = ((d, r, p) for r in ROLES for p in here for d in DIALECTS)
    return [(d, r, p) for d, r, p in every if spoken(p, d, ROLES[r].good) is not None]


def trials(_folder: Path, count: int, known: set[str]) -> Iterator[Json]:
    """The records of those that are not known yet."""
    runner = Trials(trial)
    try:
        for case in cases()[:count]:
            if (key := "dialect " + ", ".join(case)) not in known:
                yield {"key": key, "part": "dialects", **runner.run(case)}
    finally:
        runner.end()


def trial(given: Case) -> Json:
    """ "ok" where the role's result is that of the plain reply, else "wrong" and what came."""
    for found in PROVIDERS.values():
        if found.key:
            os.environ.setdefault(found.key, "not-needed")
    dialect, role, provider = given
    stage = _stage(provider)
    made = stage.made(dialect, role)
    if made == stage.made("plain", role):
        return {"outcome": "ok"}
    return {"outcome": "wrong", "error": made[:300]}


class Stage:
    """A provider's client, which takes long to be made, and a server that says what it is to."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._server = fake.Server([lambda exchange: self._behave(exchange)])
        self._behave: fake.Behaviour = fake.hang()
        self._agent = provider_agent(provider, self._server.url)

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._server.__exit__(*error)

    def made(self, dialect: str, role: str) -> str:
        """What the role makes of its good reply in that dialect."""
        call, good = ROLES[role]
        behave = spoken(self._provider, dialect, good)
        assert behave is not None
        self._behave = behave
        old = self._agent
        fresh = Agent(
            old.role, old.spec, old.model, usage_log=UsageLog(), retries=old.retries
        )  # knows of no inability
        try:
            return repr(call(fresh))
        except Exception as error:  # noqa: BLE001 - whatever came is what is measured
            return f"{type(error).__name__}: {error}"


@cache
def _stage(provider: str) -> Stage:
    """Open until the trial's process is ended."""
    return Stage(provider).__enter__()
