"""Training conversations from the theatre's records: what each role sees and what it should say.

Those of records are made by the code that `train` and `dataset export` use, so the pack learns what
is asked of every model; here is what else it needs: poor captions and boxes, questions that the
frames do not carry, drills.
"""

import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from lab.pack import pairs
from lab.pack.conversation import Lesson, lesson, talk
from lab.pack.frames import FrameSet, FrameTruth, story_of
from videoespresso.agents import prompt_parts
from videoespresso.dataset.formats import conversations
from videoespresso.dataset.formats.conversations import Conversation, compact
from videoespresso.dataset_record import DatasetItem, FrameBox, GroupCaption, KeyFrame
from videoespresso.theatre import SceneObject, Story
from videoespresso.theatre.sets import sentence
from videoespresso.theatre.stories import MOODS, SETTINGS, SHIRTS

NOT_SHOWN = "the frames do not show this"
NOT_CARRIED = "the answer is not in the evidence"
MOST_CAPTIONS = 20
DIRECT_SHARE = 0.15
"""Share of one-stage answers, so that the ablation without evidence is one it was taught."""
Seen = tuple[KeyFrame, list[SceneObject]]
"""A frame by its number, as a run shows it, and what a detector found there."""


def detected(truth: FrameTruth, rng: random.Random) -> list[SceneObject]:
    """What a good detector finds: a little off, now and then one missing."""
    found = []
    for o in truth.objects:
        if rng.random() < 0.04:
            continue
        x0, y0, x1, y1 = (min(1.0, max(0.0, v + rng.gauss(0, 0.006))) for v in o.xyxy)
        found.append(replace(o, xyxy=(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))))
    return found


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
    """Draws lessons from the records of stories."""

    def __init__(self, frames: FrameSet, seed: int, *, with_images: bool) -> None:
        self.frames = frames
        self.rng = random.Random(seed)
        self.with_images = with_images
        self._seeds = list(frames.items)
        self._by_task: dict[str, list[DatasetItem]] = defaultdict(list)
        for item in itertools.chain.from_iterable(frames.items.values()):
            self._by_task[str(item.task)].append(item)

    def story(self) -> Story:
        return story_of(self.rng.choice(self._seeds))

    def question(self) -> DatasetItem:
        """A task at random, then a record of it."""
        return self.rng.choice(self._by_task[self.rng.choice(list(self._by_task))])

    def _of(self, seed: int) -> list[DatasetItem]:
        """A story's records in any order."""
        items = self.frames.items[seed]
        return self.rng.sample(items, len(items))

    def _phase(self, frame: KeyFrame) -> int:
        return self.frames.truth[self.frames.numbers[frame.image]].phase

    def captioning(self) -> Lesson:
        k = self.rng.randrange(len(self.frames.truth))
        frame = KeyFrame(image=str(k), captioned=self.frames.truth[k].caption)
        shown = self.question().model_copy(update={"core_frames": (frame,)})
        return lesson(list(conversations.caption_conversations(shown)), self.with_images)

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
        taught = []
        for k in self.rng.sample(range(len(rows)), min(8, len(rows))):
            text = self.rng.choice(("When does it happen that {}?", "Which frame shows that {}?"))
            kept = [{"why": clauses[k], "frame": k + 1}]
            asked = prompt_parts.select_parts(text.format(clauses[k]), rows)
            taught.append(talk("selector", (asked, compact({"core": kept}))))
        return lesson(taught, self.with_images)

    def matching(self) -> Lesson:
        """A drill for the reasoner: which option is what the caption says?"""
        taught = []
        clauses = self._clauses(4)
        rows = [
            prompt_parts.Shown(
                "", 2.0 * k, f"{self.rng.choice(SETTINGS)}: {c.removeprefix('the ')}"
            )
            for k, c in enumerate(clauses[: self.rng.randint(1, 3)])
        ]
        for k in range(len(rows)):
            for _ in range(2):
                options = [clauses[k], *(c for c in self._clauses(4) if c not in clauses)][:4]
                self.rng.shuffle(options)
                letter = prompt_parts.LETTERS[options.index(clauses[k])]
                reply = compact({"answered": True, "answer": clauses[k], "choice": letter})
                asked = prompt_parts.direct_parts(f"What happens in frame {k + 1}?", options, rows)
                taught.append(talk("reasoner", (asked, reply)))  # a picture of theirs is ""
        return lesson(taught, self.with_images)

    def selecting(self) -> Lesson:
        """All captions of a story, and what each of several questions needs of them."""
        seed = self.rng.choice(self._seeds)
        rows = []
        for k, p in enumerate(story_of(seed).phases[:MOST_CAPTIONS]):
            caption = p.caption if self.rng.random() < 0.97 else slip(p.caption, self.rng)
            for _ in range(1 if self.rng.random() < 0.92 else 2):
                t = self.rng.uniform(p.t0, p.t1)
                rows.append(GroupCaption(text=caption, frame_id=str(k), time_s=t))
        rows.sort(key=lambda row: row.time_s or 0.0)
        taught = []
        for item in self._of(seed)[:9]:
            phases = [(self._phase(f), f.caption) for f in item.core_frames]
            kept = [
                KeyFrame(frame_id=str(k), caption=why) for k, why in phases if k < MOST_CAPTIONS
            ]
            if kept and len(rows) > 1:
                made = item.model_copy(update={"captions": tuple(rows), "core_frames": tuple(kept)})
                taught.append(conversations.select_conversation(made, "json"))
        return lesson(taught, self.with_images) if taught else self.selecting()

    def _seen(self, seed: int, phases: Sequence[int]) -> list[Seen]:
        """A frame of each phase."""
        seen = []
        for k in phases:
            number = self.rng.choice(self.frames.by_phase[seed, k])
            truth = self.frames.truth[number]
            caption = truth.caption
            if self.rng.random() < 0.04:
                caption = slip(caption, self.rng)
            found = detected(truth, self.rng)
            boxes = tuple(FrameBox(xyxy=o.xyxy, score=1.0, label=o.label) for o in found)
            frame = KeyFrame(image=str(number), time_s=truth.time_s, captioned=caption, boxes=boxes)
            seen.append((frame, found))
        return seen

    def _phases(self, item: DatasetItem) -> list[int]:
        """The core phases of one question and some more: mostly few, now and then all."""
        phases = {self._phase(f) for f in item.core_frames}
        drawn = range(len(story_of(item.seed or 0).phases))
        rest = [k for k in drawn if k not in phases and (item.seed, k) in self.frames.by_phase]
        roll = self.rng.random()
        extra = 0 if roll < 0.4 else 1 if roll < 0.65 else 2 if roll < 0.85 else len(rest)
        return sorted(phases | set(self.rng.sample(rest, min(len(rest), extra, 12))))

    def reasoning(self) -> Lesson:
        """Some frames of a story; questions they carry, and now and then one that they do not."""
        first = self.question()
        seed, phases = first.seed or 0, self._phases(first)
        seen = self._seen(seed, phases)
        taught: list[Conversation] = []
        spare = 1
        for item in [first, *(i for i in self._of(seed) if i is not first)]:
            core = {self._phase(f) for f in item.core_frames}
            carried = core <= set(phases)
            if not carried:
                if spare == 0 or self.rng.random() < 0.85 or core & set(phases):
                    continue
                spare = 0
            taught.append(self._asked(item, phases, seen, carried))
            if len(taught) == 6:
                break
        return lesson(taught, self.with_images)

    def _asked(
        self, item: DatasetItem, phases: Sequence[int], seen: Sequence[Seen], carried: bool
    ) -> Conversation:
        """A record on these frames: in two stages for most, the direct answer for some."""
        frames = [item.core_frames[s.frame or 0] for s in item.evidence]
        places = [phases.index(self._phase(f)) for f in frames] if carried else []
        steps = (
            sentence(s.text, n, seen[n][1]) for s, n in zip(item.evidence, places, strict=False)
        )
        changed: dict[str, object] = {
            "core_frames": tuple(f for f, _ in seen),
            "evidence": tuple(steps),
        }
        if self.rng.random() >= 0.8:
            changed |= {"options": (), "letter": None}
        made = item.model_copy(update=changed)
        shown = [conversations.shown(made, n, "json") for n in range(len(seen))]
        if self.rng.random() < DIRECT_SHARE:
            asked = prompt_parts.direct_parts(made.question, made.options, shown)
            return talk("reasoner", (asked, _reply(made, carried)))
        if carried:
            return conversations.answer_conversation(made, "json", "frames")
        evidence = prompt_parts.evidence_parts(made.question, shown), compact({"steps": []})
        answer = prompt_parts.answer_parts(made.options), _reply(made, carried)
        return talk("reasoner", evidence, answer)

    def blind(self) -> Lesson:
        """No frames: the best guess, so that the blind ablation is an honest one."""
        taught = []
        for item in (self.question() for _ in range(4)):
            asked = prompt_parts.direct_parts(item.question, item.options, [])
            taught.append(talk("reasoner", (asked, _reply(item, True))))
        return lesson(taught, self.with_images)

    def checking(self) -> Lesson:
        """Evidence that carries an answer, and evidence that does not."""
        taught = []
        for item in (self.question() for _ in range(3)):
            steps = [(item.core_frames[s.frame or 0].time_s or 0.0, s.text) for s in item.evidence]
            answer, carried = item.answer, True
            roll = self.rng.random()
            if roll < 0.25:
                answer = self.rng.choice([o for o in item.options if o != item.answer])
                carried = False
            elif roll < 0.35:
                steps, carried = [], False
            elif roll < 0.5:
                other = self.story()
                steps = [(other.phases[e.phase].t0, e.text) for e in other.events[:2]]
                carried = False
            reply = compact({"carried": carried, "missing": "" if carried else NOT_CARRIED})
            asked = prompt_parts.check_parts(item.question, steps, answer)
            taught.append(talk("checker", (asked, reply)))
        return lesson(taught, self.with_images)

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


def _reply(item: DatasetItem, carried: bool) -> str:
    text, choice = (item.answer, item.letter) if carried else (NOT_SHOWN, None)
    return compact({"answered": carried, "answer": text, "choice": choice})
