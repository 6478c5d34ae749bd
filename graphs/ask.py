"""probe -> sample -> caption -> remember -> filter -> select -> ground -> use_tools -> evidence ->
answer -> check -> finish, with one loop back for another look. The nodes before `select`, and that
other look, are in watch.py.

Every node is a plain function (state, runtime) -> what it writes. The graph is compiled once; the
context (models, memory, limits) comes with each run.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from typing import Any, Literal, TypeAlias

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command

from videoespresso.agents import checker, reasoner
from videoespresso.errors import BudgetExceeded, ModelError, ToolError
from videoespresso.evidence_scores import overlap
from videoespresso.graphs import watch
from videoespresso.graphs.context import Context, bound, needed
from videoespresso.graphs.finish import finish
from videoespresso.graphs.selection import Candidates, proposed_ones, strategy
from videoespresso.graphs.state import (
    Answered,
    Ask,
    Json,
    State,
    budget_gap,
    candidate_captions,
    candidates_of,
    core_frames,
    dump,
    finding_lines,
    shown_to,
)
from videoespresso.graphs.tool_use import call_tools, perceive, tool_request
from videoespresso.graphs.watch import Node, new_or_known
from videoespresso.tools.base import Given
from videoespresso.tools.detectors.label_check import ColorCheck, agreed
from videoespresso.tools.grounding import match_items
from videoespresso.types import Box, EvidenceStep, FrameRef, Gap, KeyItem, Video

AskGraph: TypeAlias = CompiledStateGraph[State, Context, Ask, Answered]

MOST_ROUNDS = 2
"""Selections a question: the first, and one more look when the checker is not satisfied."""
FITS = 0.3
"""Overlap (IoU) from which a detector's box counts as the one the reasoner pointed at."""


def select(state: State, runtime: Runtime[Context]) -> dict[str, Any]:
    """Captions and question -> core frames, none of which is without a caption."""
    context = runtime.context
    captions = candidate_captions(state)
    kept = set(state.get("kept", []))
    silent = {c.frame_id for c in captions if not c.text.strip()}
    missing = state.get("verdict", {}).get("missing", "")
    candidates = Candidates(
        question=" ".join(filter(None, (state["question"], missing)))
        if missing
        else state["question"],
        video_key=context.memory_key(state["video"]["id"]),
        frames=[f for f in candidates_of(state) if f.id not in silent],
        captions=[c for c in captions if c.frame_id not in silent],
        kept=[c for c in captions if c.frame_id in kept - silent],
        reasons={c["id"]: c["why"] for c in state.get("candidates", [])},
        again=state.get("round", 0) > 0,
    )
    gaps = []
    try:
        choose = proposed_ones if state.get("quick") else strategy(context.settings.select)
        chosen = choose(context, candidates)
    except ModelError as error:
        instead, how = strategy("retrieval"), "chosen by retrieval"
        if candidates.reasons and not candidates.kept:
            instead, how = proposed_ones, "taken as they were proposed"
        gaps = [dump(Gap(stage="select", reason=f"{error}; frames were {how}"))]
        chosen = instead(context, candidates)
    before = {c["id"]: c["why"] for c in state.get("core", [])}
    merged = before | dict(chosen)
    core = [{"id": f["id"], "why": merged[f["id"]]} for f in state["frames"] if f["id"] in merged]
    return {"core": core, "round": state.get("round", 0) + 1, "gaps": gaps}


def select_message(wrote: Json) -> str:
    """How many core frames, and their instants in milliseconds."""
    core = wrote["core"]
    at = ", ".join(c["id"].rpartition("@")[2] for c in core)
    return f"{len(core)} core frames" + (f" (at {at} ms)" if core else "")


def ground(state: State, runtime: Runtime[Context]) -> dict[str, Any]:
    """The detector's boxes on the core frames; an open vocabulary is asked after the evidence."""
    context = runtime.context
    boxes: dict[str, list[Json]] = dict(state.get("boxes", {}))
    gaps = []
    if context.detector.labels is not None:
        for core in core_frames(state):
            if core.frame.id in boxes:
                continue
            try:
                detected = context.detector.detect(context.store.image(core.frame))
            except ToolError as error:
                gaps.append(dump(Gap(stage="ground", reason=str(error))))
                detected = []
            boxes[core.frame.id] = [dump(b) for b in detected]
    return {"boxes": boxes, "gaps": gaps}


def ground_message(wrote: Json) -> str:
    """How many boxes there are."""
    return f"{sum(len(boxes) for boxes in wrote['boxes'].values())} boxes"


def use_tools(state: State, runtime: Runtime[Context]) -> dict[str, Any]:
    """Every tool once on the core frames, then those that the reasoner calls, if it can; what
    fails leaves a gap, never evidence."""
    context = runtime.context
    core = core_frames(state)
    request = tool_request(context, Video.model_validate(state["video"]), state["question"], core)
    findings, gaps = perceive(context, request)
    if state.get("quick"):  # one call, which is that of the evidence
        return {"findings": findings, "gaps": gaps}
    called = call_tools(context, request, lambda: shown_to(context, core), findings)
    return {
        "findings": findings + [f for f in called.findings if f not in findings],
        "gaps": gaps + called.gaps,
        "warnings": called.warnings,
        **({"stop": called.stop} if called.stop else {}),
    }


def use_tools_message(wrote: Json) -> str:
    """How much the tools found."""
    return f"{len(wrote['findings'])} findings"


def evidence(state: State, runtime: Runtime[Context]) -> dict[str, Any]:
    """Stage 1: the reasoner's steps, each tied to a core frame, its items to boxes; with the
    conclusion of stage 2 where one reply carries both."""
    context = runtime.context
    core = core_frames(state)
    shown, findings = shown_to(context, core), finding_lines(state.get("findings", []))
    agent, question, conclusion = context.agents["reasoner"], state["question"], {}
    if context.settings.one_stage:
        options = state.get("options", [])
        both = reasoner.at_once(agent, question, shown, options, findings, context.on_words)
        reply, conclusion, text = both[0], both[1].model_dump(), both[2]
    else:
        reply, text = reasoner.evidence(agent, question, shown, findings)
    steps, gaps = [], []
    for step in reply.steps:
        frame = core[step.frame - 1]
        boxes = list(frame.boxes)
        if context.detector.labels is None and step.items:
            try:
                names = [item.name for item in step.items]
                boxes = context.detector.detect(context.store.image(frame.frame), names)
            except ToolError as error:
                gaps.append(dump(Gap(stage="ground", reason=str(error))))
        items = tuple(_grounded(context, frame.frame, item, boxes) for item in step.items)
        steps.append(
            EvidenceStep(
                text=step.text, frame_id=frame.frame.id, time_s=frame.frame.time_s, items=items
            )
        )
    return {
        "steps": [dump(s) for s in steps],
        "evidence_text": text,
        "conclusion": conclusion,
        "gaps": gaps,
    }


def evidence_message(wrote: Json) -> str:
    """The steps in a line."""
    return "; ".join(s["text"] for s in wrote["steps"]) or "no evidence in these frames"


def _grounded(
    context: Context, frame: FrameRef, item: reasoner.Item, boxes: Sequence[Box]
) -> KeyItem:
    """The detector's boxes for a key item; of several the one that the reasoner pointed at, else
    those of the colour that the name says.

    A box the reasoner invented is never taken: without a detector's box the item has none.
    """
    (matched,) = match_items([item.name], boxes)
    if len(matched.boxes) < 2:
        return matched
    if item.box:
        pointed = [v / 100 for v in item.box]
        best = max(matched.boxes, key=lambda b: overlap(b.xyxy, pointed))
        if overlap(best.xyxy, pointed) > FITS:
            return KeyItem(name=item.name, boxes=(best,))
    return agreed(ColorCheck(), context.store.image(frame), matched)


def concluded(state: State) -> Literal["answer", "check", "finish"]:
    """Stage 2, unless the reply with the evidence had the answer; a quick one is not checked."""
    if not state["conclusion"]:
        return "answer"
    return "finish" if state.get("quick") else "check"


def answer(state: State, runtime: Runtime[Context]) -> dict[str, Any]:
    """Stage 2: the answer, with the evidence before it."""
    context = runtime.context
    conclusion = reasoner.conclude(
        context.agents["reasoner"],
        state["question"],
        shown_to(context, core_frames(state)),
        state["evidence_text"],
        state.get("options", []),
        finding_lines(state.get("findings", [])),
        context.on_words,
    )
    return {"conclusion": conclusion.model_dump()}


def answer_message(wrote: Json) -> str:
    """The answer as the model wrote it."""
    return str(wrote["conclusion"]["answer"])


def answered(state: State) -> Literal["check", "finish"]:
    """A quick answer is not checked."""
    return "finish" if state.get("quick") else "check"


def check(state: State, runtime: Runtime[Context]) -> dict[str, Any]:
    """Does the evidence carry the answer? A checker that fails leaves it unchecked, with a gap."""
    if not state["conclusion"]["answered"]:
        missing = f"evidence for: {state['question']}"
        return {"verdict": {"carried": False, "missing": missing, "checked": True}}
    steps = [EvidenceStep.model_validate(s) for s in state["steps"]]
    try:
        verdict = checker.check(
            runtime.context.agents["checker"],
            state["question"],
            steps,
            state["conclusion"]["answer"],
        )
    except ModelError as error:
        gap = dump(Gap(stage="check", reason=str(error)))
        return {"verdict": {"carried": True, "missing": "", "checked": False}, "gaps": [gap]}
    return {"verdict": verdict.model_dump() | {"checked": True}}


def check_message(wrote: Json) -> str:
    """Whether the evidence carries, and what is missing."""
    verdict = wrote["verdict"]
    if not verdict["carried"]:
        return f"not carried: {verdict['missing']}"
    return f"carried, but missing: {verdict['missing']}" if verdict["missing"] else "carried"


def enough_or_more(state: State) -> Literal["look_again", "finish"]:
    """Once more when the evidence does not carry the answer, while rounds are left."""
    if state["verdict"]["carried"] or state.get("round", 0) >= MOST_ROUNDS:
        return "finish"
    return "look_again"


MESSAGES: Mapping[str, Callable[[Json], str]] = {
    **watch.MESSAGES,
    "select": select_message,
    "ground": ground_message,
    "use_tools": use_tools_message,
    "evidence": evidence_message,
    "answer": answer_message,
    "check": check_message,
}
"""Node -> the sentence that its step prints, from what it wrote."""


def message(node: str, wrote: Json) -> str:
    """What a node did, in a sentence."""
    if wrote.get("stop") == "budget":
        return f"stopped: {next(g['reason'] for g in wrote['gaps'] if g['stage'] == 'budget')}"
    return MESSAGES[node](wrote) if node in MESSAGES else "done"


Onward = Callable[[State], str]
"""The name of the next node."""


def limited(node: Node, onward: Onward) -> Callable[..., Command[str]]:
    """The node, and then the next one; or `finish`, where the node writes why the run stops, or
    raises BudgetExceeded, which becomes a typed gap."""

    @wraps(node)
    def run(state: State, runtime: Runtime[Context]) -> Command[str]:
        needed(runtime)
        runtime.context.begin(node.__name__)
        try:
            wrote = node(state, runtime)
        except BudgetExceeded as error:
            wrote = {"stop": "budget", "gaps": [budget_gap(error)]}
        # what routes read is written whole by the node before them, so no reducer is needed here
        after: Any = {**state, **wrote}
        return Command(update=wrote, goto="finish" if wrote.get("stop") else onward(after))

    return run


@cache
def _compiled() -> AskGraph:
    builder = StateGraph(State, context_schema=Context, input_schema=Ask, output_schema=Answered)

    def add(name: str, node: Node, *after: str, choose: Onward | None = None) -> None:
        onward = choose or (lambda _state: after[0])
        # the picture shows the product's way: that a limit leads to `finish` is left out
        builder.add_node(name, limited(node, onward), destinations=after)

    add("probe", watch.probe, "sample")
    add("sample", watch.sample, "caption", "filter", "select", choose=new_or_known)
    add("caption", watch.caption, "remember")
    add("remember", watch.remember, "filter")
    add("filter", watch.filter_, "select")
    add("select", select, "ground")
    add("ground", ground, "use_tools")
    add("use_tools", use_tools, "evidence")
    add("evidence", evidence, "answer", "check", "finish", choose=concluded)
    add("answer", answer, "check", "finish", choose=answered)
    add("check", check, "look_again", "finish", choose=enough_or_more)
    add("look_again", watch.look_again, "remember")
    builder.add_node("finish", finish)
    builder.add_edge(START, "probe")
    builder.add_edge("finish", END)
    return builder.compile(name="ask")


def ask_graph(checkpointer: BaseCheckpointSaver[Any] | Literal[False] | None = None) -> AskGraph:
    """The graph of one question, for `invoke`, `ainvoke`, `stream` and `astream` with an `Ask` and
    `context=`; a context is one question's means (`open_context`, `Context.renewed`).

    With a checkpointer, give a thread_id in the config; state holds ids and text only, so
    checkpoints stay small. None inside another graph's node means that graph's checkpointer
    (LangGraph); False means none. Raises UserError, when run, without a context.
    """
    graph = _compiled()
    return graph if checkpointer is None else graph.copy({"checkpointer": checkpointer})


def build_ask_graph(
    context: Context,
    tools: Sequence[Given] = (),
    *,
    checkpointer: BaseCheckpointSaver[Any] | Literal[False] | None = None,
) -> AskGraph:
    """The graph with a context in it. Deprecated, until 1.0: `ask_graph(checkpointer)`, which is
    given the context when it is run, and `open_context(settings, tools)`."""
    warnings.warn("use ask_graph() and give it context=", DeprecationWarning, stacklevel=2)
    return bound(ask_graph(checkpointer), context.with_tools(tools) if tools else context)
