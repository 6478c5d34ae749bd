"""Somebody's own film: no part of the pack speaks of it, whatever was configured or not."""

import json
import random
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.other_films import KINDS, OtherFilm, write
from tests.helpers import chat_server as fake
from tests.helpers.blank_model import blank_hf_model
from tests.helpers.seeing_server import Seer
from tests.helpers.videos import real_clips

import videoespresso as ve
from videoespresso.cli.app import main
from videoespresso.cli.console import Exit
from videoespresso.errors import UnknownFilmError
from videoespresso.models.embedded.chat import PackChatModel
from videoespresso.models.embedded.runtime import PackRuntime
from videoespresso.models.embedded.teacher import TeacherChatModel
from videoespresso.models.profiles import NO_BOXES
from videoespresso.tools.detectors.onnx import OnnxDetector

QUESTION = "What is in the middle?"
DRAWN = ("slides", "cartoon", "tiny")
REAL = ("bikes", "bigbuckbunny", "carphone_pristine")
FILMS = [*DRAWN, *(pytest.param(name, marks=pytest.mark.extras) for name in REAL)]


@pytest.fixture(scope="module", params=FILMS)
def film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film that is not the theatre's."""
    name: str = request.param
    if name in REAL:
        return next(clip for clip in real_clips() if clip.stem == name)
    pictures = KINDS[name](random.Random(name))
    return write(OtherFilm(name, name, pictures), tmp_path_factory.mktemp("films"))


@pytest.fixture(autouse=True)
def spoken(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What parts of the pack were asked; nothing may be, at the end of each test."""
    asked: list[str] = []

    def spy(kind: type, method: str) -> None:
        old: Callable[..., Any] = getattr(kind, method)

        def told(self: Any, *args: Any, **more: Any) -> Any:
            asked.append(f"{kind.__name__}.{method}")
            return old(self, *args, **more)

        monkeypatch.setattr(kind, method, told)

    for kind, methods in (
        (PackChatModel, ("_generate", "_stream")),
        (PackRuntime, ("features", "generate", "stream")),
        (TeacherChatModel, ("_generate",)),
        (OnnxDetector, ("detect",)),
    ):
        for method in methods:
            spy(kind, method)
    yield asked
    assert asked == []


def loaded(folder: Path, **given: Any) -> ve.Settings:
    return ve.Settings.load({"cache_dir": folder, **given}, environ={})


def test_nothing_configured(film: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownFilmError, match=film.name) as caught:
        ve.ask(film, QUESTION, settings=loaded(tmp_path))
    _, key, server, here = caught.value.hint.splitlines()
    assert f"{film} '{QUESTION}' --profile openai" in key
    assert "-m openai:@http://localhost:8000/v1" in server
    assert "videoespresso models pull laptop" in here


@pytest.mark.parametrize("role", ["captioner", "reasoner", "every"])
def test_a_role_set_or_all_of_them(role: str, film: Path, tmp_path: Path) -> None:
    with fake.Server([Seer()]) as server:
        spec = f"openai:seer@{server.url}"
        given = {"model": spec} if role == "every" else {role: spec}
        answer = ve.ask(film, QUESTION, settings=loaded(tmp_path, **given))
        asked = len(server.requests)
    assert asked >= 4, "the server captioned, selected, reasoned and checked"
    roles = ("captioner", "selector", "reasoner", "checker")
    assert {answer.settings[one] for one in roles} == {spec}
    assert answer.settings["detector"] == "off"
    assert not answer.detected
    assert answer.warnings.count(NO_BOXES) == 1


@pytest.mark.timeout(900)  # a random model writes to the end of every reply
@pytest.mark.extras
def test_a_model_in_this_process(film: Path, tmp_path: Path) -> None:
    model = blank_hf_model(tmp_path / "model")
    answer = ve.ask(film, QUESTION, settings=loaded(tmp_path, fps=0.5), model=f"hf:{model}")
    assert answer.settings["checker"] == f"hf:{model}"
    assert answer.settings["detector"] == "off"
    assert not answer.checked


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"profile": "embedded"}, "captioner, selector, reasoner, checker, detector"),
        ({"captioner": "embedded:", "reasoner": "URL"}, "captioner, selector"),
        ({"model": "URL", "detector": "embedded:"}, "detector"),
    ],
)
def test_the_pack_by_name_is_refused_with_a_command(
    given: dict[str, str], named: str, tmp_path: Path
) -> None:
    film = write(OtherFilm("slides", "slides", KINDS["slides"](random.Random(1))), tmp_path)
    with fake.Server([fake.serves("m")]) as server:
        spec = f"openai:m@{server.url}"
        given = {role: spec if value == "URL" else value for role, value in given.items()}
        with pytest.raises(UnknownFilmError, match=f"and {named} (is|are) embedded") as caught:
            ve.ask(film, QUESTION, settings=loaded(tmp_path, **given))
    *others, command = caught.value.hint.splitlines()
    assert f"videoespresso ask {film} '{QUESTION}' " in command
    assert len(others) == (3 if "profile" in given else 1), "a key, a server, this machine"
    assert (f"-m {spec}" in command) == ("profile" not in given)
    assert ("--detector off" in command) == ("detector" in given)


ASKED = ("ask", "FILM", QUESTION)
OPTIONS = ("--option", "a dog", "--option", "a cat")
SET = ("dataset", "build", "FILM", "--out", "SET")


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (ASKED, ASKED),
        ((*ASKED, "--quick"), ASKED),
        ((*ASKED, *OPTIONS), (*ASKED, *OPTIONS)),
        ((*ASKED, *OPTIONS, "--dry-run"), (*ASKED, *OPTIONS)),
        (("ask", "FILM", "OTHER", QUESTION), ("ask", "FILM", "OTHER", QUESTION)),
        (("ask", "FILM", "OTHER", QUESTION, "--dry-run"), ("ask", "FILM", "OTHER", QUESTION)),
        (SET, SET),
        ((*SET, "--dry-run"), SET),
    ],
)  # fmt: skip
def test_three_whole_commands_before_any_caption(
    words: tuple[str, ...],
    kept: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = {"SET": str(tmp_path / "set")}
    for name, seed in (("FILM", 2), ("OTHER", 4)):
        drawn = OtherFilm(name, "screen", KINDS["screen"](random.Random(seed)))
        (tmp_path / name).mkdir()
        names[name] = str(write(drawn, tmp_path / name))
    assert main([names.get(word, word) for word in words]) == Exit.USER
    shown = capsys.readouterr().err
    whole = "videoespresso " + shlex.join(names.get(word, word) for word in kept)
    key, server, here = (line.strip() for line in shown.splitlines() if f"{whole} -" in line)
    assert key == f"a key: OPENAI_API_KEY=YOUR_KEY {whole} --profile openai"
    assert server == f"a server: {whole} -m openai:@http://localhost:8000/v1"
    assert here == (f"this machine: videoespresso models pull laptop && {whole} --profile laptop")
    assert "captioning" not in shown


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("reasoner=hf:/nope", "Check the path."),
        ("hf:owner/name", "`videoespresso models pull hf:owner/name` fetches it"),
        ("captioner=onnx:owner/name", "`videoespresso models pull laptop` fetches"),
        ("openai:m@http://127.0.0.1:9/v1", "Start it"),
    ],
)
def test_what_cannot_answer_is_said_before_anything_is_decoded(
    spec: str,
    hint: str,
    dry: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    film = write(OtherFilm("slides", "slides", KINDS["slides"](random.Random(5))), tmp_path)
    assert main(["ask", str(film), QUESTION, "-m", spec, *dry]) == Exit.USER
    shown = capsys.readouterr().err
    assert hint in shown
    assert "frames" not in shown


def test_records_of_such_a_film_are_rejected_or_flagged(tmp_path: Path) -> None:
    film = write(OtherFilm("slides", "slides", KINDS["slides"](random.Random(3))), tmp_path)
    built = ve.build_dataset(film, tmp_path / "out", settings={"cache_dir": tmp_path / "cache"})
    assert built.records == 0
    (line,) = (tmp_path / "out" / "rejects.jsonl").read_text().splitlines()
    assert json.loads(line)["criterion"] == "unknown kind of video"
