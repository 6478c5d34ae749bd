"""Pickers: scores, instants and a budget -> the frames worth showing, each with its reason.

    picks = pick_frames(picker("focus"), score, Frames(times), 4)

`score` is asked in rounds, so that a picker can look coarse and then fine. Whatever a picker does,
`pick_frames` holds the laws: exactly min(k, instants) different ones, in time order.
"""

from importlib.metadata import entry_points

from videoespresso.errors import SettingsError
from videoespresso.models import plugins
from videoespresso.tools.pickers.base import Frames, Pick, Picker, Score, pick_frames
from videoespresso.tools.pickers.coverage import aks, focus, segments
from videoespresso.tools.pickers.ranking import bolt, mmr, top

__all__ = ["PICKERS", "Frames", "Pick", "Picker", "Score", "pick_frames", "picker"]

GROUP = "videoespresso.pickers"
"""The entry point group for pickers of other packages."""
PICKERS: dict[str, Picker] = {
    "aks": aks, "bolt": bolt, "focus": focus, "mmr": mmr, "segments": segments, "top": top,
}  # fmt: skip


def picker(name: str) -> Picker:
    """Ours first, then a plug-in's. Raises SettingsError for a name that is none."""
    if name in PICKERS:
        return PICKERS[name]
    made: Picker | None = plugins.plugin(GROUP, name)
    if made is None:
        raise SettingsError(f"no picker {name!r}", hint=f"Known: {', '.join(known())}.")
    return made


def known() -> list[str]:
    """All names, ours and plug-ins'."""
    return sorted({*PICKERS, *(entry.name for entry in entry_points(group=GROUP))})
