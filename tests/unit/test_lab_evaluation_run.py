"""What `lab.evaluation_run` prints: kills that happen, and counts and ratios that can be wrong."""

import random
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lab import evaluation_run
from lab.evaluation_run import Killer, benchmark, callers, found_only, kills, overhead
from lab.rehearsal_server import Asked

from videoespresso.evaluation.benchmarks import open_benchmark


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")


def test_the_benchmark_is_read_as_the_authors(tmp_path: Path) -> None:
    file = benchmark(tmp_path / "bench", videos=2, each=3, seconds=2)
    cases = open_benchmark(str(file), videos=file.parent, films=tmp_path).cases(None)
    assert [case.item.letter for case in cases] == ["A"] * 6
    assert len({case.find() for case in cases}) == 2


def request(sha: str) -> Asked:
    return Asked(1, "reasoner", sha)


def test_what_is_asked_again_without_need_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last request before a kill may be made again, and what was still on its way then; one
    whose reply was there before is made again for nothing."""
    monkeypatch.setattr(evaluation_run, "LONGEST_S", 0.0)
    killer = Killer(random.Random(0))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        killer.left, killer.pid = 2, process.pid
        for sha in ("one", "two"):
            killer.asked(request(sha))
            killer.answered(request(sha))
        assert process.wait(timeout=20) == -signal.SIGKILL
    killer.left, killer.pid = 9, 1
    killer.asked(request("two"))
    assert killer.again == 0
    killer.asked(request("one"))
    assert killer.again == 1


def test_a_report_is_compared_without_its_name_and_time() -> None:
    def report(run: str, seconds: float, right: float) -> dict[str, Any]:
        took: dict[str, Any] = {"stages": {"ask": seconds}, "peak_mb": seconds, "cost": {}}
        return {"run": run, "conditions": [{**took, "scores": {"micro": right}}]}

    assert found_only(report("a", 1.0, 0.5)) == found_only(report("b", 2.0, 0.5))
    assert found_only(report("a", 1.0, 0.5)) != found_only(report("a", 1.0, 0.6))


def test_overhead_is_of_the_same_questions_in_alternation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that takes twice as much, but for the round with the imports, has an overhead of 1."""
    clock, order = [0.0], list[str]()

    def costs(name: str, seconds: float) -> Any:
        def way(_file: Path, out: Path, _settings: object) -> None:
            order.append(out.name)
            clock[0] += 50.0 if out.name.endswith("-0") else seconds

        return way

    monkeypatch.setattr(evaluation_run, "_bare", costs("graph", 2.0))
    monkeypatch.setattr(evaluation_run, "_looped", costs("run", 4.0))
    monkeypatch.setattr(evaluation_run, "time", SimpleNamespace(process_time=lambda: clock[0]))
    found = overhead(tmp_path, rounds=2)
    assert order == ["graph-0", "run-0", "graph-1", "run-1", "graph-2", "run-2"]
    assert (found["graph_cpu_s"], found["run_cpu_s"], found["overhead"]) == (2.0, 4.0, 1.0)
    assert found["each"] == [1.0, 1.0]


def test_the_bare_graph_is_asked_what_the_run_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the overhead would be of other work."""
    asked = {"_bare": set[str](), "_looped": set[str]()}
    file = benchmark(tmp_path / "bench", videos=1, each=2, seconds=3)
    for name, seen in asked.items():
        with evaluation_run.RehearsalServer(
            hook=lambda one, seen=seen: seen.add(one.sha)
        ) as server:
            settings = evaluation_run.settings_of(server.url, tmp_path / f"{name}-cache")
            getattr(evaluation_run, name)(file, tmp_path / name, settings)
    assert asked["_bare"] == asked["_looped"] != set()


def test_the_rate_of_many_callers_is_by_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that takes as long for eight videos at a time as for one after the other of two."""
    clock, jobs_of = [0.0], list[tuple[str, int]]()

    def looped(_file: Path, out: Path, _settings: object, jobs: int = 1) -> None:
        jobs_of.append((out.name, jobs))
        clock[0] += 10.0

    monkeypatch.setattr(evaluation_run, "_looped", looped)
    monkeypatch.setattr(evaluation_run, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    found = callers(tmp_path, many=8, latency_s=0.3)
    assert jobs_of == [("first", 1), ("one", 1), ("many", 8)]
    assert (found["one_per_s"], found["many_per_s"], found["ratio"]) == (0.4, 1.6, 4.0)


@pytest.mark.slow
def test_a_command_killed_twice_has_the_same_report(tmp_path: Path) -> None:
    found = kills(tmp_path, 2, videos=2)
    assert found["kills"] > 0
    assert (found["records"], found["again"], found["same"]) == (12, 0, True)
