"""Guided decoding of multiple choice: an answer is one of the options, word for word.

The reasoner's prompt lists options as "(A) text" lines under "Options:" (agents/wire.py); the reply
is `{"answered":true,"answer":"text","choice":"A"}`. From the answer's first word on, only tokens
that continue one of those replies may be chosen, so the letter is always the letter of the text.
Nothing is forced on a reply that declines to answer.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_OPENING = '{"answered":true,"answer":"'
_LISTED = re.compile(r"Options:\n((?:\([A-Z]\) [^\n]*\n)+)")
_OPTION = re.compile(r"\(([A-Z])\) ([^\n]*)\n")


@dataclass(frozen=True)
class Guide:
    """The replies that may be given, as token ids, and how many of their first tokens are free."""

    replies: tuple[tuple[int, ...], ...]
    free: int

    def allowed(self, said: Sequence[int]) -> frozenset[int]:
        """Tokens that may follow what was said; empty where any may."""
        if len(said) < self.free:
            return frozenset()
        n = len(said)
        return frozenset(r[n] for r in self.replies if len(r) > n and r[:n] == tuple(said))

    def pick(self, scores: NDArray[np.floating[Any]], said: Sequence[int]) -> int:
        """The best token of those that may follow. scores: (vocabulary,)."""
        some = sorted(self.allowed(said))
        return int(some[int(scores[some].argmax())]) if some else int(scores.argmax())


FREE = Guide((), 0)


def guide(prompt: str, tokenizer: Any) -> Guide:
    """What a prompt's last turn allows; `FREE` where it lists no options.

    prompt: the templated conversation. tokenizer: a `tokenizers.Tokenizer`.
    """
    listed = _LISTED.search(prompt, prompt.rfind("<|user|>"))
    if listed is None:
        return FREE

    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenizer.encode(text, add_special_tokens=False).ids)

    end = tokenizer.token_to_id("<|end|>")
    replies = tuple(
        (*ids(f'{_OPENING}{json.dumps(text)[1:-1]}","choice":"{letter}"}}'), end)
        for letter, text in _OPTION.findall(listed[1])
    )
    return Guide(replies, len(ids(_OPENING)))
