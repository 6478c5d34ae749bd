"""Training conversations from the theatre: what each role sees and what it should say.

Prompts come from `agents/prompt_parts.py`, so the pack learns exactly what it will be shown.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence

from lab.pack import pairs
from lab.pack.conversation import Lesson, Turns, compact, lesson
from lab.pack.frames import FrameSet, FrameTruth, story_of
from videoespresso.agents import prompt_parts
from videoespresso.theatre import SceneObject, Story
from videoespresso.theatre.questions import FAMILIES, Question, ask
from videoespresso.theatre.stories import MOODS, SETTINGS, SHIRTS
from videoespresso.types import Box

NOT_SHOWN = "the frames do not show this"
NOT_CARRIED = "the answer is not in the evidence"
MOST_CAPTIONS = 20
DIRECT_SHARE = 0.15
"""Share of one-stage answers, so that the ablation without evidence is one it was taught."""


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
    """Objects a sentence names, in the order in which it names them, at most two."""
    names = {}
    for o in objects:
        at = text.find(o.phrase)
        if at >= 0 and o.phrase not in names:
            names[o.phrase] = (at, o)
    return [o for _, o in sorted(names.values(), key=lambda f: f[0])][:2]


def _item(o: SceneObject, truth: FrameTruth, boxes: Sequence[Box]) -> dict[str, object]:
    near = [
        b
        for b in boxes
        if b.label == o.label
        and max(abs(p - q) for p, q in zip(b.xyxy, o.xyxy, strict=True)) < 0.05
    ]
    return {"name": o.phrase, "box": list(prompt_parts.percent(near[0])) if near else []}


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
        return story_of(self.rng.choice(self.frames.seeds))

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
        caption = self.frames.truth[k].caption
        image, cue = prompt_parts.caption_parts(k)
        return lesson("captioner", [image], [[([cue], caption)]], self.with_images)

    def questions(self, story: Story, count: int) -> list[Question]:
        """Up to `count` questions about a story, of different families."""
        families = [(t, f) for t, fs in FAMILIES.items() for f in fs]
        self.rng.shuffle(families)
        drafts = (ask(story, family, task, self.rng) for task, family in families)
        return list(itertools.islice((q for q in drafts if q is not None), count))

    def _clauses(self, count: int) -> list[str]:
        """Different things that happen somewhere in the theatre, as sentences."""
        clauses: dict[str, None] = {}
        while len(clauses) < count:
            events = self.story().events
            if events:
                clauses[self.rng.choice(events).text] = None
        return list(clauses)

    def finding(self) -> Lesson:
        """A drill for the selector: which line says this? Retrieval, without the reasoning."""
        clauses = self._clauses(self.rng.randint(4, 12))
        places = [self.rng.choice(SETTINGS) for _ in clauses]
        rows = [
            (4.0 * k + self.rng.random(), f"{place}: {clause.removeprefix('the ')}")
            for k, (place, clause) in enumerate(zip(places, clauses, strict=True))
        ]
        conversations: list[Turns] = []
        for k in self.rng.sample(range(len(rows)), min(8, len(rows))):
            text = self.rng.choice(("When does it happen that {}?", "Which frame shows that {}?"))
            kept = [{"why": clauses[k], "frame": k + 1}]
            conversations.append(
                [([f"Question: {text.format(clauses[k])}"], compact({"core": kept}))]
            )
        return lesson(
            "selector", [prompt_parts.caption_lines(rows)], conversations, self.with_images
        )

    def matching(self) -> Lesson:
        """A drill for the reasoner: which option is what the caption says?"""
        conversations: list[Turns] = []
        clauses = self._clauses(4)
        rows = [
            prompt_parts.Shown(0, 2.0 * k, f"{self.rng.choice(SETTINGS)}: {c.removeprefix('the ')}")
            for k, c in enumerate(clauses[: self.rng.randint(1, 3)])
        ]
        for k in range(len(rows)):
            for _ in range(2):
                options = [clauses[k], *(c for c in self._clauses(4) if c not in clauses)][:4]
                self.rng.shuffle(options)
                letter = prompt_parts.LETTERS[options.index(clauses[k])]
                reply = compact({"answered": True, "answer": clauses[k], "choice": letter})
                parts = prompt_parts.direct_parts(f"What happens in frame {k + 1}?", options, [])
                conversations.append([(parts, reply)])
        shown = [p for p in prompt_parts.frame_parts(rows) if isinstance(p, str)]
        return lesson("reasoner", shown, conversations, self.with_images)

    def selecting(self) -> Lesson:
        """All captions of a story, and what each of several questions needs of them."""
        story = self.story()
        rows = []
        for k, p in enumerate(story.phases[:MOST_CAPTIONS]):
            caption = p.caption if self.rng.random() < 0.97 else slip(p.caption, self.rng)
            for _ in range(1 if self.rng.random() < 0.92 else 2):
                rows.append((k, self.rng.uniform(p.t0, p.t1), caption))
        rows.sort(key=lambda r: r[1])
        first = {k: n for n, (k, _, _) in reversed(list(enumerate(rows, 1)))}
        conversations: list[Turns] = []
        for q in self.questions(story, 9):
            why = dict(reversed(q.evidence))
            kept = [{"why": why[k], "frame": first[k]} for k in q.core if k in first]
            conversations.append([([f"Question: {q.text}"], compact({"core": kept}))])
        shown = prompt_parts.caption_lines([(t, c) for _, t, c in rows])
        return lesson("selector", [shown], conversations, self.with_images)

    def _shown(self, story: Story, phases: Sequence[int]) -> list[prompt_parts.Shown[int]]:
        shown = []
        for k in phases:
            number = self.frame(story, k)
            truth, caption = self.frames.truth[number], story.phases[k].caption
            if self.rng.random() < 0.04:
                caption = slip(caption, self.rng)
            boxes = visible_boxes(truth, self.rng)
            shown.append(prompt_parts.Shown(number, truth.time_s, caption, boxes))
        return shown

    def _phases(self, story: Story, q: Question) -> list[int]:
        """The core phases of one question and some more: mostly few, now and then all."""
        phases = set(q.core)
        rest = [k for k in range(len(story.phases)) if k not in phases]
        roll = self.rng.random()
        extra = 0 if roll < 0.4 else 1 if roll < 0.65 else 2 if roll < 0.85 else len(rest)
        return sorted(phases | set(self.rng.sample(rest, min(len(rest), extra, 12))))

    def _evidence(
        self, q: Question, phases: Sequence[int], shown: Sequence[prompt_parts.Shown[int]]
    ) -> str:
        steps = []
        for phase, text in q.evidence:
            n = phases.index(phase)
            truth = self.frames.truth[shown[n].image]
            items = [_item(o, truth, shown[n].boxes) for o in _named(text, truth.objects)]
            steps.append({"text": text, "frame": n + 1, "items": items})
        return compact({"steps": steps})

    def _reply(self, q: Question, options: Sequence[str], carried: bool) -> str:
        letter = prompt_parts.LETTERS[q.correct] if carried and options else None
        text = q.answer if carried else NOT_SHOWN
        return compact({"answered": carried, "answer": text, "choice": letter})

    def reasoning(self) -> Lesson:
        """Some frames of a story; questions they carry, and now and then one that they do not."""
        story, q0 = self.question()
        phases = self._phases(story, q0)
        shown = self._shown(story, phases)
        conversations: list[Turns] = []
        spare = 1
        for q in [q0, *self.questions(story, 42)]:
            carried = set(q.core) <= set(phases)
            if not carried:
                if spare == 0 or self.rng.random() < 0.85 or set(q.core) & set(phases):
                    continue
                spare = 0
            conversations.append(self._turns(q, phases, shown, carried))
            if len(conversations) == 6:
                break
        return lesson("reasoner", prompt_parts.frame_parts(shown), conversations, self.with_images)

    def _turns(
        self,
        q: Question,
        phases: Sequence[int],
        shown: Sequence[prompt_parts.Shown[int]],
        carried: bool,
    ) -> Turns:
        """Two stages for most, the direct answer for some."""
        options = q.options if self.rng.random() < 0.8 else ()
        reply = self._reply(q, options, carried)
        if self.rng.random() < DIRECT_SHARE:
            return [(prompt_parts.direct_parts(q.text, options, []), reply)]
        evidence = self._evidence(q, phases, shown) if carried else compact({"steps": []})
        return [
            (prompt_parts.evidence_parts(q.text, []), evidence),
            (prompt_parts.answer_parts(options), reply),
        ]

    def blind(self) -> Lesson:
        """No frames: the best guess, so that the blind ablation is an honest one."""
        conversations: list[Turns] = []
        for _ in range(4):
            _, q = self.question()
            parts = prompt_parts.direct_parts(q.text, q.options, [])
            conversations.append([(parts, self._reply(q, q.options, True))])
        return lesson("reasoner", [], conversations, self.with_images)

    def checking(self) -> Lesson:
        """Evidence that carries an answer, and evidence that does not."""
        conversations: list[Turns] = []
        for _ in range(3):
            story, q = self.question()
            steps = [(story.phases[p].t0, text) for p, text in q.evidence]
            answer, carried = q.answer, True
            roll = self.rng.random()
            if roll < 0.25:
                answer = self.rng.choice([o for o in q.options if o != q.answer])
                carried = False
            elif roll < 0.35:
                steps, carried = [], False
            elif roll < 0.5:
                other = self.story()
                steps = [(other.phases[e.phase].t0, e.text) for e in other.events[:2]]
                carried = False
            reply = compact({"carried": carried, "missing": "" if carried else NOT_CARRIED})
            conversations.append([(prompt_parts.check_parts(q.text, steps, answer), reply)])
        return lesson("checker", [], conversations, self.with_images)

    def pairing(self) -> Lesson:
        """What one of dataset mode's roles says of a group of captions."""
        return pairs.dataset_lesson(self.story(), self.story(), self.rng, self.with_images)

    def stream(self, shares: dict[str, float]) -> Iterator[Lesson]:
        """Endless lessons; `shares`: how much of each kind."""
        kinds: dict[str, Callable[[], Lesson]] = {
            "caption": self.captioning,
            "find": self.finding,
            "match": self.matching,
            "select": self.selecting,
            "reason": self.reasoning,
            "blind": self.blind,
            "check": self.checking,
            "pairs": self.pairing,
        }
        names = list(shares)
        weights = [shares[n] for n in names]
        while True:
            yield kinds[self.rng.choices(names, weights)[0]]()
