"""Keeping keys out of what people read: error texts, logs, stored replies."""

import os
import re

_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
_LOOKS_SECRET = re.compile(
    r"""\bsk-[A-Za-z0-9_*-]{8,}                 # OpenAI, Anthropic; also as OpenAI masks them
      | \bhf_[A-Za-z0-9]{16,}
      | \bAIza[A-Za-z0-9_-]{20,}               # Google
      | (?<=Bearer\s)[A-Za-z0-9._~+/=-]{8,}
      | (?<=://)[^/@\s:]*:[^/@\s]+(?=@)        # user:password in a URL
    """,
    re.VERBOSE,
)
_DATA_URI = re.compile(r"(data:[a-z]+/[a-z0-9.+-]+;base64,)[A-Za-z0-9+/=]{32,}")
_SHORTEST = 8
"""Shorter values ("EMPTY", "dummy") guard nothing and would blot out ordinary words."""


def redact(text: str) -> str:
    """The text without keys: values of secret-named variables, and what looks like a key.

    Image data is cut as well: servers echo requests in their errors.
    """
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _NAMES.search(name):
            text = text.replace(value, "***")
    return _DATA_URI.sub(r"\1…", _LOOKS_SECRET.sub("***", text))
