"""Seconds until a command answers: `--help`, a first and a cached question.

    python -m lab.startup --rounds 10

The commands as a user types them, in turns, each in a process of its own; the cached question is
about a film whose every reply is remembered. CPU seconds count the decoding process, too. Beside
them what is not ours: the packages that a question needs, imported and not used. A round before
the first is not counted: in it Python writes down what it compiles, also where the environment
forbids it (PYTHONDONTWRITEBYTECODE), as it would for a user. Prints medians with their range.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

VIDEO, QUESTION = "examples/videos/room.mp4", "Who is surprised?"


GRAPH = "import langgraph.graph, langgraph.runtime, langchain_core.language_models"
FLOOR = f"{GRAPH}, av, numpy, onnxruntime, PIL.Image, wordllama"


def timed(argv: Sequence[str], environ: dict[str, str]) -> tuple[float, float]:
    """(seconds, CPU seconds) of Python with these arguments."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, *argv],
        check=True,
        capture_output=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | environ,
    )
    seconds, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measured(rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Name -> what each round took."""
    ours = ("-m", "videoespresso")
    ask = (*ours, "ask", VIDEO, QUESTION)
    times: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            cache = {"VIDEOESPRESSO_CACHE_DIR": str(Path(folder) / str(number))}
            for name, argv, environ in (
                ("--help", (*ours, "--help"), {}),
                ("langgraph, langchain-core", ("-c", GRAPH), {}),
                ("and decoder, runtime, embedder", ("-c", FLOOR), {}),
                ("first question", ask, cache),
                ("cached question", ask, cache),
            ):
                took = timed(argv, environ)
                if number:
                    times.setdefault(name, []).append(took)
    return times


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints a table in Markdown."""
    how = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m lab.startup", None, __doc__, formatter_class=how)
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args(argv)
    print("| command | s, median (range) | CPU s, median (range) | n |\n|---|---|---|---|")
    for name, took in measured(given.rounds).items():
        cells = []
        for column in zip(*took, strict=True):
            cells.append(f"{median(column):.2f} ({min(column):.2f} to {max(column):.2f})")
        print(f"| {name} | {cells[0]} | {cells[1]} | {len(took)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
