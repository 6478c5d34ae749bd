"""Ctrl-C twice: the first lets what is under way finish, the second leaves at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interruptible(
    on_first: Callable[[], None], on_second: Callable[[], None] | None = None
) -> Iterator[None]:
    """Within it the first Ctrl-C calls `on_first`, wherever the main thread is; every further one
    calls `on_second`, or raises KeyboardInterrupt. In other threads nothing changes: signals come
    to the main one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    first = True

    def handle(_number: int, _frame: object) -> None:
        nonlocal first
        if first:
            first = False
            on_first()
        elif on_second is not None:
            on_second()
        else:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
