"""`videoespresso dataset build` interrupted, doubled, and on a full disk."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from lab.rehearsal_server import Asked, RehearsalServer
from tests.helpers.builds import AT_A_TIME, Builds
from tests.helpers.forks import Forks

from videoespresso.cli.console import Exit
from videoespresso.dataset.engine import LocalEngine
from videoespresso.dataset_record import DatasetItem
from videoespresso.errors import MemoryStoreError


class Gate:
    """Says when so many requests have come."""

    def __init__(self) -> None:
        self.wanted, self.reached = 0, threading.Event()

    def expect(self, requests: int) -> None:
        self.wanted = requests
        self.reached.clear()

    def __call__(self, asked: Asked) -> None:
        if asked.number >= self.wanted > 0:
            self.reached.set()


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate()


@pytest.fixture(scope="module")
def builds(gate: Gate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builds]:
    with RehearsalServer(hook=gate) as server:
        made = Builds(tmp_path_factory.mktemp("builds"), server)
        made.build("reference")
        yield made


@pytest.fixture
def name(builds: Builds, gate: Gate, request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a new dataset; the server counts from zero and answers at once."""
    builds.server.forget()
    builds.log.unlink(missing_ok=True)
    gate.expect(0)
    yield request.node.name
    builds.server.latency_s = 0.0


def twice(builds: Builds) -> int:
    """Requests that were asked again."""
    return int(builds.server.counts.as_json()["twice"])


def ids(data: bytes) -> set[str]:
    return {DatasetItem.model_validate_json(line).id for line in data.splitlines()}


def test_ctrl_c_finishes_what_is_under_way_and_says_how_to_go_on(
    builds: Builds, gate: Gate, forks: Forks, name: str
) -> None:
    builds.server.latency_s = 0.2  # slow enough that much is left when the signal is heard
    gate.expect(50)
    pid = builds.start(forks, name)
    assert gate.reached.wait(60), builds.log.read_text()
    os.kill(pid, signal.SIGINT)
    assert forks.wait(pid) == Exit.INTERRUPTED
    said = builds.log.read_text()
    assert said.count("Ctrl-C again leaves at once") == 1
    assert "the same command goes on" in said
    assert " videos done in this run: " in said
    so_far = builds.files(name)["records.jsonl"]
    assert ids(so_far) < ids(builds.files("reference")["records.jsonl"])
    asked = builds.server.counts.as_json()["requests"]
    builds.server.latency_s = 0.0
    assert forks.wait(builds.start(forks, name)) == 0
    assert asked < builds.server.counts.as_json()["requests"], "the second run had something to do"
    assert twice(builds) == 0, "what was under way had been waited for"
    assert builds.files(name) == builds.files("reference")


def test_a_second_ctrl_c_leaves_at_once(
    builds: Builds, gate: Gate, forks: Forks, name: str
) -> None:
    builds.server.latency_s = 600.0
    gate.expect(AT_A_TIME)
    pid = builds.start(forks, name)
    assert gate.reached.wait(60), builds.log.read_text()
    os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + 60
    while "Ctrl-C again" not in builds.log.read_text():  # two signals at once are one
        assert time.monotonic() < deadline, builds.log.read_text()
        time.sleep(0.05)
    os.kill(pid, signal.SIGINT)
    assert forks.wait(pid) == Exit.INTERRUPTED
    assert "Traceback" not in builds.log.read_text()
    builds.server.latency_s = 0.0
    assert forks.wait(builds.start(forks, name)) == 0
    assert twice(builds) <= AT_A_TIME
    assert builds.files(name) == builds.files("reference")


def test_ctrl_c_while_it_starts_finishes_what_is_under_way(
    builds: Builds, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its threads call models as soon as they are started, which the signal may come before."""
    real = LocalEngine.start

    def start(engine: LocalEngine, paths: Sequence[str]) -> None:
        real(engine, paths)
        signal.raise_signal(signal.SIGINT)

    builds.server.latency_s = 0.2
    with monkeypatch.context() as patch:
        patch.setattr(LocalEngine, "start", start)
        with pytest.raises(KeyboardInterrupt):
            builds.build(name)
    manifest = json.loads((builds.folder / name / "dataset.json").read_text())
    assert manifest["runs"][-1]["ended"] == "interrupted"
    builds.server.latency_s = 0.0
    builds.build(name)
    assert twice(builds) == 0, "what was under way had been waited for"
    assert builds.files(name) == builds.files("reference")


def test_two_at_once_share_the_work(builds: Builds, gate: Gate, forks: Forks, name: str) -> None:
    """The second finds a video that the first is at work on, whoever is faster: the first waits for
    a reply until the second has ended."""
    builds.server.latency_s = 600.0
    gate.expect(AT_A_TIME)
    first = builds.start(forks, name, "--jobs", "1")
    assert gate.reached.wait(60), builds.log.read_text()
    builds.server.latency_s = 0.0
    log = builds.log.with_name("second")
    second = forks.start(builds.argv(name), log, **builds.env(name))
    assert forks.wait(second) == 0, log.read_text()
    assert "1 video is being done by another process" in " ".join(log.read_text().split())
    os.kill(first, signal.SIGKILL)
    assert forks.wait(first) == -signal.SIGKILL
    asked = builds.server.counts.as_json()["requests"]
    assert forks.wait(builds.start(forks, name)) == 0
    assert builds.server.counts.as_json()["requests"] > asked, "it does what the other has left"
    assert twice(builds) <= AT_A_TIME, "what was under way"
    assert builds.files(name) == builds.files("reference")


def test_two_at_once_are_whole_together_and_neither_fails(
    builds: Builds, forks: Forks, name: str
) -> None:
    builds.server.latency_s = 0.01
    both = [builds.start(forks, name) for _ in range(2)]
    assert [forks.wait(pid) for pid in both] == [0, 0], builds.log.read_text()
    assert twice(builds) == 0
    assert builds.files(name) == builds.files("reference")


def test_two_datasets_on_one_cache_pay_once(builds: Builds, forks: Forks, name: str) -> None:
    builds.server.latency_s = 0.01
    other = f"{name}-other"
    argv = builds.argv(other)
    both = [builds.start(forks, name), forks.start(argv, builds.log, **builds.env(name))]
    assert [forks.wait(pid) for pid in both] == [0, 0], builds.log.read_text()
    assert twice(builds) == 0
    assert builds.files(name) == builds.files(other) == builds.files("reference")


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("after", [2, 12])
def test_a_write_that_fails_ends_the_run_with_a_remedy_and_loses_nothing(
    call: str, after: int, builds: Builds, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left, lock = getattr(os, call), [after], threading.Lock()

    def full(*args: Any) -> None:
        target = os.readlink(f"/proc/self/fd/{args[0]}") if call == "fsync" else str(args[1])
        with lock:
            left[0] -= f"/{name}/" in target
            if left[0] < 0 and f"/{name}/" in target:
                raise OSError(28, "No space left on device")
        real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(MemoryStoreError, match="No space left on device") as caught:
            builds.build(name)
    assert "free" in caught.value.hint.lower()
    builds.build(name)
    assert twice(builds) == 0
    assert builds.files(name) == builds.files("reference")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 160 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_ends_the_run_with_a_remedy_and_loses_nothing(
    builds: Builds, forks: Forks, name: str, small_disk: Path
) -> None:
    (builds.folder / name).symlink_to(small_disk)
    (small_disk / "work").mkdir()
    filler = small_disk / "work" / "filler"
    filler.write_bytes(bytes(120_000))
    assert forks.wait(builds.start(forks, name)) == Exit.FAILED
    printed = builds.log.read_text()
    assert "No space left on device" in printed
    assert "free" in printed.lower()
    assert "Traceback" not in printed
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert forks.wait(builds.start(forks, name)) == 0, builds.log.read_text()
    assert twice(builds) == 0
    assert builds.files(name) == builds.files("reference")


def test_what_ended_a_run_is_in_the_manifest(builds: Builds) -> None:
    manifest = json.loads((builds.folder / "reference" / "dataset.json").read_text())
    assert manifest["runs"][-1]["ended"] == ""
    assert manifest["counts"]["complete"] == 3
