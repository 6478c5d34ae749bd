"""The pages of a dataset and of a record: whole, escaped, alone, bounded."""

import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.helpers.records import HOSTILE, dataset, item, reject, video

from videoespresso.dataset.inspect.stats import gather, share, spread
from videoespresso.dataset_record import (
    DatasetItem,
    EvidenceSentence,
    FrameBox,
    GroundedItem,
    GroupCaption,
    Made,
    Reject,
    Verification,
)
from videoespresso.errors import UserError
from videoespresso.report import charts, dataset_page, record_page
from videoespresso.report.parts import ticks
from videoespresso.report.text import clip, instant, number, percent
from videoespresso.types import Usage

VOID = {"meta", "img", "br"}
ADDRESS = {"href", "src", "srcset", "action", "data", "poster", "xlink:href", "formaction"}


class Reader(HTMLParser):
    """Collects tags with attributes and the visible text, and minds that tags are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.text += data

    def having(self, tag: str, cls: str = "") -> list[dict[str, str | None]]:
        return [
            a
            for t, a in self.tags
            if t == tag and (not cls or cls in (a.get("class") or "").split())
        ]


def read(text: str) -> Reader:
    """The page, if it is whole and loads nothing from outside."""
    reader = Reader(text)
    assert reader.open == []
    assert {tag for tag, _ in reader.tags} & {"script", "iframe", "object", "link", "base"} == set()
    for tag, attributes in reader.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        for name in ADDRESS & set(attributes):
            value = attributes[name] or ""
            assert value.startswith("data:image/jpeg;base64,") or value.startswith("#"), value[:80]
    assert not re.search(r"url\(|@import", text)
    (policy,) = [a for _, a in reader.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in (policy["content"] or "")
    return reader


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = (item(seed) for seed in range(120))
    refused = [reject(seed) for seed in range(30)]
    return dataset(tmp_path / "my-set", made, refused, {"settings": {"generator": "a:b", "n": [1]}})


def test_the_datasets_page_holds_everything(folder: Path, tmp_path: Path) -> None:
    dataset_page.write_page(folder, tmp_path / "page.html")
    reader = read((tmp_path / "page.html").read_text())
    for words in (
        "my-set", "120", "Causal Inference", "87,009", "Records a task", "Fig. 3a", "Fig. 4",
        "Key items a record", "Scores of boxes", "verify: hallucination", "street", "considering",
        "Frequent words of answers", "settings.generator", "a:b", "settings.n", "$0.12",
        "50.0 % (43.7-56.3)", "is seen here", "shadow · not found", "(right)",
    ):  # fmt: skip
        assert words in reader.text, words
    charts_drawn = reader.having("svg")
    assert len(charts_drawn) >= 12
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in charts_drawn)
    assert len(reader.having("article", "record")) == dataset_page.SAMPLES
    assert len(reader.having("div", "box")) > 20


def test_records_on_the_page_are_of_as_many_tasks_as_there_are() -> None:
    made = [item(seed) for seed in range(200)]
    chosen = dataset_page.choose(iter(made), 14)
    assert len({one.task for one in chosen}) == 14
    assert chosen == dataset_page.choose(reversed(made), 14)
    assert len(dataset_page.choose(made[:5], 14)) == 5
    one_task = [item(seed, task="Cooking Steps") for seed in range(50)]
    assert len({one.id for one in dataset_page.choose(one_task, 14)}) == 14


def test_an_empty_dataset_has_a_page(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "none", [])
    dataset_page.write_page(folder, tmp_path / "page.html")
    assert "There are no records." in read((tmp_path / "page.html").read_text()).text


def test_the_page_does_not_grow_with_the_dataset(tmp_path: Path) -> None:
    sizes = []
    for n in (60, 600):
        folder = dataset(tmp_path / str(n), (item(seed) for seed in range(n)))
        dataset_page.write_page(folder, tmp_path / "page.html")
        sizes.append((tmp_path / "page.html").stat().st_size)
    assert sizes[1] < 1.3 * sizes[0]


def hostile(**changed: Any) -> DatasetItem:
    """A record every text of which wants to run something."""
    frames = [
        frame.model_copy(update={"caption": HOSTILE, "captioned": HOSTILE, "rule": HOSTILE})
        for frame in item(5).core_frames
    ]
    box = FrameBox(xyxy=(0.1, 0.0, 0.9, 0.9), frame=0, score=0.5)
    told: dict[str, Any] = {
        "video": video(5, path=f"{HOSTILE}/x.mp4"),
        "question": f"Q {HOSTILE}",
        "answer": f"A {HOSTILE}",
        "options": (f"A {HOSTILE}", f"B {HOSTILE}"),
        "letter": "A",
        "evidence": (
            EvidenceSentence(
                text=HOSTILE, frame=0, items=(GroundedItem(name=HOSTILE, boxes=(box,)),)
            ),
        ),
        "core_frames": frames,
        "captions": (GroupCaption(text=HOSTILE, time_s=1.0),),
        "verification": Verification(accepted=False, criterion=HOSTILE, reason=HOSTILE),
        "made": {HOSTILE: Made(model=HOSTILE, snapshot=HOSTILE, prompt=HOSTILE, how=(HOSTILE,))},
        "cost": {HOSTILE: Usage(calls=1)},
    }
    return item(5, **(told | changed))


def test_hostile_text_is_shown_and_does_nothing(tmp_path: Path) -> None:
    bad = Reject(video=HOSTILE, stage=HOSTILE, criterion=HOSTILE, reason=HOSTILE)
    folder = dataset(tmp_path / "<b>&set", [hostile()], [bad], {HOSTILE: {"x": HOSTILE}})
    dataset_page.write_page(folder, tmp_path / "page.html")
    reader = read((tmp_path / "page.html").read_text())
    assert reader.text.count("<script>alert") > 15
    assert "\x1b" not in reader.text
    assert "<b>&set" in reader.text
    for one in (hostile(), hostile(id=HOSTILE)):
        again = read(record_page.render(one, folder))
        assert again.text.count("<script>alert") > 12
        assert len(again.having("div", "box")) == 1


def test_a_file_name_that_is_no_text_is_shown(tmp_path: Path) -> None:
    name = b"caf\xe9.mp4".decode("utf-8", "surrogateescape")
    one = item(1, video=video(1, path=name))
    record_page.write(one, tmp_path, tmp_path / "page.html")
    assert "caf?.mp4" in read((tmp_path / "page.html").read_text()).text


def test_a_records_page_shows_its_evidence(folder: Path) -> None:
    one = item(5)
    reader = read(record_page.render(one, folder))
    assert one.question in reader.text
    assert len(reader.having("li", "chosen")) == 1
    assert f"{one.answer} (right)" in re.sub(r"\s+", " ", reader.text)
    assert len(reader.having("img")) == len(one.core_frames)
    assert len(reader.having("i", "core")) == len(one.core_frames)
    assert len(reader.having("i", "group")) == len(one.captions)
    assert "openai:gpt-4o" in reader.text
    first = one.evidence[0].items[0].boxes[0].xyxy
    (style,) = [str(b["style"]) for b in reader.having("div", "box")][:1]
    assert f"left:{100 * first[0]:.3f}"[:11] in style


def test_a_box_without_a_frame_is_drawn_on_its_sentences(folder: Path) -> None:
    box = FrameBox(xyxy=(0.1, 0.2, 0.5, 0.6))
    thing = GroundedItem(name="dog", boxes=(box,))
    one = item(5, evidence=(EvidenceSentence(text="Dog.", frame=1, items=(thing,)),))
    shown = record_page.view(one, folder)
    assert [len(frame.boxes) for frame in shown.frames][:2] == [0, 1]
    nowhere = item(5, evidence=(EvidenceSentence(text="Dog.", items=(thing,)),))
    assert not any(frame.boxes for frame in record_page.view(nowhere, folder).frames)


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("", "names no image"),
        ("../outside.png", "outside"),
        ("/etc/passwd", "outside"),
        ("frames/none.png", "missing"),
        ("broken.png", "cannot be read"),
        ("x" * 5000, "cannot be read"),
    ],
)
def test_a_picture_that_cannot_be_shown_is_described(folder: Path, image: str, why: str) -> None:
    Image.new("RGB", (8, 8)).save(folder.parent / "outside.png")
    (folder / "broken.png").write_bytes(b"no picture")
    first, *rest = item(5).core_frames
    one = item(5, core_frames=[first.model_copy(update={"image": image}), *rest])
    shown = record_page.view(one, folder).frames[0]
    assert shown.src is None
    assert why in shown.missing
    assert why in read(record_page.render(one, folder)).text


def test_a_record_with_nothing_has_a_page(tmp_path: Path) -> None:
    one = item(
        1, options=(), letter=None, evidence=(), core_frames=(), captions=(), made={}, cost={},
        verification=None, task=None, group=None,
    )  # fmt: skip
    assert "No evidence was written." in read(record_page.render(one, tmp_path)).text


def test_a_record_without_end_is_cut_and_says_so(tmp_path: Path) -> None:
    one = item(
        1, answer="long " * 100_000, options=("a " * 10_000,) * 3, letter="A",
        captions=[GroupCaption(text="word " * 1000, time_s=float(t)) for t in range(5000)],
    )  # fmt: skip
    page = record_page.render(one, tmp_path)
    assert len(page) < 400_000
    assert f"{5000 - record_page.SHOWN} more parts" in read(page).text


def test_instants_that_are_no_numbers_do_no_harm(tmp_path: Path) -> None:
    for odd in (math.nan, math.inf, -5.0, 1e300):
        frames = [f.model_copy(update={"time_s": odd}) for f in item(5).core_frames[:1]]
        read(record_page.render(item(5, core_frames=frames, evidence=()), tmp_path))


def test_a_page_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    for write in (
        lambda: dataset_page.write_page(folder, tmp_path / "no/page.html"),
        lambda: record_page.write(item(1), folder, tmp_path),
    ):
        with pytest.raises(UserError) as caught:
            write()
        assert caught.value.hint


def test_ticks_of_a_group_in_the_middle_of_a_film() -> None:
    assert [(mark.at, mark.title) for mark in ticks(58.0, 76.0)] == [
        (11.111, "1:00"), (38.889, "1:05"), (66.667, "1:10"), (94.444, "1:15"),
    ]  # fmt: skip
    assert [mark.title for mark in ticks(5.0, 5.0)] == ["0:05"]


def test_a_histograms_bars_are_as_high_as_their_counts() -> None:
    drawn = charts.histogram("Lengths", spread((1, 1, 1, 1, 2, 2, 3)), "words")
    assert drawn
    assert [column.height for column in drawn.columns] == [150.0, 75.0, 37.5]
    assert [column.title for column in drawn.columns] == ["1 words: 4", "2 words: 2", "3 words: 1"]
    assert drawn.note == "n 7 · mean 1.57 · median 1 words"
    assert charts.histogram("Nothing", None, "") is None


def test_a_histograms_last_bar_holds_the_rest_and_says_so() -> None:
    drawn = charts.histogram("Lengths", spread([*range(50)] * 20 + [900]), "s")
    assert drawn
    assert "or more s" in drawn.columns[-1].title


def test_bars_of_shares_carry_interval_and_comparison() -> None:
    drawn = charts.shares("T", "n", [("one", share(3, 4), 0.5), ("none", share(0, 4), None)])
    assert drawn
    one, none = drawn.rows
    scale = one.width / 0.75
    assert one.low is not None
    assert one.high is not None
    assert one.mark == pytest.approx(charts.LABEL + 0.5 * scale)
    assert one.low < one.x + one.width < one.high <= charts.WIDE + 1e-9
    assert (none.width, none.mark) == (0, None)
    assert "3 of 4, 75.0 % (30.1-95.4); the paper's: 50.0 %" in one.title
    assert charts.shares("T", "n", [("one", None, 0.5)]) is None


def test_ranges_and_counts() -> None:
    drawn = charts.ranges("Distance", "s", [("a", spread(range(101))), ("b", None)])
    assert drawn
    (row,) = drawn.rows
    assert row.low is not None
    assert row.mark is not None
    assert row.high is not None
    assert row.low < row.x < row.mark < row.x + row.width < row.high
    assert "half in 25 to 75 s, n 101" in row.title
    assert charts.ranges("Distance", "s", [("b", None)]) is None
    assert charts.counts("C", "", []) is None


@pytest.mark.parametrize(
    ("value", "text"), [(0.12345, "0.123"), (3.0, "3"), (12345.6, "12,346"), (-0.5, "-0.5")]
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_small_texts() -> None:
    assert percent(None) == "-"
    assert (instant(None), instant(math.nan), instant(7.5)) == ("?", "?", "0:07.5")
    assert len(clip("x" * 5000)) == 2000
    assert clip("short") == "short"


def test_stats_given_are_not_counted_again(folder: Path, tmp_path: Path) -> None:
    dataset_page.write_page(folder, tmp_path / "page.html", stats=gather([item(1)]))
    assert "1 of 1, " in (tmp_path / "page.html").read_text()
