"""What can be seen to be wrong with a question before anything is decoded or paid for."""

from collections.abc import Sequence

from videoespresso.errors import UserError

_OPTIONS = (
    'Give each possible answer by itself: options=["Ann", "Bo"], or --option Ann --option Bo.'
)

MOST_OPTIONS = 26
"""An option is a letter to the models."""


def check_question(question: str, options: Sequence[str]) -> None:
    """Raises UserError for an empty question, and for options between which nothing can be chosen:
    a single one, equal ones, empty ones, or one text in the place of a list."""
    if not question.strip():
        raise UserError("the question is empty", hint="Say what you want to know of the video.")
    if isinstance(options, str):
        raise UserError(f"the options are one text: {options!r}", hint=_OPTIONS)
    if wrong := next((option for option in options if not isinstance(option, str)), None):
        raise UserError(f"an option is no text: {wrong!r}", hint=_OPTIONS)
    if len(options) == 1:
        raise UserError(
            f"one option is no choice: {options[0]!r}",
            hint="Give two or more, or none for a free answer.",
        )
    if len(options) > MOST_OPTIONS:
        raise UserError(
            f"{len(options)} options are more than there are letters",
            hint=f"Give at most {MOST_OPTIONS}.",
        )
    names = [" ".join(option.split()).casefold() for option in options]
    if not all(names):
        raise UserError("an option is empty", hint=_OPTIONS)
    if twice := next((o for k, o in enumerate(options) if names[k] in names[:k]), None):
        raise UserError(f"the option {twice!r} is given twice", hint=_OPTIONS)
