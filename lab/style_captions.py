"""How well packs describe each style of the theatre: captions of frames that are exactly true.

    python -m lab.style_captions --films 12 [--pack FOLDER ...]

A frame from the middle of each phase of the first films of the validation split, as JPEG. Prints a
JSON line a style: of each pack (the first is ours) n, share and Wilson's interval over frames; of
how many films it is known that they are the theatre's; for each further pack the frames that only
it or only ours has right, and McNemar's p. Frames of a film are alike, so that both are too sure.
"""

import argparse
import io
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from PIL import Image

from videoespresso.agents import prompt_parts
from videoespresso.agents.prompts import load
from videoespresso.comparison import mcnemar
from videoespresso.models.embedded import PACK_LVLM, pack_folder
from videoespresso.models.embedded.domain import is_theatre
from videoespresso.models.embedded.runtime import PackRuntime
from videoespresso.statistics import wilson
from videoespresso.theatre import SPLITS, make_story
from videoespresso.theatre.style import StyleFamily

Shot = tuple[Image.Image, str]
"""A frame and its true caption."""
QUALITY = 85
"""JPEG's."""


def films(count: int, style: StyleFamily) -> Iterator[list[Shot]]:
    """The shots of each film."""
    first = SPLITS["validation"][0]
    for seed in range(first, first + count):
        story = make_story(seed, style)
        yield [
            (_as_jpeg(story.scene((p.t0 + p.t1) / 2).render(story.width)), p.caption)
            for p in story.phases
        ]


def _as_jpeg(image: Image.Image) -> Image.Image:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=QUALITY)
    with Image.open(data) as opened:
        return opened.convert("RGB")


def messages() -> list[dict[str, Any]]:
    """What the captioner is asked, a picture in it."""
    cue = prompt_parts.caption_parts("")[1]
    return [
        {"role": "system", "content": [{"type": "text", "text": load("captioner").text}]},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": cue}]},
    ]


def exact(folder: Path, shots: Sequence[Shot]) -> list[bool]:
    """Whether a pack's caption is the true one, of each shot."""
    pack = PackRuntime(folder)
    prompts = [pack.prompt(messages(), [image]) for image, _ in shots]
    return [
        pack.generate([prompt], 64)[0].strip() == caption
        for prompt, (_, caption) in zip(prompts, shots, strict=True)
    ]


def measured(style: StyleFamily, count: int, packs: Sequence[Path]) -> dict[str, Any]:
    """A line of what is printed."""
    made = list(films(count, style))
    shots = [shot for film in made for shot in film]
    right = [exact(pack, shots) for pack in packs]
    line: dict[str, Any] = {
        "style": style,
        "films": count,
        "known": sum(is_theatre([image for image, _ in film]) for film in made),
        "packs": [asdict(wilson(sum(each), len(each))) for each in right],
    }
    for other in right[1:]:
        gained = sum(b and not a for a, b in zip(right[0], other, strict=True))
        lost = sum(a and not b for a, b in zip(right[0], other, strict=True))
        line.setdefault("against", []).append(
            {"gained": gained, "lost": lost, "p": mcnemar(gained, lost)}
        )
    return line


def main(argv: list[str] | None = None) -> int:
    """Measures, prints; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m lab.style_captions", description=__doc__)
    parser.add_argument("--films", type=int, default=12, help="a style (%(default)s)")
    parser.add_argument("--pack", type=Path, action="append", default=[], help="another pack")
    parser.add_argument("--style", action="append", choices=get_args(StyleFamily))
    given = parser.parse_args(argv)
    packs = [PACK_LVLM, *(pack_folder(str(pack)) or pack for pack in given.pack)]
    for style in given.style or get_args(StyleFamily):
        sys.stdout.write(json.dumps(measured(style, given.films, packs)) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
