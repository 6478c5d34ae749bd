"""A chat server that looks at the pictures it is sent, as well or badly as it is told to."""

import json
import re
from dataclasses import dataclass
from typing import Any

from tests.helpers import chat_server as fake

from videoespresso.models.client.messages import from_data_uri

COLOURS = {
    "red": (200, 40, 40),
    "blue": (40, 70, 200),
    "yellow": (230, 200, 40),
    "green": (40, 150, 60),
    "white": (240, 240, 240),
    "purple": (130, 50, 160),
}
ROLES = ("captioner", "selector", "reasoner", "checker", "follower")


@dataclass(frozen=True)
class Seer:
    """A model and its server. most_images: it refuses more a request, with vLLM's words. sees: it
    knows colours. order: in which it takes pictures. words: it says instants. Forms it takes:
    json_schema, tools, stream."""

    name: str = "seer"
    most_images: int = 64
    sees: bool = True
    order: int = 1
    instants: bool = True
    json_schema: bool = True
    tools: bool = True
    stream: bool = True
    refuses_images: bool = False

    def __call__(self, exchange: fake.Exchange) -> None:
        if exchange.url.endswith("/models"):
            return fake.serves(self.name)(exchange)
        body = exchange.body
        count = len(images(body))
        if count and self.refuses_images:
            return fake.status(500, "image input is not supported - hint: mmproj")(exchange)
        if count > self.most_images:
            text = f"At most {self.most_images} image(s) may be provided in one request."
            return fake.status(400, text)(exchange)
        if "response_format" in body and not self.json_schema:
            return fake.status(400, "response_format is not supported")(exchange)
        if "tools" in body and not self.tools:
            return fake.status(400, "tools are not supported")(exchange)
        if body.get("stream") and not self.stream:
            return fake.status(400, "stream is not supported")(exchange)
        if "tools" in body and "response_format" not in body:
            name = body["tools"][0]["function"]["name"]
            arguments = {"city": "Bonn"} if "weather" in name else self.reply(body)
            return fake.call(**arguments)(exchange)
        found = self.reply(body)
        fake.say(found if isinstance(found, str) else json.dumps(found))(exchange)

    def reply(self, body: fake.Body) -> Any:
        """What the model says."""
        system = text_of(body["messages"][0])
        role = next((name for name in ROLES if f"You are the {name}" in system), "")
        if role == "captioner":
            return f"A {self.colour(images(body)[0])} thing."
        if role == "selector":
            return {"core": [{"why": "the start", "frame": 1}]}
        if role == "checker":
            return {"carried": True, "missing": ""}
        if role == "reasoner" and "steps" in json.dumps(body.get("response_format", {})):
            return {"steps": [{"text": "A square stands still.", "frame": 1, "items": []}]}
        if role == "reasoner":
            return {"answered": True, "answer": "a square moves", "choice": None}
        if images(body):
            return {"pictures": self.pictures(body)}
        if "response_format" in body or "tools" in body:
            return {"colour": "blue"}
        return "one two three four five six"

    def pictures(self, body: fake.Body) -> list[dict[str, Any]]:
        """Each picture with the instant that stood before it."""
        said = [float(x) for x in re.findall(r"Picture at (\d+\.\d) s", user_text(body))]
        rows = [
            {"at_s": at if self.instants else 0.0, "colour": self.colour(uri), "thing": "car"}
            for at, uri in zip(said, images(body), strict=False)
        ]
        colours = [row["colour"] for row in rows][:: self.order]
        return [row | {"colour": colour} for row, colour in zip(rows, colours, strict=True)]

    def colour(self, uri: str) -> str:
        """The name of the colour in the middle of the picture."""
        if not self.sees:
            return "grey"
        image = from_data_uri(uri)
        pixel: Any = image.getpixel((image.width // 2, image.height // 2))
        near = {
            n: sum((a - b) ** 2 for a, b in zip(pixel, c, strict=True)) for n, c in COLOURS.items()
        }
        return min(near, key=lambda name: near[name])


def images(body: fake.Body) -> list[str]:
    """The data URIs, in order."""
    blocks = [b for m in body["messages"] if isinstance(m["content"], list) for b in m["content"]]
    return [block["image_url"]["url"] for block in blocks if block["type"] == "image_url"]


def text_of(message: Any) -> str:
    content = message["content"]
    if isinstance(content, str):
        return content
    return "".join(block.get("text", "") for block in content or [] if block["type"] == "text")


def user_text(body: fake.Body) -> str:
    return "".join(text_of(m) for m in body["messages"] if m["role"] == "user")
