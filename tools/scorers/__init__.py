"""Scorers: a question and a film's frames -> how relevant each frame is, asked in rounds.

    score = scorer("clip")("What does the dog do?", film)      # checks that it can
    score([0, 40, 80])                                          # three frames, not all

A scorer that cannot score this question or film raises ToolError saying why.
"""

from importlib.metadata import entry_points

from videoespresso.errors import SettingsError
from videoespresso.models import plugins
from videoespresso.tools.scorers.base import Film, Scorer
from videoespresso.tools.scorers.pictures import clip, pixels, vlm
from videoespresso.tools.scorers.texts import captions, words

__all__ = ["SCORERS", "Film", "Scorer", "scorer"]

GROUP = "videoespresso.scorers"
"""The entry point group for scorers of other packages."""
SCORERS: dict[str, Scorer] = {
    "captions": captions, "clip": clip, "pixels": pixels, "vlm": vlm, "words": words,
}  # fmt: skip


def scorer(name: str) -> Scorer:
    """Ours first, then a plug-in's. Raises SettingsError for a name that is none."""
    if name in SCORERS:
        return SCORERS[name]
    made: Scorer | None = plugins.plugin(GROUP, name)
    if made is None:
        raise SettingsError(f"no scorer {name!r}", hint=f"Known: {', '.join(known())}.")
    return made


def known() -> list[str]:
    """All names, ours and plug-ins'."""
    return sorted({*SCORERS, *(entry.name for entry in entry_points(group=GROUP))})
