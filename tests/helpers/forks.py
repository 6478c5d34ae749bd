"""A process that has everything imported and gives birth to runs of `videoespresso`.

A run starts in 20 ms instead of two seconds, in a process of its own, which can be killed.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

Run = Callable[..., subprocess.CompletedProcess[str]]
"""The fixture `run`: the words of a command; by keyword `said`, its input, and its environment."""


class Forks:
    """with Forks() as forks: pid = forks.start(["dataset", "build", ...]); forks.wait(pid)"""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.forked"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )

    def start(
        self,
        argv: Sequence[str],
        log: Path,
        crash: Sequence[Any] = (),
        *,
        lines: str = os.devnull,
        **env: str,
    ) -> int:
        """The number of a new process that runs the command. log: takes what it says.

        crash: (place, n), see `forked.crash`, ends the process with SIGKILL. lines: the file it
        reads as its input.
        """
        job = {"argv": list(argv), "log": str(log), "crash": list(crash), "env": env}
        job["lines"] = lines
        return self._ask(job)

    def wait(self, pid: int) -> int:
        """Its exit status; minus the signal's number where a signal ended it."""
        return self._ask({"wait": pid})

    def run(
        self, *argv: str, cwd: Path, env: Mapping[str, str], said: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run` with its output captured. env: the whole environment; said: its
        input."""
        with tempfile.TemporaryDirectory() as folder:
            out, err, lines = (Path(folder) / name for name in ("out", "err", "lines"))
            lines.write_text(said, encoding="utf-8")
            job = {"argv": argv, "log": str(out), "err": str(err), "lines": str(lines)}
            job |= {"cwd": str(cwd), "env": dict(env), "crash": []}
            code = self.wait(self._ask(job))
            shown = (file.read_text(encoding="utf-8") for file in (out, err))
            return subprocess.CompletedProcess(argv, code, *shown)

    def _ask(self, job: Mapping[str, Any]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def __enter__(self) -> "Forks":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
