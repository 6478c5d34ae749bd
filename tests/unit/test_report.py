"""The page: whole, escaped, alone, and honest about what is missing."""

import base64
import io
import re
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from videoespresso.errors import MemoryStoreError, UserError
from videoespresso.report import page, parts
from videoespresso.report.text import clock, letter, money, printable
from videoespresso.types import (
    Answer,
    Box,
    CoreFrame,
    DroppedFrame,
    EvidenceStep,
    FrameRef,
    Gap,
    KeyItem,
    Usage,
    Video,
    Work,
)

VIDEO = Video(
    id="0f" * 32, path="/v/street.mp4", duration_s=24.0, fps=Fraction(25), width=640, height=360,
    codec="h264",
)  # fmt: skip


def frame(time_s: float, rule: str = "fps=1 static") -> FrameRef:
    return FrameRef(
        id=f"{VIDEO.id[:12]}@{round(time_s * 1000)}", video_id=VIDEO.id, time_s=time_s, index=-1,
        fps=VIDEO.fps, rule=rule, sha="ab" * 32, width=640, height=360,
    )  # fmt: skip


def answer(**changed: object) -> Answer:
    car = Box(label="red car", xyxy=(0.1, 0.4, 0.45, 0.8), score=0.93)
    light = Box(label="traffic light", xyxy=(0.8, 0.02, 0.9, 0.3), score=0.88)
    whole = Answer(
        question="Why does the red car stop?",
        options=("It is out of fuel", "The light turns red", "A dog crosses", "It is parked"),
        text="The light turns red, so the car waits.",
        choice=1,
        checked=True,
        evidence=(
            EvidenceStep(
                text="The traffic light turns red.",
                frame_id=frame(8.0).id,
                time_s=8.0,
                items=(KeyItem(name="traffic light", boxes=(light,)), KeyItem(name="dog")),
            ),
        ),
        core_frames=(
            CoreFrame(frame=frame(8.0), caption="The light is red.", why="cause", boxes=(car,)),
            CoreFrame(frame=frame(12.5), caption="The car stands.", why="effect"),
        ),
        dropped=(
            DroppedFrame(frame_id="a@0", time_s=0.0, stage="duplicate", reason="same as 0:01.0"),
            DroppedFrame(frame_id="a@3000", time_s=3.0, stage="filter", reason="cosine 0.97 > 0.9"),
            DroppedFrame(frame_id="a@20000", time_s=20.0, stage="select", reason="after the event"),
        ),
        video=VIDEO,
        work=Work(decoded=5, captioned=4, shared=1, remembered=3, kept=2, dropped=3),
        usage={
            "captioner": Usage(calls=4, input_tokens=1204, output_tokens=88, images=4, usd=0.002),
            "reasoner": Usage(calls=2, cached_calls=1, input_tokens=900, images=2, usd=None),
        },
        settings={"captioner": "openai:gpt-4o-mini", "select": "paper", "detector": "onnx:d.onnx"},
        gaps=(Gap(stage="ground", reason="the detector has no label 'dog'"),),
        warnings=("the pack does not know this kind of picture",),
    )
    return Answer.model_validate({**dict(whole), **changed})


def picture(ref: FrameRef) -> Image.Image:
    return Image.new("RGB", (ref.width, ref.height), (200, 40, int(ref.time_s)))


class Reader(HTMLParser):
    """Collects tags with attributes and the visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.text += data

    def having(self, tag: str, **attrs: str) -> list[dict[str, str | None]]:
        return [a for t, a in self.tags if t == tag and attrs.items() <= a.items()]


def test_everything_an_answer_holds_is_on_the_page() -> None:
    reader = Reader(page.render(answer(), picture))
    assert reader.open == []
    for words in (
        "Why does the red car stop?", "The light turns red, so the car waits.", "A dog crosses",
        "The traffic light turns red.", "0:08.0", "0:12.5", "cosine 0.97 > 0.9",
        "the pack does not know this kind of picture", "the detector has no label 'dog'",
        "1,204", "2,104", "$0.0020", "unknown", "openai:gpt-4o-mini", "Kept: effect",
        "fps=1 static",
    ):  # fmt: skip
        assert words in reader.text, words
    chosen = reader.having("li", **{"class": "chosen"})
    assert len(chosen) == 1
    assert "not found" not in reader.text  # the detector could not look for it
    whole = answer().model_copy(update={"gaps": ()})
    assert "dog · not found" in Reader(page.render(whole, picture)).text


def test_boxes_are_drawn_where_they_are() -> None:
    text = page.render(answer(), picture)
    boxes = [a for t, a in Reader(text).tags if t == "div" and "box" in (a.get("class") or "")]
    assert [re.sub(r"--hue.*", "", str(b["style"])) for b in boxes] == [
        "left:10.0%;top:40.0%;width:35.0%;height:40.0%;",
        "left:80.0%;top:2.0%;width:10.0%;height:28.0%;",
    ]
    assert "inside" in str(boxes[1]["class"]), "a label above the picture's edge would be cut off"


def test_a_box_given_twice_is_drawn_once() -> None:
    box = Box(label="car", xyxy=(0, 0, 1, 1), score=1)
    assert len(page.drawn([box, box], {"car": 1})) == 1


def test_pictures_are_inlined_and_reduced() -> None:
    big = page.render(answer(), lambda ref: Image.new("RGBA", (3000, 2000), (9, 9, 9, 128)))
    images = Reader(big).having("img")
    assert len(images) == 2
    for image in images:
        head, _, data = str(image["src"]).partition(",")
        assert head == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as decoded:
            assert max(decoded.size) == parts.PICTURE_SIDE


def test_the_page_is_alone() -> None:
    text = page.render(answer(), picture)
    assert Reader(text).having("script") == []
    assert Reader(text).having("link") == []
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", text)
    assert not re.search(r"url\(|@import|https?://", text)


def test_what_others_wrote_cannot_become_markup() -> None:
    bad = '"><script>alert(1)</script><img src=x onerror=y> {{ 7*7 }} \x1b[31m'
    hostile = answer(
        question=bad,
        text=bad,
        options=(bad, bad),
        evidence=(EvidenceStep(text=bad, frame_id=bad, time_s=1, items=(KeyItem(name=bad),)),),
        core_frames=(
            CoreFrame(
                frame=frame(8.0).model_copy(update={"id": bad, "rule": bad}),
                caption=bad,
                why=bad,
                boxes=(Box(label=bad, xyxy=(0, 0, 1, 1), score=1),),
            ),
        ),
        dropped=(DroppedFrame(frame_id=bad, time_s=0, stage="filter", reason=bad),),
        video=VIDEO.model_copy(update={"path": bad}),
        settings={bad: bad},
        usage={bad: Usage()},
        gaps=(Gap(stage=bad, reason=bad),),
        warnings=(bad,),
    )
    text = page.render(hostile, picture)
    reader = Reader(text)
    assert reader.open == []
    assert reader.having("script") == []
    assert len(reader.having("img")) == 1
    assert "49" not in reader.text
    assert "\x1b" not in text
    assert reader.text.count("<script>alert(1)</script>") >= 12


def test_an_evicted_picture_leaves_its_description() -> None:
    def evicted(ref: FrameRef) -> Image.Image:
        raise MemoryStoreError("the pixels of this frame are gone", hint="Ask again.")

    reader = Reader(page.render(answer(), evicted))
    assert reader.having("img") == []
    assert "the pixels of this frame are gone. Ask again." in reader.text
    assert "The light is red." in reader.text


def test_an_answer_with_nothing_in_it_has_a_page() -> None:
    bare = Answer(question="?", text="The frames do not show it.", answered=False, video=VIDEO)
    reader = Reader(page.render(bare, picture))
    assert reader.open == []
    assert "not answered" in reader.text
    assert "No model was called." in reader.text


def test_the_timeline_holds_every_frame_in_order() -> None:
    marks = page.timeline(answer())
    assert [(m.stage, m.at) for m in marks] == [
        ("duplicate", 0.0), ("filter", 12.5), ("core", 33.333), ("core", 52.083),
        ("select", 83.333),
    ]  # fmt: skip


def test_a_frame_past_the_stated_end_stays_on_the_page() -> None:
    late = DroppedFrame(frame_id="a@99000", time_s=99.0, stage="filter", reason="late")
    assert page.timeline(answer(dropped=(late,)))[-1].at == 100.0
    assert page.timeline(answer(video=VIDEO.model_copy(update={"duration_s": 0.0})))


def test_a_list_that_is_cut_says_so() -> None:
    many = tuple(
        DroppedFrame(frame_id=f"a@{i}", time_s=i / 100, stage="duplicate", reason=f"no. {i}.")
        for i in range(page.ROWS + 7)
    )
    text = Reader(page.render(answer(dropped=many), picture)).text
    assert "7 more are on the timeline" in text
    assert f"Why {page.ROWS + 7} frames were dropped" in text
    assert f"no. {page.ROWS}." not in text


def test_writing_replaces_the_whole_page(tmp_path: Path) -> None:
    target = tmp_path / "r.html"
    target.write_text("old")
    page.write(answer(), target, picture)
    assert target.read_text().startswith("<!doctype html>")
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]


def test_a_page_through_a_link_replaces_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real.html").write_text("old")
    (tmp_path / "r.html").symlink_to("real.html")
    page.write(answer(), tmp_path / "r.html", picture)
    assert (tmp_path / "r.html").is_symlink()
    assert (tmp_path / "real.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("where", ["nowhere/r.html", "."])
def test_a_place_that_cannot_hold_a_page_is_named(tmp_path: Path, where: str) -> None:
    with pytest.raises(UserError) as caught:
        page.write(answer(), tmp_path / where, picture)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00.0"), (7.46, "0:07.5"), (59.96, "1:00.0"), (3723.4, "1:02:03.4"), (-0.5, "-0:00.5")],
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("usd", "text"), [(None, "unknown"), (0.0, "$0.00"), (0.0021, "$0.0021"), (1234.5, "$1,234.50")]
)
def test_money(usd: float | None, text: str) -> None:
    assert money(usd) == text


def test_letters() -> None:
    assert [letter(i) for i in (0, 3, 25, 26, 51, 52, 701, 702)] == [
        "A", "D", "Z", "AA", "AZ", "BA", "ZZ", "AAA",
    ]  # fmt: skip


def test_printable_keeps_words_and_drops_commands() -> None:
    assert printable("é\t×\n\x1b[2J\x07\x9b") == "é\t×\n[2J"
    assert printable(b"caf\xe9.mp4".decode("utf-8", "surrogateescape")) == "caf?.mp4"
