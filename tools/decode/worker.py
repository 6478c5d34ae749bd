"""The decoding process: opens one file and sends pictures, lines or sound over a pipe.

A process of its own, because a decoder that hangs or crashes cannot be stopped from inside, and
because what a decoder leaks ends with it. Requests are JSON lines on stdin; an answer is a JSON
line on stdout, with `bytes` raw bytes behind it where it carries a picture. {"beat": n} lines in
between say that the decoding moves. The process ends when stdin closes, whatever it is doing.
"""

import hashlib
import itertools
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import av
from numpy.typing import NDArray

from videoespresso.errors import VideoError
from videoespresso.tools.decode.ahead import Ahead, Pictures
from videoespresso.tools.decode.decord import Decord, fits
from videoespresso.tools.decode.jumps import jumps
from videoespresso.tools.decode.pillow import Animation, animation
from videoespresso.tools.decode.probe import MOST_PIXELS, Facts, declared, read_facts
from videoespresso.tools.decode.pyav import At, KeyFrames
from videoespresso.tools.decode.words import beside, embedded, sound

BEAT_S = 0.1
"""At most ten signs of life a second: enough for any deadline, too few to cost anything."""

_CHUNK = 1 << 20
_CONVERT = "convert it: ffmpeg -i INPUT -vf scale=1920:-2 -c:v libx264 OUTPUT.mp4"

MEMORY = 2 << 30
"""Bytes of addresses that decoding may take beside what is loaded. Full HD on 16 threads, FFmpeg's
most, took 1.3 GB: three quarters are the threads' stacks and malloc's arenas, never touched."""
FRAMES, PIXEL_BYTES = 32, 3
"""Pictures that the threads of a decoder and its references hold at a time, and the bytes of a
pixel at ten bits: what a film's own size adds. It is 0.2 GB for Full HD and 3.2 GB for 8K: of that,
HEVC of ten bits on 16 threads took 3.8 GB in all, and H.264, AV1, VP9 and ProRes up to 2.8 GB; a
second pass may begin while the first is still open."""

CPU_S, CPU_S_A_MB = 600.0, 1.0
"""Seconds of processor that one request may take, and more for each MB of the file: above what a
second of 4K takes. The watchdog ends what makes no progress; this ends what makes it for ever."""


class Worker:
    """Answers the requests about one file."""

    def __init__(self, out: BinaryIO, loaded: int = 0) -> None:
        self._out, self._loaded = out, loaded
        self._lock = threading.Lock()
        self._beat_at = 0.0
        self._streams: dict[int, Pictures] = {}
        self._path = ""
        self._file: tuple[int, int, int] | None = None
        self._facts: Facts | None = None
        self._other: Decord | Animation | None = None

    def ready(self) -> None:
        """Says that everything is loaded; the deadline for progress counts from here."""
        self._say(ready=os.getpid())

    def answer(self, request: dict[str, Any]) -> None:
        """Carries out one request; a `VideoError` is sent back as {"error", "hint"}."""
        does: dict[str, Callable[..., None]] = {
            "declared": self._declared,
            "open": self._open,
            "start": self._start,
            "next": self._next,
            "end": self._end,
            "jumps": self._jumps,
            "embedded": self._embedded,
            "beside": self._beside,
            "sound": self._sound,
        }
        path = str(request.get("path") or self._path)
        name = Path(path).name
        _limit_cpu(path)
        try:
            does[request.pop("do")](**request)
        except VideoError as error:
            self._say(error=str(error), hint=error.hint)
        except MemoryError:
            self._say(error=f"{name} takes more memory than films of its size", hint=_CONVERT)
        except (OSError, av.error.FFmpegError) as error:
            self._say(error=f"{name} cannot be read or decoded: {error}", hint=_CONVERT)

    def _declared(self, path: str) -> None:
        self._say(duration_s=declared(path))

    def _open(self, path: str, backend: str, digest: bool) -> None:
        self._path, self._file = path, _identity(path)
        sha = self._sha256(path) if digest else ""
        if (reader := animation(path, self._beat)) is not None:
            self._other, self._facts = reader, reader.facts
            self._say(facts=self._facts.as_json(), sha=sha, backend="pillow")
            return
        self._facts = read_facts(path, self._beat)
        _limit_memory(self._loaded, self._facts.width * self._facts.height)
        if backend == "decord":
            try:
                self._other = fits(path, self._facts, self._beat)
            except ImportError as error:
                raise VideoError(
                    f"decord cannot be loaded: {error}", hint='pip install decord, or use "auto"'
                ) from error
        used = "decord" if self._other else "pyav"
        self._say(facts=self._facts.as_json(), sha=sha, backend=used)

    def _sha256(self, path: str) -> str:
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                self._beat()
        return digest.hexdigest()

    def _start(
        self,
        stream: int,
        kind: str,
        max_side: int,
        min_gap_s: float,
        times_s: list[float] | None = None,
    ) -> None:
        assert self._facts is not None
        self._check_same()
        if self._other and kind == "keyframes":
            made: Pictures = self._other.keyframes(max_side, min_gap_s)
        elif self._other:
            made = self._other.at(max_side)
        elif kind == "keyframes":
            made = KeyFrames(self._path, self._facts, self._beat, max_side, min_gap_s)
        else:
            made = At(self._path, self._facts, self._beat, max_side)
        if kind == "keyframes":
            made = Ahead(made, itertools.repeat(None))
        elif times_s is not None:
            made = Ahead(made, times_s)
        self._streams[stream] = made
        self._say(started=stream)

    def _next(self, stream: int, time_s: float | None = None) -> None:
        picture = self._streams[stream].next(time_s)
        if picture is None:
            self._say(end=stream)
            return
        self._check_same()
        height, width = picture.rgb.shape[:2]
        self._say(
            time_s=picture.time_s,
            index=picture.index,
            height=height,
            width=width,
            data=picture.rgb,
        )

    def _check_same(self) -> None:
        """Pictures of another film must not go by this one's name. One that was deleted is read on
        as long as it is open."""
        now = _identity(self._path)
        if now is not None and now != self._file:
            raise VideoError(
                f"{Path(self._path).name} was changed while it was read",
                hint="ask again when nothing writes to it any more",
            )

    def _end(self, stream: int) -> None:
        self._streams.pop(stream).close()
        self._say(ended=stream)

    def _jumps(self) -> None:
        assert self._facts is not None
        still = isinstance(self._other, Animation)  # every frame of it is a key frame
        self._say(instants=[] if still else jumps(self._path, self._facts, self._beat))

    def _embedded(self, path: str, spans: list[tuple[float, float]]) -> None:
        self._say(lines=embedded(path, spans, self._beat))

    def _beside(self, path: str, spans: list[tuple[float, float]]) -> None:
        try:
            self._say(lines=beside(path, spans, self._beat))
        except ImportError:
            self._say(lines=None)

    def _sound(self, path: str, start_s: float, end_s: float) -> None:
        samples = sound(path, start_s, end_s, self._beat)
        self._say(data=samples)

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._beat_at >= BEAT_S:
            self._beat_at = now
            self._say(beat=now)

    def _say(self, data: NDArray[Any] | None = None, **answer: Any) -> None:
        """Several threads may: an answer and its bytes stay together."""
        if data is not None:
            answer["bytes"] = data.nbytes
        with self._lock:
            self._out.write(json.dumps(answer).encode() + b"\n")
            if data is not None:
                self._out.write(data.data)
            self._out.flush()


def _identity(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _read(requests: "queue.SimpleQueue[str]") -> None:
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)  # the reader is gone; the main thread may be stuck in a decoder


def _loaded() -> int:
    """Bytes of addresses in use; 0 where the system does not say, and then nothing is limited."""
    try:
        import resource  # noqa: PLC0415 - not on Windows

        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError, ValueError):
        return 0


def _limit_memory(loaded: int, pixels: int) -> None:
    """A file of a few kB can ask for any memory; where the system can, it is refused. pixels: of a
    frame, as far as it is known."""
    if not loaded:
        return
    import resource  # noqa: PLC0415 - not on Windows

    limit = loaded + MEMORY + FRAMES * PIXEL_BYTES * min(pixels, MOST_PIXELS)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _limit_cpu(path: str) -> None:
    """What the next request may take; the system ends the process at it (SIGXCPU)."""
    try:
        import resource  # noqa: PLC0415 - not on Windows

        size = os.path.getsize(path)
    except (ImportError, OSError, ValueError):
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime + CPU_S + CPU_S_A_MB * size / 2**20)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


def main() -> None:
    """Serves until stdin closes. Whatever a library prints goes to stderr, not into the answers."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    loaded = _loaded()
    _limit_memory(loaded, pixels=0)
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()
    worker = Worker(out, loaded)
    worker.ready()
    while True:
        worker.answer(json.loads(requests.get()))


if __name__ == "__main__":
    main()
