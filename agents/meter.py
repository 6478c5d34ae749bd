"""What one request takes, over all its tries: announced to the budget, written to the ledger."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from videoespresso.agents.ladder import Climbed, Said
from videoespresso.agents.requests import Request, said
from videoespresso.errors import ModelOutputError, SettingsError
from videoespresso.models.budget import Budget
from videoespresso.models.ledger import Entry, Ledger
from videoespresso.models.prices import price, text_tokens
from videoespresso.types import Usage

EXPECTED_OUTPUT = 200
"""Tokens a reply is expected to have when its cost is announced: a typical piece of evidence."""


class Meter:
    """Accounts for one request; `close` writes the one ledger entry, whatever happened."""

    def __init__(self, role: str, request: Request, budget: Budget, ledger: Ledger) -> None:
        self.usage = Usage()
        self.how: tuple[str, ...] = ()
        self._role, self._request = role, request
        self._budget, self._ledger = budget, ledger
        self._price = price(request.spec)
        self._expected = (
            self._price.usd(request.input_tokens, EXPECTED_OUTPUT) if self._price else 0.0
        )
        self._image_tokens = 0
        self._reported = True
        self._stream: Any = None
        self.came: Said | None = None
        self.pieces = 0

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around one call; `came` is set inside it. A call that fails counts as a call too.

        Raises BudgetExceeded before the call, or SettingsError when there is a limit in dollars
        and no known price.
        """
        if self._price is None and self._budget.max_usd is not None:
            raise SettingsError(
                f"{self._request.spec} has no known price, so a limit in dollars cannot be kept",
                hint="Limit budget_calls or budget_seconds instead, or choose another model.",
            )
        self._budget.start(self._expected)
        self.came, started = None, time.perf_counter()
        try:
            yield
        finally:
            came = said(self._stream) if self.pieces else self.came
            usage = Usage(calls=1, seconds=time.perf_counter() - started)
            if came is not None:
                usage = usage.model_copy(update=self._tokens(came))
            self._budget.finish(self._expected, usage)
            self.usage += usage

    def _tokens(self, came: Said) -> dict[str, Any]:
        """Tokens, images and dollars of an answered call; estimated where not reported."""
        request = self._request
        self._reported = self._reported and came.input_tokens > 0
        tokens_in = came.input_tokens or request.input_tokens
        tokens_out = came.output_tokens or text_tokens([came.text])
        self._image_tokens += request.image_tokens
        return {
            "input_tokens": tokens_in,
            "output_tokens": tokens_out,
            "images": len(request.sizes),
            "usd": self._price.usd(tokens_in, tokens_out) if self._price else None,
        }

    def close(self) -> None:
        """Writes the entry, if any call was made."""
        if self.usage.calls:
            self._ledger.record(
                Entry(
                    role=self._role,
                    spec=str(self._request.spec),
                    usage=self.usage,
                    images=self._request.sizes if self.usage.images else (),
                    image_tokens=self._image_tokens,
                    reported=self._reported,
                    how=self.how,
                )
            )

    def piece(self, chunk: Any) -> str:
        """Takes a streamed chunk; returns its text."""
        self._stream = chunk if self._stream is None else self._stream + chunk
        text = str(chunk.text)
        self.pieces += bool(text)
        return text

    def streamed(self) -> Climbed[str]:
        """All that was streamed. Raises ModelOutputError if that is nothing."""
        if not self.pieces:
            raise ModelOutputError("the reply is empty", hint="Try again, or another model.")
        text = said(self._stream).text
        return Climbed(text.strip(), text, ("text: streamed",))
