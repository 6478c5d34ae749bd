"""What the loop of `eval run` costs, how it goes on after kills, and what many callers bring.

    python -m lab.evaluation_run --only kills --kills 20
    python -m lab.evaluation_run --only overhead --rounds 8
    python -m lab.evaluation_run --only callers --callers 16 --latency 1

Clips and a benchmark in the authors' form are made, and a server answers by `rehearsal`'s rules.
kills: the command is killed a random moment after random requests, and goes on; its report is
held against that of a run nobody disturbed. overhead: CPU seconds of a run over those of its bare
graph on the same questions, in alternation. callers: questions a second of so many videos at a time
against one at a time. Prints JSON.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.rehearsal_server import Asked, RehearsalServer
from lab.throughput import clip, serving
from videoespresso.evaluation.benchmarks import open_benchmark
from videoespresso.evaluation.run import Plan, Run, opened
from videoespresso.graphs.ask import ask_graph
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.usage import UsageLog
from videoespresso.settings import Settings

Json = dict[str, Any]
OPTIONS = ["(A): a red patch", "(B): a green patch", "(C): a blue patch", "(D): nothing"]
LONGEST_S = 0.1
"""Between the request and the kill."""


def benchmark(folder: Path, videos: int, each: int, seconds: int) -> Path:
    """Clips, and `bench.json` with `each` questions about every one."""
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for k in range(videos):
        clip(folder / f"{k:03}.mp4", k, seconds)
        items += [
            {"video_path": f"{k:03}.mp4", "question": f"What is shown in part {n}?",
             "task": "Event Dynamic Analysis", "options": OPTIONS, "answer": "a red patch",
             "correct_answer": "(A)"}
            for n in range(each)
        ]  # fmt: skip
    (folder / "bench.json").write_text(json.dumps(items))
    return folder / "bench.json"


def settings_of(url: str, cache: Path, at_a_time: int = 1) -> Settings:
    given = {"captioner": f"openai:rehearsal@{url}", "detector": "off",
             "reasoner": f"openai:rehearsal@{url}", "dynamic_fps": 1.0}  # fmt: skip
    return Settings.load(given | {"cache_dir": cache, "concurrency": at_a_time}, environ={})


# ---- kills


class Killer:
    """Kills a process a moment after its request of a number; hears what was asked and answered.

    lost: requests whose reply the process may not have read: the last one before a kill, and what
    was still on its way to the server then.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.pid, self.left = rng, 0, 0
        self.answers: set[str] = set()
        self.lost: set[str] = set()
        self.last = ""
        self.again = 0

    def asked(self, asked: Asked) -> None:
        self.again += asked.sha in self.answers - self.lost
        self.last = asked.sha
        if not self.pid:
            self.lost.add(asked.sha)
        self.left -= 1
        if self.left == 0 and self.pid:
            threading.Timer(self.rng.uniform(0, LONGEST_S), self._kill, [self.pid]).start()

    def _kill(self, pid: int) -> None:
        self.pid = 0
        os.kill(pid, signal.SIGKILL)
        self.lost.add(self.last)

    def answered(self, asked: Asked) -> None:
        self.answers.add(asked.sha)


def kills(folder: Path, count: int, seed: int = 0, videos: int = 6) -> Json:
    """{kills, records, requests, again, same}: again: requests made anew whose reply was there
    before and not the last one before a kill; same: the report is that of an undisturbed run."""
    killer = Killer(random.Random(seed))
    file = benchmark(folder / "bench", videos, each=6, seconds=6)
    with RehearsalServer(hook=killer.asked, answered=killer.answered) as server:

        def command(name: str, *words: str) -> "subprocess.Popen[bytes]":
            spec = f"openai:rehearsal@{server.url}"
            line = [sys.executable, "-m", "videoespresso", "eval", *words]
            env = os.environ | {
                "VIDEOESPRESSO_CACHE_DIR": str(folder / f"{name}-cache"),
                "VIDEOESPRESSO_CONCURRENCY": "1",
                "VIDEOESPRESSO_CAPTIONER": spec, "VIDEOESPRESSO_REASONER": spec,
                "VIDEOESPRESSO_DETECTOR": "off", "OPENAI_API_KEY": "none",
            }  # fmt: skip
            return subprocess.Popen(
                line, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )

        def run(name: str) -> "subprocess.Popen[bytes]":
            return command(name, "run", str(file), "--videos", str(file.parent), "--jobs", "1",
                           "--out", str(folder / name), "-q", "--json")  # fmt: skip

        def report(name: str) -> Json:
            printed, _ = command(name, "report", str(folder / name), "--json").communicate()
            return found_only(json.loads(printed)["runs"][0])

        run("whole").communicate()
        whole, requests = report("whole"), server.counts.bodies.total()
        done = 0
        killer.answers.clear()
        for _ in range(count):
            process = run("killed")
            killer.left, killer.pid = killer.rng.randint(1, max(2, requests // count)), process.pid
            process.communicate()
            done += process.returncode == -signal.SIGKILL
        last = run("killed")
        killer.left, killer.pid = 0, last.pid
        last.communicate()
        found = report("killed")
    return {
        "kills": done,
        "records": found["conditions"][0]["scores"]["measured"],
        "requests": requests,
        "again": killer.again,
        "same": json.dumps(found, sort_keys=True) == json.dumps(whole, sort_keys=True),
    }


def found_only(report: Json) -> Json:
    """A report but for its folder's name and what it took: what a killed process has paid for is
    in the cache when its item is asked again, and no record says it."""
    kept = {key: value for key, value in report.items() if key != "run"}
    for condition in kept["conditions"]:
        condition["stages"] = condition["peak_mb"] = condition["cost"] = None
    return kept


# ---- what it costs


def overhead(folder: Path, rounds: int) -> Json:
    """CPU seconds of runs and of bare graphs, and the median of their ratios less one."""
    file = benchmark(folder / "bench", videos=4, each=5, seconds=12)
    plain: list[float] = []
    looped: list[float] = []
    with serving(0.0) as url:
        for k in range(rounds + 1):
            for name, how, kept in (("graph", _bare, plain), ("run", _looped, looped)):
                settings = settings_of(url, folder / f"{name}-{k}-cache")
                begun = time.process_time()
                how(file, folder / f"{name}-{k}", settings)
                kept.append(time.process_time() - begun)
    ratios = [a / b - 1 for a, b in zip(looped[1:], plain[1:], strict=True)]  # without imports
    return {
        "questions": 20,
        "rounds": rounds,
        "graph_cpu_s": round(statistics.median(plain[1:]), 3),
        "run_cpu_s": round(statistics.median(looped[1:]), 3),
        "overhead": round(statistics.median(ratios), 4),
        "each": [round(ratio, 4) for ratio in ratios],
    }


def _bare(file: Path, out: Path, settings: Settings) -> None:
    """The questions of the benchmark through the graph, one after the other."""
    for case in open_benchmark(str(file), videos=file.parent, films=out).cases(None):
        context = opened(settings, Budget(), UsageLog())
        given: Any = {"path": str(case.find()), "question": case.item.question,
                      "options": list(case.item.options)}  # fmt: skip
        ask_graph().invoke(given, context=context)


def _looped(file: Path, out: Path, settings: Settings, jobs: int = 1) -> None:
    bench = open_benchmark(str(file), videos=file.parent, films=out)
    run = Run(Plan(bench, out, settings, jobs=jobs))
    run.go(lambda _: None, threading.Event())


def callers(folder: Path, many: int, latency_s: float) -> Json:
    """Questions a second with `many` videos and calls at a time, and with one of each."""
    file = benchmark(folder / "bench", videos=many, each=2, seconds=4)
    alone = benchmark(folder / "alone", videos=2, each=2, seconds=4)
    rates = {}
    with serving(latency_s) as url:
        _looped(alone, folder / "first", settings_of(url, folder / "first-cache"))  # imports
        for name, bench, jobs, n in (("one", alone, 1, 4), ("many", file, many, 2 * many)):
            begun = time.monotonic()
            settings = settings_of(url, folder / f"{name}-cache", jobs)
            _looped(bench, folder / name, settings, jobs)
            rates[name] = n / (time.monotonic() - begun)
    by_name = {f"{name}_per_s": round(rate, 3) for name, rate in rates.items()}
    return {"callers": many, "latency_s": latency_s, **by_name,
            "ratio": round(rates["many"] / rates["one"], 2)}  # fmt: skip


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=("kills", "overhead", "callers"), action="append")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--latency", type=float, default=1.0, help="seconds a reply takes")
    given = parser.parse_args()
    parts: dict[str, Callable[[Path], Json]] = {
        "kills": lambda folder: kills(folder, given.kills),
        "overhead": lambda folder: overhead(folder, given.rounds),
        "callers": lambda folder: callers(folder, given.callers, given.latency),
    }
    os.environ.setdefault("OPENAI_API_KEY", "none")
    for name in given.only or parts:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps({name: parts[name](Path(folder))}), flush=True)


if __name__ == "__main__":
    main()
