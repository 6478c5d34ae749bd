"""Finds the files that records name."""

import functools
import io
import os
from pathlib import Path

from PIL import Image

from videoespresso.dataset.formats import conversations, parquet
from videoespresso.dataset.formats.conversion_report import Unusable
from videoespresso.dataset.formats.timestamps import below
from videoespresso.dataset.inspect.validate import FAULTS, decode

KEPT = 4096
"""Images remembered as pictures."""


class Media:
    """images, videos: folders that paths in the records are relative to; None leaves the paths as
    they are, and local says that they are files of this machine. embed: pictures are read."""

    def __init__(
        self,
        images: Path | None,
        videos: Path | None = None,
        *,
        local: bool = False,
        embed: bool = False,
    ) -> None:
        self._images, self._videos, self._local, self._embed = images, videos, local, embed
        self._fault = functools.lru_cache(KEPT)(_fault)  # neighbouring records share their frames

    def opened(self, conversation: conversations.Conversation) -> conversations.Conversation:
        """The same with paths that can be opened. Raises Unusable for a file that is missing, and
        for an image that is no picture."""
        return tuple(
            conversations.Message(message.role, tuple(self._part(part) for part in message.parts))
            for message in conversation
        )

    def picture(self, path: str) -> parquet.Picture | None:
        """A core frame for Parquet: inside, under its own name, or a path that can be opened.

        None for a frame that names no image. Raises Unusable for a file that is missing or cannot
        be read.
        """
        if not path:
            return None
        file = self._file("image", path)
        if not self._embed:
            return parquet.Picture(None, file)
        try:
            data = Path(file).read_bytes()
            with Image.open(io.BytesIO(data)) as picture:
                decode(picture)
        except FAULTS as error:
            raise Unusable("image cannot be read", f"{file}: {error}") from error
        return parquet.Picture(data, path)

    def _part(self, part: conversations.Part) -> conversations.Part:
        if isinstance(part, str):
            return part
        return conversations.Medium(self._file(part.kind, part.path), part.kind)

    def _file(self, kind: str, path: str) -> str:
        root = self._images if kind == "image" else self._videos
        if root is None and not self._local:
            return path
        file = Path(path) if root is None else below(root, path)
        if file is None:
            raise Unusable(f"{kind} outside its folder", path)
        if not file.is_file():
            raise Unusable(f"{kind} not found", str(file))
        if kind == "image" and (fault := self._fault(file)):
            raise Unusable("image cannot be read", f"{file}: {fault}")
        return os.path.abspath(file)


def _fault(file: Path) -> str:
    """Why a file is no picture, by its first bytes; "" for one that is."""
    try:
        with Image.open(file):
            return ""
    except FAULTS as error:
        return str(error)
