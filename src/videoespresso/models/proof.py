"""What a chat server can really do, proved with pictures that were drawn for it.

Four pictures of a car, each of another colour and each said to be of another instant, go out in one
request: whether all arrived, in order, with their instants, and whether the model sees, is in what
comes back. Four requests to most servers, MOST_CALLS to an awkward one; one more for each parameter
that it refuses, and where it was busy.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

from langchain_core.language_models import BaseChatModel
from PIL import Image, ImageDraw
from pydantic import BaseModel

from videoespresso.errors import BudgetExceeded, ModelError
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.errors import UnsupportedError
from videoespresso.models.client.messages import Called, ModelReply, Turn
from videoespresso.models.client.prices import image_tokens, price
from videoespresso.models.client.rate_limit import RateLimit
from videoespresso.models.client.reading import read
from videoespresso.models.client.request import OneImageError, Prompt, Request
from videoespresso.models.client.retry import Retries, Sender
from videoespresso.models.client.structured_output import METHODS, Attempt, Method
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.profiles import SHEET, sheet_size
from videoespresso.models.specs import ModelSpec

T = TypeVar("T", bound=BaseModel)
Result = Literal["pass", "fail", "unknown"]


class Finding(NamedTuple):
    """One thing that was proved or not; remedy: what to do when it failed or is not known."""

    name: str
    result: Result
    detail: str
    remedy: str = ""


CLIP = ((2.0, "red"), (7.5, "blue"), (11.0, "yellow"), (19.5, "green"))
"""Seconds and colours: neither evenly spaced nor in an order that could be guessed."""
_RGB = {"red": (200, 40, 40), "blue": (40, 70, 200), "yellow": (230, 200, 40)}
_RGB |= {"green": (40, 150, 60)}
_NEAR_S = 0.25
MANY = 16
"""Pictures of the request that tries how many may be in one: as many as `uniform:16` sends."""
MOST_TOKENS = 256
CALLS, MOST_CALLS = 4, 8
_TEXT_TOKENS = 2000
"""No fewer than the words of all requests together."""
_CARS = re.compile(r"car|vehicle|auto|truck|van|bus|taxi|suv", re.IGNORECASE)
_LIMIT = re.compile(r"(?:at most|maximum of|up to|limit(?: is| of)?)\s+(\d+)", re.IGNORECASE)
_BLIND = "Choose a model that sees (llama.cpp: also give it --mmproj)."

_PROMPT = Prompt("doctor", "You look at pictures and say exactly what you see.", "")
_ASK = (
    "For each picture above, in order: at_s, the instant that was said of it, in seconds; colour, "
    "the colour of the largest thing; thing, what that is, in one word."
)


class Picture(BaseModel):
    """What the model says of one picture."""

    at_s: float
    colour: str
    thing: str


class Pictures(BaseModel):
    """What it says of all of them."""

    pictures: list[Picture]


class Word(BaseModel):
    """A typed reply about no picture."""

    colour: str


_WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city now.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def street(colour: str = "red", size: tuple[int, int] = (320, 180)) -> Image.Image:
    """A drawn car of that colour on a road."""
    picture = Image.new("RGB", (320, 180), (150, 190, 225))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 120, 320, 180), fill=(95, 95, 100))
    draw.polygon([(110, 92), (135, 60), (195, 60), (220, 92)], fill=_RGB[colour])
    draw.rounded_rectangle((70, 85, 250, 135), radius=10, fill=_RGB[colour])
    for x in (95, 195):
        draw.ellipse((x, 118, x + 32, 150), fill=(20, 20, 20))
    return picture if size == picture.size else picture.resize(size)


def most_usd(spec: ModelSpec) -> float | None:
    """An estimate of what proving a model costs at most; None where its price is not known."""
    known = price(spec)
    pictures = len(CLIP) * 3 * image_tokens(spec, 320, 180) + MANY * image_tokens(spec, 160, 90)
    return known.usd(_TEXT_TOKENS + pictures, MOST_CALLS * MOST_TOKENS) if known else None


class Proof:
    """Proves one model. model: made for replies of MOST_TOKENS. budget: checked before each call.

    `findings` never raises ModelError or BudgetExceeded: those are findings, too.
    """

    def __init__(
        self, spec: ModelSpec, model: BaseChatModel, *, usage_log: UsageLog, budget: Budget
    ) -> None:
        self._spec, self._model = spec, model
        self._usage_log, self._budget = usage_log, budget
        self._sees = self._one = self._apart = False
        self._lacks: set[str] = set()

    def findings(self) -> Iterator[Finding]:
        """One after another, as they are known."""
        for work in (self._pictures, self._room, self._tools, self._streaming):
            try:
                yield from work()
            except BudgetExceeded as error:
                yield Finding(_NAMES[work.__name__], "unknown", str(error), "Raise --max-usd.")
            except ModelError as error:
                yield Finding(_NAMES[work.__name__], "fail", str(error), error.hint)

    # ---- pictures, their order and instants, and typed replies

    def _pictures(self) -> Iterator[Finding]:
        try:
            how, seen = self._typed((_shown(CLIP),), Pictures)
        except OneImageError:
            self._one = True
            yield Finding(
                "pictures",
                "fail",
                "the server takes one picture a request",
                "Nothing to do: several become a numbered grid. A server of several sees more.",
            )
            how, seen = self._typed((_shown(CLIP[:1]),), Pictures)
        except BudgetExceeded:
            raise
        except ModelError as error:
            yield Finding("sees", "fail", str(error), error.hint or _BLIND)
            yield from self._in_words()
            return
        yield self._schema(how)
        findings = list(_compared(CLIP[:1] if self._one else CLIP, seen.pictures if seen else []))
        self._apart = any(f.name == "order" and f.result == "pass" for f in findings)
        yield from findings
        self._sees = bool(seen and seen.pictures)

    def _in_words(self) -> Iterator[Finding]:
        """Typed replies of a model that takes no pictures."""
        try:
            yield self._schema(self._typed((Turn("user", ("What colour is the sky?",)),), Word)[0])
        except BudgetExceeded:
            raise
        except ModelError as error:
            yield Finding("JSON schema", "fail", str(error), error.hint)

    def _typed(self, turns: Sequence[Turn], schema: type[T]) -> tuple[str, T | None]:
        """The first form in which the reply can be read, and the reply."""
        for method in METHODS:
            reply = self._ask(turns, method, schema=schema)
            if isinstance(reply, UnsupportedError):
                continue
            value, _ = read(schema, reply.text)
            if value is not None:
                return method, value
        return "", None

    @staticmethod
    def _schema(how: str) -> Finding:
        if how == "json_schema":
            return Finding("JSON schema", "pass", "the reply fits the schema that was sent")
        if not how:
            detail = "no reply could be read, in whatever form it was asked for"
            return Finding("JSON schema", "fail", detail, "Choose a larger model.")
        form = "through a tool's arguments" if how == "tool" else "when asked in words"
        return Finding(
            "JSON schema",
            "fail",
            f"not taken; the reply fits {form}",
            "It works, with a few replies asked for twice. vLLM, llama.cpp and Ollama can do more.",
        )

    def _room(self) -> Iterator[Finding]:
        """How many pictures a request may hold: MANY are tried, then half of it."""
        if self._one or not self._sees:
            return
        name = _NAMES["_room"]
        for many in (MANY, MANY // 2):
            pictures = tuple(street("red", (160, 90)) for _ in range(many))
            turn = Turn("user", (*pictures, "Answer with one word: what is this?"))
            try:
                reply = self._ask((turn,), "text")
            except BudgetExceeded:
                raise
            except ModelError as error:  # too long, or the server's own limit
                fault: ModelError = error
            else:
                if not isinstance(reply, UnsupportedError):
                    more = " or more" if many == MANY else ""
                    yield Finding(name, "pass", f"{many}{more} small ones{self._sheets()}")
                    return
                fault = reply
            if match := _LIMIT.search(str(fault)):
                yield Finding(
                    name, "pass", f"{match[1]}, as the server says", _select(int(match[1]))
                )
                return
        yield Finding(name, "pass", f"{len(CLIP)}, but not {MANY // 2}", _select(len(CLIP)))

    def _sheets(self) -> str:
        """What to set where captions may go in sheets: it told the pictures apart, in order."""
        if not self._apart or sheet_size(self._spec) > 1:
            return ""
        return f"; `sheet = {SHEET}` in the settings file captions {SHEET} frames a request"

    # ---- tools, streaming

    def _tools(self) -> Iterator[Finding]:
        turn = Turn("user", ("What is the weather in Bonn now? Call the tool.",))
        if type(self._model).bind_tools is BaseChatModel.bind_tools:
            yield Finding("tools", "fail", "this kind of model takes none", _NO_TOOLS)
            return
        reply = self._ask((turn,), "calls")
        if isinstance(reply, UnsupportedError):
            yield Finding("tools", "fail", str(reply), _NO_TOOLS)
            return
        calls = Called.model_validate_json(reply.text).calls
        if any(call.name == "weather" and not call.fault for call in calls):
            yield Finding("tools", "pass", f"called {calls[0].name}({calls[0].arguments})")
        else:
            detail = "taken, but the model called none when told to"
            yield Finding("tools", "unknown", detail, _NO_TOOLS)

    def _streaming(self) -> Iterator[Finding]:
        parts: list[str] = []
        turn = Turn("user", ("Count from one to six in words, nothing else.",))
        self._ask((turn,), "text", parts=parts)
        pieces = len(set(parts))
        if pieces > 1:
            yield Finding("streaming", "pass", f"the reply came in {pieces} pieces")
        else:
            remedy = "Answers appear all at once in `chat`; nothing else is lost."
            yield Finding("streaming", "fail", "the reply came in one piece", remedy)

    def _ask(
        self,
        turns: Sequence[Turn],
        method: Method,
        *,
        schema: type[BaseModel] | None = None,
        parts: list[str] | None = None,
    ) -> ModelReply | UnsupportedError:
        tools = (_WEATHER,) if method == "calls" else ()
        lacks = frozenset(self._lacks)
        request = Request(self._spec, self._model, _PROMPT, tuple(turns), schema, tools, lacks)
        with Sender(
            "doctor",
            request,
            usage_log=self._usage_log,
            budget=self._budget,
            rate_limit=RateLimit(),
            retries=Retries(tries=2),
            listener=None if parts is None else parts.append,
            unable=self._lacks.add,
        ) as sender:
            return sender.attempt(Attempt(method))


_NAMES = {
    "_pictures": "sees",
    "_room": "pictures a request",
    "_tools": "tools",
    "_streaming": "streaming",
}
_NO_TOOLS = "Your tools are then used by rule, not by the model (docs/tools.md)."


def _shown(clip: Sequence[tuple[float, str]]) -> Turn:
    parts: list[str | Image.Image] = []
    for at_s, colour in clip:
        parts += [f"Picture at {at_s:.1f} s:", street(colour)]
    return Turn("user", (*parts, _ASK))


def _select(most: int) -> str:
    return f"Send no more: --select uniform:{most}, or fewer core frames." if most < MANY else ""


def _compared(sent: Sequence[tuple[float, str]], seen: Sequence[Picture]) -> Iterator[Finding]:
    """What was sent against what was said of it."""
    if not seen:
        detail = "nothing that can be read was said about the pictures"
        yield Finding("sees", "fail", detail, "Choose a larger model.")
        return
    right = [colour for _, colour in sent]
    colours = [_colour(row.colour) for row in seen]
    words = ", ".join(f"{row.colour} {row.thing}"[:30] for row in seen[: len(sent) + 1])
    hits = sum((Counter(right) & Counter(colours)).values())
    first = seen[0]
    if colours[0] == "red" and _CARS.search(first.thing):
        yield Finding("sees", "pass", f"the red car it was shown first: “{first.thing}”")
    elif hits:
        detail = f"colours yes, but no red car first: {words}"
        yield Finding("sees", "fail", detail, "Choose a larger model.")
    else:
        yield Finding("sees", "fail", f"none of what was drawn: {words}", _BLIND)
    arrived = f"{hits} of {len(sent)} colours named, {len(seen)} pictures told of"
    whole = hits == len(sent) == len(seen)
    if len(sent) > 1:
        remedy = "" if whole else "Check the server's limit of images a request."
        yield Finding("pictures", "pass" if whole else "fail", arrived, remedy)
        yield _ordered(right, colours, words, whole=whole)
    near = len(seen) == len(sent) and all(
        abs(row.at_s - at_s) <= _NEAR_S for row, (at_s, _) in zip(seen, sent, strict=True)
    )
    instants = ", ".join(f"{row.at_s:g}" for row in seen[: len(sent) + 1])
    remedy = "" if near else "Do not rely on instants that this model writes itself."
    yield Finding("instants", "pass" if near else "fail", f"{instants} s", remedy)


def _ordered(right: list[str], reply: list[str], words: str, *, whole: bool) -> Finding:
    if not whole:
        return Finding("order", "unknown", "not all were told apart", "See `pictures`.")
    if right == reply:
        return Finding("order", "pass", ", ".join(reply))
    return Finding(
        "order", "fail", words, "The server mixes pictures up: set one_image = true, or update it."
    )


def _colour(text: str) -> str:
    """The drawn colour that a word names."""
    low = text.lower()
    return next((name for name in _RGB if name in low), low)
