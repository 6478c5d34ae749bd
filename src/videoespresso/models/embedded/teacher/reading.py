"""Captions as clauses: who, and what they do; and when each clause holds.

"street, rain: red car stops; man in blue is sad" has the place "street", the weather "rain" and
two clauses. Free captions are parted at sentences, commas, "and" and "while", and read by their
first verb; what has no subject and verb that can be told is no clause, and nothing is made of it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from videoespresso.models.embedded.teacher import words as w

MOST_CLAUSES = 12
"""Clauses of a caption that are read; a longer caption is no caption but a text."""
LONGEST_CLAUSE = 14
"""Words of a clause that can be told in a question."""
_SENTENCES = re.compile(r"[;!?\n]+|\.(?=\s|$)")
_JOINTS = re.compile(
    r"(\s*,\s*(?:and\s+)?(?:then\s+)?|\s+and\s+(?:then\s+)?|\s+while\s+|\s+whereas\s+|\s+then\s+)"
)


class Clause(NamedTuple):
    """Who does what, in the caption's words: ("red car", "stops")."""

    who: str
    act: str

    @property
    def text(self) -> str:
        """As a sentence without its full stop: "the red car stops"."""
        return f"{the(self.who)} {self.act}"

    @property
    def idle(self) -> bool:
        """Whether it says that nothing happens."""
        return bool({*self.stems[:1]} & w.IDLE)

    @property
    def state(self) -> str:
        """What it says the subject is ("red", "sad"), "" for an action."""
        verb, _, rest = w.told(self.act).partition(" ")
        return "" if verb not in w.COPULAS or w.is_progressive(rest.partition(" ")[0]) else rest

    @property
    def mood(self) -> str:
        """The mood it tells of, "" for none."""
        return self.state if self.state in w.MOODS else ""

    @property
    def stems(self) -> tuple[str, ...]:
        """Stems of what is done, in order."""
        return stems(w.told(self.act))


class Shot(NamedTuple):
    """A caption: its number from 1, its instant in seconds, its words and what they say."""

    number: int
    time_s: float
    text: str
    place: str
    weather: str
    clauses: tuple[Clause, ...]


class Happening(NamedTuple):
    """A clause that holds from caption `start` to caption `end` (positions from 0, inclusive)."""

    start: int
    end: int
    clause: Clause


def the(who: str) -> str:
    """A subject with its article; numbers and "it" take none."""
    first = who.partition(" ")[0]
    return who if first in w.NUMBERS | w.PRONOUNS or first.isdigit() else f"the {who}"


_SMALL = w.DETERMINERS | {"be", "and", "or", "to", "of", "it", "them", "him"}


def stems(text: str) -> tuple[str, ...]:
    """Stems of a text's words, articles and the like left out."""
    return tuple(s for s in map(w.stem, w.words(text)) if s not in _SMALL)


def read_shot(number: int, time_s: float, text: str) -> Shot:
    """A caption, read."""
    head, colon, body = text.partition(":")
    place, weather = "", ""
    if colon and 0 < len(head.split()) <= 4 and not _verb_at(w.words(head)):
        parts = [w.plain(part) for part in head.split(",")]
        weather = next((p for p in parts if p in w.WEATHERS), "")
        place = next((p for p in parts if p and p != weather), "")
    else:
        body = text
    if not colon and 0 < len(text.split()) <= 3 and not _verb_at(w.words(text)):
        parts = [w.plain(part) for part in text.split(",")]  # an empty stage
        weather = next((p for p in parts if p in w.WEATHERS), "")
        place = next((p for p in parts if p and p != weather), "")
    found = dict.fromkeys(c for part in _SENTENCES.split(body) for c in clauses(part))
    return Shot(number, time_s, text, place, weather, tuple(found)[:MOST_CLAUSES])


def clauses(sentence: str) -> list[Clause]:
    """The clauses of a sentence; those of pronouns are left out: whom they mean is not known."""
    pieces = _JOINTS.split(sentence)[: 4 * MOST_CLAUSES]
    found: list[Clause] = []
    current = pieces[0]
    for joint, piece in zip(pieces[1::2], pieces[2::2], strict=False):
        tokens = w.words(piece)
        carried = bool(tokens) and w.is_verb(tokens[0]) and bool(found or parse(current))
        if carried or parse(piece) is not None:
            subject = parse(current)
            found += [subject] if subject else []
            who = subject.who if subject else found[-1].who if found else ""
            current = f"{who} {piece}" if carried else piece
        else:
            current += joint + piece
    last = parse(current)
    found += [last] if last else []
    return [c for c in found if 0 < len(c.text.split()) <= LONGEST_CLAUSE]


def parse(piece: str) -> Clause | None:
    """The clause of a piece with one subject and one verb; None where there is none."""
    tokens = w.words(piece)
    while tokens and tokens[0] in ("there", "and", "is", "are", "while", "as", "then"):
        tokens = tokens[1:]
    if tokens and tokens[0] in w.DETERMINERS:
        tokens = tokens[1:]
    at = _verb_at(tokens)
    if not at or tokens[0] in w.PRONOUNS | w.PREPOSITIONS | w.SHOWN or {"not", "no"} & set(tokens):
        return None
    who, act = " ".join(tokens[:at]), " ".join(tokens[at:])
    if w.is_progressive(tokens[at]):
        act = f"{'are' if w.is_plural(who) else 'is'} {act}"
    return Clause(who, act)


def _verb_at(tokens: Sequence[str]) -> int:
    """Position of the first verb after a subject, 0 for none; what a preposition brings is not
    looked at: "man in glasses walks"."""
    plural = bool(tokens) and (tokens[0] in w.NUMBERS - {"one"} or tokens[0] in ("people", "men"))
    at = 1
    while at < len(tokens):
        token = tokens[at]
        if token in w.PREPOSITIONS:
            at += 1
            while at < len(tokens) - 1 and (
                tokens[at] in w.DETERMINERS
                or (tokens[at] in w.COLORS and not w.is_verb(tokens[at + 1], plural=plural))
            ):
                at += 1
        elif w.is_verb(token, plural=plural) or w.is_progressive(token):
            return at
        at += 1
    return 0


@dataclass(frozen=True)
class Film:
    """A group of captions in their order."""

    shots: tuple[Shot, ...]

    @cached_property
    def happenings(self) -> tuple[Happening, ...]:
        """Every clause in every run of captions that have it, by where it starts."""
        return _spans(list(self._told()), [s.place for s in self.shots])

    @cached_property
    def backdrop(self) -> tuple[Happening, ...]:
        """Places and weathers as clauses: "the place is the park", "the weather is rain"."""
        return _spans(
            [
                tuple(
                    [Clause("place", f"is the {s.place}")] * bool(s.place)
                    + [Clause("weather", f"is {s.weather}")] * bool(s.weather)
                )
                for s in self.shots
            ]
        )

    def _told(self) -> Iterator[tuple[Clause, ...]]:
        """The clauses of each shot, with a change of weather as one, place by place: between two
        shots of the park there may be one of elsewhere."""
        known: dict[str, str] = {}
        falls: dict[str, str] = {}
        for shot in self.shots:
            if shot.weather and known.setdefault(shot.place, shot.weather) != shot.weather:
                known[shot.place] = shot.weather
                falls[shot.place] = w.WEATHER_STARTS.get(shot.weather, "")
            starts = falls.get(shot.place, "") if shot.weather else ""
            yield (*shot.clauses, *([Clause("it", starts)] if starts else []))

    @cached_property
    def events(self) -> tuple[Happening, ...]:
        """Happenings that are news: neither idle, nor a thing's state on its first sight."""
        return tuple(h for h in self.happenings if self._is_news(h))

    def _is_news(self, h: Happening) -> bool:
        if h.clause.idle:
            return False
        stative = kind(h.clause.who) == "thing" and bool({*h.clause.stems[:1]} & w.STATES)
        if h.clause.mood or not (h.clause.state or stative):
            return True
        if h.start == 0 or self.shots[h.start - 1].place != self.shots[h.start].place:
            return False
        before = self.shots[h.start - 1].clauses
        return any(c.who == h.clause.who and c != h.clause for c in before)

    def once(self, clause: Clause) -> bool:
        """Whether a clause holds in one run of captions only."""
        return sum(h.clause == clause for h in self.happenings) == 1

    @cached_property
    def subjects(self) -> tuple[str, ...]:
        """Everybody and everything that does something, as the captions call them."""
        return tuple(dict.fromkeys(c.who for s in self.shots for c in s.clauses))

    @cached_property
    def objects(self) -> frozenset[str]:
        """What something is done with, and what does nothing itself."""
        named = {t for h in self.happenings for t in things(h.clause.act)}
        return frozenset(named - set(self.subjects))

    @cached_property
    def verbs(self) -> frozenset[str]:
        """Stems of the first words of all that is done."""
        return frozenset(h.clause.stems[0] for h in self.happenings if h.clause.stems)

    @cached_property
    def stems(self) -> frozenset[str]:
        """Stems of all words of the captions, numbers and instants left out."""
        return frozenset(s for shot in self.shots for s in map(w.stem, w.words(shot.text)))


def _spans(
    shots: Sequence[tuple[Clause, ...]], places: Sequence[str] = ()
) -> tuple[Happening, ...]:
    """The runs of each clause, by where they start. places: of each shot; what goes on after a cut
    to another place goes on as the same."""
    found: list[Happening] = []
    holding: dict[Clause, tuple[int, int]] = {}
    for k, told in enumerate(shots):
        for clause, (start, end) in list(holding.items()):
            elsewhere = bool(places) and places[k] != places[end]
            if clause not in told and not elsewhere:
                found.append(Happening(start, end, clause))
                del holding[clause]
        for clause in told:
            holding[clause] = holding.get(clause, (k, k))[0], k
    found += [Happening(start, end, clause) for clause, (start, end) in holding.items()]
    return tuple(sorted(found))


def kind(who: str) -> str:
    """ "person", "animal", "vehicle" or "thing", by the head of the name."""
    head = re.split(r"\b(?:in|with|of|on|at|near)\b", who)[0].split()
    name = w.stem(head[-1]) if head else ""
    if name in {w.stem(p) for p in w.PERSONS}:
        return "person"
    if name in w.ANIMALS:
        return "animal"
    return "vehicle" if name in w.VEHICLES else "thing"


_THING = re.compile(
    r"\b(?:the|an?|his|her|their)\s+((?:[\w-]+\s+)*?[\w-]+)"
    rf"(?=\s+in\s+(?!{'|'.join(sorted(w.COLORS))})|\s+(?:to|from|at|on|into|onto|past|with|over|under|across|through|towards?|and|by|near|out|off|up|down|_?after)\b"
    r"|\s+(?:the|an?)\b|\s*$)"
)


def things(act: str) -> list[str]:
    """What an act is done with or to: "gives the box to the man in blue" -> box, man in blue."""
    return _THING.findall(act)
