"""A call that ends in time whoever makes it: for clients that cannot be held to it themselves."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import TypeVar

V = TypeVar("V")


def in_time(call: Callable[[], V], seconds: float | None) -> V:
    """What the call gives or raises. Raises TimeoutError after that many seconds.

    A call that is late goes on in its thread, which no process waits for, until its client or its
    server ends it: a thread cannot be ended from outside. What it gives then is nobody's.
    """
    if seconds is None:
        return call()
    done, context = Future[V](), copy_context()

    def run() -> None:
        try:
            done.set_result(context.run(call))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            done.set_exception(error)

    threading.Thread(target=run, name="model call", daemon=True).start()
    return done.result(timeout=seconds)
