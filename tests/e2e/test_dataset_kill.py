"""kill -9 at many moments of `videoespresso dataset build`: nothing lost, nothing twice."""

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from lab.rehearsal_server import RehearsalServer
from tests.helpers.builds import AT_A_TIME, Builds
from tests.helpers.forks import Forks
from tests.helpers.killer import Killer

KILLS = 20
"""In `make test`; ten times as many in `make test-all`."""
SEED = int(os.environ.get("TEST_KILL_SEED", "4"))
"""`lab.reliability` asks for many, one after another."""


@dataclass
class Scene:
    """What the tests below share."""

    builds: Builds
    killer: Killer
    forks: Forks
    asked_once: set[str] = field(default_factory=set)
    """What the undisturbed reference run asked."""

    def start(self, name: str, *more: str, crash: tuple[Any, ...] = ()) -> int:
        return self.builds.start(self.forks, name, *more, crash=crash)

    def run(self, name: str, *more: str) -> int:
        return self.forks.wait(self.start(name, *more))

    def warm(self, name: str) -> None:
        """Frames and notes about the files of the reference run: nothing needs to be decoded."""
        for part in ("frames", "probes"):
            shutil.copytree(self.builds.cache("reference") / part, self.builds.cache(name) / part)

    def forget(self, name: str) -> None:
        shutil.rmtree(self.builds.folder / name)
        shutil.rmtree(self.builds.cache(name))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Iterator[Scene]:
    killer = Killer()
    server = RehearsalServer(0.01, hook=killer.asked, answered=killer.answered)
    with server:
        made = Scene(Builds(tmp_path_factory.mktemp("kill"), server), killer, forks)
        assert made.run("reference") == 0, made.builds.log.read_text()
        made.asked_once = set(killer.seen)
        assert len(killer.seen) == len(made.asked_once)
        yield made


def kill_once(scene: Scene, name: str, draw: random.Random) -> bool:
    """One run that is killed at some moment; False if it was done before."""
    status = _killed_status(scene, name, draw)
    assert status in (0, -signal.SIGKILL), scene.builds.log.read_text()
    return status != 0


def _killed_status(scene: Scene, name: str, draw: random.Random) -> int:
    way = draw.choice(("time", "request", "reply", "before", "after", "torn"))
    scene.killer.arm(0, 0, False)
    if way in ("before", "after", "torn"):
        return scene.forks.wait(scene.start(name, crash=(way, draw.randint(1, 25))))
    pid = scene.start(name)
    if way == "time":
        time.sleep(draw.uniform(0.05, 0.8))
        os.kill(pid, signal.SIGKILL)
    else:
        scene.killer.arm(pid, draw.randint(1, 12), way == "reply")
    return scene.forks.wait(pid)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("kills_wanted", "seed"),
    [(KILLS, SEED), pytest.param(10 * KILLS, 5, marks=pytest.mark.slow)],
    ids=["20", "200"],
)
def test_killed_at_any_moment_nothing_is_lost_and_nothing_done_twice(
    scene: Scene, kills_wanted: int, seed: int
) -> None:
    builds, killer = scene.builds, scene.killer
    draw = random.Random(seed)
    wanted, asked_once = builds.files("reference"), scene.asked_once
    kills = build = 0
    while kills < kills_wanted or build < 2:  # one build may be killed again and again
        name = f"build-{build}"
        if build % 4:
            scene.warm(name)
        lives: list[list[str]] = []
        while True:
            killer.seen = []
            killed = kill_once(scene, name, draw)
            time.sleep(0.02)  # what it had sent has come
            lives.append(killer.seen)
            kills += killed
            if not killed:
                break
        killer.arm(0, 0, False)
        killer.seen = []
        assert scene.run(name) == 0, builds.log.read_text()
        assert killer.seen == [], "a finished build asked again"
        assert builds.files(name) == wanted
        assert builds.pictures(name) == builds.pictures("reference")
        check_paid_once(lives, asked_once)
        scene.forget(name)
        build += 1


def check_paid_once(lives: list[list[str]], all_of_them: set[str]) -> None:
    """Of what a killed process asked, only its calls under way are asked again, and nobody asks
    anything else than an undisturbed run."""
    counts = Counter(sha for life in lives for sha in life)
    assert set(counts) == all_of_them
    for n, life in enumerate(lives):
        assert len(life) == len(set(life)), "one process asked twice"
        later = {sha for other in lives[n + 1 :] for sha in other}
        again = [k for k, sha in enumerate(life) if sha in later]
        assert len(again) <= AT_A_TIME
