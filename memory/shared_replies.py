"""Replies that follow a video from one machine to another.

Each machine has a reply cache of its own, because sqlite and network file systems do not go
together. What is paid for a video is kept beside its results as well, in its journal, which lies
where all machines see it: whoever goes on with the video finds it there.
"""

from collections.abc import Callable
from pathlib import Path

from videoespresso.memory.journal import Journal
from videoespresso.memory.replies import ReplyCache, StoredReply

STAGE = "reply"


class SharedReplies(ReplyCache):
    """The machine's store, and behind it the journal of the video at work, if there is one."""

    def __init__(self, path: Path, journal: Callable[[], Journal | None]) -> None:
        super().__init__(path)
        self._journal = journal

    def get(self, key: str) -> StoredReply | None:
        """See `ReplyCache`; what only the store has, the journal has from then on."""
        found, journal = super().get(key), self._journal()
        if journal is None:
            return found
        kept = journal.get(_name(key))
        if found is not None and not kept:
            journal.put(_name(key), STAGE, found.model_dump(mode="json"))
        if found is None and kept:
            found = StoredReply.model_validate(kept)
        return found

    def put(self, key: str, spec: str, role: str, reply: StoredReply) -> None:
        """See `ReplyCache`."""
        super().put(key, spec, role, reply)
        if (journal := self._journal()) is not None:
            journal.put(_name(key), STAGE, reply.model_dump(mode="json"))

    def drop(self, key: str) -> None:
        """See `ReplyCache`."""
        super().drop(key)
        if (journal := self._journal()) is not None:
            journal.put(_name(key), STAGE, {})


def _name(key: str) -> str:
    return f"{STAGE}-{key}"
