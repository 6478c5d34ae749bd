"""Which option a reply chooses, read strictly: what cannot be told is None, never a guess.

Taking the first capital anywhere, as the authors' scorer does, reads "Answer: B" as A and "Based on
the frames, C" as B. Here a letter counts only where it stands as one: alone, at the head of a line,
in brackets, behind "the answer is" in the languages that were tried, in a tag or a field of JSON.
Two that contradict each other are no answer, and neither is one that is denied.

Three tiers; the first that names a letter decides: what is set apart as the answer (a box, a tag, a
field, "final answer"), words that choose, and letters that merely stand alone. Every repetition in
the patterns is bounded or cannot be read in two ways, so a long reply takes no long time.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

# ---- signs and words

_LATIN = r"A-Za-z\u00c0-\u024f"
_FROM, _TO = rf"(?<![{_LATIN}\u0370-\u04ff0-9_'’&.-])", rf"(?![{_LATIN}0-9_'’&]|[-.]\w)"
"""Where a letter begins and ends. Not `\\b`: to that, "是B" is one word."""
_SHUT = r"""[\s)\]}>"'”’»」』】*_`$]*"""
_OPEN = r"""[\s(\[{<"'“‘«「『【*_`$]*"""
_STOPS = rf"(?={_SHUT}(?:[.!,;:。、)\n–—(]|-\s|$|\b(?:because|since|as|and|or|not|rather)\b))"
_ENDS = rf"(?={_SHUT}(?:[.!,;)\n。]|$))"
_LETTER = rf"{_FROM}(?:([B-HJ-Z]){_TO}|([AI]){_TO}{_STOPS}|([a-z]){_TO}{_ENDS})"
"""Behind words that choose. "A", "I" and small letters are words unless the sentence stops."""

_ANSWER = (
    "answers?|ans|antwort|lösung|réponse|respuesta|resposta|risposta|antwoord|odpowiedź|cevap|"
    "đáp án"
)
_OPTION = "option|choice|choix|opción|opção|opzione|вариант|选项|選項|選択肢|विकल्प|الخيار"
_FAR_ANSWER = (
    "ответ|答案|选择|選擇|选|選|答え|解答|回答|正解|정답|답|الإجابة|الاجابة|الجواب|उत्तर|जवाब"
)
_VERB = (
    "(?:choos|select|pick|guess|opt for|go(?:ing)? with)(?:e|ing)?|"
    "it(?:['’]s| is| must be| has to be)|c['’]est|es ist|say|therefore|thus|hence|"
    "wähle|nehme|choisis|elijo|выбираю"
)
_BETWEEN = (
    "is|are|be|would|should|must|could|might|may|will|seems|clearly|definitely|likely|probably|most|"
    "indeed|therefore|thus|hence|so|to|for|of|my|me|the|this|that|question|correct|right|best|final|"
    "option|answer|choice|letter|guess|with|it|here|ist|lautet|daher|also|die|richtige?|est|donc|la|le|"
    "bonne|es|correcta|opción|letra|é|è|это|является|правильный|вариант|là"
)
_FILL = (
    rf"(?:[\s:=,*_\"'“”‘’«»「」『』【】`$()\[\]{{}}|>~–—-]|(?i:{_BETWEEN})(?![{_LATIN}\u0400-\u04ff])"
    r"|は|が|是|为|為|应该|應該|이|은|는|हैं|है|सही|विकल्प|هي|هو|الصحيحة|الصحيح|الخيار){0,16}?"
)

# ---- the three tiers

_FINAL = re.compile(
    r"(?i:final answer|endgültige antwort|réponse finale|respuesta final|最终答案|итоговый ответ)"
    rf"{_FILL}{_LETTER}"
)
_NOT_A_LABEL = rf"(?!\s*{_OPEN}[A-Za-z]{_TO})"
_SAID_ASCII = re.compile(
    rf"(?<![A-Za-z])(?i:(?:option|choice){_NOT_A_LABEL}|answers?|ans|antwort|respuesta|{_VERB})"
    rf"(?![A-Za-z]){_FILL}{_LETTER}"
)
_SAID = re.compile(
    rf"(?:(?<![{_LATIN}])(?i:(?:{_OPTION}){_NOT_A_LABEL}|{_ANSWER}|{_VERB})(?![{_LATIN}])"
    rf"|(?i:{_FAR_ANSWER})){_FILL}{_LETTER}"
)
_IS_RIGHT = re.compile(
    rf"{_FROM}([A-Z]){_TO}{_SHUT}\s(?i:is|seems|looks|fits|would|ist|est|es|является)\s+"
    r"(?:[a-zà-ÿ]{1,12}\s+){0,3}?(?i:correct|right|answer|best|choice|true|richtig|correcta|bonne)\b"
    rf"|{_FROM}([A-Z]){_TO}{_SHUT}(?:が正解|が正し|是正确|是对|正确|가 정답|이 정답|सही है)"
)
_CONTRAST = re.compile(
    r"(?:\b(?i:not|nicht|pas|no|não|не)\b[^.!?\n]{0,40}?\b(?i:but|sondern|mais|sino|mas|а)\b|不是.{0,40}?而是)"
    rf"(?:\s(?i:rather|option|answer|it is))?\s?{_OPEN}{_LETTER}"
)
_LEADING = re.compile(
    r"^[ \t(\[*_#>\"'`$「【-]*([A-Za-z])(?:[)\]*_\"'`$」】 \t]*(?:\.(?=\s|$)|[):,、。\]]|$)"
    r"|\s+[-–—]\s|\s+(?:because|since|rather|weil|porque)\b"
    r"|\s*(?:and|or|und|et|y|/|&)\s*\(?[A-Z]\b)(?!\s*[A-Z]\.)|(?<=[.;] )([A-Z])[:)]\s",
    re.MULTILINE,
)
_BRACKETED = re.compile(
    r"(?<![\w'’])(?:\(\s?([A-Za-z])\s?\)|\[([A-Za-z])\]|【([A-Z])】|「([A-Z])」"
    r"|`([A-Z])`|\*\*[(\[]?([A-Z])[)\].:]?\*\*)(?!\w)"
)
_LABEL = re.compile(rf"(?i:{_OPTION})\s?{_OPEN}([A-Z]){_TO}")
_LAST = re.compile(rf"(?<!\b[A-Z])[,:;\n–—]\s*(?:then |so |thus )?{_FROM}([A-HJ-Z])[\s.!)\]*]*$")
_TAIL = 60
"""Signs at the end in which the last word is looked for."""

_ALONE = re.compile(r"(?:[\W_]|(?:option|choice|answer)\b)*([A-Za-z])[\W_]*", re.IGNORECASE)
_HEAD = re.compile(r"[\W_]{0,8}([A-Za-z])[\W_]{1,8}")
_AND = re.compile(
    rf"{_SHUT}[.,;/&+、]?\s*(?:(?:and|or|und|oder|et|ou|y|o|и|или)\b|和|或|,|/|&|、)"
    rf"\s*(?:option\s)?{_OPEN}([A-Z]){_TO}"
)
"""Directly behind a letter: another one."""

# ---- what is set apart, and what is no part of the answer

_THOUGHT = re.compile(
    r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)|\A.*</think(?:ing)?>", re.S | re.I
)
_CONTROL = re.compile(r"<\|(?!begin_of_box|end_of_box)[^|<]*\|>|</?s>")
_BOXED = re.compile(
    r"boxed\s?\{((?:[^{}]|\{[^{}]*\})*)\}|<\|begin_of_box\|>(.*?)<\|end_of_box\|>", re.S
)
_LATEX = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mathsf)\b|[{}]")
_TAG = re.compile(
    r"[<\[](?:(?:final[_ ]?)?answer|ans|choice|option|letter|final)[>\]](.*?)(?:[<\[]/|\Z)",
    re.S | re.I,
)
_FIELD = re.compile(
    r"(?:answer|choice|option|letter|prediction|selected)[\"']\s*:\s*"
    r"(?:\"((?:[^\"\\]|\\.)*)\"|'([^']*)')",
    re.IGNORECASE,
)

# ---- what is denied

_CLAUSE = re.compile(
    r"[.!;,\n:。、]|\b(?:so|therefore|thus|hence|but|because|since|sondern|mais|sino|daher|donc)\b",
    re.I,
)
_NOT = re.compile(
    r"\b(?:not|never|neither|nor|cannot|unlikely|unsure|doubt|except|without|instead of|rather than"
    r"|if|whether|no|rul(?:e|es|ed|ing) out|eliminat\w+|exclud\w+|reject\w*|wrong|incorrect|nicht"
    r"|kein\w*|weder|noch|statt|pas|ni|ne|nunca|não|non|не|ни|нет)\b"
    r"|n['’]t\b|[不没沒非]|除了|排除|ليس|नहीं",
    re.IGNORECASE,
)
_WRONG = re.compile(
    rf"{_SHUT}(?:\?|(?:(?:is|was|are|can|could|would|seems|looks|does|has|ist|kann|est|es|é|è|ne|no"
    r"|является)\b.*?)?(?:\b(?:not|cannot|never|wrong|incorrect|false|unlikely|ruled out|eliminated"
    r"|excluded|falsch|nicht|faux|fausse|pas|incorrecta?|não|неверн\w*|не)\b"
    r"|n['’]t\b|[错錯不]|ではな|じゃな|が間違|가 아니|이 아니|नहीं|ليس))",
    re.IGNORECASE,
)
_NOUN = re.compile(
    r"\b(?:frame|person|man|woman|figure|fig|image|picture|panel|vitamin|team|player|group|step|part"
    r"|point|label|camera|scene|shot|clip|car|room|zone|plan|gate|grade|type|class|block|section)s?"
    r":?\s*[(\[*`]*$",
    re.IGNORECASE,
)
"""Of what a letter may be the name."""
_LINE = 400
"""Signs behind a letter in which its option may be spelt out."""
_NEAR = 100
"""Signs before and behind a letter in which it may be denied."""


def letter_of(reply: str, options: Sequence[str]) -> str | None:
    """The letter ("A" is the first option) that a reply chooses; None where it cannot be told.

    options: their texts, without labels, 26 at most. A reply that is the text of exactly one option
    chooses that. A letter that no option has is not told, and neither are two letters.
    """
    text = reply if reply.isascii() else unicodedata.normalize("NFKC", reply)
    if (alone := _ALONE.fullmatch(text)) is not None:
        return _only((alone[1],), options) if "?" not in text else None
    if "<" in text:
        text = _CONTROL.sub("", _THOUGHT.sub("", text))
    apart = {letter for part in _apart(text) if (letter := _read(part, options))}
    return _only(apart, options) if apart else _read(text, options)


def spelt_out(text: str, options: Sequence[str]) -> str | None:
    """The letter of the option whose text this is, whatever its case and the signs around it; None
    for any other text, and where two options read alike."""
    bare = _bare(text)
    same = [k for k, option in enumerate(options) if bare and _bare(option) == bare]
    return chr(ord("A") + same[0]) if len(same) == 1 else None


def _bare(text: str) -> str:
    return text.strip(" \t\r\n.:!\"'*`_()[]").casefold()


def _only(letters: Iterable[str], options: Sequence[str]) -> str | None:
    """The one letter, where it is one and an option has it."""
    chosen = {letter.upper() for letter in letters}
    letter = chosen.pop() if len(chosen) == 1 else ""
    return letter if letter and ord(letter) - ord("A") < len(options) else None


def _apart(text: str) -> list[str]:
    """The insides of boxes, tags and fields of JSON."""
    parts: list[str] = []
    if "box" in text:
        parts += [_LATEX.sub(" ", a or b) for a, b in _BOXED.findall(text)]
    if "<" in text or "[" in text:
        parts += _TAG.findall(text)
    if '":' in text or "':" in text:
        parts += [a or b for a, b in _FIELD.findall(text)]
    return parts


def _read(text: str, options: Sequence[str]) -> str | None:
    """The letter of a text in which nothing is set apart."""
    if (alone := _ALONE.fullmatch(text)) is not None:
        return _only(alone.groups(), options)
    if (spelt := spelt_out(text, options)) is not None:
        return spelt
    if (head := _HEAD.match(text)) and (spelt := spelt_out(text[head.end() :], options)):
        return _only((head[1], spelt), options)
    letters = _letters((_FINAL,), text, options)
    if not letters:
        pattern = _SAID_ASCII if text.isascii() else _SAID
        letters = _letters((pattern, _IS_RIGHT, _CONTRAST), text, options)
        letters |= _spelt_behind(text, options)
    return _only(letters or _standing(text, options), options)


def _standing(text: str, options: Sequence[str]) -> set[str]:
    """Letters at the heads of lines, in brackets, behind "option", and the last word."""
    tail = text.rstrip()[-_TAIL:]
    letters = _letters((_LEADING, _BRACKETED, _LABEL), text, options)
    return letters | _letters((_LAST,), tail, options)


_BEHIND = re.compile(rf"(?:{_ANSWER}|{_FAR_ANSWER})[\s:]+(?:(?:is|ist|est|es|é|è)\b[\s:]*)?", re.I)


def _spelt_behind(text: str, options: Sequence[str]) -> set[str]:
    """The option that is spelt out behind "the answer is", to the end of the text."""
    _, *behind = _BEHIND.split(text)
    letter = spelt_out(behind[-1], options) if behind else None
    return {letter} if letter is not None else set()


def _letters(patterns: Sequence[re.Pattern[str]], text: str, options: Sequence[str]) -> set[str]:
    """The letters that the patterns find and nothing denies; also that of an option which is spelt
    out behind one, so that "C) <text of D>" is two."""
    letters: set[str] = set()
    for pattern in patterns:
        for match in pattern.finditer(text):
            letter, end = match[match.lastindex or 0], match.end(match.lastindex or 0)
            begin = end if pattern is _CONTRAST else match.start()
            named = pattern in (_BRACKETED, _LAST, _IS_RIGHT)
            if named and _NOUN.search(text, max(0, end - 20), end - 1):
                continue
            no = pattern is _IS_RIGHT and _NOT.search(match[0])
            if not no and not _denied(text, begin, end):
                letters.add(letter.upper())
                if other := _AND.match(text, end):
                    letters.add(other[1].upper())
                if spelt := spelt_out(text[end : end + _LINE].partition("\n")[0], options):
                    letters.add(spelt)
    return letters


def _denied(text: str, begin: int, end: int) -> bool:
    """Whether the clause before says no, or the words behind say that it is wrong (or ask)."""
    before = _CLAUSE.split(text[max(0, begin - _NEAR) : begin])[-1]
    behind = _CLAUSE.split(text[end : end + _NEAR], maxsplit=1)[0]
    return bool(_NOT.search(before) or _WRONG.match(behind))
