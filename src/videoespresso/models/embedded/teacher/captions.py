"""The captions that the pack writes about the theatre, as clauses, and when each clause holds.

"street, rain: red car stops; man in blue waves and is sad" has the place "street", the weather
"rain" and three clauses. The language is the theatre's (`theatre/truth/language.py`): what is not
in it is no clause, and nothing is made of it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from videoespresso.theatre.builder import MOODS, SETTINGS, WEATHERS
from videoespresso.theatre.scene import ANIMALS, VEHICLES
from videoespresso.theatre.truth.language import NAME, read

LONGEST = 1000
"""Characters of a caption that are read; the pack's own have less than 300."""
IDLE = frozenset({"stands", "sits"})
"""Acts that say that nothing happens."""
_STATES = frozenset({"blooms", "wilts"})
"""Acts that say how a thing is, as "is red" does: its first sight is no event."""
_PERSONS = frozenset({"man", "woman", "boy", "girl", "cook", "officer", "builder"})
_NAMED = re.compile(rf"\b(?:the|an?) ({NAME}\b|\w+)")


class Clause(NamedTuple):
    """Who does what, in the caption's words: ("red car", "stops")."""

    who: str
    act: str

    @property
    def text(self) -> str:
        """As a sentence without its full stop: "the red car stops"."""
        return f"{the(self.who)} {self.act}"

    @property
    def state(self) -> str:
        """What it says the subject is ("red", "sad"), "" for an action."""
        return self.act.removeprefix("is ") if self.act.startswith("is ") else ""

    @property
    def mood(self) -> str:
        """The mood it states, "" for none."""
        return self.state if self.state in MOODS else ""


class Shot(NamedTuple):
    """A caption: its words and what they say."""

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
    """A subject with its article; "it" takes none."""
    return who if who == "it" else f"the {who}"


def things(act: str) -> list[str]:
    """What an act is done with or to: "gives the box to the man in blue" -> box, man in blue."""
    return _NAMED.findall(act)


def kind(who: str) -> str:
    """ "person", "animal", "vehicle" or "thing", by the head of the name."""
    head = re.split(" in | with ", who)[0].split()[-1:]
    for name, heads in (("person", _PERSONS), ("animal", ANIMALS), ("vehicle", VEHICLES)):
        if head and head[0] in heads:
            return name
    return "thing"


@lru_cache(maxsize=1 << 12)
def read_caption(text: str) -> Shot:
    """A caption, read."""
    plain = " ".join(text[:LONGEST].casefold().split()).rstrip(" .")
    head, _, body = plain.partition(":")
    place, _, weather = (part.strip() for part in head.partition(","))
    if place not in SETTINGS or (weather and weather not in WEATHERS):
        place, weather, body = "", "", plain
    clauses = dict.fromkeys(c for part in body.split(";") for c in _clauses(part))
    return Shot(text, place, weather, tuple(clauses))


def _clauses(part: str) -> Iterator[Clause]:
    """The clauses of one subject; none where a word is not understood."""
    statements, left = read(part)
    if not statements or not statements[0].who or set(left.split()) - {"*", "and"}:
        return
    for statement in statements:
        if statement.act and statement.who in ("", statements[0].who):
            yield Clause(statements[0].who, statement.act)


@dataclass(frozen=True)
class Film:
    """A group of captions in their order."""

    shots: tuple[Shot, ...]

    @cached_property
    def happenings(self) -> tuple[Happening, ...]:
        """Every clause in every run of captions that have it, by where it starts."""
        return self._runs(list(self._with_rain()))

    @cached_property
    def backdrop(self) -> tuple[Happening, ...]:
        """Places and weathers as clauses: "the place is park", "the weather is rain"."""
        settings = [
            (Clause("place", f"is {s.place}"), Clause("weather", f"is {s.weather}"))
            for s in self.shots
        ]
        return self._runs(settings)

    def _runs(self, clauses: Sequence[Sequence[Clause]]) -> tuple[Happening, ...]:
        """The runs of the clauses of each shot. What goes on after a cut to another place goes on
        as the same."""
        runs: list[Happening] = []
        holding: dict[Clause, tuple[int, int]] = {}
        for k, now in enumerate(clauses):
            for clause, (start, end) in list(holding.items()):
                if clause not in now and self.shots[k].place == self.shots[end].place:
                    runs.append(Happening(start, end, clause))
                    del holding[clause]
            for clause in now:
                holding[clause] = holding.get(clause, (k, k))[0], k
        runs += [Happening(start, end, clause) for clause, (start, end) in holding.items()]
        return tuple(sorted(runs))

    def _with_rain(self) -> Iterator[tuple[Clause, ...]]:
        """The clauses of each shot, with the beginning of rain as one, place by place:
        between two shots of the park there may be one of elsewhere."""
        weather: dict[str, str] = {}
        starts: dict[str, str] = {}
        for shot in self.shots:
            if shot.weather and weather.setdefault(shot.place, shot.weather) != shot.weather:
                weather[shot.place] = shot.weather
                starts[shot.place] = "starts to rain" if shot.weather == "rain" else ""
            started = starts.get(shot.place, "") if shot.weather else ""
            yield (*shot.clauses, *([Clause("it", started)] if started else []))

    @cached_property
    def events(self) -> tuple[Happening, ...]:
        """Happenings that are news: neither idle, nor a thing's state on its first sight."""
        return tuple(h for h in self.happenings if self._is_news(h))

    def _is_news(self, h: Happening) -> bool:
        clause, before = h.clause, self.shots[h.start - 1]
        if clause.act in IDLE:
            return False
        steady = clause.state or (kind(clause.who) == "thing" and clause.act in _STATES)
        if clause.mood or not steady:
            return True
        if h.start == 0 or before.place != self.shots[h.start].place:
            return False
        return any(c.who == clause.who and c != clause for c in before.clauses)

    def once(self, clause: Clause) -> bool:
        """Whether a clause holds in one run of captions only."""
        return sum(h.clause == clause for h in self.happenings) == 1

    @cached_property
    def subjects(self) -> tuple[str, ...]:
        """Everybody and everything that does something, as the captions call them."""
        return tuple(dict.fromkeys(c.who for s in self.shots for c in s.clauses))

    @cached_property
    def words(self) -> frozenset[str]:
        """All words of the captions."""
        return frozenset(x for s in self.shots for x in words(s.text))


def words(text: str) -> list[str]:
    """Its words, casefolded; "man's" is "man"."""
    plain = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").casefold()
    return [w.removesuffix("'s").strip("'") for w in re.findall(r"[\w'-]+", plain)]


def film_of(captions: Sequence[str]) -> Film:
    """The captions of a group, read."""
    return Film(tuple(map(read_caption, captions)))
