"""The tool that follows objects: which box is which object over time, by overlap and label."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from videoespresso.evidence_scores import overlap
from videoespresso.tools.base import Finding, Needs, ToolRequest, around, number, stretch_parameters
from videoespresso.types import Box

FPS = 5.0
"""Frames a second: someone who walks across in 3 s moves a fifteenth of the width between two, so
that the boxes of one person still overlap."""
MOST_FPS = 15.0
REACH_S = 1.5
"""Without a stretch: so far to either side of each core frame."""
OVERLAP = 0.3
"""IoU from which two boxes in neighbouring frames are the same object: SORT's threshold."""
MISSED = 3
"""Frames in a row in which an object may be unseen (behind another) and still be the same."""
LOOKS = 2
"""Boxes that a track needs at least: one box is no track."""
MOVED = 0.1
"""A path's middle must shift by this share of the frame to count as a movement."""


@dataclass
class Track:
    """One object: (instant, box), growing in time. number: from 1, a count a label."""

    label: str
    number: int
    seen: list[tuple[float, Box]] = field(default_factory=list)
    missed: int = 0

    @property
    def name(self) -> str:
        return f"{self.label} {self.number}"


class Tracker:
    """Links the detector's boxes over the frames of a stretch."""

    name = "track"
    description = "Follows each object over a stretch of the video: when it is seen, how it moves."
    needs: Needs = "span"
    parameters = stretch_parameters(
        label={"type": "string", "description": "Follow only objects with this label."},
        fps={"type": "number", "description": f"Looks a second, at most {MOST_FPS:g}."},
    )

    def run(self, request: ToolRequest) -> list[Finding]:
        """One finding a track; on a core frame, with the object's box there, if it has one.

        Raises ToolError without a detector.
        """
        fps = min(MOST_FPS, max(0.1, number(request.arguments, "fps", FPS)))
        label = request.arguments.get("label")
        names = [label] if isinstance(label, str) and label.strip() else []
        findings = []
        for start, end in around(request, REACH_S):
            looks = []
            for sight in request.means.look(start, end, fps):
                boxes = request.means.detect(sight.image, names)
                kept = [box for box in boxes if not names or box.label == label]
                looks.append((sight.time_s, kept))
            findings += [_finding(track, request) for track in link(looks)]
        return findings


def link(looks: Sequence[tuple[float, Sequence[Box]]]) -> list[Track]:
    """Tracks over frames in time order, by first sight, then name.

    Greedy: of all pairs of a track and a box of its label the one that overlaps most is linked
    first. A track that was not seen in `MISSED` frames is over.
    """
    tracks: list[Track] = []
    numbers: dict[str, int] = {}
    for time_s, boxes in looks:
        open_tracks = [track for track in tracks if track.missed <= MISSED]
        linked = _pairs(open_tracks, boxes)
        for k, track in enumerate(open_tracks):
            track.missed = 0 if k in linked else track.missed + 1
            if k in linked:
                track.seen.append((time_s, boxes[linked[k]]))
        for b, box in enumerate(boxes):
            if b not in linked.values():
                numbers[box.label] = numbers.get(box.label, 0) + 1
                tracks.append(Track(box.label, numbers[box.label], [(time_s, box)]))
    return sorted(
        (track for track in tracks if len(track.seen) >= LOOKS),
        key=lambda track: (track.seen[0][0], track.label, track.number),
    )


def _pairs(tracks: Sequence[Track], boxes: Sequence[Box]) -> dict[int, int]:
    """Index of a track -> index of its box."""
    ranked = sorted(_overlaps(tracks, boxes), key=lambda pair: (-pair[0], pair[1], pair[2]))
    linked: dict[int, int] = {}
    for _, t, b in ranked:
        if t not in linked and b not in linked.values():
            linked[t] = b
    return linked


def _overlaps(tracks: Sequence[Track], boxes: Sequence[Box]) -> Iterator[tuple[float, int, int]]:
    for t, track in enumerate(tracks):
        for b, box in enumerate(boxes):
            shared = overlap(track.seen[-1][1].xyxy, box.xyxy) if box.label == track.label else 0.0
            if shared >= OVERLAP:
                yield shared, t, b


def _finding(track: Track, request: ToolRequest) -> Finding:
    (first_s, first), (last_s, last) = track.seen[0], track.seen[-1]
    text = f"{track.name} is seen from {first_s:.1f} to {last_s:.1f} s and {movement(first, last)}."
    at = {round(time_s, 3): box for time_s, box in track.seen}
    for core in request.frames:
        inside = first_s <= core.frame.time_s <= last_s
        near = min(at, key=lambda time_s: abs(time_s - core.frame.time_s))
        if inside:
            return Finding(
                text=text,
                time_s=core.frame.time_s,
                frame_id=core.frame.id,
                boxes=_on_core(core.boxes, at[near], track.name),
            )
    return Finding(text=text, time_s=first_s)


def _on_core(boxes: Sequence[Box], near: Box, name: str) -> tuple[Box, ...]:
    """The core frame's own box of this object: one from a neighbouring frame would be off."""
    same = [box for box in boxes if box.label == near.label]
    best = max(same, key=lambda box: overlap(box.xyxy, near.xyxy), default=None)
    if best is None or overlap(best.xyxy, near.xyxy) < OVERLAP:
        return ()
    return (best.model_copy(update={"label": name}),)


def movement(first: Box, last: Box) -> str:
    """Where the box's middle went, in words, and its places in hundredths of the frame."""
    ways = []
    for axis, (back, forth) in enumerate((("left", "right"), ("up", "down"))):
        shift = _middle(last, axis) - _middle(first, axis)
        if abs(shift) >= MOVED:
            ways.append(forth if shift > 0 else back)
    places = " to ".join(" ".join(f"{100 * v:.0f}" for v in box.xyxy) for box in (first, last))
    return f"{'moves ' + ' and '.join(ways) if ways else 'stays'} ({places})"


def _middle(box: Box, axis: int) -> float:
    return (box.xyxy[axis] + box.xyxy[axis + 2]) / 2
