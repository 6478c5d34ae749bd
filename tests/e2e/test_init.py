"""`videoespresso init` as a person meets it: through a pseudo-terminal, and in scripts."""

import os
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.helpers import chat_server as fake
from tests.helpers.seeing_server import Seer
from tests.helpers.small import square_video

from videoespresso.cli import init as init_command
from videoespresso.cli.app import main
from videoespresso.cli.init import Choice, text_of, write
from videoespresso.errors import SettingsError
from videoespresso.settings import Settings
from videoespresso.settings_file import user_file

LONG_S = 120


class Desk:
    """A terminal in an empty folder, with a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.config = folder, folder / "config"
        self.file = self.config / "videoespresso" / "videoespresso.toml"
        keep = ("PATH", "HOME", "PYTHONPATH", "LANG")
        self.environ = {name: os.environ[name] for name in keep if name in os.environ}
        self.environ |= {"XDG_CONFIG_HOME": str(self.config), "TERM": "dumb", "COLUMNS": "200"}
        self.environ |= {
            "VIDEOESPRESSO_CACHE_DIR": str(folder / "cache"),
            "OLLAMA_HOST": "127.0.0.1:9",
        }

    def run(self, *arguments: str) -> Any:
        pexpect = pytest.importorskip("pexpect")
        return pexpect.spawn(
            sys.executable,
            ["-m", "videoespresso", "init", *arguments],
            env=self.environ,
            cwd=str(self.folder),
            timeout=LONG_S,
            encoding="utf-8",
        )

    @property
    def leftovers(self) -> list[str]:
        folder = self.file.parent
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def server() -> Iterator[fake.Server]:
    with fake.Server([Seer()]) as running:
        yield running


def answer(child: Any, question: str, text: str) -> None:
    child.expect(question)
    child.sendline(text)


def test_from_three_questions_to_an_answer_about_a_file(desk: Desk, server: fake.Server) -> None:
    video = square_video(desk.folder / "mine.mp4", seconds=2)
    child = desk.run()
    answer(child, r"1\. What should answer", "server")
    child.expect("2. Which server")
    answer(child, "Number or name", server.url)  # pasted in the place of a number
    child.expect("written: .*videoespresso.toml")
    answer(child, "A video of yours", str(video))
    answer(child, "Your question", "What moves?")
    child.expect("a square moves")
    child.expect("Evidence")
    child.expect(end())
    child.close()
    assert child.exitstatus in (0, 3), child.before
    printed = tomllib.loads(desk.file.read_text())
    assert printed["profile"] == "server"
    assert printed["server_url"] == server.url
    assert desk.leftovers == ["videoespresso.toml"]


def end() -> Any:
    return pytest.importorskip("pexpect").EOF


def test_a_key_is_named_and_never_asked_for(desk: Desk) -> None:
    child = desk.run()
    answer(child, "What should answer", "1")
    child.expect("OPENAI_API_KEY is not set yet")
    answer(child, "Number or name", "openai")
    answer(child, "how many dollars", "many")
    answer(child, "how many dollars", "0.02")
    child.expect("export OPENAI_API_KEY")
    child.expect(end())
    child.close()
    assert child.exitstatus == 0
    text = desk.file.read_text()
    assert tomllib.loads(text) == {"profile": "openai", "budget": {"usd": 0.02}}
    assert "# Needs: OPENAI_API_KEY" in text
    assert "sk-" not in text


@pytest.mark.parametrize("where", ["What should answer", "Number or name", "how many dollars"])
def test_ctrl_c_leaves_nothing(desk: Desk, where: str) -> None:
    child = desk.run()
    child.expect("What should answer")
    if where != "What should answer":
        child.sendline("key")
        child.expect("Which provider")
    if where == "how many dollars":
        child.sendline("openai")
        child.expect(where)
    child.sendintr()
    child.expect("nothing was written")
    child.expect(end())
    child.close()
    assert child.exitstatus == 130
    assert desk.leftovers == []


def test_an_old_file_is_kept_unless_one_agrees(desk: Desk) -> None:
    desk.file.parent.mkdir(parents=True)
    desk.file.write_text("fps = 2\n")
    child = desk.run("--profile", "openai", "--max-usd", "1", "--no-answer")
    answer(child, r"Replace it\? \[y/N\]", "")
    child.expect("nothing was written")
    child.expect(end())
    child.close()
    assert (child.exitstatus, desk.file.read_text()) == (2, "fps = 2\n")
    child = desk.run("--profile", "openai", "--max-usd", "1", "--no-answer")
    answer(child, r"Replace it\?", "y")
    child.expect(end())
    assert desk.leftovers == ["videoespresso.toml", "videoespresso.toml.bak"]
    assert desk.file.with_name("videoespresso.toml.bak").read_text() == "fps = 2\n"


# ---- in scripts, in this process


@pytest.fixture
def here(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    for name, value in desk.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(desk.folder)
    assert user_file() == desk.file
    return desk


def test_flags_ask_nothing(here: Desk, server: fake.Server) -> None:
    assert main(["init", "--server", server.url, "--yes", "--no-answer"]) == 0
    settings = Settings.load()
    assert (settings.profile, settings.server_url) == ("server", server.url)
    assert settings.budget_usd is None


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        (["--yes"], "--profile NAME or --server URL"),
        (["--profile", "nobody", "--yes"], "unknown profile"),
        (["--server", "http://127.0.0.1:9/v1", "--yes"], "nothing answers"),
        (["--server", "http://me:secret@h/v1", "--yes"], "carries a user"),
    ],
)
def test_what_cannot_be_writes_nothing(
    line: list[str], printed: str, here: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", *line]) == 2
    assert printed in " ".join(capsys.readouterr().err.split())
    assert here.leftovers == []


def test_a_server_of_several_models_is_a_choice(
    here: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with fake.Server([fake.serves("small", "large")]) as server:
        assert main(["init", "--server", server.url, "--yes"]) == 2
        monkeypatch.setattr("builtins.input", lambda: "2")
        assert main(["init", "--server", server.url, "--no-answer"]) == 0
        assert Settings.load().captioner == f"openai:large@{server.url}"
    assert "serves 2 models: small, large" in capsys.readouterr().err


def test_this_machine_says_what_to_fetch(here: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--profile", "laptop", "--yes"]) == 0
    assert "videoespresso models pull laptop" in capsys.readouterr().err
    assert Settings.load().profile == "laptop"


def test_the_pack_is_asked_about_the_theatre_only(
    here: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    video = square_video(here.folder / "mine.mp4", seconds=2)
    code = main(["init", str(video), "--profile", "embedded", "--yes"])
    printed = capsys.readouterr()
    assert code in (0, 3)
    assert "know the theatre only" in printed.err
    assert "sample.mp4" in printed.err
    assert "mine.mp4:" not in printed.err


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "deep" / "videoespresso.toml"
    write(target, text_of(Choice(profile="openai", max_usd=0.5)))
    before = target.read_text()
    assert Settings.load(file=target, environ={}).budget_usd == 0.5

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(init_command.Path, "replace", fail)
    with pytest.raises(SettingsError, match="No space left"):
        write(target, "profile =")
    assert target.read_text() == before
    assert sorted(p.name for p in target.parent.iterdir()) == [target.name, f"{target.name}.bak"]
