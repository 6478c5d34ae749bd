"""What a frame and a question cost with the models of the roles: estimates, with their formula."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from videoespresso.models.client.budget import Budget
from videoespresso.models.client.prices import image_tokens, price
from videoespresso.models.profiles import CHAT_ROLES, Role, resolve, sheet_size
from videoespresso.models.specs import ModelSpec
from videoespresso.settings import QUESTION_USD, Settings

FRAME = (640, 360)
"""Pixels of a frame of a wide video at the default `max_side`."""


class Share(NamedTuple):
    """What a role takes of a question: images, and tokens of text in and out."""

    images: int
    input: int
    output: int


CANDIDATES, FRAMES, CAPTION = 8, 60, 40
"""Frames that a first question captions; those of a minute that changes all the time, which it does
with `--select paper`; and tokens of a caption."""
LOOKED_AT = (512, 288)
"""Pixels of a frame as selector and reasoner of paid providers are shown it."""
ONE, SHEET = 133, 168
"""Tokens of the captioner's prompts, for one frame and for a sheet."""
MINUTE = {
    "selector": Share(CANDIDATES, 800, 100),
    "reasoner": Share(6, 1800, 500),
    "checker": Share(0, 600, 60),
}
"""A first question, beside its captions. Three core frames, shown twice: for the evidence and the
answer."""


def formula(frames: int = CANDIDATES) -> str:
    """How `question_usd` counts, in words."""
    return (
        f"a first question, {frames} frames of 640x360: captions in sheets of 8, where the model "
        "takes sheets, of 168 tokens (one frame: 133) and the images in, 40 a frame out; a "
        "selection of 8 images of 512x288 and 800 in, 100 out; 3 core frames of that size shown "
        "twice with 900 in, 250 out; a check of 600 in, 60 out"
    )


def captions(spec: ModelSpec, frames: int = FRAMES) -> Share:
    """What the captions of so many frames take."""
    size = sheet_size(spec)
    requests = math.ceil(frames / size)
    return Share(frames, requests * (ONE if size == 1 else SHEET), frames * CAPTION)


def frame_usd(spec: ModelSpec) -> float | None:
    """Dollars for the caption of one frame of a minute; None where the price is not known."""
    known = price(spec)
    if known is None:
        return None
    share = captions(spec)
    tokens = share.input + share.images * image_tokens(spec, *FRAME)
    return known.usd(tokens, share.output) / FRAMES


def question_usd(roles: Mapping[str, Role], frames: int = CANDIDATES) -> float | None:
    """Dollars for a first question that captions so many frames (`formula`); None where one of the
    prices is not known."""
    usd = 0.0
    shares = {"captioner": captions(roles["captioner"].model, frames), **MINUTE}
    for name, share in shares.items():
        spec = roles[name].model
        known = price(spec)
        if known is None:
            return None
        size = FRAME if name == "captioner" else LOOKED_AT
        usd += known.usd(share.input + share.images * image_tokens(spec, *size), share.output)
    return usd


def question_budget(settings: Settings, questions: int = 1) -> Budget:
    """The settings' limits, and where models are paid and no limit in dollars is set QUESTION_USD
    for each of the questions, many times what one takes: it ends what went wrong and nothing else.
    With a model of unknown price none: it could not be kept. Raises SettingsError for a spec that
    cannot be."""
    budget = Budget.of(settings)
    if budget.max_usd is None:
        roles = resolve(settings)
        specs = [roles[role].model for role in CHAT_ROLES]
        if roles["embedder"].spec.startswith("openai:"):
            specs.append(roles["embedder"].model)
        known = [per_token for spec in specs if (per_token := price(spec)) is not None]
        if len(known) == len(specs) and any(p.input or p.output for p in known):
            budget.max_usd = QUESTION_USD * questions
    return budget
