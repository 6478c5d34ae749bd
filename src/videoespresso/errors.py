"""Every error we raise, sorted by who must act.

VideoEspressoError
├── UserError            you: a file, a flag, a key
│   ├── VideoError       the video cannot be read (missing, truncated, audio only, …)
│   │   ├── UnknownFilmError it is none that the embedded models were made for
│   │   └── DownloadError    the video's address cannot be fetched; `retryable` as below
│   │       └── AddressError it is refused: neither http nor https, or not public
│   └── SettingsError    a spec, profile or setting is wrong
├── ToolError            a tool or detector failed; the run goes on with a typed gap
├── MemoryStoreError     the frame store or the caption index is unusable
├── ModelError           a model call failed; `retryable` says whether trying again can help
│   └── ModelOutputError the model answered, but not in the form that was asked for
└── BudgetExceeded       a limit you set was reached; what is known so far is kept

Each has a `hint` that says what to do next. The root derives from `Exception`, not from
`ValueError`, because LangGraph's `RetryPolicy` never retries `ValueError`.
"""


class VideoEspressoError(Exception):
    """Root. `str(error)` is one line for a person; `hint` says what to do about it."""

    retryable: bool = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UserError(VideoEspressoError):
    """Something you gave cannot be used."""


class VideoError(UserError):
    """The video cannot be read; the message names the file and what is wrong with it."""


class UnknownFilmError(VideoError):
    """Embedded models were to speak of a film that is unlike all that they were taught. Nothing was
    asked of them; `hint` has commands, one a line, that would work."""


class DownloadError(VideoError):
    """An address cannot be fetched, or what it gives is no video within the limits. `status` is
    what the server said, where it said anything."""

    def __init__(
        self, message: str, *, hint: str = "", retryable: bool = False, status: int | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retryable = retryable
        self.status = status


class AddressError(DownloadError):
    """The address is refused before anything is sent there."""


class SettingsError(UserError):
    """A model spec, a profile or a setting is wrong."""


class ToolError(VideoEspressoError):
    """A tool or a detector failed."""


class MemoryStoreError(VideoEspressoError):
    """The frame store or the caption index cannot be used."""


class ModelError(VideoEspressoError):
    """A call on a model failed. `retry_after_s` is what the server asked for, if it did."""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        retryable: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.retryable = retryable
        self.retry_after_s = retry_after_s


class ModelOutputError(ModelError):
    """The reply is empty, is not JSON, or does not fit the schema. `reply` holds what came."""

    def __init__(self, message: str, *, hint: str = "", reply: str = "") -> None:
        super().__init__(message, hint=hint, retryable=True)
        self.reply = reply


class BudgetExceeded(VideoEspressoError):
    """A limit (usd, calls, frames or seconds) was reached."""
