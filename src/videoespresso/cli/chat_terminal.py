"""The prompt of a chat on a terminal: history, completion, several lines, Ctrl-C and Ctrl-D."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from videoespresso.cli.chat_commands import COMMANDS, LIMITS, QUESTION_ROLES, Session
from videoespresso.errors import MemoryStoreError

INTRODUCTION = (
    "Type a question, or /help. Esc Enter begins a new line, "
    "Ctrl-C stops a question, Ctrl-D leaves."
)


class _Completer(Completer):
    """Commands and what may follow them."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        text = document.text_before_cursor
        word = text.rpartition(" ")[2]
        for choice in completions(self._session, text):
            yield Completion(choice, start_position=-len(word))


def keys() -> KeyBindings:
    """Enter sends; Esc and then Enter begins a new line."""
    bound = KeyBindings()

    @bound.add("enter")
    def _send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @bound.add("escape", "enter")
    def _line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return bound


def lines(session: Session, history: Path) -> Iterable[str]:
    """What is typed, until Ctrl-D; Ctrl-C at the prompt throws the line away."""
    prompt: PromptSession[str] = PromptSession(
        history=FileHistory(str(history)),
        completer=_Completer(session),
        complete_while_typing=False,
        multiline=True,
        key_bindings=keys(),
        prompt_continuation="  ",
    )
    while True:
        try:
            yield prompt.prompt("> ")
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def completions(session: Session, text: str) -> Sequence[str]:
    """What may stand where the last word of `text` is being typed."""
    name, space, given = text.partition(" ")
    if not name.startswith("/"):
        return ()
    if not space:
        return tuple(f"/{known}" for known in COMMANDS if f"/{known}".startswith(name))
    if name == "/option":
        return _options(session, given)
    word = given.rpartition(" ")[2]
    known: Iterable[str] = ()
    if name == "/model" and " " not in given:
        known = QUESTION_ROLES
    elif name == "/budget" and " " not in given:
        known = (*LIMITS, "off")
    elif name == "/resume":
        try:
            known = [info.name for info in session.threads.infos()]
        except MemoryStoreError:
            known = ()
    return tuple(choice for choice in known if choice.startswith(word))


def _options(session: Session, given: str) -> Sequence[str]:
    """Options of earlier questions that are not there yet, where one begins."""
    before, bar, begun = given.rpartition("|")
    if " " in begun.lstrip():
        return ()
    there = {part.strip() for part in before.split("|")}
    earlier = dict.fromkeys(text for turn in session.chat.turns for text in turn.options)
    known = [*(text for text in earlier if text not in there), *(() if bar else ("off",))]
    return tuple(text for text in known if text.startswith(begun.lstrip()))
