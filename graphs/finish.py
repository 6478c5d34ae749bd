"""The last node: everything that is known, as one typed answer."""

from typing import Any

from langgraph.runtime import Runtime

from videoespresso.agents.reasoner import Conclusion, choice_of
from videoespresso.graphs.context import Context
from videoespresso.graphs.state import Json, State, core_frames
from videoespresso.types import NOT_CAPTIONED, Answer, DroppedFrame, EvidenceStep, Gap, Video, Work

NOT_CARRIED = "The frames that were looked at do not carry an answer to this question."
STOPPED = "A limit was reached before there was an answer; what was found until then is kept."


def finish(state: State, runtime: Runtime[Context]) -> dict[str, Any]:
    """Writes `answer`. Makes no model call, so it also ends runs that reached a limit."""
    context = runtime.context
    core = tuple(core_frames(state))
    conclusion = Conclusion.model_validate(
        state.get("conclusion") or {"answered": False, "answer": ""}
    )
    stop = state.get("stop", "")
    options = tuple(state.get("options", []))
    answered = conclusion.answered and bool(conclusion.answer.strip())
    choice = choice_of(conclusion, options) if answered else None
    text = options[choice] if choice is not None else conclusion.answer.strip()
    if not answered:
        text = STOPPED if stop == "budget" else NOT_CARRIED
    answer = Answer(
        question=state["question"],
        options=options,
        text=text,
        choice=choice,
        answered=answered,
        checked=answered and _confirmed(state) and not (options and choice is None),
        evidence=_evidence(state),
        core_frames=core,
        dropped=_dropped(state),
        video=Video.model_validate(state["video"]),
        videos=tuple(Video.model_validate(v) for v in state.get("videos", [])),
        work=_work(state),
        usage=context.usage_log.by_role(),
        settings=context.described() | ({"pair": state["pair"]} if "pair" in state else {}),
        gaps=(*(Gap.model_validate(g) for g in state.get("gaps", [])), *_silent(state)),
        warnings=(*state.get("warnings", []), *_doubts(state, answered, choice)),
    )
    return {"answer": answer.model_dump(mode="json")}


def _confirmed(state: State) -> bool:
    """Whether the checker agreed without reserve, and had evidence to agree with."""
    verdict = state.get("verdict", {})
    agreed = verdict.get("checked") and verdict.get("carried") and not verdict.get("missing")
    return bool(agreed and state.get("steps") and state.get("core"))


def _doubts(state: State, answered: bool, choice: int | None) -> list[str]:
    """What a reader should know before trusting the answer."""
    doubts = []
    verdict = state.get("verdict", {})
    missing = verdict.get("missing")
    if answered and verdict.get("checked") and not verdict.get("carried"):
        doubts.append(f"The checker is not convinced: {missing or 'no reason given'}")
    elif answered and missing:
        doubts.append(f"The checker calls the answer carried, and yet something missing: {missing}")
    captioned = {c["frame_id"] for c in state.get("captions", [])}
    dark = sum(frame["id"] not in captioned for frame in state.get("frames", []))
    if not answered and state.get("candidates") and dark and not state.get("stop"):
        doubts.append(
            f"Not known, which is not the same as not there: {dark} of {len(state['frames'])} "
            "frames are not captioned yet; --select paper captions all of them."
        )
    if answered and not state.get("steps"):
        doubts.append("The reasoner gave no evidence for this answer.")
    if answered and state.get("options") and choice is None:
        doubts.append("The model's reply is none of the options; it is given as it was written.")
    return doubts


def _evidence(state: State) -> tuple[EvidenceStep, ...]:
    """The reasoner's steps, and what tools found, each naming its source; in the order of
    the videos, and in time order."""
    findings: list[Json] = [
        {
            "text": f["text"],
            "frame_id": f.get("frame_id") or "",
            "time_s": f["time_s"],
            "items": [{"name": b["label"], "boxes": [b]} for b in f.get("boxes", [])],
            "source": f["tool"],
            "video": f.get("video", ""),
        }
        for f in state.get("findings", [])
    ]
    steps = [EvidenceStep.model_validate(s) for s in [*state.get("steps", []), *findings]]
    paths = [v["path"] for v in state.get("videos", [])]
    return tuple(sorted(steps, key=lambda s: (paths.index(s.video) if s.video else 0, s.time_s)))


def _dropped(state: State) -> tuple[DroppedFrame, ...]:
    """Every frame that was looked at and is no core frame, with the step that dropped it."""
    core = {c["id"] for c in state.get("core", [])}
    proposed = {c["id"] for c in state.get("candidates", [])}
    captions = {c["frame_id"]: c for c in state.get("captions", [])}
    filtered = {d["frame_id"]: d for d in state.get("filtered", [])}
    dropped = []
    for frame in state.get("frames", []):
        name, caption = frame["id"], captions.get(frame["id"])
        if name in core:
            continue
        if caption is None and proposed and (name not in proposed or state.get("quick")):
            stage, reason = "caption", f"{NOT_CAPTIONED}: {state['pair']} proposed others"
        elif caption is None and name in proposed and not state.get("stop"):
            stage, reason = "select", "not needed for this question"
        elif caption is None:
            stage, reason = "caption", "the run ended before it was captioned"
        elif not caption["text"].strip():
            stage, reason = "caption", "the captioner refused it or said nothing"
        elif caption.get("shared_from"):
            stage, reason = "duplicate", f"the same to the eye as {caption['shared_from']}"
        elif name in filtered:
            stage, reason = "filter", filtered[name]["reason"]
        else:
            stage, reason = "select", "not needed for this question"
        dropped.append(
            DroppedFrame.model_validate(
                {"frame_id": name, "time_s": frame["time_s"], "stage": stage, "reason": reason}
            )
        )
    return tuple(dropped)


def _silent(state: State) -> list[Gap]:
    """What is not known for want of captions."""
    captions = state.get("captions", [])
    blank = [c["time_s"] for c in captions if not c["text"].strip()]
    if not blank:
        return []
    count = f"{len(blank)} of {len(captions)} frames have no caption, the first at {blank[0]:.1f} s"
    return [Gap(stage="caption", reason=f"{count}: the captioner refused them or said nothing")]


def _work(state: State) -> Work:
    counted: dict[str, Any] = dict(state.get("work", {}))
    return Work(**counted, kept=len(state.get("kept", [])), dropped=len(state.get("filtered", [])))
