"""A question and its answer, read in the theatre's language and looked up in a story."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from videoespresso.theatre.builder import MOODS, Event
from videoespresso.theatre.scene import Actor
from videoespresso.theatre.stories import Story
from videoespresso.theatre.truth.language import QUESTION_WORDS, Statement, is_called, read


class UndecidableError(Exception):
    """The pair is not in the theatre's language."""


class UntrueError(Exception):
    """The pair says what is not so."""


@dataclass(frozen=True)
class Pair:
    """A pair in the theatre's language. in_question, in_answer: their statements;
    left: the
    answer's words that are not understood; plain: the question, casefolded."""

    story: Story
    plain: str
    in_question: tuple[Statement, ...]
    in_answer: tuple[Statement, ...]
    question_left: str
    left: str

    @classmethod
    def of(cls, story: Story, question: str, answer: str) -> "Pair":
        in_question, question_left = read(question)
        in_answer, left = read(answer)
        plain = " ".join(question.casefold().split())
        felt = next((s.who for s in in_question if s.who and not s.act), "")
        if not in_answer and felt and left.strip(" .!") in MOODS:
            in_answer, left = [Statement(felt, f"is {left.strip(' .!')}", 0, 0)], ""
        pair = cls(
            story, plain, tuple(in_question), tuple(in_answer), question_left, left.strip(" .!")
        )
        strange = [x for x in re.findall(r"[a-z']+", question_left) if x not in QUESTION_WORDS]
        if strange:
            raise UndecidableError(f"the question's {strange[0]!r} is not the theatre's")
        stranger = re.search(r"\bthe ([a-z]+)\s+\*", left)
        if stranger and stranger[1] not in QUESTION_WORDS:
            raise UntrueError(f"nobody in the theatre is a {stranger[1]}")
        odd = [x for x in re.findall(r"[a-z']+", pair.left) if x not in QUESTION_WORDS]
        if odd:
            raise UndecidableError(f"the answer's {odd[0]!r} is not the theatre's")
        for statement in (*in_question, *in_answer):
            pair.check(statement)
        return pair

    def check(self, statement: Statement) -> None:
        """Raises unless somebody does this in the story (or is there, where nothing is done)."""
        if not self.runs(statement):
            raise UntrueError(
                f"{statement.who or 'nobody'} {statement.act or 'is not there'}".strip()
            )

    def runs(self, statement: Statement) -> list[tuple[int, int]]:
        """(first, last) phase of each stretch in which it is so."""
        if statement.who == "it":
            return [(e.phase, e.phase) for e in self.story.events if e.key == "rain"]
        holds = [
            any(is_called(a.phrase, statement.who) and does(a, statement.act) for a in p.actors)
            for p in self.story.phases
        ]
        starts = [k for k, h in enumerate(holds) if h and not (k and holds[k - 1])]
        ends = [k for k, h in enumerate(holds) if h and not (k + 1 < len(holds) and holds[k + 1])]
        return list(zip(starts, ends, strict=True))

    def before(self, a: Statement, b: Statement, *, near: bool = False) -> bool:
        """Whether a begins before b; near: with no event of the story between the two."""
        events = {e.phase for e in self.story.events}
        return any(
            x < y and not (near and any(x < e < y for e in events))
            for x in self.starts(a)
            for y in self.starts(b)
        )

    def starts(self, statement: Statement) -> list[int]:
        """Phases in which it begins: its events, where the story tells of it as one; what is seen
        again after a cut to elsewhere does not begin again."""
        return [e.phase for e in self.events(statement)] or [x for x, _ in self.runs(statement)]

    def felt_between(self, first: Statement, second: Statement) -> bool:
        """Whether somebody has another mood between something and the mood stated."""
        moods = {e.phase for e in self.story.events if e.mood and is_called(e.subject, second.who)}
        return not any(
            x < y and not any(x < m < y for m in moods)
            for x in self.starts(first)
            for y in self.starts(second)
        )

    def events(self, statement: Statement) -> list[Event]:
        """The story's events that a statement is about."""
        if statement.who == "it":
            return [e for e in self.story.events if e.key == "rain"]
        return [
            e
            for e in self.story.events
            if is_called(e.subject, statement.who)
            and (e.act == statement.act or f"is {e.mood}" == statement.act)
        ]

    def shown(self, core_s: Sequence[float]) -> bool | None:
        """Whether each statement is so at one of the core instants."""
        statement = [s for s in (*self.in_question, *self.in_answer) if s.act]
        if not core_s or not statement:
            return None
        seen = {self.story.phase_at(t) for t in core_s}
        return all(any(x <= k <= y for x, y in self.runs(s) for k in seen) for s in statement)

    def answer(self, question: str = "") -> Statement:
        """The answer's one statement, completed from the question where it is a name or a mood."""
        if not self.in_answer:
            raise UndecidableError("the answer states nothing")
        statement = self.in_answer[0]
        if statement.act and statement.who:
            return statement
        main = next((s for s in self.in_question if bool(s.who) != bool(statement.who)), None)
        if main is None:
            raise UndecidableError("the answer is not a whole statement")
        whole = Statement(statement.who or main.who, statement.act or main.act, 0, 0)
        self.check(whole)
        return whole


def does(actor: Actor, act: str) -> bool:
    """Whether somebody does this, or nothing is said of what they do."""
    done = actor.clause.removeprefix(actor.phrase).strip()
    return not act or act in done.split(" and ") or act == done


def drawn_at(story: Story, time_s: float) -> float:
    """The instant that was drawn for a frame at `time_s`, in seconds: the film's frames stand at
    whole multiples of 1/fps."""
    return round(time_s * story.fps) / story.fps


def caption_at(story: Story, time_s: float) -> str:
    """The true caption of the frame at `time_s` seconds."""
    return story.phases[story.phase_at(drawn_at(story, time_s))].caption


def phases_of(story: Story, sentence: str) -> set[int] | None:
    """The phases in which all that a sentence says is so at once; None where it is not understood
    or says nothing that can be looked up."""
    statements, left = read(sentence)
    odd = [x for x in re.findall(r"[a-z']+", left) if x not in QUESTION_WORDS]
    if odd or not any(s.act for s in statements):
        return None
    pair = Pair(story, "", (), tuple(statements), "", "")
    runs = [{k for a, b in pair.runs(s) for k in range(a, b + 1)} for s in statements]
    return set.intersection(*runs)


def part_of(story: Story, instants: Sequence[float]) -> Story:
    """The story as frames at these instants (seconds) show it: the phases seen and their events."""
    seen = sorted({story.phase_at(drawn_at(story, t)) for t in instants})
    place = {old: new for new, old in enumerate(seen)}
    kept = [e for e in story.events if e.phase in place]
    number = {e.index: k for k, e in enumerate(kept)}
    events = [
        replace(
            e,
            index=number[e.index],
            phase=place[e.phase],
            cause=None if e.cause is None else number.get(e.cause),
        )
        for e in kept
    ]
    return replace(story, phases=tuple(story.phases[k] for k in seen), events=tuple(events))
