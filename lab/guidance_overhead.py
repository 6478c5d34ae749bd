"""What holding a reply to its schema costs, on a random decoder of SmolVLM2-500M's shape.

    python -m lab.guidance_overhead [--layers 32] [--tokens 48] [--threads 2]

The decoder has 960 wide embeddings, 15 heads, 5 of keys and values, 2,560 inner and 49,280 tokens;
its weights are noise, so each step takes what a real one takes. The tokenizer is byte-level with as
many entries: learned ones, filled up with made-up words. Decoding is timed with and without the
mask, in turns, on the same prompt; the prompt itself is not timed. Times are CPU seconds of this
process, so that other work on the machine does not count.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
from torch import nn

from videoespresso.agents.reasoner import Evidence
from videoespresso.models.client.structured_output import bounded, numbers
from videoespresso.models.guidance import Vocabulary
from videoespresso.models.onnx.graph import Graph
from videoespresso.training.pack.export import Decoder

VOCABULARY, WIDTH, INNER, HEADS, KV, SIZE = 49_280, 960, 2_560, 15, 5, 64
"""SmolVLM2-500M's language model."""
PROMPT = 400
"""Tokens before the reply: two pictures and a question."""


def tokenizer_json() -> str:
    """A byte-level tokenizer of VOCABULARY entries: the bytes, and words of two to nine letters."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    noise = np.random.default_rng(0)
    words = ["<end>", *alphabet]
    known = set(words)
    while len(words) < VOCABULARY:
        letters = noise.integers(97, 123, noise.integers(2, 10))
        word = ("Ġ" if noise.random() < 0.5 else "") + "".join(map(chr, letters))
        if word not in known:
            known.add(word)
            words.append(word)
    made = tokenizers.Tokenizer(tokenizers.models.BPE({w: i for i, w in enumerate(words)}, []))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.add_special_tokens(["<end>"])
    return str(made.to_str())


def decoder(layers: int, folder: Path) -> Path:
    """The exported decoder, weights beside it."""
    from transformers import LlamaConfig, LlamaForCausalLM  # noqa: PLC0415 - extra `train`

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=INNER, head_dim=SIZE,
        num_hidden_layers=layers, num_attention_heads=HEADS, num_key_value_heads=KV,
    )  # fmt: skip
    language = LlamaForCausalLM(config).eval()
    whole = nn.Module()
    whole.model, whole.lm_head = nn.Module(), language.lm_head
    whole.model.text_model = language.model
    cache = torch.zeros(layers, 2, 1, KV, 3, SIZE)
    path = folder / "decoder.onnx"
    with torch.no_grad():
        torch.onnx.export(
            Decoder(whole),
            (torch.zeros(1, 4, WIDTH), torch.zeros(1, 4, dtype=torch.long),
             torch.ones(1, 7, dtype=torch.long), cache),
            str(path), opset_version=17, dynamo=False,
            input_names=["embeds", "positions", "seen", "cache"], output_names=["logits", "grown"],
            dynamic_axes={"embeds": {1: "n"}, "positions": {1: "n"}, "seen": {1: "t"},
                          "cache": {4: "p"}, "grown": {4: "t"}},
        )  # fmt: skip
    return path


def decode(graph: Graph, table: Any, tokens: int, guidance: Any) -> list[float]:
    """CPU seconds of each step; without guidance the likeliest token is taken as it is."""
    noise = np.random.default_rng(1)
    embeds = noise.normal(size=(1, PROMPT, WIDTH)).astype(np.float32)
    cache = graph.inputs["cache"].empty()
    cache = np.zeros((cache.shape[0], 2, 1, KV, 0, SIZE), np.float32)
    seconds, total = [], 0
    logits = None
    for _ in range(tokens + 1):
        start = time.process_time()
        if logits is not None:
            token = int((logits if guidance is None else guidance.masked(logits)).argmax())
            if guidance is not None:
                guidance.consume(token)
            embeds = table[[[token]]]
        n = embeds.shape[1]
        places = np.arange(total, total + n)[None]
        total += n
        given = {"embeds": embeds, "positions": places, "cache": cache}
        found, cache = graph.run({**given, "seen": np.ones((1, total), np.int64)})
        logits = found[0]
        seconds.append(time.process_time() - start)
    return seconds[1:]


def measure(layers: int, tokens: int, threads: int, rounds: int) -> dict[str, float]:
    """CPU milliseconds a token without and with guidance (medians), and the share it adds."""
    text = tokenizer_json()
    start = time.process_time()
    vocabulary = Vocabulary(text, VOCABULARY, [0])
    made = time.process_time() - start
    schema = bounded(Evidence, {"Step.frame": numbers(1, 3), "Evidence.steps": {"minItems": 8}})
    start = time.process_time()
    vocabulary.guidance(schema, 1024)
    compiled = time.process_time() - start
    table = np.random.default_rng(2).normal(size=(VOCABULARY, WIDTH)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        graph = Graph(decoder(layers, Path(folder)), threads)
    plain: list[float] = []
    held: list[float] = []
    for _ in range(rounds):
        plain += decode(graph, table, tokens, None)
        held += decode(graph, table, tokens, vocabulary.guidance(schema, 1024))
    without, with_it = statistics.median(plain) * 1000, statistics.median(held) * 1000
    return {
        "vocabulary_ms": made * 1000,
        "schema_ms": compiled * 1000,
        "without_ms": without,
        "with_ms": with_it,
        "overhead": with_it / without - 1,
        "overhead_of_means": sum(held) / sum(plain) - 1,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m lab.guidance_overhead", description=__doc__)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(argv)
    found = measure(given.layers, given.tokens, given.threads, given.rounds)
    print(json.dumps({**vars(given), **{k: round(v, 4) for k, v in found.items()}}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
