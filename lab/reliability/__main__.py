"""The command: parts in order, a line a trial, then the page."""

import argparse
import os
import platform
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from lab.reliability import dialects, faults, page, settings_files, suites, videos
from videoespresso.evaluation import results

Json = dict[str, Any]
Part = Callable[[Path, int, set[str]], Iterator[Json]]
"""(working folder, how many, keys already known) -> records with "key", "part", "outcome"."""

PARTS: dict[str, tuple[Part, int, str]] = {
    "settings": (settings_files.trials, 1000, "hostile settings files, at most"),
    "faults": (faults.trials, 1000, "server faults, at most"),
    "dialects": (dialects.trials, 10_000, "dialects through every role and wire, at most"),
    "planted": (suites.planted, 1, "planted instructions; 0 for none"),
    "planted_films": (suites.planted_films, 80, "whole films with instructions in all of them"),
    "kills": (suites.kills, 200, "kills of dataset build, twenty at a time"),
    "kills_ask": (suites.kills_ask, 180, "kills of ask, ask-many and chat together"),
    "videos": (videos.trials, 20_000, "damaged videos"),
}
"""Name -> the part, how many trials by default, what they are."""


def main() -> None:
    """Runs what is not known yet, and writes the page of all that is.

    Stopped at any moment; what is then known is on the page with `--only` and no name.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of results.jsonl")
    parser.add_argument("--page", type=Path, help="where the page goes (docs/results/...)")
    parser.add_argument("--only", nargs="*", default=list(PARTS), choices=list(PARTS))
    for name, (_, count, what) in PARTS.items():
        parser.add_argument(f"--{name}", type=int, default=count, help=f"{what} ({count})")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    file = given.out / "results.jsonl"
    results.mend(file)
    for name in given.only:
        _run(name, given.out, getattr(given, name), file)
    if given.page:
        page.write(given.page, results.read(file).values())


def _run(name: str, out: Path, count: int, file: Path) -> None:
    known = set(results.read(file))
    commit, machine = _commit(), _machine()
    done: Iterable[Json] = PARTS[name][0](out, count, known)
    for n, record in enumerate(done):
        results.append(file, {**record, "commit": commit, "machine": machine})
        if record["outcome"] in page.BAD or n % 100 == 0:
            print(record, flush=True)


def _commit() -> str:
    try:
        run = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return run.stdout.strip()


def _machine() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, " + (
        f"Python {platform.python_version()}"
    )


if __name__ == "__main__":
    main()
