"""Sudden changes between key frames, by the sizes of coded frames: nothing is decoded.

An encoder that misses a cut, or has none to spare for it (x264 places no two key frames within 25
frames), codes the new picture in frames that are many times as large as those around them.
"""

import itertools
from collections.abc import Iterator, Sequence

from videoespresso.tools.decode.probe import Beat, Facts, open_stream, packets_of

LARGE = 3.0
"""How many times as large as nine in ten frames of its group a frame is that counts. On the films
of docs/results/decode.md cuts without a key frame reached 5, a moving camera 3.5."""
_FEWEST = 10
"""Frames of a group of which one can be called large."""
_APART_S = 1.0
"""A jump takes several frames; those within a second are one."""


def jumps(path: str, facts: Facts, beat: Beat) -> list[float]:
    """Seconds from the stream's start, growing; none where the container has no instants. Raises
    `VideoError`."""
    if facts.counted:
        return []
    container, stream = open_stream(path)
    instants: list[float] = []
    with container:
        group: list[tuple[int, int]] = []
        for packet in packets_of(path, container, stream):
            beat()
            if packet.is_keyframe or not packet.size:  # the last one is empty
                instants += (float((pts - facts.start) * facts.time_base) for pts in _large(group))
                group = []
            elif packet.pts is not None:
                group.append((packet.pts, packet.size))
    return list(_ends(sorted(instants)))


def _large(group: Sequence[tuple[int, int]]) -> list[int]:
    """The pts of frames that stand out among (pts, bytes) of one group of pictures."""
    if len(group) < _FEWEST:
        return []
    usual = sorted(size for _, size in group)[len(group) * 9 // 10]
    return [pts for pts, size in group if size >= LARGE * usual]


def _ends(instants: Sequence[float]) -> Iterator[float]:
    """The last instant of each row of them."""
    for time_s, following in itertools.pairwise((*instants, float("inf"))):
        if following - time_s > _APART_S:
            yield time_s
