"""Frame -> caption (paper, section 1 step 2).

A model that is paid by the request gets frames in sheets, several pictures a request; what comes
back is kept frame by frame under the key of a request for that frame alone, so that a frame which
was captioned in any sheet, or by itself, is not paid again.
"""

import logging
import re
from collections.abc import Callable, Iterator, Sequence

from PIL.Image import Image
from pydantic import BaseModel, Field

from videoespresso.agents import prompt_parts
from videoespresso.agents.base import Agent, Reply, Turn
from videoespresso.agents.prompts import load
from videoespresso.errors import ModelError, ModelOutputError
from videoespresso.models.batch_api.collector import Deferred
from videoespresso.models.client.errors import RefusedError, UnsupportedError
from videoespresso.models.client.prices import text_tokens
from videoespresso.models.client.structured_output import numbers
from videoespresso.types import Usage

log = logging.getLogger(__name__)

MOST_TOKENS = 60
"""Tokens of a caption beyond which sentences after the first are cut off."""
_SENTENCE_END = re.compile(r"[.!?](?=\s+[A-Z])")


class FrameCaption(BaseModel):
    """The caption of the frame with that number in the sheet, from 1."""

    frame: int
    caption: str


class Sheet(BaseModel):
    """What the captioner replies to several frames."""

    captions: list[FrameCaption] = Field(default_factory=list)


def caption(
    agent: Agent,
    images: Sequence[Image],
    silent: list[ModelError] | None = None,
    on_caption: Callable[[], None] | None = None,
) -> list[str]:
    """One caption a frame, in order; the calls run side by side, in sheets where the agent's model
    takes them (`Agent.sheet`). A sheet that fails is halved, down to single frames.

    silent: where given, a frame that the model refuses, or of which it says nothing, gets a blank
    caption, and why is added here; without it, and for whatever is not about the frame, it raises.
    on_caption: called as each frame is done.
    Raises ModelError when the model cannot be reached and BudgetExceeded at a limit; captions made
    until then are in the reply cache and are not paid again.
    """
    prompt = load("captioner")

    def blank(error: ModelError) -> Reply[str]:
        if silent is None or not isinstance(error, ModelOutputError | RefusedError):
            raise error
        silent.append(error)
        return Reply("", "", Usage(), ())

    texts: dict[int, str] = {}
    later: dict[int, Deferred] = {}
    if min(agent.sheet, len(images)) > 1:
        texts, later = _in_sheets(agent, images, on_caption)
    rest = [k for k in range(len(images)) if k not in texts and k not in later]
    replies = agent.text_batch(
        prompt, (_alone(images[k]) for k in rest), instead=blank, on_reply=on_caption
    )
    if later:
        raise next(iter(later.values()))
    texts |= {k: reply.value for k, reply in zip(rest, replies, strict=True)}
    plain = [" ".join(texts[k].split()) for k in range(len(images))]
    return plain if agent.spec.in_process else _shortened(plain)


def _alone(image: Image) -> list[Turn]:
    return [Turn("user", prompt_parts.caption_parts(image))]


def _in_sheets(
    agent: Agent, images: Sequence[Image], on_caption: Callable[[], None] | None
) -> tuple[dict[int, str], dict[int, Deferred]]:
    """Position -> caption, of those frames that are known or got one in a sheet; and what those
    wait for whose sheet is in a batch."""
    alone, sheet = load("captioner"), load("captioner_sheet")
    texts: dict[int, str] = {}
    later: dict[int, Deferred] = {}

    def done(k: int, text: str) -> None:
        if k not in texts and on_caption is not None:
            on_caption()
        texts.setdefault(k, text)

    for k, image in enumerate(images):
        if known := agent.known_text(alone, _alone(image)):
            done(k, known)
    # in batches this is done anew for each: what is known by then must not change the sheets
    places = [k for k in range(len(images)) if agent.collector is not None or k not in texts]
    waiting = _parts(places, agent.sheet)
    while waiting := [part for part in waiting if not texts.keys() >= set(part)]:
        turns = (
            [Turn("user", prompt_parts.sheet_parts([images[k] for k in part]))] for part in waiting
        )
        bounds = {
            "FrameCaption.frame": numbers(1, agent.sheet),
            # twice as many: a number with two captions shows, and is asked for alone
            "Sheet.captions": {"maxItems": 2 * agent.sheet},
        }
        replies = agent.split_batch(sheet, turns, Sheet, bounds, _none)
        failed: list[list[int]] = []
        for part, reply in zip(waiting, replies, strict=True):
            if isinstance(reply, Deferred):
                later |= dict.fromkeys(part, reply)
                continue
            if "too many" in reply.how:
                agent.note_sheet(len(part) // 2)
            numbered = _numbered(reply.value, len(part))
            for place, text in numbered.items():
                agent.keep_text(alone, _alone(images[part[place]]), text)
                done(part[place], text)
            missing = [k for place, k in enumerate(part) if place not in numbered]
            failed += _parts(missing, (len(part) + 1) // 2)
        waiting = failed
    return texts, later


def _parts(places: Sequence[int], size: int) -> list[list[int]]:
    """Parts of at most that size; one alone is left to the prompt for one frame."""
    cut = (list(places[k : k + size]) for k in range(0, len(places), size))
    return [part for part in cut if len(part) > 1]


def _none(error: ModelError) -> Reply[Sheet]:
    """No captions, where a smaller sheet may fare better; what is about something else raises."""
    if not isinstance(error, ModelOutputError | RefusedError | UnsupportedError):
        raise error
    log.info("a sheet of frames is asked for again in halves: %s", error)
    how = ("too many",) if isinstance(error, UnsupportedError) else ()
    return Reply(Sheet(), "", Usage(), how)


def _numbered(reply: Sheet, count: int) -> dict[int, str]:
    """Position in the sheet, from 0 -> caption; none for a number that is given twice."""
    parts: dict[int, list[str]] = {}
    for item in reply.captions:
        if 1 <= item.frame <= count and item.caption.strip():
            parts.setdefault(item.frame - 1, []).append(item.caption.strip())
    return {place: texts[0] for place, texts in parts.items() if len(texts) == 1}


def _shortened(captions: Sequence[str]) -> list[str]:
    """Captions that ran away, cut at the end of a sentence."""
    short = [_cut(text) for text in captions]
    if count := sum(a != b for a, b in zip(captions, short, strict=True)):
        log.info("%d captions of more than %d tokens cut at a sentence", count, MOST_TOKENS)
    return short


def _cut(text: str) -> str:
    """As many whole sentences as MOST_TOKENS hold, and at least one."""
    if text_tokens([text]) <= MOST_TOKENS:
        return text
    ends = [text[:end] for end in _ends(text)]
    fitting = [part for part in ends if text_tokens([part]) <= MOST_TOKENS]
    return (fitting[-1:] or ends[:1] or [text])[0]


def _ends(text: str) -> Iterator[int]:
    return (match.end() for match in _SENTENCE_END.finditer(text))
