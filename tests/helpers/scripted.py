"""Scripted models (videoespresso.testing), and small films of the theatre for them to watch."""

from pathlib import Path

import av
import numpy as np

from videoespresso.testing import Script, ScriptedModel, scripted_context, text_of
from videoespresso.theatre import Story, make_story

__all__ = [
    "Script",
    "ScriptedModel",
    "film",
    "scripted_context",
    "story_with",
    "text_of",
]


def film(story: Story, path: Path, fps: int = 4) -> Path:
    """A story as a small H.264 file."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for k in range(int(story.duration_s * fps)):
            picture = np.asarray(story.scene(k / fps).render(320))
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def story_with(word: str, seconds: float = 40.0) -> Story:
    """The first validation story with an event of that word."""
    for seed in range(1_000_000, 1_001_000):
        story = make_story(seed)
        if story.duration_s < seconds and any(word in e.clause for e in story.events):
            return story
    raise AssertionError(word)
