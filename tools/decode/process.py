"""Starts the decoding process (`worker.py`), sends it requests, ends it when it hangs."""

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from typing import IO, Any

from videoespresso.errors import VideoError

_LAST_WORDS = 400
"""How many bytes of a crashed decoder's stderr are quoted."""

_START_S = 60.0
"""How long the process may take to load; a cold disk needs several seconds."""

_END_S = 1.0
"""Seconds that a process may take to end by itself before it is killed."""

_PASSED = re.compile(
    r"LANG|LC_\w+|TZ|TMPDIR|TEMP|TMP"  # texts, times, scratch files
    r"|PYTHONHOME|LD_LIBRARY_PATH|DYLD_\w*LIBRARY_PATH|PATH|SYSTEMROOT|WINDIR"  # where code is
    r"|\w+_NUM_THREADS|MALLOC_\w+",  # what an administrator sets for every process
    re.IGNORECASE,
)
"""The environment variables that a decoding process gets. Keys may have any name, so those that
are needed are listed. Nothing of a graphics card: it decodes on the processor."""


class DecodeProcess:
    """A decoding process for one file; `name` is the file's, for messages.

    `ask` waits as long as the process shows progress, and at most `stall_s` after its last sign.
    """

    def __init__(self, name: str, stall_s: float) -> None:
        self._name, self._stall_s = name, stall_s
        with contextlib.ExitStack() as scratch:
            try:
                self._errors = scratch.enter_context(tempfile.TemporaryFile())
                self._process = start(self._errors)
            except OSError as error:  # no room, no more processes or files
                raise VideoError(
                    f"{name}: the decoding process cannot be started: {error.strerror or error}",
                    hint="make room in the folder of temporary files, or end other programs",
                ) from error
            scratch.pop_all()  # it lives as long as the process
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        listener = threading.Thread(
            target=_listen, args=(self._process.stdout, self._answers), daemon=True
        )
        listener.start()
        self._end = weakref.finalize(self, _end, self._process, self._errors, listener)
        try:
            self._answer(_START_S)
        except BaseException:
            self.end()
            raise

    @property
    def alive(self) -> bool:
        """False from the moment it was ended."""
        return self._end.alive

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def ask(self, **request: Any) -> dict[str, Any]:
        """Sends a request and waits for its answer; a picture's bytes are under "data".

        Raises `VideoError` when the file cannot be decoded, the decoder crashed, or it made no
        progress. After a crash or a stall the process is gone.
        """
        if not self.alive:
            raise VideoError(f"{self._name} is closed", hint="open it again")
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._crashed() from None
        return self._answer(self._stall_s)

    def _answer(self, patience_s: float) -> dict[str, Any]:
        while True:
            try:
                answer = self._answers.get(timeout=patience_s)
            except queue.Empty:
                self.end()
                raise VideoError(
                    f"{self._name}: no progress in {patience_s:g} s, decoding was stopped",
                    hint="check the disk or network it is on, or convert it: "
                    "ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4",
                ) from None
            if answer is None:
                raise self._crashed()
            if "error" in answer:
                raise VideoError(answer["error"], hint=answer["hint"])
            if "beat" not in answer:
                return answer

    def _crashed(self) -> VideoError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        code = self._process.poll()
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - _LAST_WORDS))
        last_line = self._errors.read().decode(errors="replace").strip().rpartition("\n")[2]
        self.end()
        if code is not None and code == -getattr(signal, "SIGXCPU", 0):
            return VideoError(
                f"{self._name}: decoding took more processor time than its size can account for",
                hint="convert it: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4",
            )
        return VideoError(
            f"{self._name}: the decoder ended with status {code}"
            + (f" ({last_line})" if last_line else ""),
            hint="the file may be damaged; convert it: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4",
        )

    def end(self) -> None:
        """Ends the process, at once if it does not go by itself. May be called twice."""
        self._end()


def start(errors: IO[bytes]) -> subprocess.Popen[bytes]:
    """The process, of which nothing is awaited yet; its stderr goes to the file `errors`."""
    paths = [os.path.abspath(p) for p in sys.path if p]
    passed = {name: value for name, value in os.environ.items() if _PASSED.fullmatch(name)}
    return subprocess.Popen(
        [sys.executable, "-P", "-W", "ignore", "-m", "videoespresso.tools.decode.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env={**passed, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUTF8": "1"},
    )


def _listen(pipe: IO[bytes], answers: "queue.SimpleQueue[dict[str, Any] | None]") -> None:
    """Passes answers on until the pipe closes, then None. One picture at most is under way."""
    with contextlib.suppress(ValueError):  # a line cut by the end of the process
        while line := pipe.readline():
            answer = json.loads(line)
            if "bytes" in answer:
                answer["data"] = pipe.read(answer["bytes"])
            answers.put(answer)
    answers.put(None)


def _end(process: subprocess.Popen[bytes], errors: IO[bytes], listener: threading.Thread) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    listener.join(_END_S)
    if not listener.is_alive():
        process.stdout.close()
    errors.close()
