"""Parts that the test suite measures already: each case of these tests is a trial.

A case that fails is "wrong" here and a failed test there; how often a case tries something (20
kills) is its `n`. Kills come in shares with a seed each, so that a run which is ended goes on.
"""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]
ROOT = Path(__file__).parents[2]

BUILD = (
    "tests/e2e/test_dataset_kill.py"
    "::test_killed_at_any_moment_nothing_is_lost_and_nothing_done_twice[20]"
)
ASK = (
    "tests/e2e/test_ask_kill.py"
    "::test_killed_at_any_moment_the_same_command_gives_the_same_and_pays_once"
)
FILMS = "tests/contract/test_planted_film.py::test_what_a_film_says_anywhere_moves_no_model"
BUILD_KILLS, ASK_KILLS, ASKING = 20, 6, 3
"""Kills of a case of these tests, and commands of the second."""


def kills(out: Path, count: int, known: set[str]) -> Iterator[Json]:
    """`kill -9` at many moments of `dataset build`; records compared byte for byte."""
    if count:
        for seed in range(-(-count // BUILD_KILLS)):
            yield from _cases("kills", out, known, [BUILD], BUILD_KILLS, seed)


def kills_ask(out: Path, count: int, known: set[str]) -> Iterator[Json]:
    """The same of `ask`, `ask-many` and `chat`: answers compared, each call paid once."""
    if count:
        for seed in range(-(-count // (ASK_KILLS * ASKING))):
            yield from _cases("kills_ask", out, known, [ASK], ASK_KILLS, seed)


def planted(out: Path, count: int, known: set[str]) -> Iterator[Json]:
    """Planted instructions, with a model that obeys whatever stands outside the data."""
    if count:
        yield from _cases("planted", out, known, ["tests/unit/test_planted.py"])


def planted_films(out: Path, count: int, known: set[str]) -> Iterator[Json]:
    """Whole films with instructions in pixels, subtitles, metadata, name and a tool's reply."""
    if count:
        yield from _cases("planted_films", out, known, [FILMS], TEST_PLANTED_FILMS=str(count))


def _cases(
    part: str,
    out: Path,
    known: set[str],
    what: list[str],
    n: int = 1,
    seed: int | None = None,
    **env: str,
) -> Iterator[Json]:
    file = out / f"{part}.xml"
    share = part if seed is None else f"{part} {seed}"
    if seed is not None:
        env["TEST_KILL_SEED"] = str(seed)
    if not any(key.startswith(f"{share} ") for key in known):
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *what, f"--junitxml={file}"],
            cwd=ROOT, check=False, env={**os.environ, "PYTHONWARNINGS": "", **env},
        )  # fmt: skip
        for case in ElementTree.parse(file).getroot().iter("testcase"):
            yield {**_record(part, case, n), "key": f"{share} {case.get('name')}"}


def _record(part: str, case: ElementTree.Element, n: int) -> Json:
    bad = next(
        (fault for kind in ("failure", "error") if (fault := case.find(kind)) is not None), None
    )
    skipped = case.find("skipped") is not None
    record: Json = {"part": part, "n": n}
    record["outcome"] = "wrong" if bad is not None else "skipped" if skipped else "ok"
    record["seconds"] = round(float(case.get("time") or 0), 2)
    return record if bad is None else {**record, "error": str(bad.get("message"))[:300]}
