"""The process behind `forks.Forks`: a fork a line of its stdin, each a run of `videoespresso`."""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import chromadb
import langchain_openai
import openai

import videoespresso.api.ask
import videoespresso.api.build_dataset
from videoespresso.cli.app import main
from videoespresso.models.embedders import embedder

IMPORTED = (
    chromadb,
    langchain_openai,
    openai,
    videoespresso.api.ask,
    videoespresso.api.build_dataset,
)
"""What a run would import; `main` imports only what it needs."""


def child(job: Mapping[str, Any]) -> NoReturn:
    append = os.O_CREAT | os.O_WRONLY | os.O_APPEND
    log, err = (os.open(job.get(name, job["log"]), append) for name in ("log", "err"))
    lines = os.open(job["lines"], os.O_RDONLY)
    for source, target in ((lines, 0), (log, 1), (err, 2)):
        os.dup2(source, target)
    if "cwd" in job:  # and then the environment is a whole one
        os.chdir(job["cwd"])
        os.environ.clear()
    os.environ.update(job["env"])
    if job["crash"]:
        crash(*job["crash"])
    sys.argv = ["videoespresso", *job["argv"]]
    code = 1
    try:
        code = main()
    except BaseException:  # noqa: BLE001 - a child must not go on as a server
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def crash(place: str, n: int) -> None:
    """Makes the n-th write that is meant to last the process's last: "before" it, "after" it, or
    "torn": what was appended is on the disk but for its end."""
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


def serve() -> None:
    embedder()(["a word"])  # loads its weights
    for line in sys.stdin:
        job = json.loads(line)
        if "wait" in job:
            _, status = os.waitpid(job["wait"], 0)
            answer = os.waitstatus_to_exitcode(status)
        else:
            answer = os.fork()
            if answer == 0:
                child(job)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
