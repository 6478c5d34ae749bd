"""A process that has everything imported and gives birth to runs of `videoespresso`.

A run starts in 20 ms instead of two seconds, in a process of its own, which can be killed.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn


class Forks:
    """with Forks() as forks: pid = forks.start(["dataset", "build", ...]); forks.wait(pid)"""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.forks"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )

    def start(
        self, argv: Sequence[str], log: Path, crash: Sequence[Any] = (), **env: str
    ) -> int:
        """The number of a new process that runs the command. log: takes what it says.

        crash: (place, n), see `_crash`, ends the process with SIGKILL.
        """
        told = {"argv": list(argv), "log": str(log), "crash": list(crash), "env": env}
        return self._ask(told)

    def wait(self, pid: int) -> int:
        """Its exit status; minus the signal's number where a signal ended it."""
        return self._ask({"wait": pid})

    def _ask(self, told: Mapping[str, Any]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(told) + "\n")
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


def _child(told: Mapping[str, Any]) -> NoReturn:
    log = os.open(told["log"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.update(told["env"])
    if told["crash"]:
        _crash(*told["crash"])
    from videoespresso.cli.app import main

    sys.argv = ["videoespresso", *told["argv"]]
    code: object = 1
    try:
        main()
        code = 0
    except SystemExit as error:
        code = error.code or 0
    finally:
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def _crash(place: str, n: int) -> None:
    """Makes the n-th write that is meant to last the process's last: "before" it, "after" it, or
    "torn": half of what was appended is on the disk."""
    left = [n]

    def lasting(write: Callable[..., None]) -> Callable[..., None]:
        def run(*args: Any) -> None:
            left[0] -= 1
            if left[0] == 0 and place == "torn" and isinstance(args[0], int):
                size = os.fstat(args[0]).st_size
                os.ftruncate(args[0], max(0, size - 40))
            if left[0] == 0 and place != "after":
                os.kill(os.getpid(), signal.SIGKILL)
            write(*args)
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        return run

    os.fsync = lasting(os.fsync)
    os.replace = lasting(os.replace)


def _warm() -> None:
    """Imports what a run imports, and loads the embedder's weights."""
    import chromadb
    import langchain_openai
    import openai

    import videoespresso.dataset.build
    from videoespresso.cli.app import app
    from videoespresso.memory.embedders import embedder

    assert all((chromadb, langchain_openai, openai, videoespresso.dataset.build, app))
    embedder()(["a word"])


def _main() -> None:
    _warm()
    for line in sys.stdin:
        told = json.loads(line)
        if "wait" in told:
            _, status = os.waitpid(told["wait"], 0)
            answer = os.waitstatus_to_exitcode(status)
        else:
            answer = os.fork()
            if answer == 0:
                _child(told)
        print(answer, flush=True)


if __name__ == "__main__":
    _main()
