"""How long is waited between two tries."""

from videoespresso.errors import ModelError
from videoespresso.models.client.retry import Retries


def error(after: float | None = None, retryable: bool = True) -> ModelError:
    return ModelError("m", retryable=retryable, retry_after_s=after)


def test_backoff_doubles_is_bounded_and_jittered() -> None:
    retries = Retries(tries=10, base_s=1.0, longest_s=8.0)
    for tried, most in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (9, 8.0)):
        waits = [retries.wait_s(tried, error()) for _ in range(50)]
        assert all(wait is not None and most / 2 <= wait <= most for wait in waits)
        assert len(set(waits)) > 1
    assert retries.wait_s(10, error()) is None


def test_a_servers_word_counts_within_reason() -> None:
    retries = Retries(longest_s=60.0)
    assert retries.wait_s(1, error(after=5.0)) == 5.0
    assert retries.wait_s(1, error(after=0.0)) == 0.0
    assert retries.wait_s(1, error(after=61.0)) is None
    assert retries.wait_s(1, error(after=5.0, retryable=False)) is None
