"""Damaged videos through the real decode path: probed, sampled, their subtitles read."""

import random
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from lab.reliability.mutations import mutated
from lab.reliability.seeds import make
from lab.reliability.trials import Trials
from videoespresso.errors import VideoEspressoError

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
    from lab.reliability.forked import Fork  # noqa: PLC0415 - in the trial
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
