"""Vectors of a video's frames under one image-text model, beside the captions in Chroma: the
second question about a video embeds one text and no picture."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from videoespresso.memory.caption_index import (
    ChromaFolder,
    ChromaIndex,
    ChromaServer,
    Entry,
    IndexBroken,
)

log = logging.getLogger(__name__)


class ImageVectors:
    """where: the caption memory's. model: names the vectors; another model has others.

    They can be made again at any time, so a damaged index costs the work and nothing else. Raises
    MemoryStoreError for a server that does not answer.
    """

    def __init__(self, where: ChromaFolder | ChromaServer, model: str) -> None:
        self._index = ChromaIndex(where, f"images {model}")

    def get(self, key: str, frame_ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Frame id -> vector (d,), of those that are known under a video's key."""
        try:
            return self._index.vectors(key, frame_ids)
        except IndexBroken as error:
            log.info("vectors of frames are made again: %s", error)
            return {}

    def put(self, key: str, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        """Remembers vectors of length 1."""
        if not vectors:
            return
        entries = [Entry(name, name, {"frame_id": name}) for name in vectors]
        try:
            self._index.put(key, entries, np.stack(list(vectors.values())))
        except IndexBroken as error:
            log.info("vectors of frames are not kept: %s", error)
