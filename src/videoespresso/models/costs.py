"""What a frame and a question cost with the models of the roles: estimates, with their formula."""

from collections.abc import Mapping
from typing import NamedTuple

from videoespresso.models.client.prices import image_tokens, price
from videoespresso.models.profiles import Role
from videoespresso.models.specs import ModelSpec

FRAME = (640, 360)
"""Pixels of a frame of a wide video at the default `max_side`."""


class Share(NamedTuple):
    """What a role takes of a question: images, and tokens of text in and out."""

    images: int
    input: int
    output: int


MINUTE = {
    "captioner": Share(60, 60 * 120, 60 * 40),
    "selector": Share(0, 2000, 100),
    "reasoner": Share(6, 1800, 500),
    "checker": Share(0, 600, 60),
}
"""A first question about a minute of film that changes all the time: most take less, for frames
that look alike share a caption. Three core frames, shown twice: for the evidence and the answer."""
FORMULA = (
    "a minute, 60 frames of 640x360: 60 captions of 120 tokens and the image in, 40 out; "
    "a selection of 2,000 in, 100 out; 3 core frames shown twice with 900 in, 250 out; "
    "a check of 600 in, 60 out"
)


def frame_usd(spec: ModelSpec) -> float | None:
    """Dollars for the caption of one frame; None where the price is not known."""
    known, share = price(spec), MINUTE["captioner"]
    if known is None:
        return None
    tokens = share.input // share.images + image_tokens(spec, *FRAME)
    return known.usd(tokens, share.output // share.images)


def question_usd(roles: Mapping[str, Role]) -> float | None:
    """Dollars for a first question about a minute of film (FORMULA); None where one of the prices
    is not known."""
    usd = 0.0
    for name, share in MINUTE.items():
        spec = roles[name].model
        known = price(spec)
        if known is None:
            return None
        usd += known.usd(share.input + share.images * image_tokens(spec, *FRAME), share.output)
    return usd
