"""Under which condition a case is asked: what is shown to the reasoner, everything else the same.

A condition is a selection strategy, run through the whole ask graph ("ours" is that of the
settings), or one of DIRECTLY. The oracles are given what is true: the gap to them is what the
selection, or the evidence, loses. Behind an @ stands what is changed besides: `ours@tau=0.8`,
`ours@boxes=off`, `ours@captions=off`, `uniform:8@checker=off`, `ours@blur=3`; several
separated by commas.
"""

import contextlib
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from videoespresso.agents import reasoner
from videoespresso.errors import SettingsError, UserError
from videoespresso.evaluation import first_fault
from videoespresso.evaluation.cases import Case
from videoespresso.evaluation.stress import STAGED, Stress, strength, strengths
from videoespresso.graphs.ask import MOST_ROUNDS, AskGraph, ask_graph
from videoespresso.graphs.context import Context
from videoespresso.graphs.selection import strategy
from videoespresso.graphs.state import candidate_captions, dump, frames_of, shown_to
from videoespresso.graphs.watch import watch
from videoespresso.settings import Settings
from videoespresso.types import Answer, Caption, CoreFrame, EvidenceStep, FrameRef

OURS, BLIND, DIRECT = "ours", "blind", "direct"
GOLD_FRAMES, GOLD_EVIDENCE, GOLD_SENTENCES = "oracle-frames", "oracle-evidence", "oracle-sentences"
OWN_SENTENCES, REMOVED, CONTRARY = "own-sentences", "sentence-removed", "sentence-contrary"
DIRECTLY = {
    BLIND: "no frames, one stage",
    DIRECT: "our core frames, one stage, no evidence",
    GOLD_FRAMES: "the true frames, our evidence",
    GOLD_EVIDENCE: "the true frames and the true sentences",
    GOLD_SENTENCES: "our core frames and the true sentences",
    OWN_SENTENCES: "our core frames and our sentences, given as those of the next two are",
    REMOVED: "the same without one sentence",
    CONTRARY: "the same with one sentence that says the contrary of what is seen",
}
AGAIN = (OWN_SENTENCES, REMOVED, CONTRARY)
"""What the reasoner makes of its own evidence; OWN_SENTENCES is what the others are held against.
"""
AFTER_OURS = (DIRECT, GOLD_SENTENCES, *AGAIN)
"""Conditions that are shown the core frames of `ours`, which comes before them."""
GIVEN = (GOLD_FRAMES, GOLD_EVIDENCE, GOLD_SENTENCES, REMOVED, CONTRARY)
"""Conditions that need something true, which an unanswerable question does not have."""
UNCITED = (BLIND, DIRECT, GOLD_EVIDENCE, GOLD_SENTENCES, *AGAIN)
"""Conditions under which the reasoner cites nothing of its own."""
Json = dict[str, Any]
Seconds = dict[str, float]


_CHANGES = (
    "Write CONDITION@tau=0.8 (or off), @boxes=off, @captions=off, @checker=off, @blur=1 to 5, "
    "@style=1 to 2, @length=1 to 4; several separated by commas, and of the last one kind."
)


@dataclass(frozen=True)
class Variant:
    """A condition taken apart. base: its selection or its own name. over: settings in the place of
    the run's. checked: the checker is asked. captions: the reasoner reads them. stress: how the
    film is seen. staged: as which it is made, a kind and a strength."""

    base: str
    over: dict[str, Any] = field(default_factory=dict)
    checked: bool = True
    captions: bool = True
    stress: Stress | None = None
    staged: tuple[str, int] | None = None

    def settings(self, settings: Settings) -> Settings:
        """Those of the run with this condition's over them."""
        return settings.model_copy(update=self.over)


def variant(condition: str) -> Variant:
    """Takes a condition's name apart. Raises SettingsError for a change that is none, and UserError
    for a strength that its kind does not have."""
    base, at, changes = condition.partition("@")
    over: dict[str, Any] = {}
    checked, captions, stress, staged = True, True, None, None
    for change in changes.split(",") if at else ():
        key, _, value = change.partition("=")
        match key, value:
            case "boxes", "off":
                over["detector"] = "off"
            case "checker", "off":
                checked = False
            case "captions", "off":
                captions = False
            case "tau", "off":
                over["tau"] = math.inf
            case "tau", _:
                over["tau"] = _cosine(value)
            case _ if strengths(key) and not (stress or staged):
                if key in STAGED:
                    staged = key, strength(key, value)
                else:
                    stress = Stress(key, strength(key, value))
            case _:
                raise SettingsError(f"{condition}: {change!r} is no change", hint=_CHANGES)
    return Variant(base, over, checked, captions, stress, staged)


def _cosine(value: str) -> float:
    """Raises SettingsError for what is none."""
    with contextlib.suppress(ValueError):
        if -1 <= (tau := float(value)) <= 1:
            return tau
    raise SettingsError(f"tau {value!r} is no cosine from -1 to 1", hint=_CHANGES)


def check(conditions: Sequence[str]) -> None:
    """Raises UserError and SettingsError for what is none, or needs another that is not there."""
    for name in conditions:
        changed = variant(name)
        if changed.base in DIRECTLY and name not in DIRECTLY:
            raise UserError(
                f"{name}: {changed.base} is asked as it is",
                hint=f"{OURS} and a --select may change.",
            )
        if changed.base not in DIRECTLY and changed.base != OURS:
            try:
                strategy(changed.base)
            except SettingsError as error:
                raise SettingsError(
                    f"no condition {name!r}",
                    hint=f"Known: {', '.join((OURS, *DIRECTLY))}, or a --select. {error.hint}",
                ) from error
        if name in AFTER_OURS and OURS not in conditions:
            raise UserError(
                f"{name} is shown the core frames of {OURS}", hint=f"Add --condition {OURS}."
            )


def needs_truth(conditions: Sequence[str]) -> list[str]:
    """Those of the conditions that are given what is true."""
    oracles = (GOLD_FRAMES, GOLD_EVIDENCE, GOLD_SENTENCES, CONTRARY)
    return [name for name in conditions if name in oracles]


def record_of(
    context: Context, case: Case, condition: str, options: Sequence[str], ours: Json
) -> Json:
    """The part of a record that a condition gives. options: empty for an open question. ours: the
    record of `ours`, for what is shown its core frames.

    Raises VideoError, ModelError; BudgetExceeded where the run's limit is reached.
    """
    took: Seconds = {}
    changed = variant(condition)
    if condition == BLIND:
        return _at_once(context, case, options, [], guess=True)
    if condition == DIRECT:
        core = [CoreFrame.model_validate(c) for c in ours["core"]]
        return _at_once(context, case, options, core)
    if condition in DIRECTLY:
        answer = _oracle(context, case, condition, options, ours, took)
    else:
        answer = _selected(context, case, changed, options, took)
    record, stress = _of(answer), changed.stress
    captions = context.memory.captions(context.memory_key(answer.video.id))
    if condition not in UNCITED and (stress is None or stress.speed == 1):  # truth has one clock
        record["lost"] = first_fault.lost(case.truth, answer, captions)
    nodes = {"nodes": {name: round(s, 3) for name, s in took.items()}}
    return (record if stress is None else stress.back(record)) | _shown(answer) | nodes


def _shown(answer: Answer) -> Json:
    """What an error's page shows of it."""
    return {
        "core": [dump(c) for c in answer.core_frames],
        "dropped": [[d.frame_id, d.time_s, d.stage, d.reason] for d in answer.dropped],
        "film": dump(answer.video),
    }


def _selected(
    context: Context, case: Case, changed: Variant, options: Sequence[str], took: Seconds
) -> Answer:
    """The whole graph, with what the condition changes. A stressed film of the benchmark's own may
    be past recognition, and is known."""
    select = context.settings.select if changed.base == OURS else changed.base
    mine = replace(
        context,
        settings=context.settings.model_copy(update={"select": select}),
        altered=changed.stress,
        captions_shown=changed.captions,
        guarded=context.guarded and not (changed.stress and case.made),
    )
    given: Any = {
        "path": str(case.find()), "question": case.item.question, "options": list(options),
    }  # fmt: skip
    if not changed.checked:
        return _unchecked(mine, given, took)
    return _answer(ask_graph().stream(given, context=mine, stream_mode="updates"), took)


def _answer(updates: Iterator[Any], took: Seconds) -> Answer:
    """The answer at the end of a run of the graph. took: gets the seconds of each node."""
    answer = _finished(updates, took)
    assert answer is not None, "the graph always ends in `finish`"
    return answer


def _finished(updates: Iterator[Any], took: Seconds) -> Answer | None:
    """As `_answer`; None for a run that was held before its end."""
    answer, before = None, time.perf_counter()
    for update in updates:
        for node in update:
            if not node.startswith("__"):  # where it was held
                took[node] = took.get(node, 0.0) + time.perf_counter() - before
        before = time.perf_counter()
        if "finish" in update:
            answer = Answer.model_validate(update["finish"]["answer"])
    return answer


def _unchecked(context: Context, given: Any, took: Seconds) -> Answer:
    """The graph without its checker, and so without a second look."""
    graph, config = ask_graph(InMemorySaver()), _thread()
    held = graph.stream(
        given, config, context=context, stream_mode="updates", interrupt_before=["check"]
    )
    return _finished(held, took) or _from(graph, config, context, {}, "check", "finish", took)


def _of(answer: Answer) -> Json:
    return {
        "reply": answer.text,
        "choice": answer.choice,
        "answered": answer.answered,
        "checked": answer.checked,
        "frames": len(answer.core_frames),
        "kept": answer.work.kept,
        "captioned": answer.work.captioned,
        "picked_s": [round(c.frame.time_s, 3) for c in answer.core_frames],
        "steps": [
            {
                "text": s.text,
                "time_s": round(s.time_s, 3),
                "boxes": [b.xyxy for i in s.items for b in i.boxes],
            }
            for s in answer.evidence
        ],
        "first": answer.work.decoded + answer.work.captioned > 0,
        "gaps": [f"{gap.stage}: {gap.reason}"[:300] for gap in answer.gaps],
    }


def _at_once(
    context: Context,
    case: Case,
    options: Sequence[str],
    core: Sequence[CoreFrame],
    *,
    guess: bool = False,
) -> Json:
    """One stage. guess: a letter counts even where the model says that it cannot answer, so that
    being modest does not make it look blind."""
    reply = reasoner.direct(
        context.agents["reasoner"], case.item.question, shown_to(context, core), options
    )
    answered = reply.answered and bool(reply.answer.strip())
    choice = reasoner.choice_of(reply, options) if answered or guess else None
    return {
        "reply": options[choice] if choice is not None else reply.answer.strip(),
        "choice": choice,
        "answered": answered,
        "frames": len(core),
        "picked_s": [round(c.frame.time_s, 3) for c in core],
        "steps": [],
        "first": False,
    }


# ---- what is true in the place of what was found


def _oracle(
    context: Context,
    case: Case,
    condition: str,
    options: Sequence[str],
    ours: Json,
    took: Seconds,
) -> Answer:
    """The graph from its middle on. Raises UserError where the benchmark does not say what is
    true."""
    sentences = () if condition == GOLD_FRAMES else _sentences(case, condition, ours)
    if condition not in AGAIN and not case.truth.middles:
        raise UserError(f"{case.item.id} has no true evidence, so there is no {condition}")
    began = time.perf_counter()
    known: Any = watch(context, str(case.find()), case.item.question)
    took["watch"] = time.perf_counter() - began
    known |= {"question": case.item.question, "options": list(options), "round": MOST_ROUNDS}
    if condition in AFTER_OURS:
        frames = _ours(known, ours)
        known["core"] = [{"id": f.id, "why": "a core frame of ours"} for f in frames]
    else:
        silent = {c.frame_id for c in candidate_captions(known) if not c.text.strip()}
        frames = [f for f in frames_of(known) if f.id not in silent]
        gold = {_nearest(frames, t).id for t in case.truth.middles}
        frames = [f for f in frames if f.id in gold]
        known["core"] = [{"id": f.id, "why": "a true one"} for f in frames]
    if condition == GOLD_FRAMES:
        return _from(
            ask_graph(InMemorySaver()), _thread(), context, known, "select", "ground", took
        )
    steps = [
        EvidenceStep(text=text, frame_id=(f := _nearest(frames, t)).id, time_s=f.time_s)
        for t, text in sentences
    ]
    number = {f.id: k for k, f in enumerate(frames, 1)}
    written = [{"text": s.text, "frame": number[s.frame_id], "items": []} for s in steps]
    known |= {"steps": [dump(s) for s in steps], "evidence_text": json.dumps({"steps": written})}
    return _from(ask_graph(InMemorySaver()), _thread(), context, known, "evidence", "answer", took)


def _ours(known: Any, ours: Json) -> list[FrameRef]:
    """The core frames of `ours`, which `known` gets: those of a closer look are not in the film's
    first look."""
    core = [CoreFrame.model_validate(c) for c in ours["core"]]
    seen = {f["id"] for f in known["frames"]}
    for c in core:
        if c.frame.id not in seen:
            caption = Caption(frame_id=c.frame.id, time_s=c.frame.time_s, text=c.caption)
            known["frames"] = [*known["frames"], dump(c.frame)]
            known["captions"] = [*known.get("captions", ()), dump(caption)]
    return [c.frame for c in core]


def _sentences(case: Case, condition: str, ours: Json) -> Sequence[tuple[float, str]]:
    """The evidence that stage 2 is given, each sentence with its instant. What is removed or turned
    into its contrary is the first sentence of which a contrary is known, else the first. Raises
    UserError where there is none."""
    own = [(step["time_s"], step["text"]) for step in ours.get("steps", ())]
    sentences = own if condition in AGAIN else case.truth.sentences
    turn = case.truth.contrary or (lambda *_: None)
    turned = [turn(text, t) for t, text in own] if condition in (REMOVED, CONTRARY) else []
    at = next((k for k, text in enumerate(turned) if text), 0)
    if not sentences or (condition == CONTRARY and turned[at] is None):
        raise UserError(f"{case.item.id} has no evidence for {condition}")
    if condition == REMOVED:
        return [one for k, one in enumerate(own) if k != at]
    if condition == CONTRARY:
        return [(t, turned[k] or text) if k == at else (t, text) for k, (t, text) in enumerate(own)]
    return sentences


def _nearest(frames: Sequence[FrameRef], time_s: float) -> FrameRef:
    return min(frames, key=lambda f: abs(f.time_s - time_s))


def _from(
    graph: AskGraph,
    config: Any,
    context: Context,
    known: Any,
    done: str,
    onward: str,
    took: Seconds,
) -> Answer:
    """The graph as if the node `done` had just ended and had written `known`."""
    graph.update_state(config, Command(update=known, goto=onward), as_node=done)
    return _answer(graph.stream(None, config, context=context, stream_mode="updates"), took)


def _thread() -> Any:
    """The config of a run that is held somewhere and goes on."""
    return {"configurable": {"thread_id": "held"}}
