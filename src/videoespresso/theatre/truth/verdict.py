"""Is a question-answer pair true in a story of the theatre? Judged from the story itself.

Nothing here has seen a caption model's words or a teacher's rules: the pair is read in the
theatre's closed language (theatre_words.py) and held against the story's phases, events and causes.
A pair that cannot be read so is undecidable and counted as that, neither as true nor as false.
"""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from videoespresso.theatre.builder import MOODS, SETTINGS, WEATHERS, Event
from videoespresso.theatre.scene import VEHICLES
from videoespresso.theatre.stories import Story
from videoespresso.theatre.truth.language import OBJECTS, Statement, is_called
from videoespresso.theatre.truth.pair import Pair, UndecidableError, UntrueError

Verdict = Literal["true", "false", "undecidable"]


class Truth(NamedTuple):
    """The verdict on a pair and why. shown: whether all that the pair says is seen at one of the
    core instants at least; None where no instants were given or nothing could be looked up."""

    verdict: Verdict
    reason: str
    shown: bool | None = None


def pair_truth(story: Story, question: str, answer: str, core_s: Sequence[float] = ()) -> Truth:
    """Whether a pair is true in a story: all that question and answer state holds in some phase,
    and order and cause agree. core_s: instants of the core frames, in seconds."""
    try:
        pair = Pair.of(story, question, answer)
        reason = next((check(pair) for fits, check in _KINDS if fits.search(pair.plain)), "")
        if not reason:
            reason = _together(pair)
    except UntrueError as error:
        return Truth("false", str(error))
    except UndecidableError as error:
        return Truth("undecidable", str(error))
    return Truth("true", reason, pair.shown(core_s))


def _together(pair: Pair) -> str:
    """No order and no cause is said: everything is to be so at once."""
    statement = [s for s in (*pair.in_question, *pair.in_answer) if s.act]
    if not statement or not pair.in_answer:
        raise UndecidableError("nothing can be looked up")
    if re.search(r"\b(?:before|after|then|first|last|until)\b", f"{pair.plain} {pair.left}"):
        raise UndecidableError("an order is said in words that are not understood")
    whole = [pair.answer()] if len(pair.in_answer) == 1 else [s for s in pair.in_answer if s.act]
    every = [s for s in pair.in_question if s.who and s.act] + whole
    for k in range(len(pair.story.phases)):
        if all(any(x <= k <= y for x, y in pair.runs(s)) for s in every):
            return "at once"
    raise UntrueError("not at the same time")


def _order(pair: Pair) -> str:
    """The answer's statements one after the other, and just those that the question names."""
    steps = [s for s in pair.in_answer if s.act]
    named = {(s.who, s.act) for s in pair.in_question if s.who and s.act}
    if len(steps) < 2:
        return _names(pair)
    if len(named) > 1 and named != {(s.who, s.act) for s in steps}:
        raise UntrueError("not the events that the question names")
    if (
        pair.in_question
        and len(named) == 0
        and any(not is_called(s.who, pair.in_question[0].who) for s in steps)
    ):
        raise UntrueError("not of whom the question asks")
    for a, b in pairwise(steps):
        if not pair.before(a, b):
            raise UntrueError(f"{b.who} {b.act} does not come after {a.who} {a.act}")
    return "in that order"


def _names(pair: Pair) -> str:
    """Names in the order in which they come: vehicles."""
    if len(pair.in_answer) < 2 or any(s.act or not s.who for s in pair.in_answer):
        raise UndecidableError("the answer names no order")
    for a, b in pairwise(pair.in_answer):
        if not pair.runs(a)[0][0] < pair.runs(b)[0][0]:
            raise UntrueError(f"{b.who} does not come after {a.who}")
    return "they come in that order"


def _sequence(pair: Pair) -> str:
    """What comes before or after what the question names."""
    cut = _TIED.search(pair.plain)
    assert cut is not None  # the kind was chosen by these words
    named = [s for s in pair.in_question if s.start >= cut.end() and s.who and s.act]
    if not named:
        raise UndecidableError("before or after what is not understood")
    statement, other = pair.answer(), named[0]
    first, second = (statement, other) if cut[2] in ("before", "ahead of") else (other, statement)
    near = bool(cut[1]) or re.search(r"\bnext\b", pair.plain) is not None
    if second.act.removeprefix("is ") in MOODS and second is statement:
        near = near or pair.felt_between(first, second)
    if not pair.before(first, second, near=near):
        raise UntrueError(f"{second.who} {second.act} does not come after {first.who} {first.act}")
    return f"it comes {cut[0]}"


def _edge(pair: Pair) -> str:
    """The first or the last that happens; of vehicles, that comes."""
    statement = pair.in_answer[0] if pair.in_answer else None
    if statement is None or not statement.who:
        raise UndecidableError("the answer names nobody")
    last = re.search(r"\b(?:ends?|last)\b", pair.plain) is not None
    if statement.act:
        mine = [e.phase for e in pair.events(statement)]
        every = [e.phase for e in pair.story.events if _cooked(e) or "cook" not in pair.plain]
    else:
        came = {a.phrase: k for k, p in reversed([*enumerate(pair.story.phases)]) for a in p.actors
                if a.kind in VEHICLES}  # fmt: skip
        mine = [k for phrase, k in came.items() if is_called(phrase, statement.who)]
        every = list(came.values())
    if not mine or not every:
        raise UndecidableError("it is no event of the story")
    if (max(mine) == max(every)) if last else (min(mine) == min(every)):
        return "it is the last" if last else "it is the first"
    raise UntrueError("something else comes last" if last else "something else comes first")


def _cooked(e: Event) -> bool:
    return e.episode == "cooking"


def _between(pair: Pair) -> str:
    named = [s for s in pair.in_question if s.who and s.act]
    if len(named) != 2:
        raise UndecidableError("between what is not understood")
    statement = pair.answer()
    if not (pair.before(named[0], statement) and pair.before(statement, named[1])):
        raise UntrueError("it is not between the two")
    return "it is between the two"


def _cause(pair: Pair) -> str:
    """The answer is what the story says brought about what the question names."""
    named = [s for s in pair.in_question if s.who and s.act]
    if not named:
        raise UndecidableError("the effect is not understood")
    return _caused(pair, pair.answer(), named[0])


def _effect(pair: Pair) -> str:
    named = [s for s in pair.in_question if s.who and s.act]
    if not named:
        raise UndecidableError("the cause is not understood")
    return _caused(pair, named[0], pair.answer())


def _caused(pair: Pair, cause: Statement, effect: Statement) -> str:
    causes, effects = pair.events(cause), pair.events(effect)
    if not effects:
        raise UndecidableError("the story does not say what brings it about")
    for e in effects:
        at = e
        while at.cause is not None:
            at = pair.story.events[at.cause]
            if at in causes:
                return "the story says so"
            if "direct" in pair.plain:
                break
    raise UntrueError(f"{effect.who} {effect.act} is not because {cause.who} {cause.act}")


def _change(pair: Pair) -> str:
    """From one weather or place to another, or a thing's two states."""
    if len([s for s in pair.in_answer if s.act]) > 1:
        return _order(pair)
    weather = re.findall(rf"\b({'|'.join(WEATHERS)})\b", pair.left)
    place = re.findall(rf"\b({'|'.join(SETTINGS)})\b", pair.left)
    turns = list(pairwise(pair.story.phases))
    if len(weather) == 2:
        if any(
            (a.weather, b.weather) == tuple(weather) and a.setting == b.setting for a, b in turns
        ):
            return "the weather changes so"
        raise UntrueError(f"the weather does not change from {weather[0]} to {weather[1]}")
    if len(place) == 2:
        if any((a.setting, b.setting) == tuple(place) for a, b in turns):
            return "the place changes so"
        raise UntrueError(f"the place does not change from {place[0]} to {place[1]}")
    raise UndecidableError("what changes is not understood")


def _ingredients(pair: Pair) -> str:
    """All things named are cooked by whom the question names, and before or after what it says."""
    items = re.findall(rf"\b({OBJECTS})s?\b", pair.left)
    cook = next((s.who for s in pair.in_question if s.who), "")
    if not items:
        raise UndecidableError("no ingredient is named")
    own = [e for e in pair.story.events if is_called(e.subject, cook) and e.episode == "cooking"]
    used = [e for e in own if not e.act.startswith("serves")]
    serves = [s for s in pair.in_question if s.act.startswith("serves")]
    if missing := [i for i in items if i not in [e.obj for e in used]]:
        raise UntrueError(f"{cook} does not prepare the {missing[0]}")
    after = re.search(rf"right after (?:the )?({OBJECTS})", pair.question_left)
    if after and not any((a.obj, b.obj) == (after[1], items[0]) for a, b in pairwise(used)):
        raise UntrueError(f"the {items[0]} does not come right after the {after[1]}")
    if serves and not all(
        any(e.phase < x for x, _ in pair.runs(serves[0])) for e in used if e.obj in items
    ):
        raise UntrueError("not before it is served")
    return "these are prepared"


def _thread(pair: Pair) -> str:
    """A thing that two of the question's people have to do with."""
    things = re.findall(rf"\b({OBJECTS})\b", pair.left)
    people = list(dict.fromkeys(s.who for s in pair.in_question if s.who))
    if len(things) != 1 or len(people) != 2:
        raise UndecidableError("which thing links whom is not understood")
    for who in people:
        acts = [e.act for e in pair.story.events if is_called(e.subject, who)]
        if not any(re.search(rf"\b{things[0]}\b", act) for act in acts):
            raise UntrueError(f"{who} has nothing to do with the {things[0]}")
    return "both have to do with it"


_TIED = re.compile(r"\b(right |just |immediately |directly )?(before|after|once|ahead of)\b")
_KINDS: tuple[tuple[re.Pattern[str], Callable[[Pair], str]], ...] = (
    (re.compile(r"\bingredients?\b"), _ingredients),
    (re.compile(r"^which (?:thing|object)\b.*\b(?:links|both|common)\b"), _thread),
    (re.compile(r"\border\b|after the other|follow each other|\bsequence\b"), _order),
    (re.compile(r"\bchanges?\b"), _change),
    (
        re.compile(
            r"^why\b|\breason\b|cause of|what (?:makes|causes|turns|sets off)|under which influence"
        ),
        _cause,
    ),
    (
        re.compile(
            r"leads? to|leads? directly to|\bresult\b|consequence|happens because"
            r"|\binfluence|affected|\beffect\b"
        ),
        _effect,
    ),
    (re.compile(r"\bbetween\b"), _between),
    (re.compile(r"\b(?:before|after|once|ahead of)\b"), _sequence),
    (re.compile(r"\b(?:begins?|starts?(?! to)|ends?|first|last)\b"), _edge),
)
