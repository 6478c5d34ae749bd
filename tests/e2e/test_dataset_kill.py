"""kill -9 at 200 moments of `videoespresso dataset build`: nothing lost, nothing twice."""

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.clips import clips
from tests.forks import Forks

from videoespresso.evaluation.rehearsal_server import Asked, RehearsalServer
from videoespresso.settings import DATASET_ROLES

KILLS = 200
CALLS_AT_A_TIME = 4
ROLES = ("captioner", *DATASET_ROLES)


class Killer:
    """Kills a process at a request, by its number, before or after its reply."""

    def __init__(self) -> None:
        self.pid, self.left, self.after = 0, 0, False
        self.seen: list[str] = []

    def arm(self, pid: int, requests: int, after: bool) -> None:
        self.pid, self.left, self.after = pid, requests, after

    def asked(self, asked: Asked) -> None:
        self.seen.append(asked.sha)
        if not self.after:
            self._count()

    def answered(self, asked: Asked) -> None:
        if self.after:
            self._count()

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0 and self.pid:
            os.kill(self.pid, signal.SIGKILL)


class Builds:
    """Builds of one set of clips against one server."""

    def __init__(self, folder: Path, server: RehearsalServer, killer: Killer, forks: Forks) -> None:
        self.folder, self.server, self.killer, self.forks = folder, server, killer, forks
        self.videos = clips(folder / "clips", 3)
        self.log = folder / "log"

    def argv(self, out: Path, *more: str) -> list[str]:
        models = [f"-m{role}=openai:rehearsal@{self.server.url}" for role in ROLES]
        given = ["--detector", "off", "--group", "4", "--jobs", "3", "--quiet"]
        given += ["--concurrency", str(CALLS_AT_A_TIME)]
        return ["dataset", "build", str(self.videos), "--out", str(out), *models, *given, *more]

    def start(self, name: str, crash: tuple[Any, ...] = (), *more: str) -> int:
        env = {"VIDEOESPRESSO_CACHE_DIR": str(self.cache(name)), "VIDEOESPRESSO_DYNAMIC_FPS": "1"}
        return self.forks.start(self.argv(self.folder / name, *more), self.log, crash, **env)

    def cache(self, name: str) -> Path:
        return self.folder / f"{name}-cache"

    def run(self, name: str, *more: str) -> int:
        return self.forks.wait(self.start(name, (), *more))

    def files(self, name: str) -> dict[str, bytes]:
        names = ("records.jsonl", "rejects.jsonl")
        return {n: (self.folder / name / n).read_bytes() for n in names}

    def pictures(self, name: str) -> set[str]:
        return {p.name for p in (self.folder / name / "frames").iterdir() if p.name[0] != "."}

    def warm(self, name: str) -> None:
        """Frames and notes about the files of the reference run: nothing needs to be decoded."""
        for part in ("frames", "probes"):
            shutil.copytree(self.cache("reference") / part, self.cache(name) / part)


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builds]:
    killer = Killer()
    server = RehearsalServer(0.01, hook=killer.asked, answered=killer.answered)
    with server, Forks() as forks:
        made = Builds(tmp_path_factory.mktemp("kill"), server, killer, forks)
        assert made.run("reference") == 0, made.log.read_text()
        yield made


def kill_once(builds: Builds, name: str, draw: random.Random) -> bool:
    """One run that is killed at some moment; False if it was over before."""
    way = draw.choice(("time", "request", "reply", "before", "after", "torn"))
    builds.killer.arm(0, 0, False)
    if way in ("before", "after", "torn"):
        return builds.forks.wait(builds.start(name, (way, draw.randint(1, 25)))) == -signal.SIGKILL
    pid = builds.start(name)
    if way == "time":
        time.sleep(draw.uniform(0.05, 0.8))
        os.kill(pid, signal.SIGKILL)
    else:
        builds.killer.arm(pid, draw.randint(1, 12), way == "reply")
    return builds.forks.wait(pid) == -signal.SIGKILL


@pytest.mark.timeout(600)
def test_killed_at_200_moments_nothing_is_lost_and_nothing_done_twice(builds: Builds) -> None:
    draw = random.Random(4)
    wanted = builds.files("reference")
    asked_once = set(builds.killer.seen)
    assert len(builds.killer.seen) == len(asked_once)
    kills = build = 0
    while kills < KILLS:
        name = f"build-{build}"
        if build % 4:
            builds.warm(name)
        lives: list[list[str]] = []
        while True:
            builds.killer.seen = []
            killed = kill_once(builds, name, draw)
            lives.append(builds.killer.seen)
            kills += killed
            if not killed:
                break
        builds.killer.arm(0, 0, False)
        builds.killer.seen = []
        assert builds.run(name) == 0, builds.log.read_text()
        assert builds.killer.seen == [], "a finished build asked again"
        assert builds.files(name) == wanted
        assert builds.pictures(name) == builds.pictures("reference")
        check_paid_once(lives, asked_once)
        shutil.rmtree(builds.folder / name)
        shutil.rmtree(builds.cache(name))
        build += 1
    assert build > 1


def check_paid_once(lives: list[list[str]], all_of_them: set[str]) -> None:
    """Of what a killed process asked, only its calls under way are asked again, and nobody asks
    anything else than an undisturbed run."""
    counts = Counter(sha for life in lives for sha in life)
    assert set(counts) == all_of_them
    for n, life in enumerate(lives):
        assert len(life) == len(set(life)), "one process asked twice"
        later = {sha for other in lives[n + 1 :] for sha in other}
        again = [k for k, sha in enumerate(life) if sha in later]
        assert len(again) <= CALLS_AT_A_TIME
