"""`models list`: which model fills which role, who set it, what it costs and how long it lives."""

import json
import re
from typing import Any

import pytest

from videoespresso.cli.app import main
from videoespresso.cli.console import err, out
from videoespresso.cli.doctor import _own_films
from videoespresso.models.profiles import PROFILES
from videoespresso.models.unknown_film import AskCommand, unknown_film
from videoespresso.settings import Settings


@pytest.fixture(autouse=True)
def _fresh_streams() -> None:
    """pytest swaps the streams for every test; the consoles hold on to the ones they saw."""
    out.cache_clear()
    err.cache_clear()


def test_models_list_says_where_each_came_from(capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("VIDEOESPRESSO_SELECTOR", "openai:from-the-environment")
    assert main(["models", "list", "-m", "reasoner=openai:given"]) == 0
    shown = capsys.readouterr().out
    assert "openai:from-the-environment  VIDEOESPRESSO_SELECTOR" in shown
    assert "openai:given" in shown
    assert "paper" in shown
    assert re.search(r"\$0\.0000\d+ a frame", shown)
    assert "e-0" not in shown


def test_models_list_as_json_says_what_each_profile_needs_and_costs(capsys: Any) -> None:
    assert main(["models", "list", "--json", "--profile", "openai"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["roles"]["generator"] == {"spec": "openai:gpt-4o", "set_by": "profile openai"}
    profiles = {profile["name"]: profile for profile in listed["profiles"]}
    assert set(profiles) == set(PROFILES)
    assert profiles["openai"]["needs"] == "OPENAI_API_KEY"
    assert profiles["openai"]["frame_formula"].startswith("32x32 patches")
    assert 0 < profiles["openai"]["frame_usd"] * 8 < profiles["openai"]["question_usd"] < 0.05
    assert profiles["server"]["question_usd"] == profiles["embedded"]["question_usd"] == 0
    assert "ollama pull" in profiles["ollama"]["downloads"]
    assert "in sheets of 8" in listed["question_formula"]


def test_models_list_says_when_a_model_ends(capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["models", "list", "-m", "openai:gpt-4o"]) == 0
    shown = capsys.readouterr().out
    assert "openai:gpt-4o (until 2027-01-14)" in shown
    assert "Tokens of an image: openai 32x32 patches*2.46; gemini fixed" in shown


def test_doctor_says_that_own_films_cannot_be_asked_yet_and_what_would_make_it_so() -> None:
    (check,) = _own_films(Settings.load(environ={}))
    assert check.ok is None
    assert "cannot be asked about yet" in check.detail
    for command in ("--profile openai", "-m openai:@http", "models pull laptop"):
        assert command in check.hint
    assert not [*_own_films(Settings(profile="laptop"))]


def test_what_is_embedded_by_name_has_the_three_ways_in_its_hint() -> None:
    settings = Settings(captioner="embedded:", reasoner="embedded:", detector="embedded:")
    error = unknown_film(settings, ["captioner", "reasoner"], "a.mp4", AskCommand(["a.mp4"]))
    ways = error.hint.splitlines()[1:]
    assert [way.partition(":")[0] for way in ways] == ["a key", "a server", "this machine"]
    assert all("videoespresso ask a.mp4 'What happens?'" in way for way in ways)
    assert all(way.endswith("--detector off") for way in ways)
