"""`videoespresso chat`: questions about videos, one after the other, on a terminal or a pipe."""

import functools
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from videoespresso.cli.ask import code_of, show, show_doubts
from videoespresso.cli.chat_commands import Session, Still, run, thread_lines
from videoespresso.cli.console import (
    Exit,
    err,
    examples,
    exit_code,
    one_line,
    out,
    say_error,
    stoppable,
    write_json,
)
from videoespresso.cli.options import (
    QUESTION,
    How,
    Quiet,
    Tool,
    Verbose,
    how_shown,
    note_unconfigured,
    note_where,
    takes_settings,
)
from videoespresso.errors import UserError, VideoEspressoError
from videoespresso.settings import Settings
from videoespresso.types import Progress

if TYPE_CHECKING:
    from videoespresso.api.ask import Step
    from videoespresso.api.chat import Chat
    from videoespresso.memory.threads import ThreadStore

STOPPED = "stopped; what was seen and paid for so far is kept, and the chat is as before"
EPILOG = examples(
    "chat clip.mp4",
    "chat before.mp4 after.mp4 --profile openai",
    "chat --list",
    "chat --resume",
    "chat --resume 3f9a1c",
    "chat clip.mp4 --json < questions.txt",
    codes=True,
)


@takes_settings(QUESTION)
def chat(
    videos: Annotated[
        list[str] | None,
        typer.Argument(
            help="The video files, or http(s) addresses; with --resume a chat's name.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a chat: the one named, or the last one.")
    ] = False,
    *,
    settings: Settings,
    tool: Tool = None,
    json: Annotated[bool, typer.Option("--json", help="One typed answer a line, only.")] = False,
    kept: Annotated[
        bool, typer.Option("--list", help="Show the chats that are kept, and leave.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Ask videos questions that may refer to each other; the chat is kept and can be resumed."""
    from videoespresso.memory.threads import ThreadStore

    with ThreadStore(settings.cache_dir / "chats") as threads:
        threads.prune()
        if kept:
            _list(threads)
            return
        opened = _opened(threads, videos or [], settings, tool or [], resume=resume)
        session = Session(threads, opened)
        try:
            how = how_shown(quiet=quiet, verbose=verbose)
            code = _talk(session, settings, how, as_json=json)
        finally:
            session.chat.close()
    raise typer.Exit(code)


def _opened(
    threads: "ThreadStore",
    videos: list[str],
    settings: Settings,
    tools: list[str],
    *,
    resume: bool,
) -> "Chat":
    from videoespresso.api.chat import Chat
    from videoespresso.report.progress_bar import ProgressBar

    if not resume:
        with ProgressBar(err()) as bar:
            return Chat.begin(threads, videos, settings, tools, bar)
    if len(videos) > 1:
        raise UserError(
            "--resume takes one chat, and its videos come with it",
            hint="videoespresso chat --resume NAME, or leave --resume out for a new chat.",
        )
    return Chat.resume(threads, videos[0] if videos else "", settings, tools)


def _list(threads: "ThreadStore") -> None:
    """The chats that are kept, the one used last first."""
    for line in thread_lines(threads):
        out().print(line)
    if not threads.infos():
        err().print("no chat is kept; videoespresso chat clip.mp4 begins one", style="dim")


def _talk(session: Session, settings: Settings, how: How, *, as_json: bool) -> Exit:
    """On a terminal until Ctrl-D; on a pipe line by line, and then the first code that is not 0."""
    note_unconfigured(settings, quiet=how is None)
    note_where(settings, quiet=how is None or as_json)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        codes = [turn(session, line, how, as_json) for line in sys.stdin if line.strip()]
        return next((code for code in codes if code), Exit.ANSWERED)
    from videoespresso.cli.chat_terminal import INTRODUCTION, lines

    _show_turns(session)
    err().print(INTRODUCTION, style="dim")
    for line in lines(session, settings.cache_dir / "chats" / "history"):
        if line.strip():
            try:
                with stoppable():  # each turn has its first Ctrl-C
                    turn(session, line, how, as_json)
            except KeyboardInterrupt:
                err().print(STOPPED, style="yellow")
    err().print(f"chat {session.chat.name}: videoespresso chat --resume {session.chat.name}")
    return Exit.ANSWERED


def _show_turns(session: Session) -> None:
    """The questions and answers so far, in a chat that is resumed."""
    for past in session.chat.turns:
        out().print(f"> {one_line(past.said)}")
        out().print(one_line(past.answer), style="bold" if past.answered else "yellow")


def turn(session: Session, line: str, how: How, as_json: bool) -> Exit:
    """One line: a command or a question. A known error is shown, and the chat goes on."""
    try:
        if line.startswith("/"):
            show_lines(run(session, line.strip()), to_err=as_json)
            return Exit.ANSWERED
        return question(session, line.strip(), how, as_json=as_json)
    except VideoEspressoError as error:
        say_error(error)
        return exit_code(error)


def question(session: Session, text: str, how: How, *, as_json: bool) -> Exit:
    """Asks; what is under way on stderr, the answer on stdout."""
    from videoespresso.report.progress_bar import ProgressBar

    begun, chat = time.monotonic(), session.chat
    if how is None:
        chat.on_progress = None
        answer = chat.ask(text, options=session.options)
    else:
        with ProgressBar(err()) as bar:
            chat.on_progress = bar
            answer = chat.ask(
                text,
                functools.partial(_step, every=how == "steps"),
                options=session.options,
                on_words=lambda words: bar(Progress("answer", one_line(words)[-WORDS:])),
            )
    session.options = ()
    if as_json:
        write_json(answer, indent=None)
    else:
        show(answer, quiet=how is None, elapsed_s=time.monotonic() - begun)
    show_doubts(answer)
    return code_of(answer)


WORDS = 70
"""Letters of an answer shown while it is written: the end of it, on one line of a terminal."""


def _step(step: "Step", *, every: bool) -> None:
    """A line; without `every` only how a question was understood, where that is not as typed."""
    if every or (step.node == "understand" and step.text != "as typed"):
        err().print(f"{step.node:<10} {one_line(step.text)}", style="dim")


def show_lines(shown: Iterable[str | Still], *, to_err: bool) -> None:
    """Lines, and frames as pictures on a terminal, else as paths.

    to_err: stdout belongs to the answers.
    """
    from videoespresso.cli.pictures import blocks, drawn, protocol

    console = err() if to_err else out()
    how = protocol() if console.is_terminal else ""
    for piece in shown:
        if isinstance(piece, str):
            console.print(_safe_line(piece))
            continue
        line = _safe_line(piece.line)
        if picture := drawn(piece.file, how):
            console.file.write(f"{picture}\n")
        elif console.color_system and (rows := blocks(piece.file, console.width)):
            console.print(rows)
        else:
            line = f"{line}  {piece.file}"
        console.print(line)


def _safe_line(line: str) -> str:
    """As one line without control characters; spaces stay, for columns."""
    from videoespresso.report.text import printable

    return printable(line).replace("\n", " ")
