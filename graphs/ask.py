"""probe -> sample -> caption -> filter -> remember -> select -> ground -> use_tools -> evidence ->
answer -> check, with one loop back for another look. The nodes before `select` are in look.py.

Every node is a plain function (state, context) -> what it writes. The context comes in from
outside; nothing is built at import.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from videoespresso.agents import checker, reasoner
from videoespresso.errors import BudgetExceeded, ModelError, ToolError
from videoespresso.graphs import watch
from videoespresso.graphs.context import Context
from videoespresso.graphs.finish import finish
from videoespresso.graphs.records import (
    captions_of,
    core_frames,
    dump,
    findings_of,
    frames_of,
    shown_to,
)
from videoespresso.graphs.routes import enough_or_more, new_or_known, unless_stopped
from videoespresso.graphs.selection import Candidates, strategy
from videoespresso.graphs.state import Answered, Ask, Json, State
from videoespresso.graphs.tool_use import call_tools, perceive, tool_request
from videoespresso.graphs.watch import Node, caption, filter_, probe, remember, sample
from videoespresso.tools.base import Given
from videoespresso.tools.detectors.base import overlap
from videoespresso.tools.detectors.color_check import ColorCheck
from videoespresso.tools.detectors.label_check import agreed
from videoespresso.tools.grounding import match_items
from videoespresso.tools.registry import load_tools
from videoespresso.types import Box, CoreFrame, EvidenceStep, FrameRef, Gap, KeyItem, Video

AGAIN_S = 1.5
"""A second look goes this far to either side of what was found."""
FITS = 0.3
"""Overlap (IoU) from which a detector's box counts as the one the reasoner pointed at."""


def select(state: State, context: Context) -> dict[str, Any]:
    """Captions and question -> core frames, none of which is without a caption."""
    captions = captions_of(state)
    kept = set(state.get("kept", []))
    silent = {c.frame_id for c in captions if not c.text.strip()}
    missing = state.get("verdict", {}).get("missing", "")
    candidates = Candidates(
        question=" ".join(filter(None, (state["question"], missing)))
        if missing
        else state["question"],
        video_key=context.memory_key(state["video"]["id"]),
        frames=[f for f in frames_of(state) if f.id not in silent],
        captions=[c for c in captions if c.frame_id not in silent],
        kept=[c for c in captions if c.frame_id in kept - silent],
    )
    gaps = []
    try:
        chosen = strategy(context.settings.select)(context, candidates)
    except ModelError as error:
        gaps = [dump(Gap(stage="select", reason=f"{error}; frames were chosen by retrieval"))]
        chosen = strategy("retrieval")(context, candidates)
    before = {c["id"]: c["why"] for c in state.get("core", [])}
    merged = before | dict(chosen)
    core = [{"id": f["id"], "why": merged[f["id"]]} for f in state["frames"] if f["id"] in merged]
    return {"core": core, "round": state.get("round", 0) + 1, "gaps": gaps}


def ground(state: State, context: Context) -> dict[str, Any]:
    """The detector's boxes on the core frames; an open vocabulary is asked after the evidence."""
    boxes: dict[str, list[Json]] = dict(state.get("boxes", {}))
    gaps = []
    if context.detector.labels is not None:
        for core in core_frames(state):
            if core.frame.id in boxes:
                continue
            try:
                found = context.detector.detect(context.store.image(core.frame))
            except ToolError as error:
                gaps.append(dump(Gap(stage="ground", reason=str(error))))
                found = []
            boxes[core.frame.id] = [dump(b) for b in found]
    return {"boxes": boxes, "gaps": gaps}


def use_tools(state: State, context: Context) -> dict[str, Any]:
    """Every tool once on the core frames, then those that the reasoner calls, if it can; what
    fails leaves a gap, never evidence."""
    core = core_frames(state)
    request = tool_request(context, Video.model_validate(state["video"]), state["question"], core)
    findings, gaps = perceive(context, request)
    called = call_tools(context, request, lambda: shown_to(context, core), findings)
    return {
        "findings": findings + [f for f in called.findings if f not in findings],
        "gaps": gaps + called.gaps,
        "warnings": called.warnings,
        **({"stop": called.stop} if called.stop else {}),
    }


def evidence(state: State, context: Context) -> dict[str, Any]:
    """Stage 1: the reasoner's steps, each tied to a core frame, its items to boxes."""
    core = core_frames(state)
    shown = shown_to(context, core)
    found, said = reasoner.evidence(
        context.agents["reasoner"], state["question"], shown, findings_of(state)
    )
    steps, gaps = [], []
    for step in found.steps:
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
    return {"steps": [dump(s) for s in steps], "said": said, "gaps": gaps}


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


def answer(state: State, context: Context) -> dict[str, Any]:
    """Stage 2: the answer, with the evidence before it."""
    conclusion = reasoner.conclude(
        context.agents["reasoner"],
        state["question"],
        shown_to(context, core_frames(state)),
        state["said"],
        state.get("options", []),
        findings_of(state),
        context.words,
    )
    return {"conclusion": conclusion.model_dump()}


def check(state: State, context: Context) -> dict[str, Any]:
    """Does the evidence carry the answer? A checker that fails leaves it unchecked, with a gap."""
    if not state["conclusion"]["answered"]:
        missing = f"evidence for: {state['question']}"
        return {"verdict": {"carried": False, "missing": missing, "checked": True}}
    steps = [EvidenceStep.model_validate(s) for s in state["steps"]]
    try:
        verdict = checker.check(
            context.agents["checker"], state["question"], steps, state["conclusion"]["answer"]
        )
    except ModelError as error:
        gap = dump(Gap(stage="check", reason=str(error)))
        return {"verdict": {"carried": True, "missing": "", "checked": False}, "gaps": [gap]}
    return {"verdict": verdict.model_dump() | {"checked": True}}


def look_again(state: State, context: Context) -> dict[str, Any]:
    """Closer frames around what was found, captioned and remembered, for a second selection.

    What an earlier question looked at this closely is neither decoded nor captioned again.
    """
    video = Video.model_validate(state["video"])
    old = frames_of(state)
    around = core_frames(state) or [
        CoreFrame(frame=f) for f in old[len(old) // 2 : len(old) // 2 + 1]
    ]
    spans = [
        (max(0.0, core.frame.time_s - AGAIN_S), core.frame.time_s + AGAIN_S) for core in around[:2]
    ]
    refs, decoded = watch.closer(context, state["path"], video, spans)
    known = {f.id for f in old}
    new = [f for f in {f.id: f for f in refs}.values() if f.id not in known]
    said = {c.frame_id: c for c in context.memory.captions(context.memory_key(video.id))}
    leader = watch.leaders(context, new)
    before = [*captions_of(state), *(said[f.id] for f in new if f.id in said)]
    captions, shown = watch.captioned(context, new, leader, before)
    return {
        "frames": [dump(f) for f in new],
        "captions": [dump(c) for c in captions],
        "work": {"decoded": decoded, "captioned": shown, "shared": watch.sharing(captions)},
    }


def _bound(node: Node, context: Context) -> RunnableLambda[State, dict[str, Any]]:
    """The node with its context. A reached limit ends the run, with a typed gap."""

    def run(state: State) -> dict[str, Any]:
        try:
            return node(state, context)
        except BudgetExceeded as error:
            gap = dump(Gap(stage="budget", reason=f"{error}. {error.hint}".strip()))
            return {"stop": "budget", "gaps": [gap]}

    return RunnableLambda(run, name=_name(node))


def _name(node: Node) -> str:
    return node.__name__.rstrip("_")


CHAIN: tuple[Node, ...] = (select, ground, use_tools, evidence, answer, check)


def build_ask_graph(
    context: Context,
    tools: Sequence[Given] = (),
    *,
    checkpointer: BaseCheckpointSaver[Any] | Literal[False] | None = None,
) -> CompiledStateGraph[State, None, Ask, Answered]:
    """The graph, ready for `invoke`, `ainvoke`, `stream` and `astream` with an `Ask`.

    tools: more tools than the context has. With a checkpointer, give a thread_id in the config;
    state holds ids and text only, so checkpoints stay small. None inside another graph's node
    means that graph's checkpointer (LangGraph); False means none.
    """
    if tools:
        context = _with_tools(context, tools)
    builder = StateGraph(State, input_schema=Ask, output_schema=Answered)
    for node in (probe, sample, caption, remember, filter_, *CHAIN, look_again, finish):
        builder.add_node(_name(node), _bound(node, context))

    def then(a: str, b: str) -> None:
        builder.add_conditional_edges(a, unless_stopped(b), [b, "finish"])

    builder.add_edge(START, "probe")
    builder.add_edge("probe", "sample")
    builder.add_conditional_edges("sample", new_or_known, ["caption", "filter", "finish"])
    then("caption", "remember")
    then("remember", "filter")
    then("filter", "select")
    for a, b in pairwise(CHAIN):
        then(_name(a), _name(b))
    builder.add_conditional_edges("check", enough_or_more, ["look_again", "finish"])
    then("look_again", "remember")
    builder.add_edge("finish", END)
    return builder.compile(name="ask", checkpointer=checkpointer)


def _with_tools(context: Context, tools: Sequence[Given]) -> Context:
    loaded = load_tools([*context.tools, *tools], servers=context.settings.mcp)
    return replace(context, tools=loaded.tools, warnings=(*context.warnings, *loaded.warnings))
