"""A question and its answer, read in the theatre's language and looked up in a story."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lab.measure.theatre_words import QUESTION_WORDS, Said, read
from videoespresso.theatre.builder import MOODS, Event
from videoespresso.theatre.scene import Actor
from videoespresso.theatre.stories import Story


class UndecidableError(Exception):
    """The pair is not in the theatre's language."""


class UntrueError(Exception):
    """The pair says what is not so."""


@dataclass(frozen=True)
class Pair:
    """A pair in the theatre's language. asked, told: what question and answer say; left: the
    answer's words that are not understood; plain: the question, casefolded."""

    story: Story
    plain: str
    asked: tuple[Said, ...]
    told: tuple[Said, ...]
    question_left: str
    left: str

    @classmethod
    def of(cls, story: Story, question: str, answer: str) -> "Pair":
        asked, question_left = read(question)
        told, left = read(answer)
        plain = " ".join(question.casefold().split())
        felt = next((s.who for s in asked if s.who and not s.act), "")
        if not told and felt and left.strip(" .!") in MOODS:
            told, left = [Said(felt, f"is {left.strip(' .!')}", 0, 0)], ""
        pair = cls(story, plain, tuple(asked), tuple(told), question_left, left.strip(" .!"))
        strange = [x for x in re.findall(r"[a-z']+", question_left) if x not in QUESTION_WORDS]
        if strange:
            raise UndecidableError(f"the question's {strange[0]!r} is not the theatre's")
        stranger = re.search(r"\bthe ([a-z]+)\s+\*", left)
        if stranger and stranger[1] not in QUESTION_WORDS:
            raise UntrueError(f"nobody in the theatre is a {stranger[1]}")
        odd = [x for x in re.findall(r"[a-z']+", pair.left) if x not in QUESTION_WORDS]
        if odd:
            raise UndecidableError(f"the answer's {odd[0]!r} is not the theatre's")
        for said in (*asked, *told):
            pair.check(said)
        return pair

    def check(self, said: Said) -> None:
        """Raises unless somebody does this in the story (or is there, where nothing is done)."""
        if not self.runs(said):
            raise UntrueError(f"{said.who or 'nobody'} {said.act or 'is not there'}".strip())

    def runs(self, said: Said) -> list[tuple[int, int]]:
        """(first, last) phase of each stretch in which it is so."""
        if said.who == "it":
            return [(e.phase, e.phase) for e in self.story.events if e.key == "rain"]
        holds = [
            any(is_called(a.phrase, said.who) and does(a, said.act) for a in p.actors)
            for p in self.story.phases
        ]
        starts = [k for k, h in enumerate(holds) if h and not (k and holds[k - 1])]
        ends = [k for k, h in enumerate(holds) if h and not (k + 1 < len(holds) and holds[k + 1])]
        return list(zip(starts, ends, strict=True))

    def before(self, a: Said, b: Said, *, near: bool = False) -> bool:
        """Whether a begins before b; near: with no event of the story between the two."""
        events = {e.phase for e in self.story.events}
        return any(
            x < y and not (near and any(x < e < y for e in events))
            for x in self.starts(a)
            for y in self.starts(b)
        )

    def starts(self, said: Said) -> list[int]:
        """Phases in which it begins: its events, where the story tells of it as one; what is seen
        again after a cut to elsewhere does not begin again."""
        return [e.phase for e in self.events(said)] or [x for x, _ in self.runs(said)]

    def felt_between(self, first: Said, second: Said) -> bool:
        """Whether somebody has another mood between something and the mood that is told."""
        moods = {e.phase for e in self.story.events if e.mood and is_called(e.subject, second.who)}
        return not any(
            x < y and not any(x < m < y for m in moods)
            for x in self.starts(first)
            for y in self.starts(second)
        )

    def events(self, said: Said) -> list[Event]:
        """The story's events that a statement tells of."""
        if said.who == "it":
            return [e for e in self.story.events if e.key == "rain"]
        return [
            e
            for e in self.story.events
            if is_called(e.subject, said.who) and (e.act == said.act or f"is {e.mood}" == said.act)
        ]

    def shown(self, core_s: Sequence[float]) -> bool | None:
        """Whether each statement is so at one of the core instants."""
        said = [s for s in (*self.asked, *self.told) if s.act]
        if not core_s or not said:
            return None
        seen = {self.story.phase_at(t) for t in core_s}
        return all(any(x <= k <= y for x, y in self.runs(s) for k in seen) for s in said)

    def answer(self, question: str = "") -> Said:
        """The answer's one statement, completed from the question where it is a name or a mood."""
        if not self.told:
            raise UndecidableError("the answer states nothing")
        said = self.told[0]
        if said.act and said.who:
            return said
        main = next((s for s in self.asked if bool(s.who) != bool(said.who)), None)
        if main is None:
            raise UndecidableError("the answer is not a whole statement")
        whole = Said(said.who or main.who, said.act or main.act, 0, 0)
        self.check(whole)
        return whole


def is_called(phrase: str, who: str) -> bool:
    """Whether somebody can be called that: the red car is "red car" and "car"."""
    return (
        not who
        or phrase == who
        or phrase.startswith(f"{who} ")
        or (" " not in who and who in phrase.split(" with ")[0].split(" in ")[0].split())
    )


def does(actor: Actor, act: str) -> bool:
    """Whether somebody does this, or nothing is said of what they do."""
    done = actor.clause.removeprefix(actor.phrase).strip()
    return not act or act in done.split(" and ") or act == done
