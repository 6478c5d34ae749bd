"""The command `videoespresso`: its parts, and how known errors become exit codes."""

import difflib
import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from videoespresso.cli import (
    ask,
    ask_many,
    cache,
    chat,
    dataset,
    doctor,
    eval,
    init,
    mcp,
    memory,
    models,
    theatre,
    tools,
    train,
    trust,
)
from videoespresso.cli.console import Exit, err, examples, exit_code, leave, say_error, stoppable
from videoespresso.errors import VideoEspressoError

INTERRUPTED = (
    "interrupted; frames, captions and paid replies so far are kept: the same command goes on "
    "from there"
)


class _Group(TyperGroup):
    """Says what each command is for in full, where click cuts it to a line."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        named = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [
            (name, command.get_short_help_str(_LONGEST))
            for name, command in named
            if command is not None and not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


_LONGEST = 200
"""Letters of what a command is for: several lines."""


class _Commands(_Group):
    """Turns known errors into a line, a hint and an exit code; unknown ones keep their traceback.

    The contexts are not typed: their class differs between typer's releases.
    """

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """`ask --batch FILE`, the old name of `ask-many FILE`, works until 1.0."""
        renamed = ask_many.from_old_name(args)
        if renamed is not None:
            err().print(ask_many.RENAMED, style="dim")
        return super().resolve_command(ctx, renamed or args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except VideoEspressoError as error:
            say_error(error)
            raise typer.Exit(exit_code(error)) from error
        except Exception as error:
            _keep_alike(error)
            raise
        except KeyboardInterrupt:
            err().print(INTERRUPTED, style="yellow")
            raise typer.Exit(Exit.INTERRUPTED) from None


def _keep_alike(error: Any) -> None:
    """Of the options that are proposed in the place of an unknown one those that are like it: click
    compares the two dashes, too, by which `--nope` is like `--model`."""
    if proposed := getattr(error, "possibilities", None):
        name = error.option_name.lstrip("-")
        alike = difflib.get_close_matches(name, [option.lstrip("-") for option in proposed])
        error.possibilities = [option for option in proposed if option.lstrip("-") in alike]


app = typer.Typer(
    name="videoespresso",
    cls=_Commands,
    help="Ask a video a question and see the evidence: core frames, timestamps, boxes.",
    epilog=examples(
        'ask clip.mp4 "Why does the red car stop?"',
        'ask clip.mp4 "Who is first?" --option Ann --option Bo --report r.html',
        "chat clip.mp4",
        "ask-many questions.jsonl --out answers.jsonl",
        "init",
        "doctor",
        codes=True,
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its panels are two thirds of what `--help` takes
)
COMMANDS: dict[str, tuple[Callable[..., None], str]] = {
    "ask": (ask.ask, ask.EPILOG),
    "ask-many": (ask_many.ask_many, ask_many.EPILOG),
    "chat": (chat.chat, chat.EPILOG),
    "doctor": (doctor.doctor, doctor.EPILOG),
    "init": (init.init, init.EPILOG),
    "mcp": (mcp.serve, mcp.EPILOG),
    "trust": (trust.trust_file, trust.EPILOG),
}
for _name, (_command, _epilog) in COMMANDS.items():
    app.command(_name, epilog=_epilog)(_command)
for part in (models, tools, cache, memory, theatre, dataset, eval, train):
    app.add_typer(part.app, cls=_Group)
app.add_typer(
    theatre.app, name="synthetic", hidden=True, cls=_Group
)  # what it was called; until 1.0


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"videoespresso {version('videoespresso')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Options before the command."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code; `argv` without the program's name."""
    if argv is not None:
        return _run(list(argv))
    with stoppable():
        code = _run(None)
        if code == Exit.INTERRUPTED:
            leave()  # threads may still wait for a server that hangs, and Python would for them
    return code


def _run(arguments: list[str] | None) -> int:
    """The exit code; None: what the program was given."""
    try:
        app(args=arguments, prog_name="videoespresso")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    except OSError as error:
        if error.errno != errno.EPIPE:
            raise
        # The reader of our output went away (`| head`): not an error, and nothing left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.ANSWERED
