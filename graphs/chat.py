"""understand -> look -> note: a chat about videos, one question a run.

`look` runs the whole ask graph inside its node and without a checkpointer, so that only turns (ids,
text, numbers) enter the chat's checkpoints, never the frames and captions of the question.
"""

from collections.abc import Callable
from typing import Any, NotRequired

from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from typing_extensions import TypedDict

from videoespresso.agents import follow_rules
from videoespresso.agents.follower import follow
from videoespresso.errors import BudgetExceeded, ModelError
from videoespresso.graphs.ask import build_ask_graph
from videoespresso.graphs.context import Context
from videoespresso.graphs.state import Ask, Json
from videoespresso.types import Answer, ChatTurn, SeenFrame, Usage

Told = Callable[[str, Json], None]
"""Called with a node's name and what it wrote, as soon as it has: the chat's own nodes and those of
the ask graph. The answer passes here too, whole; the state keeps what is worth remembering."""


class Said(TypedDict):
    """What the caller gives: the question as typed, the paths of the videos, and the possible
    answers to this question, if it is a choice."""

    said: str
    videos: list[str]
    options: NotRequired[list[str]]


class ChatState(Said, total=False):
    """What is kept between questions. No key has a reducer: one node writes each."""

    turns: list[Json]
    """`ChatTurn`s, oldest first."""
    question: str
    """The question as understood, standing alone."""
    video: int
    """Position in `videos` of the one it is about."""
    found: Json
    """The `ChatTurn` of this run, until it is noted."""


class Noted(TypedDict):
    """What the caller gets."""

    turns: list[Json]


def understand(state: ChatState, context: Context) -> dict[str, Any]:
    """The question standing alone. A model that fails leaves it to the rules, and that is said."""
    said, videos = state["said"], state["videos"]
    turns = [ChatTurn.model_validate(t) for t in state.get("turns", [])]
    by_rule = follow_rules.resolve(said, turns, videos)
    if context.agents["reasoner"].spec.provider == "embedded" or (not turns and len(videos) == 1):
        question, video = by_rule
        return {"question": question, "video": video}
    try:
        question, video = follow(context.follower(), said, turns, videos)
    except (ModelError, BudgetExceeded) as error:
        question, video = by_rule
        return {"question": question, "video": video, "by_rule": str(error)}
    return {"question": question, "video": video}


def look(state: ChatState, context: Context, told: Told) -> dict[str, Any]:
    """The ask graph on the question as understood. Raises what it raises."""
    graph = build_ask_graph(context, checkpointer=False)
    path = state["videos"][state["video"]]
    given: Ask = {"path": path, "question": state["question"], "options": state.get("options", [])}
    answer: Answer | None = None
    for update in graph.stream(given, stream_mode="updates"):
        for node, wrote in update.items():
            told(node, wrote or {})
            if node == "finish":
                answer = Answer.model_validate(wrote["answer"])
    assert answer is not None, "the ask graph always ends in `finish`"
    turn = turn_of(state["said"], path, answer)
    return {"found": turn.model_dump(mode="json")}


def note(state: ChatState) -> dict[str, Any]:
    """The turn joins the others; options are this question's alone."""
    return {"turns": [*state.get("turns", []), state["found"]], "found": {}, "options": []}


def turn_of(said: str, path: str, answer: Answer) -> ChatTurn:
    """What of an answer is worth remembering."""
    frames = tuple(
        SeenFrame(id=f.id, video_id=f.video_id, time_s=f.time_s, sha=f.sha)
        for f in (core.frame for core in answer.core_frames)
    )
    return ChatTurn(
        said=said,
        question=answer.question,
        video=path,
        answer=answer.text,
        options=answer.options,
        choice=answer.choice,
        answered=answer.answered,
        checked=answer.checked,
        frames=frames,
        evidence=answer.evidence,
        work=answer.work,
        usage=sum(answer.usage.values(), Usage()),
    )


def _silent(_node: str, _wrote: Json) -> None:
    """Told nothing."""


def build_chat_graph(
    context: Context,
    *,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    told: Told = _silent,
) -> CompiledStateGraph[ChatState, None, Said, Noted]:
    """The graph of one question: its context's usage log and budget are this question's alone
    (`Context.renewed`). With a checkpointer and a thread_id the next run knows this one's turns."""

    def understood(state: ChatState) -> dict[str, Any]:
        wrote = understand(state, context)
        told("understand", {"said": state["said"], **wrote})
        return {"question": wrote["question"], "video": wrote["video"]}

    builder = StateGraph(ChatState, input_schema=Said, output_schema=Noted)
    builder.add_node("understand", RunnableLambda(understood, name="understand"))
    builder.add_node("look", RunnableLambda(lambda s: look(s, context, told), name="look"))
    builder.add_node("note", RunnableLambda(note, name="note"))
    builder.add_edge(START, "understand")
    builder.add_edge("understand", "look")
    builder.add_edge("look", "note")
    builder.add_edge("note", END)
    return builder.compile(name="chat", checkpointer=checkpointer)
