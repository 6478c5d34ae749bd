"""Is a question-answer pair true in a story of the theatre? Judged from the story itself.

Nothing here has seen a caption model's words or a teacher's rules: the pair is read in the
theatre's closed language (theatre_words.py) and held against the story's phases, events and causes.
A pair that cannot be read so is undecidable and counted as that, neither as true nor as false.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

from videoespresso.evaluation.theatre_words import OBJECTS, QUESTION_WORDS, Said, read
from videoespresso.synthetic.builder import MOODS, SETTINGS, WEATHERS, Event
from videoespresso.synthetic.scene import VEHICLES
from videoespresso.synthetic.stories import Story

Verdict = Literal["true", "false", "undecidable"]


class Truth(NamedTuple):
    """The verdict on a pair and why. shown: whether all that the pair says is seen at one of the
    core instants at least; None where no instants were given or nothing could be looked up."""

    verdict: Verdict
    reason: str
    shown: bool | None = None


class _UndecidableError(Exception):
    """The pair is not in the theatre's language."""


class _FalseError(Exception):
    """The pair says what is not so."""


def pair_truth(story: Story, question: str, answer: str, core_s: Sequence[float] = ()) -> Truth:
    """Whether a pair is true in a story: all that question and answer state holds in some phase,
    and order and cause agree. core_s: instants of the core frames, in seconds."""
    try:
        pair = _Pair.of(story, question, answer)
        reason = next((check(pair) for fits, check in _KINDS if fits.search(pair.plain)), "")
        if not reason:
            reason = _together(pair)
    except _FalseError as error:
        return Truth("false", str(error))
    except _UndecidableError as error:
        return Truth("undecidable", str(error))
    return Truth("true", reason, pair.shown(core_s))


def phases_of(story: Story, text: str) -> set[int] | None:
    """The phases in which all that a sentence says is so at once; None where it is not understood
    or says nothing that can be looked up."""
    told, left = read(text)
    odd = [x for x in re.findall(r"[a-z']+", left) if x not in QUESTION_WORDS]
    if odd or not any(said.act for said in told):
        return None
    pair = _Pair(story, "", (), tuple(told), "", "")
    runs = [{k for a, b in pair.runs(said) for k in range(a, b + 1)} for said in told]
    return set.intersection(*runs)


def at_film_frame(story: Story, time_s: float) -> float:
    """The instant that was drawn for a frame: film frames stand at whole multiples of 1/fps."""
    return round(time_s * story.fps) / story.fps


@dataclass(frozen=True)
class _Pair:
    """A pair in the theatre's language. asked, told: what question and answer say; left: the
    answer's words that are not understood; plain: the question, casefolded."""

    story: Story
    plain: str
    asked: tuple[Said, ...]
    told: tuple[Said, ...]
    question_left: str
    left: str

    @classmethod
    def of(cls, story: Story, question: str, answer: str) -> "_Pair":
        asked, question_left = read(question)
        told, left = read(answer)
        plain = " ".join(question.casefold().split())
        felt = next((s.who for s in asked if s.who and not s.act), "")
        if not told and felt and left.strip(" .!") in MOODS:
            told, left = [Said(felt, f"is {left.strip(' .!')}", 0, 0)], ""
        pair = cls(story, plain, tuple(asked), tuple(told), question_left, left.strip(" .!"))
        strange = [x for x in re.findall(r"[a-z']+", question_left) if x not in QUESTION_WORDS]
        if strange:
            raise _UndecidableError(f"the question's {strange[0]!r} is not the theatre's")
        stranger = re.search(r"\bthe ([a-z]+) \*", left)
        if stranger and stranger[1] not in QUESTION_WORDS:
            raise _FalseError(f"nobody in the theatre is a {stranger[1]}")
        odd = [x for x in re.findall(r"[a-z']+", pair.left) if x not in QUESTION_WORDS]
        if odd:
            raise _UndecidableError(f"the answer's {odd[0]!r} is not the theatre's")
        for said in (*asked, *told):
            pair.check(said)
        return pair

    def check(self, said: Said) -> None:
        """Raises unless somebody does this in the story (or is there, where nothing is done)."""
        if not self.runs(said):
            raise _FalseError(f"{said.who or 'nobody'} {said.act or 'is not there'}".strip())

    def runs(self, said: Said) -> list[tuple[int, int]]:
        """(first, last) phase of each stretch in which it is so."""
        if said.who == "it":
            return [(e.phase, e.phase) for e in self.story.events if e.key == "rain"]
        holds = [
            any(is_called(a.phrase, said.who) and _does(a, said.act) for a in p.actors)
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
            for x, _ in self.runs(a)
            for y, _ in self.runs(b)
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
            raise _UndecidableError("the answer states nothing")
        said = self.told[0]
        if said.act and said.who:
            return said
        main = next((s for s in self.asked if bool(s.who) != bool(said.who)), None)
        if main is None:
            raise _UndecidableError("the answer is not a whole statement")
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


def _does(actor: object, act: str) -> bool:
    clause, phrase = str(getattr(actor, "clause", "")), str(getattr(actor, "phrase", ""))
    done = clause.removeprefix(phrase).strip()
    return not act or act in done.split(" and ") or act == done


def _together(pair: _Pair) -> str:
    """No order and no cause is said: everything is to be so at once."""
    said = [s for s in (*pair.asked, *pair.told) if s.act]
    if not said or not pair.told:
        raise _UndecidableError("nothing can be looked up")
    if re.search(r"\b(?:before|after|then|first|last|until)\b", f"{pair.plain} {pair.left}"):
        raise _UndecidableError("an order is said in words that are not understood")
    whole = [pair.answer()] if len(pair.told) == 1 else [s for s in pair.told if s.act]
    every = [s for s in pair.asked if s.who and s.act] + whole
    for k in range(len(pair.story.phases)):
        if all(any(x <= k <= y for x, y in pair.runs(s)) for s in every):
            return "at once"
    raise _FalseError("not at the same time")


def _order(pair: _Pair) -> str:
    """The answer's statements one after the other, and just those that the question names."""
    told = [s for s in pair.told if s.act]
    named = {(s.who, s.act) for s in pair.asked if s.who and s.act}
    if len(told) < 2:
        return _names(pair)
    if len(named) > 1 and named != {(s.who, s.act) for s in told}:
        raise _FalseError("not the events that the question names")
    if (
        pair.asked
        and len(named) == 0
        and any(not is_called(s.who, pair.asked[0].who) for s in told)
    ):
        raise _FalseError("not of whom the question asks")
    for a, b in pairwise(told):
        if not pair.before(a, b):
            raise _FalseError(f"{b.who} {b.act} does not come after {a.who} {a.act}")
    return "in that order"


def _names(pair: _Pair) -> str:
    """Names in the order in which they come: vehicles."""
    if len(pair.told) < 2 or any(s.act or not s.who for s in pair.told):
        raise _UndecidableError("the answer names no order")
    for a, b in pairwise(pair.told):
        if not pair.runs(a)[0][0] < pair.runs(b)[0][0]:
            raise _FalseError(f"{b.who} does not come after {a.who}")
    return "they come in that order"


def _sequence(pair: _Pair) -> str:
    """What comes before or after what the question names."""
    cut = _TIED.search(pair.plain)
    assert cut is not None  # the kind was chosen by these words
    named = [s for s in pair.asked if s.start >= cut.end() and s.who and s.act]
    if not named:
        raise _UndecidableError("before or after what is not understood")
    said, other = pair.answer(), named[0]
    first, second = (said, other) if cut[2] in ("before", "ahead of") else (other, said)
    near = bool(cut[1]) or re.search(r"\bnext\b", pair.plain) is not None
    if not pair.before(first, second, near=near):
        raise _FalseError(f"{second.who} {second.act} does not come after {first.who} {first.act}")
    return f"it comes {cut[0]}"


def _edge(pair: _Pair) -> str:
    """The first or the last that happens; of vehicles, that comes."""
    said = pair.told[0] if pair.told else None
    if said is None or not said.who:
        raise _UndecidableError("the answer names nobody")
    last = re.search(r"\b(?:ends?|last)\b", pair.plain) is not None
    if said.act:
        mine = [e.phase for e in pair.events(said)]
        every = [e.phase for e in pair.story.events if _cooked(e) or "cook" not in pair.plain]
    else:
        came = {a.phrase: k for k, p in reversed([*enumerate(pair.story.phases)]) for a in p.actors
                if a.kind in VEHICLES}  # fmt: skip
        mine = [k for phrase, k in came.items() if _is(phrase, said.who)]
        every = list(came.values())
    if not mine or not every:
        raise _UndecidableError("it is no event of the story")
    if (max(mine) == max(every)) if last else (min(mine) == min(every)):
        return "it is the last" if last else "it is the first"
    raise _FalseError("something else comes last" if last else "something else comes first")


def _cooked(e: Event) -> bool:
    return e.episode == "cooking"


def _between(pair: _Pair) -> str:
    named = [s for s in pair.asked if s.who and s.act]
    if len(named) != 2:
        raise _UndecidableError("between what is not understood")
    said = pair.answer()
    if not (pair.before(named[0], said) and pair.before(said, named[1])):
        raise _FalseError("it is not between the two")
    return "it is between the two"


def _cause(pair: _Pair) -> str:
    """The answer is what the story says brought about what the question names."""
    named = [s for s in pair.asked if s.who and s.act]
    if not named:
        raise _UndecidableError("the effect is not understood")
    return _caused(pair, pair.answer(), named[0])


def _effect(pair: _Pair) -> str:
    named = [s for s in pair.asked if s.who and s.act]
    if not named:
        raise _UndecidableError("the cause is not understood")
    return _caused(pair, named[0], pair.answer())


def _caused(pair: _Pair, cause: Said, effect: Said) -> str:
    causes, effects = pair.events(cause), pair.events(effect)
    if not effects:
        raise _UndecidableError("the story does not say what brings it about")
    for e in effects:
        at = e
        while at.cause is not None:
            at = pair.story.events[at.cause]
            if at in causes:
                return "the story says so"
            if "direct" in pair.plain:
                break
    raise _FalseError(f"{effect.who} {effect.act} is not because {cause.who} {cause.act}")


def _change(pair: _Pair) -> str:
    """From one weather or place to another, or a thing's two states."""
    if len([s for s in pair.told if s.act]) > 1:
        return _order(pair)
    weather = re.findall(rf"\b({'|'.join(WEATHERS)})\b", pair.left)
    place = re.findall(rf"\b({'|'.join(SETTINGS)})\b", pair.left)
    turns = list(pairwise(pair.story.phases))
    if len(weather) == 2:
        if any(
            (a.weather, b.weather) == tuple(weather) and a.setting == b.setting for a, b in turns
        ):
            return "the weather changes so"
        raise _FalseError(f"the weather does not change from {weather[0]} to {weather[1]}")
    if len(place) == 2:
        if any((a.setting, b.setting) == tuple(place) for a, b in turns):
            return "the place changes so"
        raise _FalseError(f"the place does not change from {place[0]} to {place[1]}")
    raise _UndecidableError("what changes is not understood")


def _ingredients(pair: _Pair) -> str:
    """All things named are cooked by whom the question names, and before or after what it says."""
    items = re.findall(rf"\b({OBJECTS})s?\b", pair.left)
    cook = next((s.who for s in pair.asked if s.who), "")
    if not items:
        raise _UndecidableError("no ingredient is named")
    own = [e for e in pair.story.events if is_called(e.subject, cook) and e.episode == "cooking"]
    used = [e for e in own if not e.act.startswith("serves")]
    serves = [s for s in pair.asked if s.act.startswith("serves")]
    if missing := [i for i in items if i not in [e.obj for e in used]]:
        raise _FalseError(f"{cook} does not prepare the {missing[0]}")
    after = re.search(rf"right after (?:the )?({OBJECTS})", pair.question_left)
    if after and not any((a.obj, b.obj) == (after[1], items[0]) for a, b in pairwise(used)):
        raise _FalseError(f"the {items[0]} does not come right after the {after[1]}")
    if serves and not all(
        any(e.phase < x for x, _ in pair.runs(serves[0])) for e in used if e.obj in items
    ):
        raise _FalseError("not before it is served")
    return "these are prepared"


def _thread(pair: _Pair) -> str:
    """A thing that two of the question's people have to do with."""
    things = re.findall(rf"\b({OBJECTS})\b", pair.left)
    people = list(dict.fromkeys(s.who for s in pair.asked if s.who))
    if len(things) != 1 or len(people) != 2:
        raise _UndecidableError("which thing links whom is not understood")
    for who in people:
        acts = [e.act for e in pair.story.events if is_called(e.subject, who)]
        if not any(re.search(rf"\b{things[0]}\b", act) for act in acts):
            raise _FalseError(f"{who} has nothing to do with the {things[0]}")
    return "both have to do with it"


_TIED = re.compile(r"\b(right |just |immediately |directly )?(before|after|once|ahead of)\b")
_KINDS: tuple[tuple[re.Pattern[str], Callable[[_Pair], str]], ...] = (
    (re.compile(r"\bingredients?\b"), _ingredients),
    (re.compile(r"^which (?:thing|object)\b.*\b(?:links|both|common)\b"), _thread),
    (re.compile(r"\border\b|after the other|follow each other|\bsequence\b"), _order),
    (re.compile(r"\bchanges?\b"), _change),
    (
        re.compile(r"^why\b|\breason\b|what (?:makes|causes|turns|sets off)|under which influence"),
        _cause,
    ),
    (
        re.compile(
            r"leads? to|leads? directly to|\bresult\b|consequence|happens because|\binfluence"
        ),
        _effect,
    ),
    (re.compile(r"\bbetween\b"), _between),
    (re.compile(r"\b(?:before|after|once|ahead of)\b"), _sequence),
    (re.compile(r"\b(?:begins?|starts?|ends?|first|last)\b"), _edge),
)
