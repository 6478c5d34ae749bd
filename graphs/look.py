"""The first half of the ask graph without a question: a video looked at, captioned, remembered."""

from typing import Any, cast

from videoespresso.errors import VideoError
from videoespresso.graphs import ask
from videoespresso.graphs.context import Context
from videoespresso.graphs.routes import new_or_known
from videoespresso.graphs.state import State


def look(context: Context, path: str, question: str = "") -> State:
    """The state as it is before core frames are selected; what is known already is not done again.

    Raises VideoError for a video that the embedded models do not know, BudgetExceeded at a limit.
    """
    state: dict[str, Any] = {"path": path, "question": question, "options": []}
    state |= ask.probe(_typed(state), context)
    state |= ask.sample(_typed(state), context)
    if state.get("stop"):
        raise VideoError(
            " ".join(state["warnings"]), hint="Configure real models, e.g. --profile openai."
        )
    if new_or_known(_typed(state)) == "caption":
        state |= ask.caption(_typed(state), context)
        state |= ask.remember(_typed(state), context)
    state |= ask.filter_(_typed(state), context)
    return _typed(state)


def _typed(state: dict[str, Any]) -> State:
    return cast(State, state)
