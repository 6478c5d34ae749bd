"""Guided decoding: an answer is one of the options, and its letter is that option's."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from tokenizers import Tokenizer

from videoespresso.agents import prompt_parts
from videoespresso.models.embedded import PACK_LVLM, chat
from videoespresso.models.embedded import runtime as embedded_runtime
from videoespresso.models.embedded.runtime import FREE, PackRuntime, Prompted, guide

OPTIONS = ("the man in blue waves", "the man in red waves", "the light is red", 'a "sign"')
TOKENIZER = Tokenizer.from_file(str(PACK_LVLM / "tokenizer.json"))
END = TOKENIZER.token_to_id("<|end|>")
BEFORE = '<|reasoner|><|user|>Question: q<|assistant|>{"steps":[]}<|end|><|user|>'


def asked(options: tuple[str, ...]) -> str:
    return BEFORE + prompt_parts.answer_parts(options)[0] + "<|assistant|>"


class Wishing:
    """A decoder that wants to say a text, token for token, and everything else equally little.

    Its cache holds what it was given: the number of tokens that were said so far.
    """

    def __init__(self, wish: str, runtime: PackRuntime, prompt: str) -> None:
        self.wanted = [*TOKENIZER.encode(wish, add_special_tokens=False).ids, END]
        self.start = runtime.count(prompt)
        self.most = 0

    def run(self, _: None, given: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        rows = len(given["embeds"])
        said = int(given["seen"].shape[1]) - self.start
        self.most = max(self.most, said)
        scores = np.zeros((rows, TOKENIZER.get_vocab_size()), np.float32)
        if said < len(self.wanted):
            scores[:, self.wanted[said]] = 9.0
        return scores, given["cache"]


def said(prompt: str, wish: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the runtime writes with such a decoder."""
    runtime = PackRuntime(PACK_LVLM)
    monkeypatch.setitem(runtime.__dict__, "_decoder", Wishing(wish, runtime, prompt))
    return runtime.generate([Prompted(prompt, ())], 200)[0]


def test_what_is_no_option_becomes_one_with_its_own_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    wish = '{"answered":true,"answer":"the man in green waves","choice":"D"}'
    reply = json.loads(said(asked(OPTIONS), wish, monkeypatch))
    assert reply["answer"] in OPTIONS[:2]
    assert prompt_parts.LETTERS[OPTIONS.index(reply["answer"])] == reply["choice"]


@pytest.mark.parametrize(("letter", "option"), list(zip("ABCD", OPTIONS, strict=True)))
def test_an_option_is_written_as_it_is_with_its_own_letter(
    letter: str, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = json.dumps({"answered": True, "answer": option, "choice": None}, separators=(",", ":"))
    reply = json.loads(said(asked(OPTIONS), text, monkeypatch))
    assert (reply["answer"], reply["choice"]) == (option, letter)


def test_an_option_counts_as_a_whole_and_not_by_its_first_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first words point to the first option, all the others to the second."""
    options = ("a dog sits", "two cats run past the red car")
    wish = '{"answered":true,"answer":"a cats run past the red car","choice":"B"}'
    reply = json.loads(said(asked(options), wish, monkeypatch))
    assert reply["answer"] == options[1]


def test_declining_is_not_forced_into_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    wish = '{"answered":false,"answer":"the frames do not show this","choice":null}'
    assert said(asked(OPTIONS), wish, monkeypatch) == wish


def test_what_is_decided_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is the last token of what is weighed: nobody asks what comes behind it."""
    runtime, prompt = PackRuntime(PACK_LVLM), asked(OPTIONS)
    wish = '{"answered":true,"answer":"the light is red","choice":"C"}'
    decoder = Wishing(wish, runtime, prompt)
    monkeypatch.setitem(runtime.__dict__, "_decoder", decoder)
    assert runtime.generate([Prompted(prompt, ())], 200) == [wish]
    longest = max(map(len, guide(prompt, TOKENIZER).replies))
    assert decoder.most == longest - 1


def test_calls_run_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2)

    def generate(*_: object) -> list[str]:
        both.wait(timeout=20)
        return ["yes"]

    monkeypatch.setattr(chat, "_AT_ONCE", threading.BoundedSemaphore(2))
    monkeypatch.setattr(chat.runtime(PACK_LVLM), "generate", generate)
    with ThreadPoolExecutor(2) as pool:
        replies = pool.map(chat.PackChatModel().invoke, ["one", "two"])
        assert [reply.text for reply in replies] == ["yes", "yes"]


def test_pictures_of_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than are kept, so that each thread drops what another one just saw."""
    monkeypatch.setattr(embedded_runtime, "RECENT", 1)
    pack = PackRuntime(PACK_LVLM)
    pictures = [Image.new("RGB", (8, 8), (k, 0, 0)) for k in range(6)]
    alone = [pack.features([p]) for p in pictures]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(3):
            together = list(pool.map(lambda p: pack.features([p]), pictures))
            assert all((a == b).all() for a, b in zip(alone, together, strict=True))


def test_without_options_nothing_is_guided() -> None:
    assert guide(asked(()), TOKENIZER) == FREE
    # nor by options of an earlier turn
    assert guide(asked(OPTIONS) + "ok<|end|><|user|>More?<|assistant|>", TOKENIZER) == FREE


def test_the_packs_own_weights_give_an_option() -> None:
    """The real decoder, without pictures."""
    reply = json.loads(PackRuntime(PACK_LVLM).generate([Prompted(asked(OPTIONS), ())], 200)[0])
    if reply["answered"]:
        assert prompt_parts.LETTERS[OPTIONS.index(reply["answer"])] == reply["choice"]
