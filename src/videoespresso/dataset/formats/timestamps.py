"""Instants for released frames: index divided by the real rate, where the video is at hand."""

import os
from collections import Counter, OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from videoespresso.dataset_record import SourceVideo
from videoespresso.errors import VideoError

if TYPE_CHECKING:
    from videoespresso.types import Video

KEPT = 1024
"""Videos remembered; the questions about one stand near each other."""
SLACK_S = 1.0
"""An index may lie this far behind a video's end: durations of containers are rounded."""


class Timestamps:
    """Instants of frames of the videos below a folder. root: None knows no instants."""

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._probed: OrderedDict[str, Video | None] = OrderedDict()
        self.missed: Counter[str] = Counter()

    def video(self, path: str) -> SourceVideo:
        """What is known of a video, by its path in the source, which stays as it is."""
        probed = self._known(path) if self._root is not None and path else None
        if probed is None:
            return SourceVideo(path=path)
        fields = probed.model_dump(include={"id", "duration_s", "fps", "width", "height"})
        return SourceVideo(path=path, **fields)

    def time_s(self, video: SourceVideo, index: int | None) -> float | None:
        """Seconds from the start; None where the rate is not known or the index is beyond."""
        if index is None or not video.fps:
            return None
        time_s = float(index / video.fps)
        if video.duration_s is not None and time_s > video.duration_s + SLACK_S:
            self.missed["frame index behind the video's end"] += 1
            return None
        return time_s

    def _known(self, path: str) -> "Video | None":
        if path in self._probed:
            self._probed.move_to_end(path)
            return self._probed[path]
        times = self._probe(path)
        self._probed[path] = times
        if len(self._probed) > KEPT:
            self._probed.popitem(last=False)
        return times

    def _probe(self, path: str) -> "Video | None":
        from videoespresso.tools.video import probe  # noqa: PLC0415 - decoders, when asked for

        file = self.file(path)
        if file is None:
            self.missed["video not found"] += 1
            return None
        try:
            return probe(file)
        except VideoError:
            self.missed["video cannot be read"] += 1
            return None

    def file(self, path: str) -> Path | None:
        """The video's file, with or without the release's own folder before it; None where the
        folder has none, or is not known."""
        if self._root is None:
            return None
        for name in (path, path.removeprefix("all_video/")):
            file = below(self._root, name)
            if file is not None and file.is_file():
                return file
        return None


def below(root: Path, path: str) -> Path | None:
    """The path in a folder; None for one that leads out of it. Nothing is taken for an address."""
    if not path or "\0" in path:
        return None
    inside = os.path.normpath(path)
    if os.path.isabs(inside) or inside.split(os.sep)[0] == os.pardir:
        return None
    return root / inside
