"""Ctrl-C: what is said, and whose it is until the program has ended."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from tests.helpers import chat_server as fake

from videoespresso.agents.base import Agent, Prompt, Retries, Turn
from videoespresso.cli import app, console
from videoespresso.cli.console import Exit, err, stoppable
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.chat import chat_model
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.paid_embedder import within_limits
from videoespresso.models.specs import ModelSpec


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


def interrupting(then: fake.Behaviour) -> fake.Behaviour:
    """Ctrl-C comes while the reply is waited for."""

    def behave(exchange: fake.Exchange) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(0.2)  # for the main thread to see it
        then(exchange)

    return behave


PROMPT, ASKED = Prompt("reasoner", "You are the reasoner.", "0" * 64), (Turn("user", ("Who?",)),)


def reasoner(server: fake.Server, folder: Path) -> Agent:
    spec = ModelSpec.parse(f"openai:q@{server.url}")
    replies = ReplyCache(folder / "replies.sqlite")
    return Agent(
        "reasoner", spec, chat_model(spec, timeout_s=30), usage_log=UsageLog(), replies=replies,
        retries=Retries(base_s=3600.0, longest_s=7200.0),
    )  # fmt: skip


def test_a_reply_that_is_waited_for_is_kept(tmp_path: Path) -> None:
    with fake.Server([interrupting(fake.say("Ann."))]) as server:
        with pytest.raises(KeyboardInterrupt), stoppable():
            reasoner(server, tmp_path).text(PROMPT, ASKED)
        known = reasoner(server, tmp_path).text(PROMPT, ASKED)
    assert (known.value, known.usage.calls) == ("Ann.", 0)
    assert len(server.requests) == 1


def test_a_vector_that_is_waited_for_is_kept(tmp_path: Path) -> None:
    with fake.Server([interrupting(fake.embed(lambda _text: [0.6, 0.8]))]) as server:

        def embed() -> object:
            replies = ReplyCache(tmp_path / "replies.sqlite")
            return within_limits(f"openai:e@{server.url}", replies=replies)(["Who?"])

        with pytest.raises(KeyboardInterrupt), stoppable():
            embed()
        assert np.allclose(embed(), [[0.6, 0.8]])  # type: ignore[arg-type]
    assert len(server.requests) == 1


def test_nothing_is_asked_again_after_it(tmp_path: Path) -> None:
    """A server that is busy is waited for an hour, and not after a Ctrl-C; nor is another form of
    the request tried."""
    busy = interrupting(fake.status(503))
    with fake.Server([busy]) as server, pytest.raises(KeyboardInterrupt), stoppable():
        reasoner(server, tmp_path).text(PROMPT, ASKED)
    assert len(server.requests) == 1


def test_a_pause_between_two_tries_ends_at_once(tmp_path: Path) -> None:
    def later(exchange: fake.Exchange) -> None:
        fake.status(503)(exchange)
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()

    with fake.Server([later]) as server, pytest.raises(KeyboardInterrupt), stoppable():
        reasoner(server, tmp_path).text(PROMPT, ASKED)
    assert len(server.requests) == 1
