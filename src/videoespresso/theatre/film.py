"""A story as a video file, and its truth as JSON. The same seed gives the same bytes.

`restaged` tells a story in a longer film: between its phases come stretches in which nothing
happens, as `Builder.pause` makes them; what happens, and what is asked, stay as they were.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from videoespresso.errors import UserError
from videoespresso.theatre.builder import FEET, FLOOR
from videoespresso.theatre.questions import Question, questions
from videoespresso.theatre.scene import ANIMALS, Actor, Phase
from videoespresso.theatre.stories import Story

QUALITY = 23
"""x264's constant rate factor, its own default: the theatre's noise stays visible."""

KEY_EVERY_S = 2.0
"""Seconds between key frames, as phones and web video have them."""


def frame_count(story: Story) -> int:
    """Frames of the film: one every 1/fps seconds, the last before the story's end."""
    return max(1, int(story.duration_s * story.fps))


def film(story: Story, path: Path, on_frame: Callable[[], None] | None = None) -> None:
    """Draws the story and writes it as H.264 in mp4; whole or not at all.

    One encoder thread, because x264's output depends on their number, and no macroblock tree: with
    it the same pictures give other bytes every few runs. Raises UserError when the file cannot be
    written.
    """
    import av  # noqa: PLC0415 - loads FFmpeg
    import numpy as np  # noqa: PLC0415 - only to draw

    draft = path.with_name(f".{path.stem}.part.mp4")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(draft), "w", options={"movflags": "faststart"}) as container:
            stream = container.add_stream("libx264", rate=story.fps)
            stream.options = {
                "crf": str(QUALITY),
                "preset": "medium",
                "x264-params": "mbtree=0",
            }
            stream.codec_context.thread_count = 1
            stream.codec_context.gop_size = round(KEY_EVERY_S * story.fps)
            stream.pix_fmt = "yuv420p"
            stream.width, stream.height = story.scene(0.0).render(story.width).size
            for number in range(frame_count(story)):
                picture = story.scene(number / story.fps).render(story.width)
                frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, story.fps)
                container.mux(stream.encode(frame))
                if on_frame:
                    on_frame()
            container.mux(stream.encode(None))
        draft.replace(path)
    except OSError as error:
        raise UserError(
            f"the video {path} cannot be written: {error.strerror or error}",
            hint="Choose another folder, or make room on the disk.",
        ) from error
    finally:
        if draft.exists():
            draft.unlink()


def truth(story: Story) -> dict[str, Any]:
    """Everything that is known about a story, JSON-ready.

    phases: [start_s, end_s) with the true caption and who does what. events: with start, end and
    the index of their cause. frames: one entry a film frame with its boxes, xyxy in 0-1.
    """
    return {
        "seed": story.seed,
        "style": story.family,
        "setting": story.setting,
        "duration_s": story.duration_s,
        "fps": story.fps,
        "width": story.width,
        "phases": [
            {
                "start_s": phase.t0,
                "end_s": phase.t1,
                "setting": phase.setting,
                "weather": phase.weather,
                "caption": phase.caption,
                "actors": [
                    {"key": a.key, "kind": a.kind, "is": a.phrase, "does": a.act, "mood": a.mood}
                    for a in phase.actors
                ],
            }
            for phase in story.phases
        ],
        "events": [
            {
                "index": event.index,
                "text": event.text,
                "start_s": story.phases[event.phase].t0,
                "end_s": story.phases[event.phase].t1,
                "object": event.obj,
                "mood": event.mood,
                "cause": event.cause,
            }
            for event in story.events
        ],
        "frames": [_boxes(story, number) for number in range(frame_count(story))],
        "questions": [question_row(story, question) for question in questions(story)],
    }


def question_row(story: Story, question: Question) -> dict[str, Any]:
    """A question with its answer and the stretches of the video it stands on, JSON-ready."""
    phases = story.phases
    return {
        "seed": story.seed,
        "task": question.task,
        "family": question.family,
        "question": question.text,
        "options": list(question.options),
        "choice": question.correct,
        "answer": question.answer,
        "core": [{"start_s": phases[i].t0, "end_s": phases[i].t1} for i in question.core],
        "evidence": [
            {"start_s": phases[i].t0, "end_s": phases[i].t1, "text": text}
            for i, text in question.evidence
        ],
    }


def write_json(data: object, path: Path) -> None:
    """One line of JSON and its line break. Raises UserError when it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror}", hint="Choose another folder."
        ) from error


def _boxes(story: Story, number: int) -> dict[str, Any]:
    time_s = number / story.fps
    return {
        "time_s": round(time_s, 6),
        "objects": [
            {"label": o.label, "is": o.phrase, "key": o.key, "xyxy": [round(v, 4) for v in o.xyxy]}
            for o in story.scene(time_s).objects
        ],
    }


MOST_FRAMES, LEAST_FPS = 3600, 2
"""A long film has fewer frames a second, since each of them is drawn."""


def longer(story: Story, seconds: float) -> tuple[Story, list[int]]:
    """The story in a film of so many seconds, and which phase each of its phases is there. One that
    is longer than that is played faster."""
    rng = random.Random(f"longer{story.seed} {seconds:g}")
    scale = min(1.0, seconds / story.duration_s)
    cuts = [0.0, *sorted(rng.random() for _ in story.phases), 1.0]
    rest = [(b - a) * (seconds - scale * story.duration_s) for a, b in pairwise(cuts)]
    phases: list[Phase] = []
    at: list[int] = []
    t, before = 0.0, story.phases[0]
    for phase, wait in zip((*story.phases, None), rest, strict=True):
        if wait > 0:
            phases.append(_still(before, t, t + wait))
            t += wait
        if phase is not None:
            at.append(len(phases))
            lasts = scale * (phase.t1 - phase.t0)
            phases.append(replace(phase, t0=t, t1=t + lasts))
            t, before = t + lasts, phase
    fps = min(story.fps, max(LEAST_FPS, int(MOST_FRAMES / seconds)))
    events = tuple(replace(event, phase=at[event.phase]) for event in story.events)
    return replace(story, phases=tuple(phases), events=events, fps=fps), at


def moved(question: Question, at: Sequence[int]) -> Question:
    """The question about the longer film."""
    return replace(
        question,
        core=tuple(at[k] for k in question.core),
        evidence=tuple((at[k], text) for k, text in question.evidence),
    )


def _still(phase: Phase, t0: float, t1: float) -> Phase:
    actors = tuple(_calm(actor, phase.setting) for actor in phase.actors)
    return replace(phase, t0=t0, t1=t1, actors=actors, pan=0.0)


def _calm(actor: Actor, setting: str) -> Actor:
    """As `Builder.calm`: people and animals do nothing, moods pass; things stay as they are."""
    still = replace(actor, x0=actor.x1)
    if actor.kind == "person":
        return replace(still, act="", mood="", y=FEET[setting])
    return replace(still, act="", mood="", y=FLOOR[setting]) if actor.kind in ANIMALS else still
