"""Decoding processes that are forks of the trial's process, which has everything loaded.

Each file still has a process of its own, which runs the same `worker.main` under the same limits
and ends with the file. Left out is Python's start: 0.35 s of processor, four fifths of a trial.
"""

import multiprocessing
import os
import subprocess
import sys
import warnings
from typing import IO

from videoespresso.tools.decode import worker


class Fork:
    """What `DecodeProcess` uses of a `subprocess.Popen`."""

    def __init__(self, errors: IO[bytes]) -> None:
        (requests, self._in), (self._out, answers) = os.pipe(), os.pipe()
        child = multiprocessing.get_context("fork").Process(
            target=self._decode, args=(requests, answers, errors.fileno())
        )
        child.start()
        os.close(requests)
        os.close(answers)
        assert child.pid is not None
        self._child, self.pid = child, child.pid
        self.stdin: IO[bytes] = os.fdopen(self._in, "wb")
        self.stdout: IO[bytes] = os.fdopen(self._out, "rb")

    def _decode(self, requests: int, answers: int, errors: int) -> None:
        for source, target in ((requests, 0), (answers, 1), (errors, 2)):
            os.dup2(source, target)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.environ.clear()
        warnings.simplefilter("ignore")
        sys.stdin, sys.stderr = open(0), open(2, "w")  # noqa: SIM115 - as a new process has them
        worker.main()

    def poll(self) -> int | None:
        """The exit status, None while it runs."""
        return self._child.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        """The same at its end. Raises `subprocess.TimeoutExpired`."""
        self._child.join(timeout)
        if self._child.exitcode is None:
            raise subprocess.TimeoutExpired("decode", timeout or 0)
        return self._child.exitcode

    def kill(self) -> None:
        """Ends it at once."""
        self._child.kill()
