"""What a question and an answer claim: clauses, and how they are tied to each other.

Both are cut at the words that tie clauses together (after, before, because, then, ...), and each
piece is read as a clause of somebody the captions name, or of "who" the question asks for.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from typing import NamedTuple

from videoespresso.models.embedded.teacher import words as w
from videoespresso.models.embedded.teacher.reading import Clause, Film, Happening, parse, stems

_TIES = (
    r"(?P<tie>as soon as|after|before|when|while|once|because|since|until|then|followed by"
    r"|between the moment|and the moment|ahead of)"
)
_CUT = re.compile(
    rf"\s*(?P<near>\b(?:right|just|immediately|directly|straight)\s+)?\b{_TIES}\b\s*"
    r"|\s*(?P<stop>[;:,.?!]+(?=\s|$))\s*"
    r"|\s+(?P<that>and that|that|in which|if|why)\s+"
)
_FILLER = re.compile(
    r"^(?:and\b|so\b|but\b|first(?:ly)?\b|second(?:ly)?\b|next\b|at last\b|at the end\b|finally\b"
    r"|lastly\b|in the end\b|of the moment\b|the moment\b|when\b|both\b|afterwards\b"
    r"|later\b|due to\b|by\b|yes\b|no\b|the fact\b|at the same time\b)\s*"
)
_ASK = re.compile(
    r"^(?P<wh>in which \w+|in what \w+|with which \w+|under which \w+|which \w+|what kind of \w+"
    r"|what|how|why|who|whom|where|when)\b\s*(?:(?P<do>do|does|did|will|is|are|was|were)\b\s*)?"
)
_TASTE = frozenset(map(w.stem, w.OPINION))
_MADE = re.compile(r"(?:makes?|causes?|turns?|lets?|brings?) (?P<whom>.+)")
"""What brings somebody to do something: "makes the cook feel sad"."""
MOST_PIECES = 60
"""Pieces of a question or an answer that are read."""
_PRONOUN = re.compile(r"(?:he|she|it|they) (?!(?:starts?|begins?) to\b)")
_ASKING = """what which who whom whose why how where when do does did is are was be has have happens
happen happening event events order right just first second third last next then after before
because since so that reason cause causes caused lead leads result results consequence change
changes mood feel feels feeling state person people somebody someone something anything vehicle
vehicles ingredient ingredients step steps dish food use uses used prepare prepares work works
weather place video scene scenes story moment time thing things object objects begin begins start
starts end ends finally come comes link links with common deed deeds take takes deal deals
other else one two three it its they he she him her them his their there this these those between
while during once until and or not at in on of to from for by as under into about through both each
all also again another make makes turn turns become becomes get gets influence influenced effect
affect affects react reacts reaction chain sets off part plays role kind sort way doing will the a
an if only along same different later earlier afterwards immediately directly following follows
follow subsequently road whether than put behavior behaviour action actions situation show shows
shown see seen visible process occurs occur whole sequence anybody nobody animal animals
most yes seen direct each evolve develop progress movement front
pass passed respond over several various done meal ahead"""
NEUTRAL = frozenset(map(w.stem, _ASKING.split()))
"""Stems of words with which questions are asked: they claim nothing of the scene."""


class Claim(NamedTuple):
    """Who does what, as a pair says it. who: "" for the one asked for; act: "" for the deed asked
    for. tie: the word that brings it in ("after"), "" for the main one. near: "right after"."""

    who: str
    act: str
    tie: str = ""
    near: bool = False

    @property
    def full(self) -> bool:
        """Whether it names both."""
        return bool(self.who and self.act)

    @property
    def clause(self) -> Clause:
        """As a clause."""
        return Clause(self.who, self.act)


def question_claims(question: str, film: Film) -> tuple[str, list[Claim]]:
    """The question's first words ("why", "who", "in which order") and what it claims."""
    asked = _ASK.match(w.plain(question))
    wh = asked["wh"] if asked else ""
    return wh, [c for c in _claims(question, film, asking=True) if c.who or c.act]


def answer_claims(answer: str, film: Film) -> list[Claim]:
    """What the answer claims."""
    turned = re.fullmatch(r"(?:it changes )?from (.+) to (.+?)[ .]*", w.plain(answer))
    if turned and (a := _backdrop(turned[1], film)) and (b := _backdrop(turned[2], film)):
        return [a, b._replace(tie="then")]
    return [c for c in _claims(answer, film, asking=False) if c.who or c.act]


def _claims(text: str, film: Film, *, asking: bool) -> Iterator[Claim]:
    first, last = True, ""
    for tie, near, piece in islice(_pieces(masked(w.plain(text), film)), MOST_PIECES):
        for part in _parted(piece, film):
            claim = _asked(part, film) if asking and first else _stated(part, film)
            first = False
            if _PRONOUN.match(part) and not claim.who:
                claim = claim._replace(who=last)
            last = claim.who or last
            yield claim._replace(act=claim.act.replace(" _", " "), tie=tie, near=near)


def masked(text: str, film: Film) -> str:
    """The text with an underscore before each tie that belongs to a verb of the captions: "runs
    after the ball" is no order."""
    pairs = {
        (w.stem(verb), tie)
        for h in film.happenings
        for verb, tie in pairwise(h.clause.act.split())
        if re.fullmatch(_TIES, tie)
    }

    def mark(found: re.Match[str]) -> str:
        known = (w.stem(found["verb"]), found["tie"]) in pairs
        return f"{found['verb']} _{found['tie']}" if known else found[0]

    return re.sub(rf"\b(?P<verb>[\w-]+) {_TIES}\b", mark, text)


def _parted(piece: str, film: Film) -> list[str]:
    """A piece, parted at each "and" behind which somebody does something; "stands up and waves" is
    two deeds of one."""
    parts: list[str] = []
    for part in piece.split(" and "):
        before = subject(parts[-1], film) if parts else ("", "")
        if all(before) and w.is_verb(part.partition(" ")[0]):
            part = f"{before[0]} {part}"
        who, act = subject(part, film)
        if parts and not (who and _tells(act, film) and all(before)):
            parts[-1] += f" and {part}"
        else:
            parts.append(part)
    return parts


def _pieces(text: str) -> Iterator[tuple[str, bool, str]]:
    """(tie, whether "right" stands before it, words) of each piece; a tie holds to the next stop
    that is no colon, and "after the moment when" is "after"."""
    tie, near, at = "", False, 0
    for cut in [*_CUT.finditer(text), None]:
        piece = text[at : cut.start() if cut else len(text)].strip()
        while piece and (filler := _FILLER.match(piece)):
            piece = piece[filler.end() :].strip()
        if piece:
            yield tie, near, piece
        if cut is None:
            return
        at = cut.end()
        if cut["tie"] and (piece or not tie or cut["tie"] not in ("when", "while")):
            tie, near = _tie(cut["tie"]), bool(cut["near"])
        elif cut["stop"] and cut["stop"][0] in ",.?!":
            tie, near = "", False


def _tie(word: str) -> str:
    if word in ("once", "as soon as", "between the moment"):
        return "after"
    return (
        "before" if word in ("and the moment", "ahead of") else "then" if "follow" in word else word
    )


def _asked(piece: str, film: Film) -> Claim:
    """The question's own piece: "why does the red car stop", "who opens an umbrella"."""
    asked = _ASK.match(piece)
    if asked is None:
        return _stated(piece, film)
    rest = piece[asked.end() :]
    if asked["do"]:
        rest = re.sub(r"^(?:the )?(?:mood|state|feelings?|reaction) of ", "", rest)
        verb = asked["do"] if asked["do"] in w.COPULAS else ""
        who, act = subject(rest, film)
        act = f"{verb} {act}".strip() if who and verb and act else act
        return Claim(who, act if who and _tells(act, film, asked=True) else "")
    made = _MADE.match(rest)
    if made:
        who, act = subject(made["whom"], film)
        act = f"is {act}" if act in w.MOODS else act.removeprefix("to ")
        return Claim(who, act if who and _tells(act, film, asked=True) else "")
    wanted = asked["wh"].split()[-1]
    if wanted in ("who", "what", "person", "vehicle", "animal", "thing", "object"):
        return Claim("", rest if _tells(rest, film, asked=True) else "")
    return _stated(rest, film)


def _stated(piece: str, film: Film) -> Claim:
    piece = re.sub(r"^(?:the )?(?:mood|state|feelings?|reaction|behaviou?r) of ", "", piece)
    who, act = subject(piece, film)
    if who:
        return Claim(who, act if _tells(act, film) else "")
    if (pronoun := _PRONOUN.match(piece)) and _tells(piece[pronoun.end() :], film):
        return Claim("", piece[pronoun.end() :])
    return _backdrop(re.sub(r"^(?:in|on|at|of) ", "", piece), film) or Claim("", "")


def _tells(act: str, film: Film, *, asked: bool = False) -> bool:
    """Whether an act is one of the scene's. asked: it may be a verb with which questions are asked
    ("do", "change", "deal with"), and then it tells nothing."""
    if act.startswith(("starts to", "begins to")):
        return True
    act = w.told(act)
    first = w.stem(w.words(act)[0]) if w.words(act) else ""
    if act in {w.told(h.clause.act) for h in film.happenings}:
        return True
    asking = asked and first in NEUTRAL | {"cook"} and first not in film.verbs and first != "be"
    if not first or asking:
        return False
    return bool(set(stems(act)) - (NEUTRAL - film.stems) - _TASTE)


def _backdrop(piece: str, film: Film) -> Claim | None:
    """A place or a weather of the captions, by its name alone."""
    name = re.sub(r"^(?:the|an?)\s+", "", piece.strip(" ."))
    for h in film.backdrop:
        if h.clause.act.split()[-1] == name:
            return Claim(h.clause.who, h.clause.act)
    return None


def subject(piece: str, film: Film) -> tuple[str, str]:
    """(who, what is said of them): by the captions' own names first, the longest that fits."""
    told = re.sub(r"^(?:the|an?|his|her|their)\s+", "", piece)
    names = film.subjects if _PRONOUN.match(piece) else (*film.subjects, "it")
    for who in sorted(names, key=len, reverse=True):
        if told == who or told.startswith(f"{who} "):
            return who, told[len(who) :].strip()
    if told in film.objects:
        return told, ""
    clause = parse(piece)
    if clause:
        return clause.who, clause.act
    return "", ""


def known_as(who: str, subjects: Sequence[str]) -> list[str]:
    """Those whom a name may mean: "car" is the red car; "man in green" is not the man in blue."""
    if who in subjects:
        return [who]
    wanted = stems(who)
    return [s for s in subjects if wanted and _within(wanted, stems(s))]


def _within(part: Sequence[str], whole: Sequence[str]) -> bool:
    rest = iter(whole)
    return all(word in rest for word in part)


def says(claim: Claim, clause: Clause) -> bool:
    """Whether a caption's clause says what a claim's act says, order of words and all."""
    wanted = [s for s in stems(w.told(claim.act)) if s not in ("begin", "feel")]
    return bool(wanted) and _within(wanted, clause.stems)


def held(claim: Claim, film: Film) -> list[Happening]:
    """The happenings of the captions that a claim speaks of: "the soup is served" is what somebody
    does who serves the soup, and "the egg" alone is whatever is done with it."""
    if not claim.act:
        named = set(stems(claim.who))
        doing = [h for h in film.happenings if named and named <= set(h.clause.stems)]
        return [] if claim.who in film.subjects else doing
    who = known_as(claim.who, (*film.subjects, "it", "weather", "place")) if claim.who else None
    every = (*film.happenings, *film.backdrop)
    found = [h for h in every if (who is None or h.clause.who in who) and says(claim, h.clause)]
    if found or claim.act.partition(" ")[0] not in w.COPULAS or not claim.who:
        return found
    wanted = {*stems(claim.act), *stems(claim.who)}
    return [h for h in film.happenings if wanted <= set(h.clause.stems)]
