"""The commands of a chat (`/help` ...): one function each, and their table.

A command gets the session and what was typed behind its name; it gives lines to show, and frames
(`Still`), which the terminal shows as pictures where it can. It knows no terminal.
"""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

from videoespresso.errors import UserError
from videoespresso.report.text import clock, item_text, letter, money
from videoespresso.settings import DATASET_ROLES, ROLES

if TYPE_CHECKING:
    from videoespresso.api.chat import Chat
    from videoespresso.memory.threads import ThreadStore
    from videoespresso.types import ChatTurn, SeenFrame, Usage

LIMITS = ("usd", "calls", "frames", "seconds")
QUESTION_ROLES = tuple(role for role in ROLES if role not in DATASET_ROLES)
"""Roles that answer questions."""
MOST_OPTIONS = 26
"""Options are named by letters."""


@dataclass
class Session:
    """The chat that is open. `chat` changes with /resume and /clear. options: the possible answers
    to the next question."""

    threads: "ThreadStore"
    chat: "Chat"
    options: tuple[str, ...] = ()

    def last(self) -> "ChatTurn":
        """The last turn. Raises UserError when nothing was asked."""
        if not self.chat.turns:
            raise UserError("nothing was asked yet", hint="Type a question.")
        return self.chat.turns[-1]


class Still(NamedTuple):
    """A frame: where its pixels are, and the line beside it."""

    file: Path
    line: str


Shown = Iterable[str | Still]


class Command(NamedTuple):
    """usage: what may follow the name."""

    run: Callable[[Session, str], Shown]
    usage: str
    about: str


def help_(_session: Session, _given: str) -> Shown:
    width = max(len(f"/{name} {c.usage}") for name, c in COMMANDS.items())
    for name, command in COMMANDS.items():
        yield f"{f'/{name} {command.usage}':<{width}}  {command.about}"


def frames(session: Session, _given: str) -> Shown:
    turn = session.last()
    for frame in turn.frames:
        yield _still(session, frame)
    if not turn.frames:
        yield "the last answer has no core frames"


def evidence(session: Session, given: str) -> Shown:
    turn = session.last()
    steps = turn.evidence
    wanted = [_number(given, len(steps))] if given else range(len(steps))
    for position in wanted:
        step = steps[position]
        yield f"{position + 1}. {clock(step.time_s)}  {step.text}"
        for item in step.items:
            if text := item_text(item, detected=turn.detected):
                yield f"   {text}"
        for frame in turn.frames:
            if given and frame.id == step.frame_id:
                yield _still(session, frame)
    if not steps:
        yield "the last answer has no evidence"


def _still(session: Session, frame: "SeenFrame") -> Still:
    """A core frame, its caption, and why it was kept."""
    line = clock(frame.time_s) + (f"  {frame.caption}" if frame.caption else "")
    why = f" (kept: {frame.why})" if frame.why and frame.why != frame.caption else ""
    return Still(session.chat.context.store.file(frame.video_id, frame.sha), line + why)


def seek(session: Session, given: str) -> Shown:
    frame = session.chat.still(instant(given))
    yield Still(session.chat.context.store.file(frame.video_id, frame.sha), clock(frame.time_s))


def look(session: Session, given: str) -> Shown:
    start, dash, end = given.partition("-")
    if not dash:
        raise UserError(f"not a stretch: {given!r}", hint="Write /look 0:10-0:15.")
    for frame, caption in session.chat.closer(instant(start), instant(end)):
        file = session.chat.context.store.file(frame.video_id, frame.sha)
        yield Still(file, f"{clock(frame.time_s)}  {caption.text}")


def option(session: Session, given: str) -> Shown:
    texts = tuple(filter(None, (part.strip() for part in given.split("|"))))
    if given == "off":
        session.options = ()
    elif given:
        if not 2 <= len(texts) <= MOST_OPTIONS or len(set(texts)) < len(texts):
            raise UserError(
                f"not a choice: {given!r}",
                hint=f"Write /option A | B, 2 to {MOST_OPTIONS} different ones, or /option off.",
            )
        session.options = texts
    for position, text in enumerate(session.options):
        yield f"({letter(position)}) {text}"
    yield "one of these answers the next question" if session.options else "the answer is free"


def tools(session: Session, given: str) -> Shown:
    from videoespresso.tools.registry import known_tools

    if given:
        session.chat.use_tools([] if given == "off" else given.split())
    used = {tool.name for tool in session.chat.context.tools}
    for name in sorted({*known_tools(), *used}):
        yield f"{'on ' if name in used else 'off'} {name}"
    yield from session.chat.context.warnings


def model(session: Session, given: str) -> Shown:
    from videoespresso.models.profiles import resolve

    role, _, spec = given.partition(" ")
    if given and (role not in QUESTION_ROLES or not spec.strip()):
        raise UserError(
            f"not a role and a model: {given!r}",
            hint=f"Write /model ROLE SPEC, with a role of: {', '.join(QUESTION_ROLES)}.",
        )
    if given:
        session.chat.configure(**{role: spec.strip()})
    specs = resolve(session.chat.context.settings)
    for name in QUESTION_ROLES:
        yield f"{name:<10} {specs[name].spec}"


def cost(session: Session, _given: str) -> Shown:
    for number, turn in enumerate(session.chat.turns, 1):
        yield f"{number}. {_spent(turn.usage)}  {turn.said}"
    yield f"all: {_spent(session.chat.spent())}"


def _spent(usage: "Usage") -> str:
    return (
        f"{usage.calls} model calls ({usage.cached_calls} from cache), "
        f"{usage.input_tokens:,} + {usage.output_tokens:,} tokens, {money(usage.usd)}"
    )


def budget(session: Session, given: str) -> Shown:
    what, _, limit = given.partition(" ")
    if given == "off":
        session.chat.configure(**{f"budget_{name}": None for name in LIMITS})
    elif given and (what not in LIMITS or not limit):
        raise UserError(
            f"not a limit: {given!r}",
            hint=f"Write /budget calls 20 (of: {', '.join(LIMITS)}), or /budget off.",
        )
    elif given:
        session.chat.configure(**{f"budget_{what}": None if limit == "off" else limit})
    settings = session.chat.context.settings
    for name in LIMITS:
        value = getattr(settings, f"budget_{name}")
        yield f"{name:<8} {'no limit' if value is None else f'{value:g} a question'}"


def report(session: Session, given: str) -> Shown:
    from videoespresso.report.page import write
    from videoespresso.report.parts import check_target

    path = _target(session, given, "report.html")
    check_target(path, session.chat.videos)
    session.last()
    write(session.chat.answer(len(session.chat.turns) - 1), path, session.chat.context.store.image)
    yield f"report: {path}"


def export(session: Session, given: str) -> Shown:
    path = _target(session, given, "chat.md")
    turns = session.chat.turns
    if path.suffix == ".json":
        kept = [turn.model_dump(mode="json") for turn in turns]
        text = json.dumps({"chat": session.chat.name, "turns": kept}, indent=2, ensure_ascii=False)
    else:
        text = "\n".join(line for turn in turns for line in _markdown(turn))
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"the chat cannot be written to {path}: {error.strerror}",
            hint="Give a path in a folder you may write to.",
        ) from error
    yield f"{len(turns)} turns: {path}"


def _markdown(turn: "ChatTurn") -> Iterator[str]:
    yield f"**{turn.said}**" + (f" (*{turn.question}*)" if turn.question != turn.said else "")
    for position, text in enumerate(turn.options):
        yield f"\n({letter(position)}) {text}"
    yield f"\n{turn.answer}\n"
    for step in turn.evidence:
        yield f"- {PurePath(turn.video).name} {clock(step.time_s)}: {step.text}"
    yield ""


def threads(session: Session, _given: str) -> Shown:
    return thread_lines(session.threads, session.chat.name)


def thread_lines(threads: "ThreadStore", opened: str = "") -> Iterator[str]:
    """The chats that are kept, a line each; the open one is marked."""
    for info in threads.infos():
        mark = "*" if info.name == opened else " "
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(info.used_s))
        names = ", ".join(PurePath(video).name for video in info.videos)
        yield f"{mark} {info.name}  {when}  {info.turns:>3} turns  {names}  {info.last}"


def resume(session: Session, given: str) -> Shown:
    if given == session.chat.name:
        raise UserError(f"the chat {given} is the one that is open", hint="/threads lists others.")
    from videoespresso.api.chat import Chat

    names = [info.name for info in session.threads.infos() if info.name != session.chat.name]
    if not given and not names:
        raise UserError("there is no other chat", hint="/threads lists those kept.")
    opened = Chat.resume(session.threads, given or names[0], *session.chat.means())
    session.chat.close()
    session.chat = opened
    yield f"chat {opened.name}: {', '.join(PurePath(v).name for v in opened.videos)}"
    for turn in opened.turns:
        yield f"> {turn.said}"
        yield f"  {turn.answer}"


def undo(session: Session, _given: str) -> Shown:
    gone = session.chat.undo()
    yield "nothing was asked yet" if gone is None else f"taken back: {gone.said}"


def clear(session: Session, _given: str) -> Shown:
    from videoespresso.api.chat import Chat

    old = session.chat
    opened = Chat(old.videos, threads=session.threads, context=old.context)
    old.close()
    session.chat = opened
    kept = f"; /resume {old.name} goes back" if old.turns else ""
    yield f"a new chat about the same videos{kept}"


COMMANDS: dict[str, Command] = {
    "help": Command(help_, "", "what can be typed"),
    "frames": Command(frames, "", "the core frames of the last answer"),
    "evidence": Command(evidence, "[N]", "its evidence with boxes; N shows one step's frame"),
    "seek": Command(seek, "T", "the frame at an instant: 12.5 or 1:02"),
    "look": Command(look, "A-B", "what is to be seen between two instants, closer together"),
    "option": Command(option, "[A | B… | off]", "possible answers to the next question"),
    "tools": Command(tools, "[NAME… | off]", "the tools; those named are used from now on"),
    "model": Command(model, "[ROLE SPEC]", "the models; another one for a role"),
    "cost": Command(cost, "", "what each turn took"),
    "budget": Command(budget, "[WHAT N | off]", "the limits of a question"),
    "report": Command(report, "FILE", "an HTML page about the last answer"),
    "export": Command(export, "FILE", "the chat as Markdown, or as JSON (.json)"),
    "threads": Command(threads, "", "the chats that are kept"),
    "resume": Command(resume, "[THREAD]", "go on with another one, by default the last used"),
    "undo": Command(undo, "", "take the last question back"),
    "clear": Command(clear, "", "begin a new chat about the same videos"),
}


def run(session: Session, line: str) -> Shown:
    """What a line that begins with a slash gives. Raises UserError for an unknown command."""
    name, _, given = line.removeprefix("/").partition(" ")
    if name not in COMMANDS:
        raise UserError(f"no command /{name}", hint="/help lists them.")
    return COMMANDS[name].run(session, given.strip())


def instant(text: str) -> float:
    """Seconds of '12.5', '1:02' or '1:02:03.4'. Raises UserError for anything else."""
    match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)\s*s?", text.strip())
    if match is None:
        raise UserError(f"not an instant: {text.strip()!r}", hint="Write 12.5 or 1:02.")
    hours, minutes, seconds = match.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds)


def _number(given: str, count: int) -> int:
    """A position out of a number from 1."""
    if not given.isdecimal() or not 1 <= int(given) <= count:
        raise UserError(f"no evidence {given}", hint=f"/evidence shows all of it: {count}.")
    return int(given) - 1


def _target(session: Session, given: str, example: str) -> Path:
    """The file to be written. Raises UserError where none was named, or a video would be lost."""
    if not given:
        raise UserError("no file was named", hint=f"For example {example}.")
    path = Path(given).expanduser()
    if path.resolve() in {Path(video).resolve() for video in session.chat.videos}:
        raise UserError(f"{path} is a video of this chat", hint=f"Another name: {example}.")
    return path
