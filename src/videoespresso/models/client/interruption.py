"""Ctrl-C while the main thread waits for a reply that is paid for: the reply is kept first.

Signals come to the main thread alone; in others nothing here does anything.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_held = _wanted = False


def interrupt() -> None:
    """For a handler of the signal: raises KeyboardInterrupt, now or where `finished` ends."""
    global _wanted
    if not _held:
        raise KeyboardInterrupt
    _wanted = True


@contextmanager
def finished() -> Iterator[None]:
    """Within it `interrupt` waits; KeyboardInterrupt is raised at the end."""
    with _holding(True):
        yield


@contextmanager
def endable() -> Iterator[None]:
    """Within `finished`, where nothing is under way: `interrupt` waits no longer."""
    with _holding(False):
        yield


@contextmanager
def _holding(held: bool) -> Iterator[None]:
    global _held
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, _held = _held, held
    try:
        _raise_wanted()
        yield
    finally:
        _held = before
        _raise_wanted()


def _raise_wanted() -> None:
    global _wanted
    if _wanted and not _held:
        _wanted = False
        raise KeyboardInterrupt
