"""The dialects on the wires of Anthropic, Gemini and Ollama: what a role makes of a reply is what
it makes of the same said plainly. Here two roles; `lab.reliability` has all."""

import importlib.util

import pytest
from lab.reliability.dialects import Stage
from tests.helpers.dialects import DIALECTS, ROLES
from tests.helpers.server_agent import PROVIDERS
from tests.helpers.wires import BESIDE, CALL, WIRES, spoken

from videoespresso.agents.checker import Verdict

GOOD = {"captioner": ["A red car stops."], "checker": Verdict(carried=True, missing="")}
pytestmark = [pytest.mark.extras, pytest.mark.usefixtures("quiet_ends")]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("role", ["captioner", "checker"])
def test_every_dialect_is_read_as_what_it_says(
    wire: str, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = PROVIDERS[wire]
    if importlib.util.find_spec(provider.package) is None:
        pytest.skip(f"{provider.package} is not installed")
    if provider.key:
        monkeypatch.setenv(provider.key, "not-needed")
    here = [d for d in DIALECTS if spoken(wire, d, ROLES[role].good) is not None]
    assert BESIDE in here
    assert (CALL in here) is (role == "checker")
    with Stage(wire) as stage:
        made = {dialect: stage.made(dialect, role) for dialect in here}
    assert {d: found for d, found in made.items() if found != repr(GOOD[role])} == {}
