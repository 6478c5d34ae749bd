"""Ctrl-C: what is said, and whose it is until the program has ended."""

import signal
import threading
from collections.abc import Callable
from typing import NoReturn

import pytest

from videoespresso.cli import app, console
from videoespresso.cli.console import Exit, err, stoppable


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def waits_for(what: Callable[[], bool]) -> None:
    """Until then; the test's own time-out ends it otherwise."""
    while not what():
        threading.Event().wait(0.01)


def test_what_ends_in_a_moment_is_not_said_to_be_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "MOMENT_S", 3600.0)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), stoppable():
        interrupt()
    waits_for(lambda: threading.active_count() <= before)
    assert capsys.readouterr().err == ""


def test_what_takes_longer_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "MOMENT_S", 0.0)
    said = ""

    def heard() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return console.FINISHING in said

    with stoppable():
        with pytest.raises(KeyboardInterrupt):
            interrupt()
        waits_for(heard)


def test_a_console_that_was_interrupted_while_it_printed_is_not_used_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    err().__enter__()  # as in the middle of `print`: what is printed now is kept until its end
    with pytest.raises(KeyboardInterrupt), stoppable():
        interrupt()
    err().print("interrupted")
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("code", [Exit.INTERRUPTED, Exit.ANSWERED])
def test_a_second_one_is_ours_until_the_program_has_left(
    code: Exit, monkeypatch: pytest.MonkeyPatch
) -> None:
    class LeftError(Exception):
        """In the place of the end of the process."""

    def leave() -> NoReturn:
        assert signal.getsignal(signal.SIGINT) is not before
        raise LeftError

    def command(**_: object) -> NoReturn:
        raise SystemExit(code)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(app, "app", command)
    monkeypatch.setattr(app, "leave", leave)
    if code == Exit.INTERRUPTED:
        with pytest.raises(LeftError):
            app.main()
    else:
        assert app.main() == code
    assert signal.getsignal(signal.SIGINT) is before
