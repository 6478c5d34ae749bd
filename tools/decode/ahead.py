"""Pictures decoded ahead in a thread, while those before are sent and looked at."""

import queue
import threading
from collections.abc import Iterable
from typing import Protocol

from videoespresso.tools.decode.pyav import Decoded


class Pictures(Protocol):
    """The stream of pictures of one request."""

    def next(self, time_s: float | None) -> Decoded | None:
        """The next picture, None at the end."""

    def close(self) -> None:
        """Closes the file."""


class Ahead:
    """`Pictures` whose instants are known: one picture waits, one is being decoded."""

    def __init__(self, pictures: Pictures, times_s: Iterable[float | None]) -> None:
        self._pictures = pictures
        self._ready: queue.Queue[Decoded | Exception | None] = queue.Queue(maxsize=1)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._decode, args=(times_s,), daemon=True)
        self._thread.start()

    def _decode(self, times_s: Iterable[float | None]) -> None:
        try:
            for time_s in times_s:
                picture = self._pictures.next(time_s)
                self._ready.put(picture)
                if picture is None or self._closed.is_set():
                    return
            self._ready.put(None)
        except Exception as error:  # noqa: BLE001 - raised by `next`, in the thread that asks
            self._ready.put(error)

    def next(self, time_s: float | None) -> Decoded | None:
        """The picture at the next of the known instants; `time_s` plays no part."""
        item = self._ready.get()
        if item is None or isinstance(item, Exception):
            self._ready.put(item)  # the same to whoever asks again
        if isinstance(item, Exception):
            raise item
        return item

    def close(self) -> None:
        """Ends the thread and closes the file."""
        self._closed.set()
        while self._thread.is_alive():
            try:
                self._ready.get(timeout=0.01)
            except queue.Empty:
                continue
        self._thread.join()
        self._pictures.close()
