"""Guided decoding of multiple choice: an answer is one of the options, word for word.

The reasoner's prompt lists options as "(A) text" lines under "Options:"
(agents/prompt_parts.py); the reply is `{"answered":true,"answer":"text","choice":"A"}`. From
the answer's first word on, the reply is that option which the model finds likeliest as a whole,
so the letter is always the text's letter. Nothing is forced on a reply that declines to answer.
As a whole, because the first word that differs often says little: going by it, word for word,
225 of 300 questions about validation stories were right (core frames and their captions given),
by the mean log-likelihood of a whole option 239, by its sum 237.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_OPENING = '{"answered":true,"answer":"'
_LISTED = re.compile(r"Options:\n((?:\([A-Z]\) [^\n]*\n)+)")
_OPTION = re.compile(r"\(([A-Z])\) ([^\n]*)\n")


@dataclass(frozen=True)
class Guide:
    """The replies that may be given, as token ids, and how many of their first tokens are free."""

    replies: tuple[tuple[int, ...], ...]
    free: int

    def at_choice(self, generated: Sequence[int]) -> bool:
        """Whether the reply has come to the answer's first word, where options are weighed."""
        n = self.free
        return len(generated) == n and any(r[:n] == tuple(generated) for r in self.replies)

    def rests(self) -> list[tuple[int, ...]]:
        """What of each reply comes after the free beginning."""
        return [reply[self.free :] for reply in self.replies]


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
