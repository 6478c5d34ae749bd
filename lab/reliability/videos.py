"""Damaged videos through the real decode path: probed, sampled, their subtitles read.

The decoding processes are forks of the trial's process (`Fork`), which has everything loaded: each
file still has a process of its own, which runs the same `worker.main` under the same limits and
ends with the file. Left out is Python's start: 0.35 s of processor, four fifths of a trial.
"""

import multiprocessing
import os
import random
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

from lab.reliability.seeds import make
from lab.reliability.trials import Trials
from videoespresso.errors import VideoEspressoError
from videoespresso.tools.decode import worker

HEAD = 512
"""Bytes at the beginning that hold most of what a demuxer believes."""


def flips(data: bytearray, draw: random.Random) -> bytearray:
    """Single bits, anywhere."""
    for _ in range(draw.choice((1, 4, 16, 64, 256))):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return data


def header(data: bytearray, draw: random.Random) -> bytearray:
    """Bytes of the head, or of the tail where many indexes are."""
    base = 0 if draw.random() < 0.7 else max(0, len(data) - HEAD)
    for _ in range(draw.choice((1, 2, 8, 32))):
        data[base + draw.randrange(min(HEAD, len(data)))] = draw.choice((0, 1, 127, 128, 254, 255))
    return data


def truncation(data: bytearray, draw: random.Random) -> bytearray:
    """The first part only."""
    return data[: draw.randrange(1, len(data))]


def beheading(data: bytearray, draw: random.Random) -> bytearray:
    """The last part only."""
    return data[draw.randrange(1, len(data)) :]


def garbage(data: bytearray, draw: random.Random) -> bytearray:
    """Bytes of nothing put in between."""
    at = draw.randrange(len(data))
    return data[:at] + draw.randbytes(draw.choice((1, 3, 64, 4096))) + data[at:]


def overwritten(data: bytearray, draw: random.Random) -> bytearray:
    """A stretch of noise, of zeros or of ones."""
    at, length = draw.randrange(len(data)), draw.choice((4, 32, 512, 4096))
    length = min(length, len(data) - at)
    data[at : at + length] = draw.choice((bytes(length), b"\xff" * length, draw.randbytes(length)))
    return data


def swapped(data: bytearray, draw: random.Random) -> bytearray:
    """Two stretches of the file in each other's place."""
    length = max(1, min(draw.choice((8, 64, 1024)), len(data) // 2))
    first = draw.randrange(0, len(data) // 2 - length + 1)
    second = draw.randrange(len(data) // 2, len(data) - length + 1)
    one, other = data[first : first + length], data[second : second + length]
    data[first : first + length], data[second : second + length] = other, one
    return data


def repeated(data: bytearray, draw: random.Random) -> bytearray:
    """A stretch several times."""
    at, length = draw.randrange(len(data)), draw.choice((16, 256, 4096))
    return data[:at] + data[at : at + length] * draw.choice((2, 20, 200)) + data[at:]


def numbers(data: bytearray, draw: random.Random) -> bytearray:
    """Sizes, counts and times: four bytes that become extreme, in either order of bytes."""
    for _ in range(draw.choice((1, 2, 6))):
        at = draw.randrange(max(1, min(len(data), 4096) - 4))
        value = draw.choice((0, 1, 7, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, draw.getrandbits(32)))
        data[at : at + 4] = value.to_bytes(4, draw.choice(("big", "little")))
    return data


def atoms(data: bytearray, draw: random.Random) -> bytearray:
    """Top-level boxes of an mp4 in another order, one left out or twice; other files: as chunks."""
    parts = _boxes(data)
    if len(parts) < 2:
        size = max(1, len(data) // 8)
        parts = [data[k : k + size] for k in range(0, len(data), size)]
    way = draw.randrange(3)
    if way == 0:
        draw.shuffle(parts)
    elif way == 1:
        parts.pop(draw.randrange(len(parts)))
    else:
        parts.insert(draw.randrange(len(parts)), draw.choice(parts))
    return bytearray().join(parts)


def _boxes(data: bytearray) -> list[bytearray]:
    parts, at = [], 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if length < 8 or at + length > len(data):
            return []
        parts.append(data[at : at + length])
        at += length
    return parts if at == len(data) else []


def names(data: bytearray, draw: random.Random) -> bytearray:
    """A code of four letters (an atom's, a codec's) becomes another that the file has, or none."""
    places = [k for k in range(min(len(data), 65536) - 4) if data[k : k + 4].isalnum()]
    if places:
        at, other = draw.choice(places), draw.choice(places)
        data[at : at + 4] = draw.choice((bytes(data[other : other + 4]), b"zzzz"))
    return data


MUTATIONS: tuple[Callable[[bytearray, random.Random], bytearray], ...] = (
    flips, header, truncation, beheading, garbage, overwritten, swapped, repeated, numbers, atoms,
    names,
)  # fmt: skip


def mutated(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    """The bytes after one to three of the mutations, and their names."""
    changed, done = bytearray(data), []
    for _ in range(draw.choice((1, 1, 2, 3))):
        mutate = draw.choice(MUTATIONS)
        if len(changed) > 16:
            changed = mutate(changed, draw)
            done.append(mutate.__name__)
    return bytes(changed), "+".join(done)


Json = dict[str, Any]

FRAMES = 12
"""The sampling's own limit on frames is 240 a video; these last two seconds."""


_TRACEBACK = re.compile(r"decoder ended with status \d")
"""What the decoding process did not foresee reaches us as an error, and is none of ours. One that a
signal ended (a negative status) is foreseen: that is why it is a process of its own."""


class Given(NamedTuple):
    """A trial: the bytes are made in the trial's process and deleted there."""

    number: int
    seed: str
    folder: str


def trials(folder: Path, count: int, known: set[str]) -> Iterator[Json]:
    """The records of those that are not known yet, numbers 0 to count - 1."""
    seeds = make(folder / "seeds")
    runner = Trials(trial)
    try:
        for number in range(count):
            if (key := f"video {number}") not in known:
                given = Given(number, str(seeds[number % len(seeds)]), str(folder))
                yield {"key": key, "part": "videos", "seed": Path(given.seed).name,
                       **runner.run(given)}  # fmt: skip
    finally:
        runner.end()


def trial(given: Given) -> Json:
    """Makes the damaged file, tries it, deletes it."""
    seed = Path(given.seed)
    data, how = mutated(seed.read_bytes(), random.Random(given.number))
    file = Path(given.folder) / f"damaged-{given.number}{seed.suffix}"
    file.write_bytes(data)
    try:
        return {"how": how, **outcome(lambda: _use(file, seed.stem))}
    finally:
        file.unlink()


def outcome(use: Callable[[], None]) -> Json:
    """ "ok", "typed" with the error, "untyped" with it: an error without a hint is none of ours."""
    try:
        use()
    except VideoEspressoError as error:
        text = str(error)
        if _TRACEBACK.search(text):
            return {"outcome": "untyped", "error": text}
        if not error.hint or "\n" in text or "Traceback" in text:
            return {"outcome": "untyped", "error": f"{type(error).__name__} without remedy: {text}"}
        return {"outcome": "typed", "error": f"{type(error).__name__}: {text}"}
    except Exception as error:  # noqa: BLE001 - what is measured
        return {"outcome": "untyped", "error": f"{type(error).__name__}: {error}"}
    return {"outcome": "ok"}


def _use(file: Path, seed: str) -> None:
    """As `ask` does: probe and sampling, and what the tools read of the file."""
    from videoespresso.tools.decode import process  # noqa: PLC0415
    from videoespresso.tools.sampling import SamplingPlan, sample  # noqa: PLC0415
    from videoespresso.tools.streams import read_lines, read_sound  # noqa: PLC0415
    from videoespresso.tools.video import open_video  # noqa: PLC0415

    process.start = Fork  # type: ignore[assignment]
    with open_video(file) as reader:
        for sampled in islice(sample(reader, SamplingPlan(max_frames=FRAMES)), FRAMES):
            assert sampled.picture.rgb.size
        name = reader.video.path
    assert name == str(file.absolute())
    if "subtitles" in seed:
        read_lines(file, [(0.0, 9.0)], "embedded")
    if "sound" in seed:
        read_sound(file, 0.0, 2.0)


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
