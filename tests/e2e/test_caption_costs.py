"""What captions take of a server that is paid: requests and pictures, counted where they arrive."""

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from tests.helpers import chat_server as fake
from tests.helpers.scripted import scripted_context
from tests.helpers.seeing_server import COLOURS, Seer, images, text_of, user_text

from videoespresso.agents import captioner
from videoespresso.agents.base import Agent, Retries
from videoespresso.agents.captioner import MOST_TOKENS
from videoespresso.errors import ModelError
from videoespresso.graphs.watch import watch
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.chat import chat_model
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.profiles import SHEET
from videoespresso.models.specs import ModelSpec

PAID = "openai:gpt-6-luna?detail=low"
NAMES = sorted(COLOURS)


@dataclass
class Captioner:
    """Names the colour of each picture. most: pictures a request; blind: a colour of which it says
    nothing in a sheet; again: it gives each number twice; off: sheets get prose."""

    most: int = 64
    blind: str = ""
    again: bool = False
    off: bool = False
    refuses: str = ""
    sheets: list[int] = field(default_factory=list)

    def __call__(self, exchange: fake.Exchange) -> None:
        body = exchange.body
        pictures = images(body)
        self.sheets.append(len(pictures))
        colours = [Seer().colour(uri) for uri in pictures]
        if len(pictures) > self.most:
            return fake.status(400, f"At most {self.most} images may be sent")(exchange)
        if self.refuses in colours:
            return fake.status(400, "moderated", error_code="content_filter")(exchange)
        if "frames" not in text_of(body["messages"][0]).split("Say")[0]:
            return fake.say(f"A {colours[0]} wall.")(exchange)
        if self.off or "in the grid" in user_text(body):
            return fake.say("I see many colours.")(exchange)
        numbers = [int(n) for n in re.findall(r"Frame (\d+):", user_text(body))]
        rows: list[dict[str, Any]] = [
            {"frame": n, "caption": f"A {colour} wall."}
            for n, colour in zip(numbers, colours, strict=True)
            if colour != self.blind
        ]
        fake.say(json.dumps({"captions": rows[::-1] + rows * self.again}))(exchange)


def walls(count: int) -> list[Image.Image]:
    """Pictures that all differ, in the colours by turns."""
    made = [Image.new("RGB", (64, 64), COLOURS[NAMES[k % len(NAMES)]]) for k in range(count)]
    for k, image in enumerate(made):
        image.paste((k, k, k), (0, 0, 4, 4))
    return made


def said(count: int) -> list[str]:
    return [f"A {NAMES[k % len(NAMES)]} wall." for k in range(count)]


@pytest.fixture
def replies(tmp_path: Path) -> ReplyCache:
    return ReplyCache(tmp_path / "replies.sqlite")


def agent(server: fake.Server, replies: ReplyCache | None, spec: str = PAID) -> Agent:
    """Paid by its spec; the model behind it is the fake server."""
    model = chat_model(ModelSpec.parse(f"openai:gpt-6-luna@{server.url}"))
    return Agent(
        "captioner", ModelSpec.parse(spec), model, usage_log=UsageLog(), replies=replies,
        retries=Retries(base_s=0.0, longest_s=5.0), concurrency=1,
    )  # fmt: skip


def test_frames_go_in_sheets_and_are_known_one_by_one(replies: ReplyCache) -> None:
    with fake.Server([model := Captioner()]) as server:
        asker, done = agent(server, replies), []
        made = captioner.caption(asker, walls(20), on_caption=lambda: done.append(1))
        assert made == said(20)
        assert model.sheets == [8, 8, 4]
        assert len(done) == 20
        other = agent(server, replies)
        assert captioner.caption(other, walls(20)[5:13]) == said(20)[5:13], "in another sheet"
        assert captioner.caption(other, walls(20)[7:8]) == said(20)[7:8], "by itself"
        assert model.sheets == [8, 8, 4], "none was paid again"
        assert captioner.caption(agent(server, None), walls(3)) == said(3), "without a cache"


def test_captions_paid_one_by_one_are_known_to_sheets(replies: ReplyCache) -> None:
    with fake.Server([model := Captioner()]) as server:
        for wall in walls(3):
            captioner.caption(agent(server, replies), [wall])
        assert model.sheets == [1, 1, 1]
        assert captioner.caption(agent(server, replies), walls(5)) == said(5)
        assert model.sheets == [1, 1, 1, 2]


@pytest.mark.parametrize("most", [1, 2, 3, 5])
def test_a_server_that_takes_fewer_pictures_gets_smaller_sheets(
    replies: ReplyCache, most: int
) -> None:
    with fake.Server([model := Captioner(most=most)]) as server:
        assert captioner.caption(agent(server, replies), walls(16)) == said(16)
        model.sheets.clear()
        again = walls(40)[16:24]
        assert captioner.caption(agent(server, replies), again) == said(40)[16:24]
        assert max(model.sheets) <= max(1, most), "its limit is remembered"


@pytest.mark.parametrize(
    "model", [Captioner(off=True), Captioner(again=True), Captioner(blind="red")], ids=str
)
def test_what_a_sheet_does_not_say_is_asked_alone(model: Captioner, replies: ReplyCache) -> None:
    with fake.Server([model]) as server:
        assert captioner.caption(agent(server, replies), walls(8)) == said(8)
        assert 1 in model.sheets


def test_a_refused_picture_costs_the_others_nothing(replies: ReplyCache) -> None:
    with fake.Server([model := Captioner(refuses="red")]) as server:
        silent: list[ModelError] = []
        made = captioner.caption(agent(server, replies), walls(6), silent)
        assert made == [text if "red" not in text else "" for text in said(6)]
        assert len(silent) == 1
        assert model.sheets.count(1) == 3, "the others came in a sheet"


def test_who_gets_single_frames(replies: ReplyCache, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake.Server([Captioner()]) as server:
        for spec in ("hf:small", f"openai:q@{server.url}", "ollama:qwen2.5vl", "embedded:"):
            assert agent(server, replies, spec).sheet == 1
        assert agent(server, replies).sheet == SHEET
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert agent(server, replies).sheet == 1


def test_a_caption_that_runs_away_is_cut_at_a_sentence() -> None:
    long = "A red wall. " + "And it is said again that it is red. " * 40
    with fake.Server([fake.say(long)]) as server:
        (text,) = captioner.caption(agent(server, None), walls(1))
    assert text.startswith("A red wall.")
    assert text.endswith(".")
    assert len(text) <= 4 * MOST_TOKENS


def street(path: Path, seconds: int) -> Path:
    """A film in which every second is another picture."""
    draw = np.random.default_rng(7)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=2)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for k in range(seconds):
            blocks = draw.integers(0, 255, (4, 6, 3), dtype=np.uint8)
            image = Image.fromarray(blocks).resize((320, 180), Image.Resampling.NEAREST)
            image.paste(COLOURS[NAMES[k % len(NAMES)]], (120, 60, 200, 120))
            for _ in range(2):
                out.mux(stream.encode(av.VideoFrame.from_image(image)))
        out.mux(stream.encode())
    return path


@pytest.mark.parametrize("seconds", [10, 60])
def test_a_film_costs_an_eighth_of_the_calls(tmp_path: Path, seconds: int) -> None:
    """Requests, pictures and captions of a first watch; a second one asks for nothing."""
    video = street(tmp_path / "film.mp4", seconds)
    context, _ = scripted_context(tmp_path / "cache", {})
    with fake.Server([model := Captioner()]) as server:
        paid = agent(server, context.agents["captioner"].replies)
        context = replace(context, agents={**context.agents, "captioner": paid})
        state = watch(context, str(video))
        captioned = state["work"]["captioned"]
        assert captioned == sum(model.sheets)
        assert seconds <= captioned <= seconds + 2
        assert len(model.sheets) == -(-captioned // SHEET)
        assert all(c["text"] for c in state["captions"])
        count = len(model.sheets)
        watch(context, str(video))
        assert len(model.sheets) == count
