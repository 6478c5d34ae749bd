"""The tool that searches the captions of this video, those of core frames left out."""

from collections.abc import Sequence

from videoespresso.errors import ToolError
from videoespresso.tools.base import (
    Finding,
    Needs,
    ToolRequest,
    Unknown,
    Window,
    number,
    stretch_parameters,
    window,
)
from videoespresso.types import Caption

NEAREST = 5
"""Captions of a search without `k`."""
LOOKS = 8
"""Frames described where there is no caption yet: as many as a request for captions holds."""
MOST = 20
"""The most captions of one search: more would be the whole memory of a short video."""


class SearchMemory:
    """What was seen elsewhere in the video, in the captioner's words.

    The captions of core frames are left out, since the reasoner is shown them anyway. Where frames
    have no caption yet it says so, instead of that nothing is there, and looks if it is told to.
    """

    name = "search_memory"
    description = "Searches all captions of the video for what is nearest to a query."
    needs: Needs = "text"
    parameters = stretch_parameters(
        query={"type": "string", "description": "What to look for, in words."},
        k={"type": "integer", "description": f"How many captions, at most {MOST}."},
        look={
            "type": "boolean",
            "description": f"Also look at {LOOKS} instants of what has no caption yet.",
        },
    )

    def run(self, request: ToolRequest) -> list[Finding | Unknown]:
        """One finding a caption, in time order, and last what has none. Raises ToolError without
        a memory or a query."""
        query = request.arguments.get("query", request.question)
        if not isinstance(query, str) or not query.strip():
            raise ToolError("there is nothing to search for: the query is empty")
        k = max(1, min(MOST, int(number(request.arguments, "k", NEAREST))))
        span = window(request)
        core = {frame.frame.id for frame in request.frames}

        def keep(caption: Caption) -> bool:
            inside = span is None or span[0] <= caption.time_s <= span[1]
            return inside and caption.frame_id not in core

        near = request.means.search(query, k, keep)
        findings = [Finding(text=caption.text, time_s=caption.time_s) for caption in near]
        dark = _inside(request.means.uncaptioned(), span)
        if request.arguments.get("look") is True:
            findings += _captioned_now(request, dark)
        ordered: list[Finding | Unknown] = [*sorted(findings, key=lambda one: one.time_s)]
        return [*ordered, Unknown(_unknown(dark))] if dark else ordered


def _inside(dark: Sequence[Window], span: Window | None) -> list[Window]:
    """The stretches, cut to the one that is asked about."""
    if span is None:
        return list(dark)
    cut = ((max(a, span[0]), min(b, span[1])) for a, b in dark)
    return [(a, b) for a, b in cut if a < b]


def _captioned_now(request: ToolRequest, dark: Sequence[Window]) -> list[Finding]:
    """What is in the middle of the longest stretches."""
    longest = sorted(dark, key=lambda window: window[0] - window[1])[:LOOKS]
    sights = []
    for start, end in sorted(longest):
        middle = (start + end) / 2
        sights += list(request.means.look(middle, middle + 0.001, 1.0))[:1]
    texts = request.means.describe([sight.image for sight in sights])
    return [
        Finding(text=text, time_s=sight.time_s)
        for sight, text in zip(sights, texts, strict=True)
        if text.strip()
    ]


def _unknown(dark: Sequence[Window]) -> str:
    some = ", ".join(f"{a:.0f}-{b:.0f} s" for a, b in dark[:LOOKS])
    more = f" and {len(dark) - LOOKS} more stretches" if len(dark) > LOOKS else ""
    return (
        f"not captioned yet, so it may be there: {some}{more} "
        "(search_memory with look, or look_closer, looks there)"
    )
