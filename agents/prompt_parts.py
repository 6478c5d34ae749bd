"""What each role is shown: user turns in a compact tagged form, one function a kind of turn.

The same functions build the prompts of a paid model, of a local one and of the embedded pack, and
the pack's training data: there is one dialect. Images are passed through untouched (anything the
caller has: a PIL image at run time, a marker in training), so nothing here knows pixels.

Back from replies come frame numbers, and where a number contradicts the words beside it, the words
win (`placed`). Seen with the embedded pack, where the sentence was often right and the number near
chance (docs/log.md); not measured with other models. The paper, too, maps core captions back by
their text (equation 3).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from videoespresso.types import Box

EVIDENCE_CUE = "Please provide evidence to help answer the question."
"""Cue of stage 1 (paper, Fig. 5)."""
ANSWER_CUE = "Please answer the question with the help of the evidence."
"""Cue of stage 2 (paper, Fig. 5)."""
ONCE_CUE = "Please provide evidence, and answer the question with the help of it."
"""Cue of one reply that carries both."""
DIRECT_CUE = "Please answer the question."
"""The ablation: one stage, no evidence."""
CALL_CUE = "Please call a tool if one can show what these frames do not; otherwise say: enough."
"""Cue of the turn before the evidence, for a reasoner that can call tools."""
CAPTION_CUE = "Describe this frame."
SHEET_CUE = "Describe each of these frames."
GENERATE_CUE = "Please write question-answer pairs about these captions."
VERIFY_CUE = "Please check this pair against the captions."
ANNOTATE_CUE = "Please write down what the answer stands on."
DISTRACT_CUE = "Please write {count} wrong answers."
JUDGE_CUE = "Please rate the answer to be judged."
PREFER_CUE = "Please say which of the two answers is better."
Image = TypeVar("Image")
Seen = TypeVar("Seen", covariant=True)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Shown(Generic[Seen]):
    """A frame as the reasoner sees it: pixels, instant in seconds, caption, detector's boxes.

    time_s is None where a data set does not say it; a run always knows it.
    """

    image: Seen
    time_s: float | None
    caption: str = ""
    boxes: tuple[Box, ...] = ()


def caption_parts(image: Image) -> tuple[str | Image, ...]:
    """One frame for the captioner."""
    return (image, CAPTION_CUE)


def sheet_parts(images: Sequence[Image]) -> tuple[str | Image, ...]:
    """Several frames for the captioner, each behind its number, from 1."""
    parts: list[str | Image] = []
    for n, image in enumerate(images, 1):
        parts += [f"Frame {n}:\n", image]
    return (*parts, SHEET_CUE)


def one_line(text: str) -> str:
    """Data in one line: whatever a sign, a subtitle or a tool says, it opens no section.

    `split` also parts at the line ends of Unicode, which some models read as such.
    """
    return " ".join(text.split())


def caption_lines(captions: Sequence[tuple[float, str]]) -> str:
    """Captions with their instants, each with its number, from 1, behind it.

    Behind, because a reply says first what a frame shows and then which frame it is: a small model
    that has just repeated a caption finds the number where the caption ends.
    """
    lines = (f"({t:.1f} s) {one_line(text)} [{n}]" for n, (t, text) in enumerate(captions, 1))
    return "Captions:\n" + "\n".join(lines) + "\n"


def select_parts(
    question: str, captions: Sequence[tuple[float, str]], limit: int | None = None
) -> tuple[str]:
    """All surviving captions with their instants, then the question.

    The question comes last, so that several questions about a video share a prefix (which servers
    cache). `limit` is the most frames the selector may keep; the prompt says it when given.
    """
    most = "" if limit is None else f"\nKeep at most {limit} frames."
    return (f"{caption_lines(captions)}Question: {question}{most}",)


def candidate_parts(
    question: str,
    frames: Sequence[Shown[Image]],
    sheet: Image | None = None,
) -> tuple[str | Image, ...]:
    """Numbered frames for the selector, the question last. sheet: all of them in one picture, which
    then stands for theirs."""
    parts: list[str | Image] = [] if sheet is None else [sheet]
    for number, frame in enumerate(frames, 1):
        at = "" if frame.time_s is None else f" ({frame.time_s:.1f} s)"
        parts.append(f"[{number}]{at} {one_line(frame.caption)}".rstrip() + "\n")
        if sheet is None:
            parts.append(frame.image)
    return (*parts, f"Question: {question}")


def score_parts(question: str, images: Sequence[Image]) -> tuple[str | Image, ...]:
    """Numbered pictures for the scorer, the question last."""
    parts: list[str | Image] = []
    for number, image in enumerate(images, 1):
        parts += [f"[{number}]", image]
    return (*parts, f"Question: {question}")


def box_line(boxes: Sequence[Box]) -> str:
    """Boxes as "label x0 y0 x1 y1" in hundredths of the frame, by label, then left to right."""
    ordered = sorted(boxes, key=lambda b: (b.label, b.xyxy))
    return "; ".join(f"{one_line(b.label)} {' '.join(map(str, percent(b)))}" for b in ordered)


def percent(box: Box) -> tuple[int, int, int, int]:
    """A box in whole hundredths of the frame."""
    x0, y0, x1, y1 = (round(100 * v) for v in box.xyxy)
    return x0, y0, x1, y1


def frame_parts(frames: Sequence[Shown[Image]]) -> tuple[str | Image, ...]:
    """Core frames in time order, each with its image, instant, caption and boxes."""
    parts: list[str | Image] = []
    for n, frame in enumerate(frames, 1):
        lines = [f"Frame {n}" if frame.time_s is None else f"Frame {n} ({frame.time_s:.1f} s)"]
        if frame.caption:
            lines.append(f"Caption: {one_line(frame.caption)} [{n}]")
        if frame.boxes:
            lines.append(f"Boxes: {box_line(frame.boxes)}")
        parts += [frame.image, "\n".join(lines) + "\n"]
    return tuple(parts)


def finding_lines(findings: Sequence[tuple[str, float, str]]) -> str:
    """What tools found, as (tool, instant, text): a line each, so that none opens a section."""
    if not findings:
        return ""
    lines = (f"- {tool} ({t:.1f} s): {one_line(text)}" for tool, t, text in findings)
    return "Findings:\n" + "\n".join(lines) + "\n"


def evidence_parts(
    question: str,
    frames: Sequence[Shown[Image]],
    findings: Sequence[tuple[str, float, str]] = (),
) -> tuple[str | Image, ...]:
    """Stage 1: frames, what tools found, question, cue."""
    return (
        *frame_parts(frames),
        f"{finding_lines(findings)}Question: {question}\n{EVIDENCE_CUE}",
    )


def call_parts(
    question: str,
    frames: Sequence[Shown[Image]],
    findings: Sequence[tuple[str, float, str]] = (),
) -> tuple[str | Image, ...]:
    """Before stage 1: frames, what tools found, question, and the offer to call more."""
    return (
        *frame_parts(frames),
        f"{finding_lines(findings)}Question: {question}\n{CALL_CUE}",
    )


def _options(options: Sequence[str]) -> str:
    if not options:
        return ""
    lines = (f"({LETTERS[k]}) {text}" for k, text in enumerate(options))
    return "Options:\n" + "\n".join(lines) + "\n"


def answer_parts(options: Sequence[str]) -> tuple[str]:
    """Stage 2, after the evidence: options, if there are any, and the cue."""
    return (_options(options) + ANSWER_CUE,)


def once_parts(
    question: str,
    options: Sequence[str],
    frames: Sequence[Shown[Image]],
    findings: Sequence[tuple[str, float, str]] = (),
) -> tuple[str | Image, ...]:
    """Both stages in one reply: frames, what tools found, question, options, cue."""
    text = f"Question: {question}\n{_options(options)}{ONCE_CUE}"
    return (*frame_parts(frames), f"{finding_lines(findings)}{text}")


def direct_parts(
    question: str, options: Sequence[str], frames: Sequence[Shown[Image]]
) -> tuple[str | Image, ...]:
    """The one-stage ablation: frames, question, options, answer at once."""
    return (*frame_parts(frames), f"Question: {question}\n{_options(options)}{DIRECT_CUE}")


def check_parts(question: str, evidence: Sequence[tuple[float, str]], answer: str) -> tuple[str]:
    """Evidence sentences with their instants and the answer, for the checker."""
    lines = [f"Question: {question}", "Evidence:"]
    lines += [f"{n} ({t:.1f} s) {one_line(text)}" for n, (t, text) in enumerate(evidence, 1)] or [
        "none"
    ]
    lines.append(f"Answer: {one_line(answer)}")
    return ("\n".join(lines),)


def follow_parts(question: str, conversation: Sequence[str], videos: Sequence[str]) -> tuple[str]:
    """The videos by number, the conversation so far, and the new question last. A file's name may
    hold line ends, and comes from whoever made the file."""
    named = (f"{n} {one_line(name)}" for n, name in enumerate(videos, 1))
    lines = ["Videos:", *named, "Conversation:"]
    return ("\n".join([*lines, *(conversation or ("nothing yet",)), f"New question: {question}"]),)


def generate_parts(captions: Sequence[tuple[float, str]]) -> tuple[str]:
    """A group's captions, for the generator (paper, step 5)."""
    return (caption_lines(captions) + GENERATE_CUE,)


def pair_parts(
    captions: Sequence[tuple[float, str]], question: str, answer: str, cue: str
) -> tuple[str]:
    """A group's captions and a question-answer pair made from them: for the verifier (paper,
    step 6) with VERIFY_CUE, for the annotator (step 7) with ANNOTATE_CUE."""
    pair = f"Question: {one_line(question)}\nAnswer: {one_line(answer)}\n"
    return (caption_lines(captions) + pair + cue,)


def distract_parts(
    captions: Sequence[tuple[float, str]], question: str, answer: str, count: int
) -> tuple[str]:
    """The core captions and a pair, for the author of `count` wrong options."""
    return pair_parts(captions, question, answer, DISTRACT_CUE.format(count=count))


def judge_parts(
    question: str,
    evidence: Sequence[str],
    pictures: Sequence[Image],
    answers: Sequence[tuple[str, str]],
    cue: str,
) -> tuple[str | Image, ...]:
    """For the judge: pictures, a question, evidence, and answers, each behind what it is called, in
    the order given."""
    lines = [f"Question: {one_line(question)}"]
    lines += ["Evidence:", *(f"{n} {one_line(e)}" for n, e in enumerate(evidence, 1))] * bool(
        evidence
    )
    lines += [f"{name}: {one_line(answer)}" for name, answer in answers]
    return (*pictures, "\n".join([*lines, cue]))


_SMALL = frozenset(
    {"a", "an", "and", "are", "at", "for", "in", "is", "it", "of", "on", "or", "so", "that"}
    | {"the", "then", "there", "to", "when", "with"}
)
NEARLY_ALL = 0.8
"""Share of a sentence's words that a caption must have to count as saying it."""


def _words(text: str) -> list[str]:
    return [w for w in re.findall(r"\w+", text.casefold()) if w not in _SMALL]


def share(text: str, caption: str) -> float:
    """Share of a sentence's content words that a caption has, 0-1; 0 for a sentence without any."""
    words, there = _words(text), set(_words(caption))
    return sum(w in there for w in words) / len(words) if words else 0.0


def placed(number: int, text: str, captions: Sequence[str]) -> int | None:
    """The position (0-based) of the caption that an entry is about; None when it is about none.

    number: what the model wrote, from 1. text: the sentence beside it. The number is kept when its
    caption says the text as well as any other does, or when no caption says it.
    """
    valid = 1 <= number <= len(captions)
    scores = [share(text, caption) for caption in captions]
    best = max(scores, default=0.0)
    if valid and (scores[number - 1] >= best or best < NEARLY_ALL):
        return number - 1
    return scores.index(best) if best >= NEARLY_ALL else None
