"""kill -9 at many moments of `ask`, `ask-many` and `chat`: nothing lost, nothing paid twice."""

import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from lab.rehearsal_server import RehearsalServer
from tests.helpers.clips import clips
from tests.helpers.forks import Forks
from tests.helpers.killer import Killer

KILLS = 6
"""A command."""
SEED = int(os.environ.get("TEST_KILL_SEED", "6"))
"""`lab.reliability` asks for many, one after another."""
AT_A_TIME = 2
"""Calls under way: those of a killed process are asked again, no others."""
QUESTIONS = ("Who is there?", "What happens first?", "Who leaves at last?")
VARIES = ("usage", "decoded", "captioned", "remembered", "thread")
"""What an answer says of how it came about: less of it after a kill, as what was paid is kept."""


class Scene:
    """Clips, a server, and commands about the one by models of the other."""

    def __init__(self, folder: Path, server: RehearsalServer, killer: Killer, forks: Forks) -> None:
        self.folder, self.killer, self.forks = folder, killer, forks
        self.videos = sorted(clips(folder / "clips", 3).iterdir())
        spec = f"openai:rehearsal@{server.url}"
        roles = ("captioner", "selector", "reasoner", "checker")
        self.models = [f"-m{role}={spec}" for role in roles]
        self.log = folder / "log"

    def start(self, name: str, argv: list[str], crash: Any = (), lines: str = os.devnull) -> int:
        self.log.unlink(missing_ok=True)
        env = {
            "VIDEOESPRESSO_CACHE_DIR": str(self.folder / name / "cache"),
            "VIDEOESPRESSO_DYNAMIC_FPS": "1",
            "VIDEOESPRESSO_CONCURRENCY": str(AT_A_TIME),
            "VIDEOESPRESSO_PROFILE": "embedded",
        }
        command = [*argv, "--quiet", "--json", "--detector", "off", *self.models]
        return self.forks.start(command, self.log, crash, lines=lines, **env)

    def kill_once(self, name: str, argv: list[str], draw: random.Random, lines: str) -> bool:
        """A run that is killed at some moment; False if it was done before."""
        way = draw.choice(("time", "request", "reply", "before", "after"))
        self.killer.arm(0, 0, False)
        if way in ("before", "after"):
            pid = self.start(name, argv, (way, draw.randint(1, 12)), lines)
        else:
            pid = self.start(name, argv, (), lines)
            if way == "time":
                time.sleep(draw.uniform(0.05, 1.5))
                os.kill(pid, signal.SIGKILL)
            else:
                self.killer.arm(pid, draw.randint(1, 10), way == "reply")
        status = self.forks.wait(pid)
        assert status in (0, -signal.SIGKILL), self.log.read_text()
        return status != 0

    def run(self, name: str, argv: list[str], lines: str = os.devnull) -> str:
        """What an undisturbed run says."""
        self.killer.arm(0, 0, False)
        status = self.forks.wait(self.start(name, argv, (), lines))
        assert status == 0, self.log.read_text()
        return self.log.read_text()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Iterator[Scene]:
    killer = Killer()
    server = RehearsalServer(0.01, hook=killer.asked, answered=killer.answered)
    with server:
        yield Scene(tmp_path_factory.mktemp("kill"), server, killer, forks)


def same(found: Any) -> Any:
    """A result without what varies."""
    if isinstance(found, Mapping):
        return {k: same(v) for k, v in found.items() if k not in VARIES}
    return [same(v) for v in found] if isinstance(found, list) else found


def ask(scene: Scene, _folder: Path) -> tuple[list[str], str]:
    return ["ask", str(scene.videos[0]), QUESTIONS[0]], os.devnull


def ask_many(scene: Scene, folder: Path) -> tuple[list[str], str]:
    file = scene.folder / "questions.jsonl"
    rows = [{"video": str(v), "question": q} for v in scene.videos[:2] for q in QUESTIONS[:2]]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [
        "ask-many",
        str(file),
        "--out",
        str(folder / "answers.jsonl"),
        "--jobs",
        "2",
    ], os.devnull


def chat(scene: Scene, _folder: Path) -> tuple[list[str], str]:
    file = scene.folder / "lines.txt"
    file.write_text("\n".join(QUESTIONS) + "\n")
    return ["chat", str(scene.videos[0])], str(file)


def said(folder: Path, text: str) -> Any:
    """The answers of a run: of its file where it has one, else of what it said."""
    file = folder / "answers.jsonl"
    if file.exists():
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert len(lines) == len({line["key"] for line in lines}), "a question has two answers"
        return {line["key"]: same(line) for line in lines}
    decoder, found = json.JSONDecoder(), []
    while text := text.lstrip():
        value, end = decoder.raw_decode(text)
        found.append(same(value))
        text = text[end:]
    return found


@pytest.mark.timeout(300 + 30 * KILLS)
@pytest.mark.parametrize("command", [ask, ask_many, chat])
def test_killed_at_any_moment_the_same_command_gives_the_same_and_pays_once(
    scene: Scene,
    command: Callable[[Scene, Path], tuple[list[str], str]],
) -> None:
    killer, draw = scene.killer, random.Random(SEED)
    first = command.__name__
    killer.seen = []
    argv, lines = command(scene, scene.folder / first)
    wanted = said(scene.folder / first, scene.run(first, argv, lines))
    all_of_them = set(killer.seen)
    assert len(all_of_them) == len(killer.seen) > 0
    kills = number = 0
    while kills < KILLS:
        number += 1
        name = f"{first}-{number}"
        argv, lines = command(scene, scene.folder / name)
        lives: list[list[str]] = []
        while True:
            killer.seen = []
            killed = scene.kill_once(name, argv, draw, lines)
            time.sleep(0.02)  # what it had sent has come
            lives.append(killer.seen)
            kills += killed
            if not killed:
                break
        killer.seen = []
        assert said(scene.folder / name, scene.run(name, argv, lines)) == wanted
        assert killer.seen == [], "a finished run asked again"
        check_paid_once(lives, all_of_them)
        shutil.rmtree(scene.folder / name)


def check_paid_once(lives: list[list[str]], all_of_them: set[str]) -> None:
    """Of what a killed process asked, only its calls under way are asked again."""
    assert set(Counter(sha for life in lives for sha in life)) == all_of_them
    for n, life in enumerate(lives):
        assert len(life) == len(set(life)), "one process asked twice"
        later = {sha for other in lives[n + 1 :] for sha in other}
        assert sum(sha in later for sha in life) <= AT_A_TIME
