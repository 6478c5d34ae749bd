"""The commands of a chat, without a terminal and without models."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from tests.unit.test_report import answer as an_answer

from videoespresso.api.ask import Step
from videoespresso.cli import chat
from videoespresso.cli.chat_commands import COMMANDS, LIMITS, Session, Still, instant, run
from videoespresso.cli.chat_terminal import completions
from videoespresso.errors import UserError
from videoespresso.settings import Settings
from videoespresso.types import Answer, Box, ChatTurn, EvidenceStep, KeyItem, SeenFrame, Usage

FRAME = SeenFrame(id="ab@12000", video_id="ab", time_s=12.0, sha="cd")
BOX = Box(label="person", xyxy=(0.1, 0.2, 0.3, 0.4), score=0.9)
TURN = ChatTurn(
    said="who is she?",
    question="who is the woman in red?",
    video="/v/room.mp4",
    answer="the aunt",
    frames=(FRAME,),
    evidence=(
        EvidenceStep(
            text="the woman in red waves",
            frame_id=FRAME.id,
            time_s=12.0,
            items=(KeyItem(name="woman in red", boxes=(BOX,)), KeyItem(name="hat")),
        ),
        EvidenceStep(text="it rains", frame_id="ab@15000", time_s=15.0),
    ),
    usage=Usage(calls=3, cached_calls=1, input_tokens=1500, output_tokens=20, usd=0.01),
)


class FakeChat:
    """As a session sees a chat: it writes down what it is asked to do."""

    def __init__(self, *turns: ChatTurn) -> None:
        self.name, self.turns, self.videos = "3f9a1c", list(turns), ["/v/room.mp4"]
        self.settings = Settings.load({"profile": "openai"}, environ={})
        self.asked: list[Any] = []
        self.used: tuple[Any, ...] = ()

    @property
    def context(self) -> Any:
        store = SimpleNamespace(file=lambda video, sha: Path(f"/frames/{video}/{sha}.jpg"))
        return SimpleNamespace(
            store=store, settings=self.settings, tools=self.used, warnings=("mind",)
        )

    def still(self, time_s: float) -> SeenFrame:
        return FRAME.model_copy(update={"time_s": time_s})

    def closer(self, start_s: float, end_s: float) -> list[Any]:
        captions = [SimpleNamespace(text="a hat falls"), SimpleNamespace(text="a hat lies")]
        refs = [FRAME.model_copy(update={"time_s": t}) for t in (start_s, end_s)]
        return list(zip(refs, captions, strict=True))

    def configure(self, **changed: Any) -> None:
        self.settings = Settings.load(self.settings.model_dump(include={"profile"}) | changed)

    def use_tools(self, names: list[str]) -> None:
        self.used = tuple(SimpleNamespace(name=name) for name in names)

    def spent(self) -> Usage:
        return sum((turn.usage for turn in self.turns), Usage())

    def undo(self) -> ChatTurn | None:
        return self.turns.pop() if self.turns else None


def session(*turns: ChatTurn) -> Session:
    threads: Any = SimpleNamespace(
        infos=lambda: [
            SimpleNamespace(name=name, used_s=0.0, turns=2, videos=("/v/room.mp4",), last="why?")
            for name in ("3f9a1c", "77aa00")
        ]
    )
    chat: Any = FakeChat(*turns)
    return Session(threads, chat)


def shown(line: str, *turns: ChatTurn) -> list[str | Still]:
    return list(run(session(*turns), line))


def test_help_names_every_command() -> None:
    lines = shown("/help")
    assert [str(line).split()[0] for line in lines] == [f"/{name}" for name in COMMANDS]


def test_the_commands_that_were_promised_are_there() -> None:
    promised = "help frames evidence seek look option tools model cost budget report export threads"
    assert set(COMMANDS) == {*promised.split(), "resume", "undo", "clear"}


def test_frames_come_with_their_place_and_instant() -> None:
    assert shown("/frames", TURN) == [Still(Path("/frames/ab/cd.jpg"), "0:12.0")]
    seen = TURN.frames[0].model_copy(update={"caption": "A woman waves.", "why": "the greeting"})
    line = "0:12.0  A woman waves. (kept: the greeting)"
    turn = TURN.model_copy(update={"frames": (seen,)})
    assert shown("/frames", turn) == [Still(Path("/frames/ab/cd.jpg"), line)]


def test_evidence_is_listed_and_one_step_shows_its_frame() -> None:
    assert shown("/evidence", TURN) == [
        "1. 0:12.0  the woman in red waves",
        "   woman in red: [0.10 0.20 0.30 0.40] 0.90",
        "   hat: not found",
        "2. 0:15.0  it rains",
    ]
    assert shown("/evidence 1", TURN)[-1] == Still(Path("/frames/ab/cd.jpg"), "0:12.0")
    assert shown("/evidence 2", TURN) == ["2. 0:15.0  it rains"]


@pytest.mark.parametrize(
    "line",
    [
        "/evidence 3", "/evidence 0", "/evidence x", "/seek soon", "/look 12", "/look a-b",
        "/model reasoner", "/model cook openai:x", "/budget euros 3", "/budget calls", "/report",
        "/export", "/export /no/such/folder/a.md", "/resume 3f9a1c", "/nothing", "/",
        "/model generator openai:x", "/export /v/room.mp4", "/report /v/../v/room.mp4",
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_with_a_hint(line: str) -> None:
    with pytest.raises(UserError) as caught:
        shown(line, TURN)
    assert str(caught.value)


@pytest.mark.parametrize("line", ["/frames", "/evidence", "/report r.html"])
def test_nothing_was_asked_yet(line: str) -> None:
    with pytest.raises(UserError, match="nothing was asked"):
        shown(line)


@pytest.mark.parametrize("command", ["export", "report"])
def test_a_video_is_not_written_over(tmp_path: Path, command: str) -> None:
    video = tmp_path / "room.mp4"
    video.write_bytes(b"film")
    (tmp_path / "link.mp4").symlink_to(video)
    opened = session(TURN)
    opened.chat.videos = [str(video)]
    with pytest.raises(UserError, match="is a video of this chat"):
        list(run(opened, f"/{command} {tmp_path / 'link.mp4'}"))
    assert video.read_bytes() == b"film"


def test_an_answer_is_said_once_however_it_grew(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is shown while it is written goes away again."""
    screen = Console(
        stderr=True, force_terminal=True, highlight=False, soft_wrap=True, markup=False, width=80
    )
    monkeypatch.setattr(chat, "err", lambda: screen)
    opened = session(TURN)

    def ask(_text: str, on_step: Any, *, options: Any, on_words: Any) -> Answer:
        on_step(Step(node="understand", text="Who waves?"))
        for words in ("the", "the wom", "the woman\x1b[2J in red"):
            on_words(words)
        on_step(Step(node="answer", text="the woman in red"))
        return an_answer(text="the woman in red", options=(), choice=None)

    monkeypatch.setattr(opened.chat, "ask", ask, raising=False)
    chat.question(opened, "and who?", "line", as_json=False)
    shown = capsys.readouterr()
    assert "the woman in red" in shown.out
    left = re.sub(r"\x1b\[\?25[hl]", "", shown.err)
    left = re.sub(r"[^\n]*\n?\r?(\x1b\[1A)?\x1b\[2K", "", left)
    assert "the woman in red" not in left
    assert "understand Who waves?" in left
    assert "\x1b[2J" not in shown.err


def test_seek_and_look() -> None:
    assert shown("/seek 1:02", TURN) == [Still(Path("/frames/ab/cd.jpg"), "1:02.0")]
    assert [still.line for still in shown("/look 0:10-15", TURN) if isinstance(still, Still)] == [
        "0:10.0  a hat falls",
        "0:15.0  a hat lies",
    ]


def test_tools_are_listed_and_chosen() -> None:
    open_session = session(TURN)
    assert "off count" in list(run(open_session, "/tools"))
    assert "on  count" in list(run(open_session, "/tools count"))
    assert "off count" in list(run(open_session, "/tools off"))


def test_a_model_for_a_role() -> None:
    lines = shown("/model reasoner openai:gpt-5@http://localhost:1/v1", TURN)
    assert "reasoner   openai:gpt-5@http://localhost:1/v1" in lines
    assert any(line.startswith("captioner  openai:") for line in lines)


def test_cost_is_summed() -> None:
    lines = shown("/cost", TURN, TURN)
    assert lines[0] == "1. 3 model calls (1 from cache), 1,500 + 20 tokens, $0.0100  who is she?"
    assert lines[-1] == "all: 6 model calls (2 from cache), 3,000 + 40 tokens, $0.0200"


def test_limits_are_set_and_lifted() -> None:
    open_session = session(TURN)
    assert list(run(open_session, "/budget")) == [f"{name:<8} no limit" for name in LIMITS]
    assert "calls    20 a question" in list(run(open_session, "/budget calls 20"))
    assert "calls    no limit" in list(run(open_session, "/budget off"))


def test_a_chat_is_exported(tmp_path: Path) -> None:
    shown(f"/export {tmp_path / 'a.md'}", TURN)
    text = (tmp_path / "a.md").read_text()
    assert "**who is she?** (*who is the woman in red?*)" in text
    assert "- room.mp4 0:12.0: the woman in red waves" in text
    shown(f"/export {tmp_path / 'a.json'}", TURN)
    kept = json.loads((tmp_path / "a.json").read_text())
    assert [ChatTurn.model_validate(turn) for turn in kept["turns"]] == [TURN]


def test_threads_are_listed_and_the_open_one_is_marked() -> None:
    lines = [str(line) for line in shown("/threads")]
    assert [line[:8] for line in lines] == ["* 3f9a1c", "  77aa00"]
    assert "room.mp4" in lines[0]


def test_undo() -> None:
    assert shown("/undo", TURN) == ["taken back: who is she?"]
    assert shown("/undo") == ["nothing was asked yet"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("12.5", 12.5), ("1:02", 62.0), ("1:02:03.5", 3723.5), (" 7 s", 7.0)]
)
def test_instants(text: str, seconds: float) -> None:
    assert instant(text) == seconds


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("/re", ("/report", "/resume")),
        ("/model re", ("reasoner",)),
        ("/budget ca", ("calls",)),
        ("/resume 7", ("77aa00",)),
        ("who", ()),
        ("/seek 1", ()),
        ("/option ", ("a dog", "the man", "off")),
        ("/option a dog | t", ("the man",)),
        ("/option a d", ()),
    ],
)
def test_completion(text: str, choices: tuple[str, ...]) -> None:
    turn = TURN.model_copy(update={"options": ("a dog", "the man")})
    assert tuple(completions(session(turn), text)) == choices


def test_options_are_for_the_next_question() -> None:
    opened = session()
    assert list(run(opened, "/option a dog | the man |")) == [
        "(A) a dog",
        "(B) the man",
        "one of these answers the next question",
    ]
    assert opened.options == ("a dog", "the man")
    assert list(run(opened, "/option off")) == ["the answer is free"]
    assert opened.options == ()


@pytest.mark.parametrize("given", ["one", "a | a", "|", " | ".join(map(str, range(27)))])
def test_a_choice_of_nothing_is_refused(given: str) -> None:
    with pytest.raises(UserError, match="not a choice"):
        list(run(session(), f"/option {given}"))
