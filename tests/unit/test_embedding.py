"""An embedder on a server within limits: counted, priced, paced, tried again, paid once."""

from pathlib import Path

import numpy as np
import pytest
import tests.helpers.chat_server as fake

from videoespresso.errors import BudgetExceeded, ModelError, SettingsError
from videoespresso.graphs.context import open_context
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.prices import Price, price
from videoespresso.models.client.rate_limit import RateLimit, Ticket
from videoespresso.models.client.retry import Retries
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.embedders import OpenAIEmbedder, WordLlamaEmbedder
from videoespresso.models.paid_embedder import PaidEmbedder, within_limits
from videoespresso.models.specs import ModelSpec
from videoespresso.settings import Settings
from videoespresso.types import Usage

TEXTS = ["a red car", "a dog", " ", "a red car"]
TOKENS = 7


vectors = fake.embed(lambda text: [len(text), text.count("a"), 1], tokens=TOKENS)


class Watched(RateLimit):
    """Counts the calls that it let through and saw end."""

    ended = 0

    def done(self, place: Ticket, tokens: int | None = None, *, refused: bool = False) -> None:
        self.ended += 1
        super().done(place, tokens, refused=refused)


def paid(server: fake.Server, **given: object) -> PaidEmbedder:
    inner = OpenAIEmbedder(ModelSpec.parse(f"openai:vectors@{server.url}"))
    return PaidEmbedder(inner, retries=Retries(base_s=0.0), **given)  # type: ignore[arg-type]


def test_a_request_is_counted_priced_and_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "videoespresso.models.client.usage.price", lambda _spec: Price(1.0, 0.0, "")
    )
    usage_log, budget, limit = UsageLog(), Budget(max_usd=1.0), Watched()
    with fake.Server([vectors]) as server:
        rows = paid(server, usage_log=usage_log, budget=budget, rate_limit=limit)(TEXTS)
        assert [r["input"] for r in server.requests] == [["a red car", "a dog"]]
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), [1, 1, 0, 1])
    assert np.array_equal(rows[0], rows[3])
    used = usage_log.by_role()["embedder"]
    assert (used.calls, used.input_tokens, used.output_tokens) == (1, TOKENS, 0)
    assert used.usd == pytest.approx(TOKENS / 1e6)
    assert budget.spent == used.model_copy(update={"cached_calls": 0})
    assert limit.ended == 1


def test_no_request_passes_a_limit() -> None:
    with fake.Server([vectors]) as server:
        embed = paid(server, budget=Budget(max_calls=1))
        embed(["a"])
        with pytest.raises(BudgetExceeded):
            embed(["b"])
        assert len(server.requests) == 1


def test_a_limit_in_dollars_needs_a_price(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("videoespresso.models.client.usage.price", lambda _spec: None)
    with fake.Server([vectors]) as server:
        with pytest.raises(SettingsError, match="no known price"):
            paid(server, budget=Budget(max_usd=1.0))(["a"])
        assert server.requests == []


def test_openais_embedders_have_prices() -> None:
    for name, usd in (("3-small", 0.02), ("3-large", 0.13), ("ada-002", 0.10)):
        found = price(ModelSpec.parse(f"openai:text-embedding-{name}"))
        assert found is not None
        assert found.usd(1_000_000, 0) == pytest.approx(usd)


def test_trouble_that_passes_is_sat_out_and_every_try_counts() -> None:
    usage_log = UsageLog()
    with fake.Server([fake.status(500), fake.status(429, retry_after="0"), vectors]) as server:
        assert paid(server, usage_log=usage_log)(["a"]).shape == (1, 3)
        assert len(server.requests) == 3, "the SDK tries nothing by itself"
    assert usage_log.total().calls == 3


def test_what_another_try_cannot_help_is_tried_once() -> None:
    with fake.Server([fake.status(401)]) as server:
        with pytest.raises(ModelError):
            paid(server)(["a"])
        assert len(server.requests) == 1


def test_a_text_is_paid_once(tmp_path: Path) -> None:
    replies, usage_log = ReplyCache(tmp_path / "replies.sqlite"), UsageLog()
    with fake.Server([vectors]) as server:
        first = paid(server, replies=replies)(TEXTS)
        again = paid(server, replies=replies, usage_log=usage_log)
        assert again(TEXTS).tobytes() == first.tobytes()
        assert len(server.requests) == 1
        assert usage_log.total() == Usage(cached_calls=1)
        again(["a red car", "a cat"])
        assert server.requests[1]["input"] == ["a cat"]
    assert replies.stats().usage.calls == 2


def test_blank_texts_have_the_width_of_others(tmp_path: Path) -> None:
    replies = ReplyCache(tmp_path / "replies.sqlite")
    with fake.Server([vectors]) as server:
        embed = paid(server, replies=replies)
        assert embed([]).shape == (0, 3)
        assert not embed([" "]).any()
        assert len(server.requests) == 1


def test_a_server_that_the_environment_names_has_vectors_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec, names = ModelSpec.parse("openai:vectors"), set()
    for host in ("localhost:1", "localhost:2"):
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://me:secret@{host}/v1")
        names.add(OpenAIEmbedder(spec).name)
    assert len(names) == 2
    assert not [name for name in names if "secret" in name]


def test_only_what_is_on_a_server_needs_limits() -> None:
    assert isinstance(within_limits("wordllama"), WordLlamaEmbedder)


def test_a_new_question_has_its_own_bill(tmp_path: Path) -> None:
    with fake.Server([vectors]) as server:
        spec = f"openai:vectors@{server.url}"
        given = {"cache_dir": tmp_path, "embedder": spec, "profile": "embedded"}
        context = open_context(Settings.load(given, environ={}), roles=())
        context.embed(["a"])
        first, second = context.renewed(), context.renewed()
        first.embed(["b"])
        second.memory.search("c", ["0" * 64], 1)
    for means, text in ((context, "a"), (first, "b"), (second, "c")):
        assert means.budget.spent.calls == 1, text
        assert means.usage_log.by_role()["embedder"].calls == 1, text
