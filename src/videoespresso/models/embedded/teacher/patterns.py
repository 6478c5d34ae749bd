"""Which event is known to bring about which: common knowledge, and deliberately little of it.

A pattern is matched against "cause => effect", both as the captions tell them. Named groups tie the
two together: the box that was dropped is the box that is given. Where no pattern fits, one thing
merely follows another, and the teacher says no more than that.
"""

import re

from videoespresso.models.embedded.teacher import words as w
from videoespresso.models.embedded.teacher.reading import Clause

_VEHICLE = rf"(?:\S+ )*(?:{'|'.join(sorted(w.VEHICLES))})(?: with \w+)?"
_MOOD = rf"(?:is|becomes|feels|looks) (?:{'|'.join(sorted(w.MOODS))})"
_X = r"(?:the|an?) (?P<x>\w+)"
_SAME_X = r"(?:the|an?) (?P=x)"
_Y = r"(?:the |an? )?(?P<y>.+)"

_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?:\w+ )?light (?:is|turns) red => {_VEHICLE} stops",
        rf".+ (?:crosses|runs across|runs onto) the (?:road|street) => {_VEHICLE} stops",
        rf".+ raises (?:a|his|her|the) hand => {_VEHICLE} stops",
        r"(?:\w+ )?light (?:is|turns) green => " + _VEHICLE + r" (?:starts|drives).*",
        r"it starts to (?:rain|snow) => .+ (?:opens an umbrella|runs away|takes shelter)",
        r"phone rings => .+ (?:answers|picks up) the phone",
        rf".+ drops {_X} => .+ (?:gives|hands|returns|picks up|takes|catches) {_SAME_X}.*",
        rf".+ (?:kicks|throws|drops) {_X} => .+ (?:runs after|chases|catches) {_SAME_X}",
        r".+ (?:kicks|throws) (?:the|a) ball => (?:vase|window|flower|glass|bird) "
        r"(?:breaks|falls|flies away)",
        r"(?:dog|cat|child|boy|girl).* runs past => vase (?:breaks|falls)",
        r".+ waters (?:the|an?) (?P<x>\w+) => (?P=x) (?:blooms|grows)",
        r"(?:lamp|light) (?:is|goes) (?:off|out) => .+ (?:lights a candle|falls asleep)",
        r"(?:vase|window|glass|plate) (?:breaks|falls) => .+ sweeps the floor",
        rf".+ (?:gives|hands|serves) .+ to {_Y} => (?P=y) {_MOOD}",
        rf"(?P<y>.+) (?:answers the phone|runs away|drops .+|opens an umbrella) => (?P=y) {_MOOD}",
        rf"(?:vase|window|glass|plate) breaks => .+ {_MOOD}",
        rf"(?:pan|pot|oven|stove) smokes => .+ {_MOOD}",
    )
)


def leads_to(cause: Clause, effect: Clause) -> bool:
    """Whether the first is known to bring about the second when it comes just before it."""
    told = f"{cause.who} {cause.act} => {effect.who} {effect.act}"
    return any(pattern.fullmatch(told) for pattern in _PATTERNS)
