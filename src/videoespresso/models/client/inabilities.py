"""What a server cannot take beside whole forms of request: learned from its refusal, left out from
then on, and remembered by server and model for a week (memory/replies.py)."""

import re
from collections.abc import Collection
from typing import Any

from langchain_core.language_models import BaseChatModel

from videoespresso.models.client.errors import UnsupportedError

IMAGES = "several images"
"""It takes one image a request: several become a labelled grid."""

_REFUSALS = {
    "temperature": r"temperature",
    "max_tokens": r"max_(completion_)?tokens",
    "system": r"system (role|messages?|prompts?)\b.*\b(not|n't)\b|only user and assistant roles",
    IMAGES: r"(at most|maximum of|up to|only|more than) (1|one|a single) images?\b|one image per"
    r"|multiple images?\b.*\b(not|n't)\b|(not|n't) support multiple images?",
}


_SHOWN = {
    "json_schema": "replies by JSON schema",
    "tool": "replies as a tool call",
    "calls": "tools",
    "system": "system messages",
}
"""Abilities for people, where their names are ours."""


def shown(ability: str) -> str:
    """What a server does not take, for people."""
    return _SHOWN.get(ability, ability)


class OneImageError(UnsupportedError):
    """The server takes one image a request."""


def inability(error: UnsupportedError) -> str:
    """What the server says it does not take; "" where it complains of something else."""
    return next((k for k, v in _REFUSALS.items() if re.search(v, str(error), re.IGNORECASE)), "")


def without(model: BaseChatModel, lacks: Collection[str]) -> BaseChatModel:
    """The model, sending none of the parameters that its server refuses. A limit of the reply's
    length goes under the other of its two names, where the refused one was `max_tokens`."""
    changes: dict[str, Any] = {name: None for name in ("temperature",) if name in lacks}
    limit = getattr(model, "max_tokens", None)
    if "max_tokens" in lacks and limit is not None:
        changes["max_tokens"] = None
        more = getattr(model, "model_kwargs", None)
        if isinstance(more, dict) and "max_tokens" in _sent(model):
            changes["model_kwargs"] = {**more, "max_completion_tokens": limit}
    return model.model_copy(update=changes) if changes else model


def _sent(model: BaseChatModel) -> Collection[str]:
    """The names of the parameters that the model sends."""
    payload = getattr(model, "_get_request_payload", None)
    return payload([("user", "")]) if callable(payload) else ()
