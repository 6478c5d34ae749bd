"""A film that is known, and a model server that is gone: what the cache has is answered."""

import re
from pathlib import Path

import pytest
from lab.rehearsal_server import RehearsalServer
from tests.helpers.clips import clips

from videoespresso.cli.app import main
from videoespresso.cli.console import Exit


def test_a_closed_port_is_said_before_anything_and_only_where_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIDEOESPRESSO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("VIDEOESPRESSO_DYNAMIC_FPS", "1")
    known, new = sorted(clips(tmp_path / "clips", 2).iterdir())

    def ask(film: Path, question: str) -> tuple[int, str]:
        code = main(["ask", str(film), question, "--json", "-v", "-m", spec, "--detector", "off"])
        return code, capsys.readouterr().err

    with RehearsalServer() as server:
        spec = f"openai:rehearsal@{server.url}"
        assert ask(known, "Who is there?")[0] == Exit.ANSWERED
    assert ask(known, "Who is there?")[0] == Exit.ANSWERED, "all of it is in the cache"
    for film in (known, new):
        code, shown = ask(film, "What happens first?")
        assert code == Exit.USER
        assert "nothing answers at http://127.0.0.1" in shown
        decoded = re.findall(r"(\d+) of them decoded now", shown)
        assert decoded == (["0"] if film is known else []), "nothing is decoded for it"
