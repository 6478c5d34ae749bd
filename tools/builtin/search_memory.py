"""The tool that searches the captions of this video, those of core frames left out."""

from videoespresso.errors import ToolError
from videoespresso.tools.base import Finding, Needs, ToolRequest
from videoespresso.tools.builtin.windows import number, stretch_parameters, window
from videoespresso.types import Caption

NEAREST = 5
"""Captions of a search without `k`."""
MOST = 20
"""The most captions of one search: more would be the whole memory of a short video."""


class SearchMemory:
    """What was seen elsewhere in the video, in the captioner's words.

    The captions of core frames are left out, since the reasoner is shown them anyway.
    """

    name = "search_memory"
    description = "Searches all captions of the video for what is nearest to a query."
    needs: Needs = "text"
    parameters = stretch_parameters(
        query={"type": "string", "description": "What to look for, in words."},
        k={"type": "integer", "description": f"How many captions, at most {MOST}."},
    )

    def run(self, request: ToolRequest) -> list[Finding]:
        """One finding a caption, in time order. Raises ToolError without a memory or a query."""
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
        chosen = sorted(near, key=lambda caption: caption.time_s)
        return [Finding(text=caption.text, time_s=caption.time_s) for caption in chosen]
