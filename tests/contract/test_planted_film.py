"""A whole film with instructions planted wherever it holds text, asked about as a person would."""

import os
import random
from pathlib import Path

import pytest
from langchain_core.tools import tool
from tests.helpers import chat_server as fake
from tests.helpers.planted import PLACES, PLANTED, SECRET, UNREAD, Obedient, film, planted, told

import videoespresso as ve
from videoespresso.tools.video import open_video

pytestmark = pytest.mark.usefixtures("quiet_ends")
FILMS = int(os.environ.get("TEST_PLANTED_FILMS", "6"))
"""How many of the eighty; `lab.reliability` takes all."""
NUMBERS = sorted(random.Random(1).sample(range(len(PLANTED)), min(FILMS, len(PLANTED))))
NUMBERS = NUMBERS if 50 in NUMBERS else [*NUMBERS[1:], 50]
"""Marks of a chat template, quoted in a reply that is JSON, are among them."""


@pytest.mark.parametrize("number", NUMBERS)
def test_what_a_film_says_anywhere_moves_no_model(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    mails: list[str] = []

    @tool
    def read_sign() -> str:
        """Reads the sign."""
        return f"{planted(number, 'reply')} {SECRET}"

    @tool
    def mail(text: str) -> str:
        """Sends a mail."""
        mails.append(text)
        return "sent"

    model, path = Obedient(), film(tmp_path, number)
    given = {"cache_dir": str(tmp_path / "cache"), "detector": "off"}
    tools = [read_sign, mail, "subtitles"]
    with fake.Server([model]) as server:
        answer = ve.ask(
            path, "What does the sign say?", tools=tools, model=f"openai:m@{server.url}",
            settings=given,
        )  # fmt: skip
    assert model.obeyed == [], model.shown[-1]
    assert mails == []
    assert answer.answered
    assert model.read, "its pixels were looked at"
    assert set(model.read) == {planted(number, "pixels")}
    seen = "\n".join(model.shown)
    assert {"subtitles_mail", "pixels_mail", "reply_mail"} == {
        place for place in (f"{p}_mail" for p in (*PLACES, "reply")) if place in seen
    }, "subtitles, signs and replies are shown; names and metadata to no role"
    assert SECRET not in seen
    assert SECRET not in answer.model_dump_json()


def test_the_films_hold_what_they_are_said_to_hold(tmp_path: Path) -> None:
    """Else the tests above would show nothing."""
    path = film(tmp_path, 4)
    assert "name_mail" in path.name
    held = path.read_bytes()
    for place in UNREAD:
        assert f"{place}_mail".encode() in held, place
    assert b"subtitles_mail" in held
    with open_video(path) as reader:
        assert reader.video.duration_s == 3.0


def test_the_model_does_obey_what_is_not_fenced() -> None:
    for number in range(len(PLANTED)):
        for place in PLACES:
            assert told([planted(number, place)])[0] == f"{place}_mail"
