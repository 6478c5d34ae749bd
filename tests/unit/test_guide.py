"""Guided decoding: an answer is one of the options, and its letter is that option's."""

import json
from collections.abc import Callable

import numpy as np
from tokenizers import Tokenizer

from videoespresso.agents import wire
from videoespresso.models.embedded import PACK_LVLM
from videoespresso.models.embedded.guide import FREE, guide

OPTIONS = ("the man in blue waves", "the man in red waves", "the light is red", 'a "sign"')
TOKENIZER = Tokenizer.from_file(str(PACK_LVLM / "tokenizer.json"))
END = TOKENIZER.token_to_id("<|end|>")
BEFORE = '<|reasoner|><|user|>Question: q<|assistant|>{"steps":[]}<|end|><|user|>'


def asked(options: tuple[str, ...]) -> str:
    return BEFORE + wire.answer_parts(options)[0] + "<|assistant|>"


def said(prompt: str, wish: Callable[[int], str]) -> str:
    """What is written by a model that gives `wish(n)`'s n-th token the highest score."""
    found = guide(prompt, TOKENIZER)
    rng, row = np.random.default_rng(0), list[int]()
    while not row or row[-1] != END:
        wanted = [*TOKENIZER.encode(wish(len(row)), add_special_tokens=False).ids, END]
        scores = rng.random(TOKENIZER.get_vocab_size())
        if len(row) < len(wanted):
            scores[wanted[len(row)]] = 2.0
        row.append(found.pick(scores, row))
        assert len(row) < 200
    return str(TOKENIZER.decode(row[:-1]))


def test_what_is_no_option_becomes_the_nearest_one() -> None:
    wish = '{"answered":true,"answer":"the man in green","choice":"D"}'
    reply = json.loads(said(asked(OPTIONS), lambda n: wish))
    assert reply["answer"] in OPTIONS[:2]
    assert wire.LETTERS[OPTIONS.index(reply["answer"])] == reply["choice"]


def test_an_option_is_written_as_it_is_with_its_own_letter() -> None:
    for letter, option in zip("ABCD", OPTIONS, strict=True):
        text = json.dumps({"answered": True, "answer": option, "choice": "A"}, separators=",:")
        reply = json.loads(said(asked(OPTIONS), lambda n, text=text: text))  # type: ignore[misc]
        assert (reply["answer"], reply["choice"]) == (option, letter)


def test_declining_is_not_forced_into_an_option() -> None:
    wish = '{"answered":false,"answer":"the frames do not show this","choice":null}'
    assert said(asked(OPTIONS), lambda n: wish) == wish


def test_without_options_nothing_is_guided() -> None:
    assert guide(asked(()), TOKENIZER) == FREE
    # nor by options of an earlier turn
    assert guide(asked(OPTIONS) + "ok<|end|><|user|>More?<|assistant|>", TOKENIZER) == FREE
