"""Embedders: one contract over all, and what each is special in."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.helpers import chat_server as fake

from videoespresso.errors import ModelError, SettingsError
from videoespresso.memory.captions import Embedder
from videoespresso.models.embedders import WordLlamaEmbedder, embedder

SOURCES = Path(__file__).resolve().parents[2] / "src"


def letters(text: str) -> list[float]:
    """The letters of a text counted, times three."""
    return [3.0 * text.count(letter) for letter in "abcdefgh."]


def spec_of(server: fake.Server) -> str:
    return f"openai:letters@{server.url}"


@pytest.fixture
def server() -> Iterator[fake.Server]:
    with fake.Server([fake.embed(letters)]) as running:
        yield running


@pytest.fixture(scope="module")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random XLM-R, the architecture of bge-m3, with a small word vocabulary of its own."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    from tokenizers import Tokenizer, models, pre_tokenizers, processors  # noqa: PLC0415

    words = ["<s>", "<pad>", "</s>", "<unk>", "a", "b", "c", "d", "car", "dog", "red", "."]
    raw = Tokenizer(models.WordLevel({word: k for k, word in enumerate(words)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    folder = tmp_path_factory.mktemp("xlmr")
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        unk_token="<unk>", cls_token="<s>", sep_token="</s>", model_max_length=30,
    ).save_pretrained(folder)  # fmt: skip
    torch.manual_seed(0)
    config = transformers.XLMRobertaConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=40, pad_token_id=1, initializer_range=0.5,
    )  # fmt: skip
    transformers.XLMRobertaModel(config).save_pretrained(folder)
    return folder


KINDS = ["wordllama", "openai", pytest.param("hf", marks=pytest.mark.extras)]


@pytest.fixture(params=KINDS)
def embed(request: pytest.FixtureRequest) -> Embedder:
    if request.param == "openai":
        return embedder(spec_of(request.getfixturevalue("server")))
    if request.param == "hf":
        return embedder(f"hf:{request.getfixturevalue('tiny_encoder')}")
    return embedder("wordllama")


def test_rows_are_unit_length_float32_in_order(embed: Embedder) -> None:
    texts = ["a red car", "a dog", "a red car", "b c d"]
    rows = embed(texts)
    assert rows.dtype == np.float32
    assert rows.shape[0] == 4
    assert np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)
    assert np.allclose(rows[0], rows[2], atol=1e-6)
    assert not np.allclose(rows[0], rows[1], atol=1e-2)
    for text, row in zip(texts, rows, strict=True):  # alone or in a batch, it is the same
        assert np.allclose(embed([text])[0], row, atol=1e-5)


def test_an_empty_list_and_blank_texts_are_no_error(embed: Embedder) -> None:
    d = embed(["a car"]).shape[1]
    assert embed([]).shape == (0, d)
    rows = embed(["", "a car", " \n"])
    assert rows.shape == (3, d)
    assert not rows[0].any()
    assert not rows[2].any()
    assert np.linalg.norm(rows[1]) == pytest.approx(1.0)


def test_blank_texts_first_still_have_the_models_width(embed: Embedder) -> None:
    assert embed([" "]).shape == embed(["a car"]).shape


def test_more_texts_than_a_batch(embed: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{'a ' * (k % 5)}b" for k in range(23)]
    whole = embed(texts)
    monkeypatch.setattr(type(embed), "batch", 7)
    assert np.allclose(embed(texts), whole, atol=1e-5)


@pytest.mark.parametrize(
    "spec", ["", "wordlama", "chroma:default", "openai:", "hf:", "hf:x@http://localhost:1/v1"]
)
def test_an_unknown_spec_is_refused_with_a_hint(spec: str) -> None:
    with pytest.raises(SettingsError) as caught:
        embedder(spec)
    assert caught.value.hint


def test_openai_needs_a_key_unless_the_server_is_here(server: fake.Server) -> None:
    with pytest.raises(SettingsError, match="key"):
        embedder("openai:text-embedding-3-small")
    embedder(spec_of(server))


def test_openai_sends_text_in_batches_to_the_given_url(
    server: fake.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = embedder(spec_of(server))
    monkeypatch.setattr(type(embed), "batch", 2)
    embed(["a", "", "b", "c"])
    assert [request["input"] for request in server.requests] == [["a", "b"], ["c"]]
    assert set(server.paths) == {"/v1/embeddings"}
    assert {request["model"] for request in server.requests} == {"letters"}
    assert embed.name == spec_of(server)


def test_openai_failure_is_typed_and_hides_the_key() -> None:
    refused = fake.status(401, "no such key: sk-abcdefghijkl")
    with fake.Server([refused]) as server, pytest.raises(ModelError) as caught:
        embedder(spec_of(server))(["a"])
    assert not caught.value.retryable
    assert caught.value.hint
    assert "sk-abc" not in str(caught.value)


def test_a_server_that_forgets_a_text_is_noticed() -> None:
    with fake.Server([fake.embed(letters, missing=1)]) as server, pytest.raises(ModelError):
        embedder(spec_of(server))(["a", "b"])


def test_wordllama_is_known_by_what_its_weights_are() -> None:
    embed = embedder()
    assert isinstance(embed, WordLlamaEmbedder)
    assert embed.name == "wordllama:l2_supercat_256"
    rows = embed(["a man walks", "a man is walking", "the soup boils"])
    assert rows.shape == (3, 256)
    assert rows[0] @ rows[1] > 0.7 > 0.3 > rows[0] @ rows[2]


def test_wordllama_cannot_see_order_which_is_why_the_filter_has_a_guard() -> None:
    a, b = embedder()(["red car; man in blue", "blue car; man in red"])
    assert a @ b == pytest.approx(1.0, abs=1e-6)


def test_loading_wordllama_leaves_the_root_logger_alone() -> None:
    code = (
        "import logging; from videoespresso.models.embedders import embedder; embedder()(['a']);"
        "print(logging.getLogger().handlers, logging.getLogger().level == logging.WARNING)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=SOURCES
    )
    assert run.stdout.strip() == "[] True"
    assert run.stderr == ""


def test_loading_wordllama_lets_no_other_thread_log_more_meanwhile() -> None:
    code = (
        "import logging, threading, time; from videoespresso.models.embedders import embedder\n"
        "loading = threading.Thread(target=lambda: embedder()(['a'])); loading.start()\n"
        "while loading.is_alive(): logging.getLogger('httpx').info('asked'); time.sleep(0.0005)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=SOURCES
    )
    assert run.stderr == ""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory from /proc")
def test_wordllama_keeps_no_text_that_it_has_read() -> None:
    code = (
        "import random; from videoespresso.models.embedders import embedder\n"
        "held = lambda: int(open('/proc/self/statm').read().split()[1]) * 4096 / 2**20\n"
        "words = [f'w{k}abc' for k in range(500)]\n"
        "read = lambda: embedder()([' '.join(random.choices(words, k=20)) for _ in range(15)])\n"
        "_ = [read() for _ in range(20)]; before = held(); _ = [read() for _ in range(300)]\n"
        "print(held() - before)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=SOURCES
    )
    assert float(run.stdout) < 10, "MB after 4,500 texts; with the tokenizer's cache it is 30 or so"


@pytest.mark.extras
def test_hf_takes_the_first_token_or_as_told_the_mean(tiny_encoder: Path) -> None:
    import torch  # noqa: PLC0415
    from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415

    texts = ["red car", "dog"]
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    model = AutoModel.from_pretrained(tiny_encoder).eval()
    hidden = []
    with torch.inference_mode():
        for text in texts:
            inputs = tokenizer(text, return_tensors="pt")
            hidden.append(model(**inputs).last_hidden_state[0].numpy())
    first = np.stack([h[0] / np.linalg.norm(h[0]) for h in hidden])
    mean = np.stack([h.mean(0) / np.linalg.norm(h.mean(0)) for h in hidden])
    assert np.allclose(embedder(f"hf:{tiny_encoder}")(texts), first, atol=1e-5)
    told = tiny_encoder / "1_Pooling"
    told.mkdir()
    (told / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    try:
        assert np.allclose(embedder(f"hf:{tiny_encoder}")(texts), mean, atol=1e-5)
    finally:
        (told / "config.json").unlink()
        told.rmdir()


@pytest.mark.extras
def test_hf_cuts_what_is_too_long(tiny_encoder: Path) -> None:
    assert np.isfinite(embedder(f"hf:{tiny_encoder}")(["car " * 200])).all()


@pytest.mark.extras
def test_hf_names_a_model_that_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    for where, hint in ((f"{tmp_path / 'nothing'}", "path"), ("a/b", "models pull hf:a/b")):
        with pytest.raises(SettingsError) as caught:
            embedder(f"hf:{where}")(["a"])
        assert hint in caught.value.hint, "nothing is downloaded unasked"
