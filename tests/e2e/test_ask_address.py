"""A question about a video given by its address, from the command line and from Python."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.helpers import web
from tests.helpers.web import Site

import videoespresso as ve
from videoespresso.api.chat import Chat
from videoespresso.api.mcp_server import VideoTools
from videoespresso.cli.app import main
from videoespresso.cli.console import err, out
from videoespresso.memory.frames import FrameStore
from videoespresso.memory.threads import ThreadStore
from videoespresso.report.page import render

ROOM = Path(__file__).resolve().parents[2] / "examples/videos/room.mp4"
QUESTION = "Who is surprised?"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        site.pages["/room.mp4"] = web.serve(ROOM.read_bytes())
        yield site


@pytest.fixture
def url(site: Site) -> str:
    """With a login and a key in it."""
    return site.url("/room.mp4?sig=hunter2").replace("://", "://me:hunter2@")


@pytest.fixture
def settings() -> ve.Settings:
    return ve.Settings.load({"allow_private_addresses": True})


@pytest.fixture(autouse=True)
def _fresh_streams() -> None:
    out.cache_clear()
    err.cache_clear()


def test_from_python_the_video_is_fetched_once_and_its_source_is_named(
    site: Site, url: str, settings: ve.Settings
) -> None:
    seen = site.url("/room.mp4?sig=***")
    *steps, answer = ve.stream(url, QUESTION, settings=settings)
    assert isinstance(answer, ve.Answer)
    assert isinstance(steps[0], ve.Step)
    assert (steps[0].node, steps[0].text) == ("fetch", f"{seen}: 0.1 MB")
    assert answer.answered
    assert answer.video.source == seen
    assert Path(answer.video.path).name == "room.mp4"
    again = asyncio.run(ve.aask(url, QUESTION, settings=settings))
    assert (again.text, again.work.decoded, len(site.requests)) == (answer.text, 0, 1)
    page = render(answer, FrameStore(settings.cache_dir / "frames").image)
    assert seen in page
    assert "hunter2" not in page + answer.model_dump_json() + repr(steps)


def test_a_video_that_cannot_be_asked_for_again_is_used_with_a_warning(
    site: Site, settings: ve.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ve.ask(site.url("/room.mp4"), QUESTION, settings=settings)
    site.pages["/room.mp4"] = web.status(503)
    for entry in (settings.cache_dir / "downloads" / "index").iterdir():
        known = json.loads(entry.read_text())
        entry.write_text(json.dumps(known | {"checked_s": 0.0}))
    answer = ve.ask(site.url("/room.mp4"), QUESTION, settings=settings)
    assert answer.answered
    assert any("503" in warning for warning in answer.warnings)


def test_the_command_says_what_it_fetched(
    site: Site, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", url, QUESTION, "--json"]) == 2
    refused = capsys.readouterr().err
    assert "is not an address of the public internet" in refused
    assert "--allow-private-addresses" in refused
    assert main(["ask", url, QUESTION, "--json", "--allow-private-addresses", "-v"]) == 0
    printed = capsys.readouterr()
    answer = ve.Answer.model_validate_json(printed.out)
    assert answer.video.source == site.url("/room.mp4?sig=***")
    assert "fetch     http://127.0.0.1" in printed.err
    assert "hunter2" not in printed.out + printed.err
    assert main(["cache", "show"]) == 0
    assert "1 addresses" in capsys.readouterr().out
    assert main(["cache", "clear", "--downloads", "--yes"]) == 0
    assert not Path(answer.video.path).exists()


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("ftp://h.org/clip.mp4", "only http and https"),
        ("file:///etc/passwd", "only http and https"),
        ("http://me:hunter2@10.0.0.1/clip.mp4", "not an address of the public internet"),
    ],
)
def test_the_command_refuses_addresses_with_a_reason(
    address: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["ask", address, QUESTION], ["chat", address]):
        assert main(command) == 2
        printed = capsys.readouterr().err
        assert says in printed
        assert "hint:" in printed
        assert "hunter2" not in printed


def test_a_chat_is_about_the_fetched_file(site: Site, url: str, settings: ve.Settings) -> None:
    with ThreadStore(settings.cache_dir / "chats") as threads:
        with Chat.begin(threads, [url], settings) as chat:
            answer = chat.ask("Who is surprised in room.mp4?")
            assert answer.video.source == site.url("/room.mp4?sig=***")
            assert chat.turns[0].question == "Who is surprised?"
            name = chat.name
        values = json.dumps(threads.values(name))
    assert "hunter2" not in values
    assert b"hunter2" not in (settings.cache_dir / "chats" / "threads.sqlite").read_bytes()


def test_a_batch_asks_about_addresses_and_keeps_no_secret(
    site: Site, url: str, settings: ve.Settings, tmp_path: Path
) -> None:
    site.pages["/gone.mp4"] = web.status(404)
    questions = [
        {"video": video, "question": QUESTION} for video in (url, site.url("/gone.mp4?sig=hunter2"))
    ]
    answers = tmp_path / "answers.jsonl"
    asked = list(ve.ask_many(questions, out=answers, settings=settings))
    by_video = {one.video: one for one in asked}
    good = by_video[site.url("/room.mp4?sig=***")]
    assert good.answer is not None
    assert good.answer.video.source == good.video
    gone = by_video[site.url("/gone.mp4?sig=***")]
    assert gone.error is not None
    assert (gone.error.kind, "404" in gone.error.text) == ("DownloadError", True)
    assert "hunter2" not in answers.read_text()
    assert all(one.known for one in ve.ask_many(questions, out=answers, settings=settings))


def test_our_mcp_tools_take_an_address(site: Site, url: str, settings: ve.Settings) -> None:
    tools = VideoTools(settings)
    assert tools.picture(url, 1.0, 64).startswith(b"\xff\xd8")
    assert tools.describe(url).frames_looked_at > 0
    with pytest.raises(ve.VideoError, match="public internet"):
        VideoTools(ve.Settings.load()).picture(site.url("/another.mp4"), 1.0, 64)


def test_a_tool_is_tried_on_an_address(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDEOESPRESSO_ALLOW_PRIVATE_ADDRESSES", "1")
    assert main(["tools", "try", "count", site.url("/room.mp4"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["video"].endswith("room.mp4")
