"""`kill -9` at a request of a model, by its number."""

import os
import signal

from lab.rehearsal_server import Asked


class Killer:
    """Kills a process at a request, by its number, before or after its reply."""

    def __init__(self) -> None:
        self.pid, self.left, self.after = 0, 0, False
        self.seen: list[str] = []

    def arm(self, pid: int, requests: int, after: bool) -> None:
        """From now on: this process, at its `requests`-th request."""
        self.pid, self.left, self.after = pid, requests, after

    def asked(self, asked: Asked) -> None:
        """The server has a request."""
        self.seen.append(asked.sha)
        self._count(not self.after)

    def answered(self, _asked: Asked) -> None:
        """The server has replied."""
        self._count(self.after)

    def _count(self, now: bool) -> None:
        self.left -= now
        if now and self.left == 0 and self.pid:
            os.kill(self.pid, signal.SIGKILL)
