"""understand -> ask -> note: a chat about videos, one question a run.

`ask` runs the whole ask graph inside its node and without a checkpointer, so that only turns (ids,
text, numbers) enter the chat's checkpoints, never the frames and captions of the question.
"""

import warnings
from functools import cache
from typing import Any, NotRequired, TypeAlias

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from videoespresso.agents import follower
from videoespresso.agents.follower import follow
from videoespresso.errors import BudgetExceeded, ModelError
from videoespresso.graphs.ask import ask_graph
from videoespresso.graphs.context import Context, bound, needed
from videoespresso.graphs.state import Ask, Json
from videoespresso.types import Answer, ChatTurn, SeenFrame, Usage


class ChatQuestion(TypedDict):
    """What the caller gives: the question as typed, the paths of the videos, and the possible
    answers to this question, if it is a choice."""

    said: str
    videos: list[str]
    options: NotRequired[list[str]]


class ChatState(ChatQuestion, total=False):
    """What is kept between questions. No key has a reducer: one node writes each."""

    turns: list[Json]
    """`ChatTurn`s, oldest first."""
    question: str
    """The question as understood, standing alone."""
    video: int
    """Position in `videos` of the one it is about."""
    turn: Json
    """The `ChatTurn` of this run, until it is noted."""


class ChatTurns(TypedDict):
    """What the caller gets."""

    turns: list[Json]


ChatGraph: TypeAlias = CompiledStateGraph[ChatState, Context, ChatQuestion, ChatTurns]


def understand(state: ChatState, runtime: Runtime[Context]) -> dict[str, Any]:
    """The question standing alone. A model that fails leaves it to the rules; `context.on_update`
    is then called with why (`by_rule`)."""
    needed(runtime)
    context, typed, videos = runtime.context, state["said"], state["videos"]
    turns = [ChatTurn.model_validate(t) for t in state.get("turns", [])]
    question, video = follower.resolve(typed, turns, videos)
    why = ""
    embedded = context.agents["reasoner"].spec.provider == "embedded"
    if not embedded and (turns or len(videos) > 1):
        try:
            question, video = follow(context.follower(), typed, turns, videos)
        except (ModelError, BudgetExceeded) as error:
            why = str(error)
    wrote = {"question": question, "video": video}
    if context.on_update is not None:
        context.on_update("understand", {**wrote, "said": typed, "by_rule": why})
    return wrote


def understand_message(wrote: Json) -> str:
    """How the question was understood, where that is not how it was typed."""
    text = "as typed" if wrote["question"] == wrote["said"] else str(wrote["question"])
    return f"{text} (by rule: {wrote['by_rule']})" if wrote["by_rule"] else text


def ask(state: ChatState, runtime: Runtime[Context]) -> dict[str, Any]:
    """The ask graph on the question as understood. Raises what it raises."""
    context, path = runtime.context, state["videos"][state["video"]]
    given: Ask = {"path": path, "question": state["question"], "options": state.get("options", [])}
    answer: Answer | None = None
    for update in ask_graph(False).stream(given, context=context, stream_mode="updates"):
        for node, wrote in update.items():
            if context.on_update is not None:
                context.on_update(node, wrote or {})
            if node == "finish":
                answer = Answer.model_validate(wrote["answer"])
    assert answer is not None, "the ask graph always ends in `finish`"
    return {"turn": turn_of(state["said"], path, answer).model_dump(mode="json")}


def note(state: ChatState) -> dict[str, Any]:
    """The turn joins the others; options are this question's alone."""
    return {"turns": [*state.get("turns", []), state["turn"]], "turn": {}, "options": []}


def turn_of(typed: str, path: str, answer: Answer) -> ChatTurn:
    """What of an answer is worth remembering."""
    frames = tuple(
        SeenFrame(
            id=core.frame.id,
            video_id=core.frame.video_id,
            time_s=core.frame.time_s,
            sha=core.frame.sha,
            caption=core.caption,
            why=core.why,
        )
        for core in answer.core_frames
    )
    return ChatTurn(
        said=typed,
        question=answer.question,
        video=path,
        answer=answer.text,
        options=answer.options,
        choice=answer.choice,
        answered=answer.answered,
        checked=answer.checked,
        detected=answer.detected,
        frames=frames,
        evidence=answer.evidence,
        work=answer.work,
        usage=sum(answer.usage.values(), Usage()),
    )


@cache
def _compiled() -> ChatGraph:
    builder = StateGraph(
        ChatState, context_schema=Context, input_schema=ChatQuestion, output_schema=ChatTurns
    )
    builder.add_node("understand", understand)
    builder.add_node("ask", ask)
    builder.add_node("note", note)
    builder.add_edge(START, "understand")
    builder.add_edge("understand", "ask")
    builder.add_edge("ask", "note")
    builder.add_edge("note", END)
    return builder.compile(name="chat")


def chat_graph(checkpointer: BaseCheckpointSaver[Any] | None = None) -> ChatGraph:
    """The graph of a chat, a question a run; `context=` is the question's own (`Context.renewed`).
    With a checkpointer and a thread_id the next run knows this one's turns. Raises UserError, when
    run, without a context."""
    graph = _compiled()
    return graph if checkpointer is None else graph.copy({"checkpointer": checkpointer})


def build_chat_graph(
    context: Context, *, checkpointer: BaseCheckpointSaver[Any] | None = None
) -> ChatGraph:
    """The graph with a context in it. Deprecated, until 1.0: `chat_graph(checkpointer)`, which is
    given the context when it is run."""
    warnings.warn("use chat_graph() and give it context=", DeprecationWarning, stacklevel=2)
    return bound(chat_graph(checkpointer), context)
