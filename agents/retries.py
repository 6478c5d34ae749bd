"""When to try a failed model call again, and how long to wait before."""

import random
from dataclasses import dataclass

from videoespresso.errors import ModelError


@dataclass(frozen=True)
class Retries:
    """Bounded exponential backoff with jitter; a server's Retry-After is honoured.

    tries: calls in all. base_s doubles from try to try up to longest_s. A server that asks for
    more than longest_s is not waited for: the error is raised, and says how long it asked.
    """

    tries: int = 4
    base_s: float = 1.0
    longest_s: float = 60.0

    def wait_s(self, tried: int, error: ModelError) -> float | None:
        """Seconds to wait after `tried` failed calls, or None to give up."""
        if not error.retryable or tried >= self.tries:
            return None
        if error.retry_after_s is not None:
            return error.retry_after_s if error.retry_after_s <= self.longest_s else None
        # jitter: N threads refused together must not come back together
        return self.backoff_s(tried) * random.uniform(0.5, 1.0)

    def backoff_s(self, tried: int) -> float:
        """Seconds after `tried` failed calls when the server names none."""
        return min(self.longest_s, self.base_s * 2.0 ** (tried - 1))
