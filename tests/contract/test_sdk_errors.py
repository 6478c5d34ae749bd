"""What every SDK's error must become."""

import httpx
import openai
import pytest
from langchain_core import exceptions as langchain_errors

from videoespresso.errors import BudgetExceeded, ModelError, SettingsError
from videoespresso.models.client.errors import convert, model_errors
from videoespresso.models.specs import ModelSpec


def subclasses(root: type[Exception]) -> set[type[Exception]]:
    return {root}.union(*(subclasses(child) for child in root.__subclasses__()))


def made(kind: type[Exception]) -> Exception:
    """An instance with what its class promises, without its constructor's demands."""
    error: Exception = kind.__new__(kind)
    Exception.__init__(error, "it went wrong")
    code = getattr(kind, "status_code", None)
    if code is None and issubclass(kind, openai.APIStatusError):
        error.status_code = 500  # type: ignore[attr-defined]
    return error


RETRYABLE = {
    "APITimeoutError",
    "APIConnectionError",
    "RateLimitError",
    "InternalServerError",
    "ConflictError",
    "APIStatusError",  # made with 500
    "TransportError",  # httpx: timeouts, resets, broken protocol
    "ModelRateLimitError",
    "ModelAPIError",
    "ModelConnectionError",
    "ModelTimeoutError",
}
FINAL = {
    "AuthenticationError",
    "PermissionDeniedError",
    "NotFoundError",
    "BadRequestError",
    "UnprocessableEntityError",
    "ContextOverflowError",
    "ContentFilterFinishReasonError",
}


def sdk_errors() -> list[type[Exception]]:
    import langchain_openai.chat_models.base  # noqa: F401, PLC0415 - defines subclasses

    found = subclasses(openai.OpenAIError) | subclasses(langchain_errors.ModelError)
    found |= subclasses(httpx.HTTPError)
    # through the client of LangGraph's own server no model is called
    found = {kind for kind in found if not kind.__module__.startswith("langgraph_sdk")}
    return sorted(found, key=lambda kind: (kind.__module__, kind.__name__))


SPEC = ModelSpec.parse("openai:gpt-4o")


@pytest.mark.parametrize(
    "kind", sdk_errors(), ids=lambda kind: f"{kind.__module__}.{kind.__name__}"
)
def test_every_sdk_error_becomes_ours(kind: type[Exception]) -> None:
    error = made(kind)
    with pytest.raises(ModelError) as caught, model_errors(SPEC):
        raise error
    ours = caught.value
    names = {cls.__name__ for cls in kind.__mro__}
    if names & FINAL:
        assert not ours.retryable
    elif names & RETRYABLE:
        assert ours.retryable
    assert "openai:gpt-4o" in str(ours)
    assert ours.hint
    assert ours.__cause__ is None
    assert ours.__context__ is None


def test_the_walk_meets_the_classes_that_matter() -> None:
    names = {kind.__name__ for kind in sdk_errors()}
    assert names >= RETRYABLE | FINAL
    assert len(names) > 40


@pytest.mark.parametrize("ours", [BudgetExceeded("b"), SettingsError("s"), ModelError("m")])
def test_our_own_errors_pass(ours: Exception) -> None:
    with pytest.raises(type(ours)) as caught, model_errors(SPEC):
        raise ours
    assert caught.value is ours


def test_an_interrupt_is_not_an_error() -> None:
    with pytest.raises(KeyboardInterrupt), model_errors(SPEC):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, 0.0),
        ({}, None),
    ],
)
def test_retry_after_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    response = httpx.Response(429, headers=headers, request=httpx.Request("POST", "http://h"))
    error = httpx.HTTPStatusError("slow down", request=response.request, response=response)
    ours = convert(error, SPEC)
    assert ours.retryable
    assert ours.retry_after_s == seconds


def test_long_and_many_lined_words_of_a_server_become_one_short_line() -> None:
    ours = convert(ValueError("no\n" * 1000 + "data:image/jpeg;base64," + "A" * 5000), SPEC)
    assert len(str(ours)) < 500
    assert "\n" not in str(ours)
