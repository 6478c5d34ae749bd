"""What the commands share: exit codes, the two streams, errors as one line and a hint."""

import functools
import json
import os
import re
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import TYPE_CHECKING, NoReturn

from pydantic import BaseModel

from videoespresso.dataset.interrupt import interruptible
from videoespresso.errors import (
    BudgetExceeded,
    MemoryStoreError,
    ModelError,
    ToolError,
    UserError,
    VideoEspressoError,
)
from videoespresso.models.client.interruption import interrupt
from videoespresso.report.text import CONTROLS, printable

if TYPE_CHECKING:
    from rich.console import Console

    from videoespresso.tools.fetch.transfer import Progress


class Exit(IntEnum):
    """How a command ended, for scripts."""

    ANSWERED = 0
    UNEXPECTED = 1
    USER = 2
    NOT_ANSWERED = 3
    FAILED = 4
    BUDGET = 5
    INTERRUPTED = 130


_CODES_HELP = """

\b
Exit codes:
  0  answered, or done
  1  unexpected error; its traceback is shown
  2  something you gave cannot be used: a file, a flag, a key
  3  not answered, or nothing made: the frames do not carry it
  4  a model, a tool or the memory failed
  5  a limit you set was reached; what is known so far is shown
130  interrupted; finished work is kept"""

_UNSAFE = re.compile(f"[{CONTROLS}\\ud800-\\udfff]")

_CODES: tuple[tuple[type[VideoEspressoError], Exit], ...] = (
    (UserError, Exit.USER),
    (BudgetExceeded, Exit.BUDGET),
    (ModelError, Exit.FAILED),
    (ToolError, Exit.FAILED),
    (MemoryStoreError, Exit.FAILED),
)


def examples(*commands: str, codes: bool = False) -> str:
    """The end of a --help: commands to copy, and the exit codes where they matter. What follows
    \\b keeps its lines."""
    lines = "\n".join(f"  $ videoespresso {command}" for command in commands)
    return f"\b\nExamples:\n{lines}{_CODES_HELP if codes else ''}"


def exit_code(error: VideoEspressoError) -> Exit:
    """The code of a known error; one without a code of its own counts as failed."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.FAILED)


@functools.cache
def out() -> "Console":
    """stdout, for results. Lines are not wrapped, so that a pipe gets them whole."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


@functools.cache
def err() -> "Console":
    """stderr, for progress, warnings and errors."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


FINISHING = "finishing the calls under way, which are paid for; Ctrl-C again leaves at once"


MOMENT_S = 0.3
"""Seconds; what ends sooner is not said to be waited for."""


def say_finishing(text: str = FINISHING) -> None:
    """What the first Ctrl-C says. A thread prints it: the main one may be in the middle of
    printing."""
    threading.Thread(target=err().print, args=(text,), kwargs={"style": "yellow"}).start()


class CountBar:
    """How many of all are done, and what is to be said beside it: on stderr a line that moves, on a
    pipe a line whenever `every` more are done. quiet: only the line after Ctrl-C."""

    def __init__(self, what: str, *, quiet: bool) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._quiet, self._last, self._stopping = quiet, -1, False
        self._bar = Progress(
            TextColumn(what),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[about]}"),
            console=err(),
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, about="")
        if err().is_terminal and not quiet:
            self._bar.start()

    def stopping(self, text: str = FINISHING) -> None:
        """Says once what is waited for."""
        if not self._stopping:
            self._stopping = True
            say_finishing(text)

    def update(self, done: int, total: int, about: str, *, every: int = 1) -> None:
        """The state of the run."""
        if self._quiet:
            return
        if err().is_terminal:
            self._bar.update(self._task, total=total, completed=done, about=about)
        elif done >= self._last + every:
            self._last = done
            err().print(f"[{done}/{total}] {about}", style="dim")

    def close(self) -> None:
        """Leaves the terminal as it was."""
        if self._bar.live.is_started:
            self._bar.stop()


@contextmanager
def stoppable() -> Iterator[None]:
    """Within it the first Ctrl-C raises KeyboardInterrupt, when the reply is kept that the main
    thread waits for, and says what is waited for where that takes a moment; a second one leaves at
    once. What can count what is done has `interruptible` of its own inside."""
    waiting = threading.Timer(MOMENT_S, lambda: err().print(FINISHING, style="yellow"))

    def stop() -> None:
        waiting.start()
        # the main thread may be in the middle of printing, and its console not print again
        err.cache_clear()
        interrupt()

    with interruptible(stop, leave):
        try:
            yield
        finally:
            waiting.cancel()


def leave() -> NoReturn:
    """Ends the program at once with the code of an interruption. Finished work is on the disk;
    locks and decoders end with the process."""
    with suppress(OSError, RuntimeError):  # nobody reads; or a signal came while it was flushed
        if err().is_terminal:
            err().show_cursor(True)  # a line that moves hides it
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(Exit.INTERRUPTED)


def typed_line() -> str:
    """`input()`. A Ctrl-C that came just before it waits would be held back until a line comes, so
    on a terminal it is called when there is one. Raises EOFError."""
    if os.name == "posix" and sys.stdin.isatty():
        ready, wake = socket.socketpair()
        with ready, wake:
            wake.setblocking(False)
            before = signal.set_wakeup_fd(wake.fileno())
            try:
                select.select([sys.stdin, ready], [], [])
            finally:
                signal.set_wakeup_fd(before)
    return input()


def say_error(error: VideoEspressoError) -> None:
    """One line and, where there is one, the hint, whose commands are on lines of their own."""
    err().print(f"error: {one_line(str(error))}", style="bold red")
    for number, line in enumerate(error.hint.splitlines()):
        err().print(f"{'       ' if number else 'hint:  '}{one_line(line)}", style="yellow")


def say_warning(text: str) -> None:
    """One line on stderr."""
    err().print(f"warning: {one_line(text)}", style="yellow")


def one_line(text: str) -> str:
    """Printable and without line breaks."""
    return " ".join(printable(text).split())


def fetching(say: Callable[[str], None]) -> "Callable[[Progress], None]":
    """A listener to a download that hands `say` one line: bytes, rate, time to go."""

    def show(progress: "Progress") -> None:
        whole = "" if progress.total is None else f" of {progress.total / 1e6:.1f}"
        rate, left = f"{progress.rate / 1e6:.1f} MB/s", ""
        if progress.left_s is not None:
            minutes, seconds = divmod(round(progress.left_s), 60)
            left = f", {minutes}:{seconds:02} left"
        say(f"fetching {progress.received / 1e6:.1f}{whole} MB, {rate}{left}")

    return show


def write_json(record: BaseModel, *, indent: int | None = 2) -> None:
    """A record as JSON on stdout: no colour, no wrapping, nothing left out. indent: None is one
    line, for those who read line by line.

    Control characters and what UTF-8 cannot hold (a file name of other bytes) are escaped.
    """
    text = json.dumps(record.model_dump(mode="json"), indent=indent, ensure_ascii=False)
    escaped = _UNSAFE.sub(_escaped, text)
    sys.stdout.write(escaped + "\n")
    sys.stdout.flush()


def _escaped(match: re.Match[str]) -> str:
    """As JSON writes it, beyond U+FFFF as two halves."""
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[k : k + 2].hex()}" for k in range(0, len(units), 2))


def show_table(*columns: str, rows: Iterable[Iterable[str]]) -> None:
    """A plain table on stdout; columns whose name ends in '#' are numbers, to the right."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        made.add_column(
            name.removesuffix("#"),
            justify="right" if name.endswith("#") else "left",
            overflow="fold",
        )
    for row in rows:
        made.add_row(*(Text(one_line(cell)) for cell in row))
    out().print(made, soft_wrap=False)
