"""What a hostile model server can do to each provider's own client class: the same few things."""

import gzip
import importlib.util

import pytest
from tests.helpers import chat_server as fake
from tests.helpers.server_agent import PROVIDERS, provider_agent, words

from videoespresso.errors import ModelError
from videoespresso.models.client import http
from videoespresso.models.client.errors import LateError

KEY = "AIzaPlantedPlantedPlanted123"
MB = 1 << 20


pytestmark = pytest.mark.usefixtures("quiet_ends")


@pytest.fixture(
    params=[pytest.param(n, marks=pytest.mark.extras if n != "openai" else ()) for n in PROVIDERS]
)
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    provider = PROVIDERS[request.param]
    if importlib.util.find_spec(provider.package) is None:
        pytest.skip(f"{provider.package} is not installed")
    if provider.key:
        monkeypatch.setenv(provider.key, KEY)
    return str(request.param)


def large(exchange: fake.Exchange) -> None:
    exchange.send(200, b" " * (2 * MB))


def bomb(exchange: fake.Exchange) -> None:
    assert exchange.headers["accept-encoding"] == "identity"
    exchange.send(200, gzip.compress(bytes(64 * MB)), Content_Encoding="gzip")


@pytest.mark.parametrize("behaviour", [large, bomb])
def test_a_reply_has_a_size_limit(
    name: str, behaviour: fake.Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "LARGEST_REPLY", MB)
    with fake.Server([behaviour]) as server:
        with pytest.raises(ModelError, match="larger than 1 MB"):
            words(provider_agent(name, server.url))
        assert len(server.requests) == 1


def test_a_redirect_is_not_followed(name: str) -> None:
    with fake.Server([fake.say("stolen")]) as elsewhere:

        def away(exchange: fake.Exchange) -> None:
            exchange.send(307, b"", Location=f"{elsewhere.url}/chat/completions")

        with fake.Server([away]) as server:
            with pytest.raises(ModelError, match="redirect"):
                words(provider_agent(name, server.url))
            assert len(server.requests) == 1
        assert elsewhere.requests == []


def dripping(head: bytes) -> fake.Behaviour:
    """These bytes, then one now and then, for ever: no silence is ever long."""

    def behave(exchange: fake.Exchange) -> None:
        exchange.handler.wfile.write(head)
        while not exchange.closing.wait(0.02):
            exchange.handler.wfile.write(b"1")
            exchange.handler.wfile.flush()

    return behave


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nX-Long: ",
        OK + b"Content-Length: 1000000\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["headers", "body", "the size of a chunk"],
)
def test_a_reply_that_drips_ends_with_the_call(name: str, head: bytes) -> None:
    with fake.Server([dripping(head)]) as server, pytest.raises(LateError, match="in time"):
        words(provider_agent(name, server.url, timeout_s=0.5))


def test_a_name_that_leads_to_a_metadata_service_is_never_sent_anything(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "resolved", lambda *_: ["169.254.169.254"])
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ModelError, match="hands out") as caught:
        words(provider_agent(name, "http://metadata.example/v1"))
    assert not caught.value.retryable


def test_an_error_quotes_the_server_once_and_never_the_key(name: str) -> None:
    text = f"model is cursed, your key was {KEY}"

    def behave(exchange: fake.Exchange) -> None:
        exchange.send_json(400, {"type": "error", "error": {"type": "x", "message": text}})

    with fake.Server([behave]) as server, pytest.raises(ModelError) as caught:
        words(provider_agent(name, server.url))
    said = f"{caught.value} {caught.value.hint}"
    assert KEY not in said
    assert said.count("model is cursed") == 1, said
