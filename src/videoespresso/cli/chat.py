"""`videoespresso chat`: questions about videos, one after the other, on a terminal or a pipe."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from videoespresso.cli.ask import code_of, show, show_doubts
from videoespresso.cli.chat_commands import Session, Still, run
from videoespresso.cli.console import (
    Exit,
    err,
    examples,
    exit_code,
    fetching,
    one_line,
    out,
    say_error,
    write_json,
)
from videoespresso.cli.options import QUESTION, Quiet, Tool, note_unconfigured, takes_settings
from videoespresso.errors import UserError, VideoEspressoError
from videoespresso.settings import Settings

if TYPE_CHECKING:
    from videoespresso.api.ask import Step
    from videoespresso.api.chat import Chat
    from videoespresso.memory.threads import ThreadStore

STOPPED = "stopped; what was seen and paid for so far is kept, and the chat is as before"
EPILOG = examples(
    "chat clip.mp4",
    "chat before.mp4 after.mp4 --profile openai",
    "chat --resume",
    "chat --resume 3f9a1c",
    "chat clip.mp4 --json < questions.txt",
    codes=True,
)


def add_to(app: typer.Typer) -> None:
    """Registers the command."""
    app.command("chat", epilog=EPILOG)(chat)


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
    quiet: Quiet = False,
) -> None:
    """Ask videos questions that may refer to each other; the chat is kept and can be resumed."""
    from videoespresso.memory.threads import ThreadStore

    with ThreadStore(settings.cache_dir / "chats") as threads:
        threads.prune()
        opened = _opened(threads, videos or [], settings, tool or [], resume=resume)
        session = Session(threads, opened)
        try:
            code = _talk(session, settings, quiet=quiet, as_json=json)
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

    if not resume:
        with err().status("opening") as status:
            return Chat.begin(threads, videos, settings, tools, fetching(status.update))
    if len(videos) > 1:
        raise UserError(
            "--resume takes one chat, and its videos come with it",
            hint="videoespresso chat --resume NAME, or leave --resume out for a new chat.",
        )
    return Chat.resume(threads, videos[0] if videos else "", settings, tools)


def _talk(session: Session, settings: Settings, *, quiet: bool, as_json: bool) -> Exit:
    """On a terminal until Ctrl-D; on a pipe line by line, and then the first code that is not 0."""
    note_unconfigured(settings, quiet=quiet)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        codes = [turn(session, line, quiet, as_json) for line in sys.stdin if line.strip()]
        return next((code for code in codes if code), Exit.ANSWERED)
    from videoespresso.cli.chat_terminal import INTRODUCTION, lines

    _show_turns(session)
    err().print(INTRODUCTION, style="dim")
    for line in lines(session, settings.cache_dir / "chats" / "history"):
        if line.strip():
            try:
                turn(session, line, quiet, as_json)
            except KeyboardInterrupt:
                err().print(STOPPED, style="yellow")
    err().print(f"chat {session.chat.name}: videoespresso chat --resume {session.chat.name}")
    return Exit.ANSWERED


def _show_turns(session: Session) -> None:
    """The questions and answers so far, in a chat that is resumed."""
    for past in session.chat.turns:
        out().print(f"> {one_line(past.said)}")
        out().print(one_line(past.answer), style="bold" if past.answered else "yellow")


def turn(session: Session, line: str, quiet: bool, as_json: bool) -> Exit:
    """One line: a command or a question. A known error is shown, and the chat goes on."""
    try:
        if line.startswith("/"):
            show_lines(run(session, line.strip()), to_err=as_json)
            return Exit.ANSWERED
        return question(session, line.strip(), quiet=quiet, as_json=as_json)
    except VideoEspressoError as error:
        say_error(error)
        return exit_code(error)


def question(session: Session, text: str, *, quiet: bool, as_json: bool) -> Exit:
    """Asks; the steps on stderr as they happen, the answer on stdout."""
    if quiet:
        answer = session.chat.ask(text, options=session.options)
    else:
        with StepPrinter() as steps:
            words = steps.words if err().is_terminal else None
            answer = session.chat.ask(text, steps.step, options=session.options, on_words=words)
    session.options = ()
    if as_json:
        write_json(answer, indent=None)
    else:
        show(answer, quiet=quiet)
    show_doubts(answer)
    return code_of(answer)


class StepPrinter:
    """Prints the steps of a question on stderr; the answer's line grows as the model writes it."""

    def __init__(self) -> None:
        self._line = ""

    def words(self, text: str) -> None:
        """The answer as far as it is written. One that begins anew gets a new line."""
        line = one_line(text)
        if self._line and not line.startswith(self._line):
            self.end()
        if not self._line and line:
            err().print(f"{'answer':<10} ", style="dim", end="")
        err().print(line.removeprefix(self._line), style="dim", end="")
        self._line = line

    def step(self, step: "Step") -> None:
        """A line; not again for an answer that is on the terminal already."""
        text = one_line(step.text)
        shown = step.node == "answer" and text == self._line
        self.end()
        if not shown:
            err().print(f"{step.node:<10} {text}", style="dim")

    def end(self) -> None:
        """Ends a line that is being written."""
        if self._line:
            err().print()
        self._line = ""

    def __enter__(self) -> "StepPrinter":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def show_lines(shown: Iterable[str | Still], *, to_err: bool) -> None:
    """Lines, and frames as pictures where the terminal shows them, else as paths.

    to_err: stdout belongs to the answers.
    """
    from videoespresso.cli.pictures import drawn, protocol

    console = err() if to_err else out()
    how = protocol() if console.is_terminal else ""
    for piece in shown:
        if isinstance(piece, str):
            console.print(_safe_line(piece))
            continue
        picture = drawn(piece.file, how)
        if picture:
            console.file.write(f"{picture}\n")
        line = _safe_line(piece.line)
        console.print(line if picture else f"{line}  {piece.file}")


def _safe_line(line: str) -> str:
    """As one line without control characters; spaces stay, for columns."""
    from videoespresso.report.text import printable

    return printable(line).replace("\n", " ")
