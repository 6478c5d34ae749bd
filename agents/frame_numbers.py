"""Numbers that models write beside words: where the two contradict each other, the words win.

Seen with the embedded pack, where the sentence was often right and the number beside it near chance
(docs/log.md); not measured with other models. The paper, too, maps core captions back by their text
(equation 3). So a frame number is believed
unless the sentence beside it is found, word for word, in another frame's caption only.
"""

import re
from collections.abc import Sequence

_SMALL = frozenset(
    {"a", "an", "and", "are", "at", "for", "in", "is", "it", "of", "on", "or", "so", "that"}
    | {"the", "then", "there", "to", "when", "with"}
)
NEARLY_ALL = 0.8
"""Share of a sentence's words that a caption must have to count as saying it."""


def _words(text: str) -> list[str]:
    return [w for w in re.findall(r"\w+", text.casefold()) if w not in _SMALL]


def share(text: str, caption: str) -> float:
    """Share of a sentence's content words that a caption has, 0-1; 0 for a sentence without any."""
    words, there = _words(text), set(_words(caption))
    return sum(w in there for w in words) / len(words) if words else 0.0


def placed(number: int, text: str, captions: Sequence[str]) -> int | None:
    """The position (0-based) of the caption that an entry is about; None when it is about none.

    number: what the model wrote, from 1. text: the sentence beside it. The number is kept when its
    caption says the text as well as any other does, or when no caption says it.
    """
    valid = 1 <= number <= len(captions)
    scores = [share(text, caption) for caption in captions]
    best = max(scores, default=0.0)
    if valid and (scores[number - 1] >= best or best < NEARLY_ALL):
        return number - 1
    return scores.index(best) if best >= NEARLY_ALL else None
