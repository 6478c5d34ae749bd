"""What the tests of the caption memory share: an embedder one can reckon with, a real server."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from videoespresso.memory.captions import CaptionMemory
from videoespresso.types import Caption


class Words:
    """An embedder whose cosines are known: word counts, at unit length.

    In 1,024 places no two words of the tests meet.
    """

    def __init__(self, name: str = "words", d: int = 1024) -> None:
        self.name, self._d = name, d
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += texts
        rows = np.zeros((len(texts), self._d), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split():
                row[zlib.crc32(word.encode()) % self._d] += 1.0
            row /= np.linalg.norm(row) or 1.0
        return rows


def caption(time_s: float, text: str, shared_from: str | None = None) -> Caption:
    frame_id = f"v@{round(time_s * 1000)}"
    return Caption(frame_id=frame_id, time_s=time_s, text=text, shared_from=shared_from)


STREET = [
    caption(0.0, "red car drives"),
    caption(1.0, "red car stops"),
    caption(2.0, "dog crosses the road"),
    caption(3.0, "dog crosses the road", shared_from="v@2000"),
    caption(4.0, "red car drives"),
]


def texts(memory: CaptionMemory, query: str, videos: Sequence[str], k: int) -> list[str]:
    return [found.caption.text for found in memory.search(query, videos, k)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def chroma_server(folder: Path) -> Iterator[str]:
    port = free_port()
    script = Path(sys.executable).with_name("chroma")
    start = [str(script)] if script.exists() else ["chroma"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*start, "run", "--host", "127.0.0.1", "--port", str(port), "--path", str(folder)],
            stdout=log,
            stderr=log,
        )
        try:
            wait_for(port, server, folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def wait_for(port: int, server: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(600):
        assert server.poll() is None, log.read_text(errors="replace")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    pytest.fail(f"chroma run did not start: {log.read_text(errors='replace')}")
