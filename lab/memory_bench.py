"""Whether dataset mode's memory grows with the number of records.

    python -m lab.memory_bench --records 10000 --out runs/memory.json

Builds a dataset of that many records against a local server that answers at once, and notes the
process's memory on the way: at 100, 1,000, ... records. What is measured is the very
`build_dataset` that everybody runs, in a process that the command `dataset build` would have
prepared (`few_arenas`). Prints JSON.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lab.throughput import ROLES, clip, serving
from videoespresso.api.build_dataset import build_dataset
from videoespresso.dataset.engine import few_arenas
from videoespresso.dataset.run import Progress
from videoespresso.settings import Settings

Json = dict[str, Any]

SECONDS = 60
"""Of a film: four groups of 15 captions."""
PAIRS = 6
"""What the server asks about a group."""
A_FILM = 20
"""Records at least: of the 24 pairs some three are turned down."""


class Memory:
    """Notes memory whenever ten times as many records are done as at the note before."""

    def __init__(self, first: int = 100) -> None:
        self.notes: list[Json] = []
        self._next, self._started = first, time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """A progress hook of `build_dataset`."""
        if progress.records >= self._next:
            self._next *= 10
            self.note(progress.records, progress.calls)

    def note(self, records: int, calls: int) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.notes.append(
            {
                "records": records,
                "calls": calls,
                "seconds": round(time.monotonic() - self._started),
                "now_mb": round(_resident_kb() / 1024, 1),
                "peak_mb": round(peak / 1024, 1),
            }
        )
        sys.stderr.write(json.dumps(self.notes[-1]) + "\n")


def _resident_kb() -> int:
    """What the process holds now; the peak where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def measure(folder: Path, records: int, concurrency: int) -> list[Json]:
    """Memory after 100, 1,000, ... records and at the end; at least `records` are made."""
    few_arenas()
    clips = folder / "clips"
    clips.mkdir()
    for k in range(-(-records // A_FILM) + 1):
        clip(clips / f"{k:05}.mp4", k, SECONDS)
    memory = Memory()
    with serving(0.0, PAIRS) as url:
        given = dict.fromkeys(ROLES, f"openai:rehearsal@{url}") | {"detector": "off"}
        settings = Settings.load(
            {
                **given,
                "profile": "embedded",
                "dynamic_fps": 1.0,
                "cache_dir": folder / "cache",
                "concurrency": concurrency,
            },
            environ={},
        )
        built = build_dataset(clips, folder / "out", settings=settings, on_progress=memory)
    memory.note(built.records, sum(usage.calls for usage in built.usage.values()))
    return memory.notes


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        prog="python -m lab.memory_bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--records", type=int, default=10_000, help="at least (%(default)s)")
    parser.add_argument("--concurrency", type=int, default=16, help="calls at a time (%(default)s)")
    parser.add_argument("--out", type=Path, help="file for the figures")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = json.dumps(measure(Path(folder), given.records, given.concurrency), indent=2)
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text + "\n")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
