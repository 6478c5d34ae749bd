"""Ctrl-C twice: the first lets what is under way finish, the second leaves at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interruptible(on_first: Callable[[], None]) -> Iterator[None]:
    """Within it the first Ctrl-C calls `on_first`, wherever the main thread is; every further one
    raises KeyboardInterrupt. In other threads nothing changes: signals come to the main one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    first = True

    def handle(_number: int, _frame: object) -> None:
        nonlocal first
        if not first:
            raise KeyboardInterrupt
        first = False
        on_first()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
