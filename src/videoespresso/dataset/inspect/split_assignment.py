"""Who goes where when a dataset is divided: by video, never by record.

A video's side comes from a hash of its content, so new videos do not move old ones. Memory holds a
few hundred bytes a video.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Final, Literal, get_args

import numpy as np

from videoespresso.dataset.inspect.duplicates import THRESHOLD, Groups, Read, asked, near
from videoespresso.dataset.inspect.record_measures import digest, stem_of, video_key
from videoespresso.dataset.inspect.stats import NO_TASK
from videoespresso.dataset_record import DatasetItem
from videoespresso.errors import UserError
from videoespresso.memory.captions import Embedder
from videoespresso.models.embedders import embedder

Together = Literal["stem", "images", "questions"]
TOGETHER: Final[tuple[Together, ...]] = get_args(Together)


_NAME = re.compile(r"\w[\w.-]*")


class Videos:
    """The videos of a dataset in the order of their first record, and how many of what they have.

    places: the eight bytes of a video's name -> its number, from 0.
    """

    def __init__(self) -> None:
        self.places: dict[bytes, int] = {}
        self.tasks: list[Counter[str]] = []

    def add(self, item: DatasetItem) -> int:
        """Counts a record and gives its video's number."""
        place = self.places.setdefault(video_key(item), len(self.places))
        if place == len(self.tasks):
            self.tasks.append(Counter())
        self.tasks[place][item.task or NO_TASK] += 1
        return place


def parse_ratios(text: str) -> dict[str, float]:
    """ "train=0.9,test=0.1" as parts of one. Raises UserError for what is none."""
    ratios: dict[str, float] = {}
    for part in text.split(","):
        name, _, told = (piece.strip() for piece in part.partition("="))
        try:
            value = float(told)
        except ValueError:
            value = -1.0
        if not _NAME.fullmatch(name) or name in ratios or not 0 < value <= 1:
            raise UserError(
                f"not a part of a split: {part!r}",
                hint="Write --ratios train=0.9,validation=0.05,test=0.05, each name once.",
            )
        ratios[name] = value
    if abs(sum(ratios.values()) - 1) > 1e-6:
        raise UserError(
            f"the parts of the split add up to {sum(ratios.values()):g}, not 1",
            hint="Write --ratios train=0.9,validation=0.05,test=0.05.",
        )
    return ratios


def point(key: bytes, seed: int) -> float:
    """Where a video lies in 0-1; the same for a seed, whatever other videos there are."""
    told = hashlib.sha256(str(seed).encode() + b"\x1f" + key).digest()
    return int.from_bytes(told[:7], "big") / 2**56


def divide(
    read: Read,
    ratios: Mapping[str, float],
    *,
    seed: int = 7,
    together: Collection[Together] = (),
    stratify: bool = False,
    like: Mapping[str, Read] | None = None,
    embed: Embedder | None = None,
    threshold: float = THRESHOLD,
) -> tuple[dict[bytes, str], Groups]:
    """The side of each video by its key, and the groups kept together.

    together: videos with one file name, with a core frame in common, or with a near-duplicate
    question that has the same answer (by `embed`, wordllama if None) stay on one side. stratify:
    fill up the tasks that a side lacks, in the order of the hash, where a side by hash alone is
    only even on average; then new videos can move old ones, unless they are given as `like`: an
    earlier split, by name, whose videos stay where they were.
    """
    videos, groups = _grouped(read, together, embed, threshold)
    known = _known(like or {}, ratios)
    keys = list(videos.places)
    units: dict[int, list[int]] = {}
    for place, root in enumerate(groups.roots(np.arange(len(keys))).tolist()):
        units.setdefault(root, []).append(place)
    at = {root: point(min(keys[p] for p in unit), seed) for root, unit in units.items()}
    sides: dict[bytes, str] = {}
    have = {name: Counter[str]() for name in ratios}
    whole = sum(videos.tasks, Counter[str]())
    is_new = {root: not any(keys[p] in known for p in unit) for root, unit in units.items()}
    for root in sorted(units, key=lambda root: (is_new[root], at[root])):
        unit = units[root]
        tasks = sum((videos.tasks[place] for place in unit), Counter[str]())
        if not is_new[root]:
            side = next(known[keys[place]] for place in unit if keys[place] in known)
        elif stratify:
            side = _most_lacking(tasks, have, whole, ratios)
        else:
            side = _by_point(at[root], ratios)
        have[side] += tasks
        sides |= {keys[place]: known.get(keys[place], side) for place in unit}
    return sides, groups


def _known(like: Mapping[str, Read], ratios: Mapping[str, float]) -> dict[bytes, str]:
    """Where an earlier split has its videos. Raises UserError for a part that is no more."""
    known = {video_key(item): name for name, read in like.items() for item in read()}
    if unknown := set(known.values()) - set(ratios):
        raise UserError(
            f"the earlier split has a part {min(unknown)!r}, this one has not",
            hint="Name the same parts in --ratios.",
        )
    return known


def _by_point(at: float, ratios: Mapping[str, float]) -> str:
    """The side whose stretch of 0-1 holds the point."""
    upto = 0.0
    for name, part in ratios.items():
        upto += part
        if at < upto:
            return name
    return list(ratios)[-1]


def _most_lacking(
    tasks: Counter[str],
    have: Mapping[str, Counter[str]],
    whole: Counter[str],
    ratios: Mapping[str, float],
) -> str:
    """The side that lacks most of these tasks, as a part of what it shall have of each."""

    def lack(name: str) -> float:
        return sum(
            n * (1 - have[name][task] / (ratios[name] * whole[task])) for task, n in tasks.items()
        )

    return max(ratios, key=lack)


def _grouped(
    read: Read, together: Collection[Together], embed: Embedder | None, threshold: float
) -> tuple[Videos, Groups]:
    """The videos, and which of them must stay on one side."""
    videos = Videos()
    edges: list[tuple[int, int]] = []
    first: dict[bytes, int] = {}
    rows: list[int] = []
    for item in read():
        place = videos.add(item)
        if "questions" in together:
            rows.append(place)
        for key in _shared(item, together):
            if (other := first.setdefault(key, place)) != place:
                edges.append((other, place))
    groups = Groups(len(videos.places))
    if edges:
        one, other_end = np.array(edges, np.intp).T
        groups.join(one, other_end)
    if "questions" in together:
        of = np.array(rows, np.intp)
        with asked([read()], embed or embedder()) as told:
            groups.join(of, of[told.first[told.text]])
            for i, j in near(told, threshold):
                groups.join(of[told.first[i]], of[told.first[j]])
    return videos, groups


def _shared(item: DatasetItem, together: Collection[Together]) -> Iterator[bytes]:
    if "stem" in together:
        yield digest(f"stem {stem_of(item.video.path)}")
    if "images" in together:
        yield from (digest(f"image {frame.sha}") for frame in item.core_frames if frame.sha)
