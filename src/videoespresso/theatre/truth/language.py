"""Sentences of the theatre's small language, read exactly: who does what, in any form of the verb.

The language is closed: every actor and act that a story can have is known, so a sentence is either
understood or it is not. What is not understood is left to the caller, never guessed.
"""

import re
from typing import NamedTuple

from videoespresso.theatre.builder import (
    CARGOES,
    DISHES,
    INGREDIENTS,
    MOODS,
    PAINTS,
    ROLES,
    SETTINGS,
    SHIRTS,
    WEATHERS,
)

_COLORS = "|".join(dict.fromkeys((*SHIRTS, *PAINTS, "black", "brown", "orange", "pink")))
_PERSON = rf"(?:man|woman|boy|girl)(?: in (?:a )?(?:{_COLORS}))?|{'|'.join(ROLES)}"
_VEHICLE = rf"(?:(?:{_COLORS}) )?(?:car|bus|truck)(?: with (?:{'|'.join(CARGOES)}))?"
_BEAST = "dog|cat|bird"
_THING = "light|lamp|vase|flower|phone|pan"
NAME = rf"(?:{_PERSON}|{_VEHICLE}|{_BEAST}|{_THING})"
"""Whoever and whatever can act, without an article."""
_GIFTS = "box|balloon|ball|book|bread|gift|cake"
_FOOD = "|".join((*INGREDIENTS, *DISHES))
OBJECTS = f"{_GIFTS}|{_FOOD}|umbrella|candle|hand"
"""What is given, taken, cooked and held."""
_THE = r"(?:the |an? |his |her )?"
_VERBS: dict[str, str] = {
    "stops": "stop|stops|stopping|stopped|halts|halt",
    "drives past": "drives? past|driving past|drove past|passes by|pass by",
    "drives": "drive|drives|driving|drove",
    "walks": "walk|walks|walking|walked",
    "waves": "wave|waves|waving|waved",
    "runs away": "runs? away|running away|ran away",
    "flies away": "fl(?:y|ies|ying) away|flew away",
    "falls asleep": "falls? asleep|falling asleep|fell asleep",
    "runs past": "runs? past|running past|ran past",
    "stands": "stand|stands|standing|stood",
    "sits": "sit|sits|sitting|sat",
    "rings": "ring|rings|ringing|rang",
    "smokes": "smoke|smokes|smoking|smoked",
    "breaks": "break|breaks|breaking|broke",
    "blooms": "bloom|blooms|blooming|bloomed",
    "wilts": "wilt|wilts|wilting|wilted",
}
_WITH_OBJECT: dict[str, tuple[str, str]] = {  # act in a caption's words -> (verb forms, the rest)
    "crosses the road": ("cross(?:es|ing|ed)?", rf"{_THE}(?:road|street)"),
    "raises a hand": ("rais(?:e|es|ing|ed)", rf"{_THE}hand"),
    "opens an umbrella": ("open(?:s|ing|ed)?", rf"{_THE}umbrella"),
    "drops the box": ("drop(?:s|ping|ped)?", rf"{_THE}box"),
    "kicks the ball": ("kick(?:s|ing|ed)?", rf"{_THE}ball"),
    "reads a book": ("read(?:s|ing)?", rf"{_THE}book"),
    "waters the flower": ("water(?:s|ing|ed)?", rf"{_THE}flower"),
    "answers the phone": ("answer(?:s|ing|ed)?", rf"{_THE}phone"),
    "lights a candle": ("light(?:s|ing)?|lit", rf"{_THE}candle"),
    "sweeps the floor": ("sweep(?:s|ing)?|swept", rf"{_THE}floor"),
    "runs after the ball": ("run(?:s|ning)?|ran|chas(?:e|es|ing)", rf"(?:after )?{_THE}ball"),
}
_OPEN: tuple[tuple[str, str, str], ...] = (  # caption's words with places, verb forms, the rest
    ("gives the {0} to the {1}", "giv(?:e|es|ing)|gave", rf"{_THE}({_GIFTS}) to {_THE}({NAME})"),
    ("takes the {0}", "tak(?:e|es|ing)|took|steal(?:s|ing)?", rf"{_THE}({_FOOD})"),
    ("holds a {0}", "hold(?:s|ing)?|held", r"(?:the |an? )?(balloon)"),
    ("holds the {0}", "hold(?:s|ing)?|held", rf"{_THE}({_FOOD})"),
    ("chops the {0}", "chop(?:s|ping|ped)?", rf"{_THE}({_FOOD})"),
    ("boils the {0}", "boil(?:s|ing|ed)?", rf"{_THE}({_FOOD})"),
    ("fries the {0}", "fr(?:y|ies|ying|ied)", rf"{_THE}({_FOOD})"),
    ("mixes the {0}", "mix(?:es|ing|ed)?", rf"{_THE}({_FOOD})"),
    ("serves the {0}", "serv(?:e|es|ing|ed)", rf"{_THE}({_FOOD})"),
    (
        "is {0}",
        "is|be|becomes?|feels?|turns?|gets?|looks?",
        rf"({'|'.join(MOODS)}|red|green|on(?! the\b)|off)",
    ),
)
_ACTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    *((shape, re.compile(rf"(?:{verb}) {rest}\b")) for shape, verb, rest in _OPEN),
    *((act, re.compile(rf"(?:{verb}) {rest}\b")) for act, (verb, rest) in _WITH_OBJECT.items()),
    *((act, re.compile(rf"(?:{forms})\b")) for act, forms in _VERBS.items()),
)
_RAIN = re.compile(
    r"\bit (?:starts?|begins?|started|began) (?:to rain|raining)|\brain (?:starts|begins)"
)
_WHO = re.compile(rf"\b{NAME}\b")
_TURNED = re.compile(
    rf"(?:is|does) (?:the )?({NAME}) (?:feel )?({'|'.join(MOODS)}|red|green|on|off)\b"
)
"""A state asked after: "why is the man in blue sad"."""
_AUX = re.compile(r"(?: (?:is|are|then|and|now|does|also))? ")


_ASKING = """what which who whom how why when where does do did is are the a an of in on to it that
there happens happen happening right just next thing things event events order these this and then
first at last finally before after because between moment reason result lead leads change changes
weather place person people vehicle vehicles animal object ingredient ingredients feel feels mood
state step steps food prepare prepares cooking take takes use uses work works with one other come
comes deal deals both link links have has common from back video scene story kind part about road
immediately directly until while once so by be was what's its their his her must put consequence
makes make causes cause caused turns turn influence influenced react reacts all seen
direct directly follow follows each sequence begin begins start starts end ends yes under or
sets off chain done meal ahead whom effect affected step brings again video's he she they"""
ASKING_WORDS = frozenset(_ASKING.split())
"""Words with which questions are asked: they state nothing."""
QUESTION_WORDS = ASKING_WORDS.union((*WEATHERS, *SETTINGS, *MOODS, *OBJECTS.split("|")))
"""Words that questions and short answers may have besides statements."""


class Statement(NamedTuple):
    """Something that a text says: somebody, and what they do, in a caption's words; "" for what it
    does not say. start, end: where in the text, in characters."""

    who: str
    act: str
    start: int
    end: int


def read(text: str) -> tuple[list[Statement], str]:
    """What a text says, in its order, and the text with all of that taken out."""
    plain = " ".join(text.casefold().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split())
    statements: list[Statement] = []
    at = 0
    while at < len(plain):
        statement = _at(plain, at)
        if statement:
            statements.append(statement)
        at = statement.end if statement else at + 1
    rest, last = "", 0
    for statement in statements:
        rest += plain[last : statement.start] + " * "
        last = statement.end
    return statements, rest + plain[last:]


def _at(text: str, at: int) -> Statement | None:
    """The statement that begins exactly here; the longest that fits."""
    if at and text[at - 1].isalnum():
        return None
    if rain := _RAIN.match(text, at):
        return Statement("it", "starts to rain", at, rain.end())
    if turned := _TURNED.match(text, at):
        return Statement(turned[1].replace(" in a ", " in "), f"is {turned[2]}", at, turned.end())
    if who := _WHO.match(text, at):
        name = who[0].replace(" in a ", " in ")
        gap = _AUX.match(text, who.end())
        for begin in dict.fromkeys((who.end() + 1, gap.end() if gap else who.end() + 1)):
            if act := _act(text, begin):
                return Statement(name, act[0], at, act[1])
        return Statement(name, "", at, who.end())
    if act := _act(text, at):
        return Statement("", act[0], at, act[1])
    return None


def _act(text: str, at: int) -> tuple[str, int] | None:
    """The longest act that begins here, in a caption's words, and where it ends."""
    best: tuple[str, int] | None = None
    for shape, pattern in _ACTS:
        if (m := pattern.match(text, at)) and (best is None or m.end() > best[1]):
            parts = [g.replace(" in a ", " in ") for g in m.groups()]
            best = shape.format(*parts), m.end()
    return best


def is_called(phrase: str, who: str) -> bool:
    """Whether somebody can be called that: the red car is "red car" and "car"."""
    return (
        not who
        or phrase == who
        or phrase.startswith(f"{who} ")
        or (" " not in who and who in phrase.split(" with ")[0].split(" in ")[0].split())
    )
