"""Training conversations from the theatre: what each role sees and what it should say.

Prompts come from `agents/wire.py`, so the pack learns exactly what it will be shown. A lesson is a
role and a row of segments; a segment is text (or an image, by frame number) and whether it is to be
learned.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from videoespresso.agents import wire
from videoespresso.synthetic import SceneObject, Story
from videoespresso.synthetic.questions import FAMILIES, Question, ask
from videoespresso.synthetic.stories import MOODS, SHIRTS
from videoespresso.training.pack.frames import FrameSet, FrameTruth, told
from videoespresso.training.pack.vocabulary import END, IMAGE_TEXT, REPLY, USER
from videoespresso.types import Box

NOT_SHOWN = "the frames do not show this"
NOT_CARRIED = "the answer is not in the evidence"
MOST_CAPTIONS = 20


@dataclass(frozen=True)
class Lesson:
    """A conversation; `spans`: (from, to) in it that are to be learned; `images`: frame numbers."""

    text: str
    spans: tuple[tuple[int, int], ...]
    images: tuple[int, ...]


Part = str | int
"""Text, or the number of a frame."""


def lesson(role: str, turns: Sequence[tuple[Sequence[Part], str]], with_images: bool) -> Lesson:
    """A conversation of (what the user shows, what to reply) pairs."""
    text, spans, images = f"<|{role}|>", [], []
    for parts, reply in turns:
        text += USER
        for part in parts:
            if isinstance(part, str):
                text += part
            elif with_images:
                text += IMAGE_TEXT
                images.append(part)
        text += REPLY
        spans.append((len(text), len(text) + len(reply) + len(END)))
        text += reply + END
    return Lesson(text, tuple(spans), tuple(images))


def compact(value: object) -> str:
    """JSON as the pack writes it."""
    return json.dumps(value, separators=(",", ":"))


def visible_boxes(truth: FrameTruth, rng: random.Random) -> tuple[Box, ...]:
    """Boxes as a good detector gives them: a little off, now and then one missing."""
    boxes = []
    for o in truth.objects:
        if rng.random() < 0.04:
            continue
        x0, y0, x1, y1 = (min(1.0, max(0.0, v + rng.gauss(0, 0.006))) for v in o.xyxy)
        boxes.append(
            Box(label=o.label, xyxy=(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), score=1)
        )
    return tuple(boxes)


def _named(text: str, objects: Sequence[SceneObject]) -> list[SceneObject]:
    """Objects a sentence names, in the order in which it names them, at most three."""
    found = {}
    for o in objects:
        at = text.find(o.phrase)
        if at >= 0 and o.phrase not in found:
            found[o.phrase] = (at, o)
    return [o for _, o in sorted(found.values(), key=lambda f: f[0])][:3]


def _item(o: SceneObject, truth: FrameTruth, boxes: Sequence[Box]) -> dict[str, object]:
    near = [
        b
        for b in boxes
        if b.label == o.label
        and max(abs(p - q) for p, q in zip(b.xyxy, o.xyxy, strict=True)) < 0.05
    ]
    return {"name": o.phrase, "box": list(wire.percent(near[0])) if near else []}


def slip(caption: str, rng: random.Random) -> str:
    """A caption with the kind of mistake a captioner makes."""
    words = caption.split(" ")
    k = rng.randrange(len(words))
    for pool in (MOODS, SHIRTS):
        for i, w in enumerate(words):
            if w.strip(";") in pool and rng.random() < 0.5:
                words[i] = rng.choice(pool) + (";" if w.endswith(";") else "")
                return " ".join(words)
    return " ".join(words[:k] + words[k + 1 :]) if ";" in words[k] else caption


class Teacher:
    """Draws lessons from a set of rendered stories."""

    def __init__(self, frames: FrameSet, seed: int, *, with_images: bool) -> None:
        self.frames = frames
        self.rng = random.Random(seed)
        self.with_images = with_images

    def story(self) -> Story:
        return told(self.rng.choice(self.frames.seeds))

    def question(self) -> tuple[Story, Question]:
        """A task at random, then a family, on a story that has material for it."""
        families = [(t, f) for t, fs in FAMILIES.items() for f in fs]
        while True:
            task, family = self.rng.choice(families)
            for _ in range(12):
                story = self.story()
                question = ask(story, family, task, self.rng)
                if question is not None:
                    return story, question

    def frame(self, story: Story, phase: int) -> int:
        return self.rng.choice(self.frames.by_phase[story.seed, phase])

    def captioning(self) -> Lesson:
        k = self.rng.randrange(len(self.frames.truth))
        truth = self.frames.truth[k]
        caption = told(truth.seed).phases[truth.phase].caption
        return lesson("captioner", [(wire.caption_parts(k), caption)], self.with_images)

    def selecting(self) -> Lesson:
        story, q = self.question()
        rows = []
        for k, p in enumerate(story.phases):
            for _ in range(1 if k in q.core or self.rng.random() < 0.85 else 2):
                caption = (
                    p.caption
                    if k in q.core or self.rng.random() < 0.96
                    else slip(p.caption, self.rng)
                )
                rows.append((k, self.rng.uniform(p.t0, p.t1), caption))
        while len(rows) > MOST_CAPTIONS:
            spare = [r for r in rows if r[0] not in q.core]
            rows.remove(self.rng.choice(spare))
        rows.sort(key=lambda r: r[1])
        why = dict(reversed(q.evidence))
        kept, done = [], set()
        for n, (k, _, _) in enumerate(rows, 1):
            if k in q.core and k not in done:
                done.add(k)
                kept.append({"frame": n, "why": why[k]})
        parts = wire.select_parts(q.text, [(t, c) for _, t, c in rows])
        return lesson("selector", [(parts, compact({"core": kept}))], self.with_images)

    def _shown(self, story: Story, numbers: Sequence[int]) -> list[tuple[int, wire.Shown[Part]]]:
        shown = []
        for k in numbers:
            truth = self.frames.truth[k]
            caption = (
                story.phases[truth.phase].caption
                if truth.seed == story.seed
                else told(truth.seed).phases[truth.phase].caption
            )
            if self.rng.random() < 0.05:
                caption = slip(caption, self.rng)
            shown.append(
                (
                    truth.phase if truth.seed == story.seed else -1,
                    wire.Shown[Part](k, truth.time_s, caption, visible_boxes(truth, self.rng)),
                )
            )
        return shown

    def _numbers(self, story: Story, q: Question) -> tuple[list[int], bool]:
        """Frames to show, in time order, and whether they carry the answer."""
        roll = self.rng.random()
        if roll < 0.08:
            other = self.story()
            n = min(len(other.phases), self.rng.choice((1, 2, 3)))
            return [
                self.frame(other, k) for k in sorted(self.rng.sample(range(len(other.phases)), n))
            ], False
        phases = set(q.core)
        rest = [k for k in range(len(story.phases)) if k not in phases]
        if roll < 0.36 and rest:
            phases |= set(self.rng.sample(rest, min(len(rest), self.rng.choice((1, 1, 2)))))
        elif roll < 0.44:
            phases |= set(rest)
        return [self.frame(story, k) for k in sorted(phases)], True

    def _evidence(self, q: Question, shown: Sequence[tuple[int, wire.Shown[Part]]]) -> str:
        steps = []
        for phase, text in q.evidence:
            n = next(i for i, (p, _) in enumerate(shown) if p == phase)
            frame = shown[n][1]
            assert isinstance(frame.image, int)
            truth = self.frames.truth[frame.image]
            items = [_item(o, truth, frame.boxes) for o in _named(text, truth.objects)]
            steps.append({"frame": n + 1, "text": text, "items": items})
        return compact({"steps": steps})

    def _reply(self, q: Question, options: Sequence[str], carried: bool) -> str:
        letter = wire.LETTERS[q.correct] if carried and options else None
        return compact(
            {"answered": carried, "answer": q.answer if carried else NOT_SHOWN, "choice": letter}
        )

    def reasoning(self, *, direct: bool = False) -> Lesson:
        story, q = self.question()
        numbers, carried = self._numbers(story, q)
        shown = self._shown(story, numbers)
        frames = [s for _, s in shown]
        options = q.options if self.rng.random() < 0.75 else ()
        reply = self._reply(q, options, carried)
        if direct:
            return lesson(
                "reasoner", [(wire.direct_parts(q.text, options, frames), reply)], self.with_images
            )
        evidence = self._evidence(q, shown) if carried else compact({"steps": []})
        turns = [
            (wire.evidence_parts(q.text, frames), evidence),
            (wire.answer_parts(options), reply),
        ]
        return lesson("reasoner", turns, self.with_images)

    def blind(self) -> Lesson:
        """No frames: the best guess, so that the blind ablation is an honest one."""
        _, q = self.question()
        parts = wire.direct_parts(q.text, q.options, [])
        return lesson("reasoner", [(parts, self._reply(q, q.options, True))], self.with_images)

    def checking(self) -> Lesson:
        story, q = self.question()
        steps = [(story.phases[p].t0, text) for p, text in q.evidence]
        answer, carried = q.answer, True
        roll = self.rng.random()
        if roll < 0.25:
            answer, carried = self.rng.choice([o for o in q.options if o != q.answer]), False
        elif roll < 0.4:
            steps, carried = [], False
        elif roll < 0.5:
            other = told(self.rng.choice(self.frames.seeds))
            steps = [(other.phases[e.phase].t0, e.text) for e in other.events[:2]]
            carried = False
        parts = wire.check_parts(q.text, steps, answer)
        reply = compact({"carried": carried, "missing": "" if carried else NOT_CARRIED})
        return lesson("checker", [(parts, reply)], self.with_images)

    def stream(self, shares: dict[str, float]) -> Iterator[Lesson]:
        """Endless lessons; `shares`: how much of each kind."""
        kinds: dict[str, Callable[[], Lesson]] = {
            "caption": self.captioning,
            "select": self.selecting,
            "reason": self.reasoning,
            "direct": lambda: self.reasoning(direct=True),
            "blind": self.blind,
            "check": self.checking,
        }
        names = list(shares)
        weights = [shares[n] for n in names]
        while True:
            yield kinds[self.rng.choices(names, weights)[0]]()
