"""Trials in a process of their own: whoever crashes, hangs or grows is noticed from outside."""

import multiprocessing
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

Json = dict[str, Any]
Trial = Callable[[Any], Json]
"""Does one and says what came: at least {"outcome": ...}."""

PATIENCE_S = 150.0
"""A trial that takes longer hangs: the watchdog of the decoding ends each of its steps at 20 s."""
STARTING_S = 240.0
"""More for the first trial of a process, which loads its libraries: on a busy machine that took a
minute, and each trial after one that was ended for it began with the same minute."""
MOST_BYTES = 2 << 30
"""Resident bytes of a process of a trial, the child's own children among them."""


class Trials:
    """One process, started anew after each death, each hang and each excess of memory."""

    def __init__(self, trial: Trial, patience_s: float = PATIENCE_S) -> None:
        self._trial, self.patience_s = trial, patience_s
        self._process: Any = None
        self._pipe: Connection | None = None

    def run(self, given: Any) -> Json:
        """What came of one: its own words, or "crash" or "hang"."""
        patience_s = self.patience_s
        if self._process is None:
            self._start()
            patience_s += STARTING_S
        assert self._pipe is not None
        began = time.monotonic()
        try:
            self._pipe.send(given)
            if not self._pipe.poll(patience_s):
                self.end()
                return {"outcome": "hang", "seconds": patience_s}
            result: Json = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode
            self.end()
            return {"outcome": "crash", "status": code}
        result["seconds"] = round(time.monotonic() - began, 2)
        if result.get("peak", 0) > MOST_BYTES:
            self.end()  # the peak is the process's for ever
            result["outcome"] = "memory"
        return result

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, self._trial))
        self._process.start()
        other.close()

    def end(self) -> None:
        """Ends the process. May be called twice."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            assert self._pipe is not None
            self._pipe.close()
            self._process = None


def _serve(pipe: Connection, trial: Trial) -> None:
    while True:
        try:
            given = pipe.recv()
        except EOFError:
            return
        result = trial(given)
        own, below = (resource.getrusage(who).ru_maxrss for who in _WHO)
        pipe.send({**result, "peak": max(own, below) * 1024, "left": len(children())})


_WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def children() -> list[int]:
    """The processes that this one has started and that are still there (Linux; elsewhere none)."""
    pids: list[int] = []
    for file in Path("/proc/self/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended meanwhile
            pids += map(int, file.read_text().split())
    return pids
