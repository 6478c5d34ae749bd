"""Parts that the test suite measures already: each case of these tests is a trial.

A case that fails is "wrong" here and a failed test there; how often a case tries something (200
kills) is its `n`.
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
    "::test_killed_at_any_moment_nothing_is_lost_and_nothing_done_twice[{}]"
)
ASK = (
    "tests/e2e/test_ask_kill.py"
    "::test_killed_at_any_moment_the_same_command_gives_the_same_and_pays_once"
)
ASKING = 3
"""Commands of that test."""


def kills(out: Path, count: int, known: set[str]) -> Iterator[Json]:
    """`kill -9` at many moments of `dataset build`; records compared byte for byte."""
    if count:
        n = 200 if count >= 200 else 20
        yield from _cases("kills", out, known, [BUILD.format(n)], n)


def kills_ask(out: Path, count: int, known: set[str]) -> Iterator[Json]:
    """The same of `ask`, `ask-many` and `chat`: answers compared, each call paid once."""
    if count:
        n = max(1, count // ASKING)
        yield from _cases("kills_ask", out, known, [ASK], n, TEST_ASK_KILLS=str(n))


def planted(out: Path, count: int, known: set[str]) -> Iterator[Json]:
    """Planted instructions, with a model that obeys whatever stands outside the data."""
    if count:
        yield from _cases("planted", out, known, ["tests/unit/test_planted.py"])


def _cases(
    part: str, out: Path, known: set[str], what: list[str], n: int = 1, **env: str
) -> Iterator[Json]:
    file = out / f"{part}.xml"
    if not any(key.startswith(f"{part} ") for key in known):
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *what, f"--junitxml={file}"],
            cwd=ROOT, check=False, env={**os.environ, "PYTHONWARNINGS": "", **env},
        )  # fmt: skip
        for case in ElementTree.parse(file).getroot().iter("testcase"):
            yield _record(part, case, n)


def _record(part: str, case: ElementTree.Element, n: int) -> Json:
    bad = next(
        (found for kind in ("failure", "error") if (found := case.find(kind)) is not None), None
    )
    skipped = case.find("skipped") is not None
    record = {"key": f"{part} {case.get('name')}", "part": part, "n": n}
    record["outcome"] = "wrong" if bad is not None else "skipped" if skipped else "ok"
    record["seconds"] = round(float(case.get("time") or 0), 2)
    return record if bad is None else {**record, "error": str(bad.get("message"))[:300]}
