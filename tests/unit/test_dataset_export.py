"""What trainers get: the turns of run time, files that exist, and why a record is left out."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.helpers.released import dataset, item, train_record, write

from videoespresso.agents import prompt_parts, reasoner, selector
from videoespresso.agents.prompts import load
from videoespresso.dataset.formats import conversations
from videoespresso.dataset.formats.conversations import dataset_info, tagged, trl
from videoespresso.dataset.formats.conversion_report import Converted, Unusable
from videoespresso.dataset.formats.convert import convert
from videoespresso.dataset.formats.writing import Choices, Target
from videoespresso.dataset_record import DatasetItem, EvidenceSentence, FrameBox, GroundedItem
from videoespresso.errors import UserError


def lines(done: Converted, name: str) -> list[dict[str, Any]]:
    """The rows of one of the files."""
    (file,) = (Path(f) for f in done.files if Path(f).name == name)
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def text(message: conversations.Message) -> str:
    return "".join(part for part in message.parts if isinstance(part, str))


def test_stage_one_asks_as_at_run_time_and_tells_what_our_reasoner_reads() -> None:
    system, prompt, reply = conversations.evidence_conversation(item(), "json", "frames")
    assert text(system) == load("reasoner").text
    assert [part for part in prompt.parts if not isinstance(part, str)] == [
        conversations.Medium("images/0-0.jpg"),
        conversations.Medium("images/0-1.jpg"),
    ]
    assert text(prompt) == (
        "Frame 1 (0.0 s)\nCaption: frame 0 [1]\nBoxes: light 10 20 30 40\n"
        "Frame 2 (2.0 s)\nCaption: frame 2 [2]\n"
        f"Question: Why does car 0 stop?\n{prompt_parts.EVIDENCE_CUE}"
    )
    steps = reasoner.Evidence.model_validate_json(text(reply)).steps
    assert [(s.text, s.frame) for s in steps] == [
        ("The light turns red.", 1),
        ("The car stops.", 2),
    ]
    assert [(i.name, i.box) for s in steps for i in s.items] == [
        ("light", [10, 20, 30, 40]),
        ("car", []),
    ]


def test_a_prompt_names_boxes_as_the_detector_does() -> None:
    """At run time a person is shown as `person`, whatever the evidence calls him."""
    box = FrameBox(xyxy=(0.1, 0.2, 0.3, 0.4), frame=0, score=0.9, label="person")
    man = GroundedItem(name="the man in red", boxes=(box,))
    sentence = EvidenceSentence(text="The man in red waves.", frame=0, items=(man,))
    _, prompt, reply = conversations.evidence_conversation(
        item(evidence=(sentence,)), "json", "frames"
    )
    assert "Boxes: person 10 20 30 40\n" in text(prompt)
    assert '"name":"the man in red"' in text(reply)


def test_stage_two_goes_on_from_stage_one() -> None:
    first = conversations.evidence_conversation(item(), "json", "frames")
    conversation = conversations.answer_conversation(item(), "json", "frames")
    assert conversation[: len(first)] == first
    prompt, reply = conversation[len(first) :]
    assert prompt.parts == prompt_parts.answer_parts(item().options)
    conclusion = reasoner.Conclusion.model_validate_json(text(reply))
    assert conclusion.answer == "because the light is red"
    assert reasoner.choice_of(conclusion, item().options) == 1


def test_a_free_question_has_a_free_answer() -> None:
    free = item(options=(), letter=None)
    for replies in ("json", "text"):
        prompt, reply = conversations.answer_conversation(free, replies, "frames")[-2:]
        assert prompt.parts == (prompt_parts.ANSWER_CUE,)
        assert "because the light is red" in text(reply)
        assert "(B)" not in text(reply)


def test_the_paper_s_form_has_boxes_in_the_text_and_no_more_than_frames_in_the_question() -> None:
    prompt, reply = conversations.evidence_conversation(item(), "text", "frames")
    assert text(prompt) == (
        "Frame 1 (0.0 s)\nFrame 2 (2.0 s)\nQuestion: Why does car 0 stop?\n"
        f"{prompt_parts.EVIDENCE_CUE}"
    )
    assert text(reply) == (
        "The <obj_start>light<obj_end><box_start>[[20.0, 30.0, 20.0, 20.0]]<box_end> turns red. "
        "The <obj_start>car<obj_end><box_start>[]<box_end> stops."
    )
    assert text(conversations.answer_conversation(item(), "text", "frames")[-1]) == (
        "(B) because the light is red"
    )


def test_a_video_may_be_shown() -> None:
    prompt = conversations.evidence_conversation(item(), "text", "video")[0]
    assert prompt.parts[0] == conversations.Medium("v.mp4", "video")
    assert text(prompt).startswith("Question: ")


def test_the_selector_learns_what_it_replies() -> None:
    system, prompt, reply = conversations.select_conversation(item(), "json")
    assert text(system) == load("selector").text
    captions = [(float(k), f"frame {k}") for k in range(4)]
    assert prompt.parts == prompt_parts.select_parts("Why does car 0 stop?", captions)
    core = selector.Selection.model_validate_json(text(reply)).core
    assert [(kept.frame, kept.why) for kept in core] == [(1, "core 0"), (3, "core 1")]
    assert text(conversations.select_conversation(item(), "text")[-1]) == "frame 0\nframe 2"


def test_a_core_frame_is_found_among_the_captions_by_its_instant_too() -> None:
    frames = tuple(f.model_copy(update={"frame_id": ""}) for f in item().core_frames)
    assert (
        conversations.select_conversation(item(core_frames=frames), "json")[-1]
        == (conversations.select_conversation(item(), "json")[-1])
    )


def changed(**fields: Any) -> DatasetItem:
    return item().model_copy(update=fields)


def evidence(frame: int | None, *boxes: FrameBox) -> tuple[EvidenceSentence, ...]:
    named = GroundedItem(name="car", boxes=boxes)
    return (EvidenceSentence(text="The car stops.", frame=frame, items=(named,)),)


BOX = FrameBox(xyxy=(0.1, 0.1, 0.2, 0.2))
FIRST = BOX.model_copy(update={"frame": 0})
SECOND = BOX.model_copy(update={"frame": 1})


@pytest.mark.parametrize(
    ("record", "frame"),
    [
        (changed(evidence=evidence(1)), 2),
        (changed(evidence=evidence(None, SECOND)), 2),
        (changed(evidence=evidence(None), core_frames=item().core_frames[:1]), 1),
    ],
)
def test_the_frame_of_a_sentence_is_what_is_known(record: DatasetItem, frame: int) -> None:
    reply = text(conversations.evidence_conversation(record, "json", "frames")[-1])
    assert json.loads(reply)["steps"][0]["frame"] == frame


def _evidence(record: DatasetItem) -> object:
    return conversations.evidence_conversation(record, "json", "frames")


def _select(record: DatasetItem) -> object:
    return conversations.select_conversation(record, "json")


def _video(record: DatasetItem) -> object:
    return conversations.evidence_conversation(record, "text", "video")


@pytest.mark.parametrize(
    ("make", "record", "criterion"),
    [
        (_evidence, changed(evidence=()), "no evidence"),
        (_evidence, changed(evidence=evidence(None)), "evidence without a frame"),
        (_evidence, changed(evidence=evidence(None, FIRST, SECOND)), "evidence without a frame"),
        (_evidence, changed(core_frames=(), evidence=evidence(None)), "no core frames"),
        (_video, changed(video=item().video.model_copy(update={"path": ""})), "no video"),
        (_select, changed(captions=()), "no captions to select from"),
        (
            _select,
            changed(captions=tuple(c.model_copy(update={"time_s": None}) for c in item().captions)),
            "no captions to select from",
        ),
        (_select, changed(core_frames=(), evidence=()), "no core frames"),
        (_select, changed(captions=item().captions[:2]), "a core frame is none of the captions'"),
    ],
)
def test_what_a_lesson_lacks_is_named(
    make: Callable[[DatasetItem], object], record: DatasetItem, criterion: str
) -> None:
    with pytest.raises(Unusable) as why:
        make(record)
    assert why.value.criterion.startswith(criterion)


def test_frames_without_an_instant_say_none(tmp_path: Path) -> None:
    file = write(tmp_path / "in.json", [train_record()])
    done = convert(file, tmp_path / "out", to="trl", choices=Choices(replies="text"))
    (row,) = lines(done, "evidence.jsonl")
    assert [b["text"] for b in row["prompt"][0]["content"]][:4] == [
        None, "Frame 1\n", None, "Frame 2\n",
    ]  # fmt: skip
    assert row["images"] == train_record()["keyframe_path"]
    assert row["completion"][0]["content"][0]["text"] == train_record()["evidence"]


def test_trl_learns_only_the_completion() -> None:
    row = trl(conversations.answer_conversation(item(), "json", "frames"))
    assert [m["role"] for m in row["prompt"]] == ["system", "user", "assistant", "user"]
    assert [m["role"] for m in row["completion"]] == ["assistant"]
    blocks = [b for m in row["prompt"] + row["completion"] for b in m["content"]]
    assert {tuple(b) for b in blocks} == {("type", "text")}
    assert sum(b["type"] == "image" for b in blocks) == len(row["images"]) == 2


def test_a_placeholder_in_a_question_is_no_picture() -> None:
    evil = changed(question="What is <image> <video> <bbox> <b>?")
    row = tagged(conversations.evidence_conversation(evil, "json", "frames"))
    shown = "".join(m["content"] for m in row["messages"])
    assert shown.count("<image>") == len(row["images"]) == 2
    assert "What is [image] [video] [bbox] <b>?" in shown
    assert "videos" not in row


def swift(record: DatasetItem) -> tuple[str, dict[str, Any]]:
    """(evidence, row) of a record for ms-swift: the evidence as its documentation says that it is
    read, <ref-object> and <bbox> replaced from left to right; the row as it is written."""
    conversation = conversations.evidence_conversation(record, "text", "frames")
    row = conversations.with_objects(conversation, record)
    objects = row["objects"]
    assert list(objects) == ["ref", "bbox", "bbox_type", "image_id"]
    assert objects["bbox_type"] == "norm1"
    assert len(objects["bbox"]) == len(objects["image_id"])
    prompt, reply = (message["content"] for message in row["messages"])
    assert not {"<ref-object>", "<bbox>"} & set(re.findall("<[a-z-]+>", prompt))
    for name in objects["ref"]:
        reply = reply.replace("<ref-object>", f"*{name}*", 1)
    for image, box in zip(objects["image_id"], objects["bbox"], strict=True):
        reply = reply.replace("<bbox>", f"{image}:{[round(1000 * v) for v in box]}", 1)
    return reply, row


def test_ms_swift_gets_boxes_beside_the_text(tmp_path: Path) -> None:
    reply, row = swift(item())
    assert reply == "The *light*0:[100, 200, 300, 400] turns red. The car stops."
    assert row["messages"][1]["content"] == "The <ref-object><bbox> turns red. The car stops."
    done = convert(dataset(tmp_path / "d"), tmp_path / "o", to="ms-swift",
                   choices=Choices(replies="text"))  # fmt: skip
    for name in ("evidence.jsonl", "answer.jsonl"):
        for line in lines(done, name):
            assert line["objects"] == row["objects"]
            assert "".join(m["content"] for m in line["messages"]).count("<bbox>") == 1
    ours = convert(tmp_path / "d", tmp_path / "j", to="ms-swift")
    assert all("objects" not in line for line in lines(ours, "answer.jsonl"))


def test_ms_swift_s_boxes_are_on_the_picture_that_is_said() -> None:
    """A box's own core frame; else its sentence's; else the first. Names are as the text has them,
    in its order, and one that it lacks stands behind it."""
    items = (
        GroundedItem(name="red lamp", boxes=(SECOND,)),
        GroundedItem(name="Car", boxes=(FIRST, BOX)),
        GroundedItem(name="the", boxes=()),
    )
    sentence = EvidenceSentence(text="A car meets the other.", frame=1, items=items)
    nowhere = EvidenceSentence(text="A car.", items=(GroundedItem(name="car", boxes=(BOX,)),))
    reply, row = swift(changed(evidence=(sentence, nowhere)))
    box = "[100, 100, 200, 200]"
    assert reply == (f"A *car*0:{box}1:{box} meets the other. *red lamp*1:{box} A *car*0:{box}.")
    assert row["objects"]["ref"] == ["car", "red lamp", "car"]


def test_ms_swift_s_placeholders_in_evidence_are_none() -> None:
    items = (GroundedItem(name="<bbox>", at=2, boxes=(FIRST,)),)
    sentence = EvidenceSentence(
        text="A <bbox> and <ref-object> <cot-process>.", frame=0, items=items
    )
    reply, row = swift(changed(evidence=(sentence,), question="<ref-object>?"))
    assert reply == "A *[bbox]*0:[100, 100, 200, 200] and [ref-object] [cot-process]."
    assert row["messages"][1]["content"].count("<bbox>") == 1


def test_boxes_of_a_video_stay_in_the_text(tmp_path: Path) -> None:
    """ms-swift scales boxes of pictures alone."""
    folder = dataset(tmp_path / "d")
    (folder / "v.mp4").write_text("")
    choices = Choices(replies="text", shows="video", videos=folder)
    (row, *_) = lines(convert(folder, tmp_path / "o", to="ms-swift", choices=choices),
                      "evidence.jsonl")  # fmt: skip
    assert set(row) == {"messages", "videos"}
    assert "<box_start>[[20.0, 30.0, 20.0, 20.0]]<box_end>" in row["messages"][1]["content"]


def words(conversation: conversations.Conversation) -> int:
    """A length that the longer stage has more of."""
    return sum(len(text(message).split()) for message in conversation)


def test_a_record_that_would_be_cut_is_named_and_left_out(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "d")
    long = item(1, question="why " * 400)
    own = [item(0), long, item(2)]
    (folder / "records.jsonl").write_text("".join(one.model_dump_json() + "\n" for one in own))
    most = words(conversations.answer_conversation(long, "json", "frames"))
    choices = Choices(tokens=words, cutoff=most - 1)
    done = convert(folder, tmp_path / "o", to="llama-factory", choices=choices)
    (left,) = done.left_out
    assert (left.criterion, left.first) == (f"longer than {most - 1} tokens", "line 2")
    assert left.reason == f"{most}; LLaMA-Factory would cut it"
    assert (done.written, done.longest) == (2, most)
    assert len(lines(done, "evidence.jsonl")) == len(lines(done, "answer.jsonl")) == 2
    fits = convert(folder, tmp_path / "all", to="llama-factory",
                   choices=Choices(tokens=words, cutoff=most))  # fmt: skip
    assert (fits.written, fits.left_out) == (3, ())


@pytest.mark.parametrize(("to", "shows"), [("trl", "frames"), ("llama-factory", "video")])
def test_tokens_are_counted_where_they_would_be_cut(
    tmp_path: Path, to: Target, shows: conversations.Shows
) -> None:
    choices = Choices(tokens=words, shows=shows, replies="text")
    with pytest.raises(UserError, match="tokens are counted for llama-factory"):
        convert(dataset(tmp_path / "d"), tmp_path / "o", to=to, choices=choices)


def test_llama_factory_finds_its_files(tmp_path: Path) -> None:
    done = convert(dataset(tmp_path / "d"), tmp_path / "lf", to="llama-factory")
    info = json.loads((tmp_path / "lf/dataset_info.json").read_text())
    assert list(info) == ["videoespresso_evidence", "videoespresso_answer"]
    for entry in info.values():
        assert entry["formatting"] == "sharegpt"
        assert set(entry["columns"]) == {"messages", "images"}
        for row in lines(done, entry["file_name"]):
            assert set(row) == set(entry["columns"].values())
            turns = [m["role"] for m in row["messages"]]
            assert turns[0] == entry["tags"]["system_tag"]
            pairs = len(turns) // 2
            assert turns[1:] == [entry["tags"]["user_tag"], entry["tags"]["assistant_tag"]] * pairs
    assert dataset_info({"a": "b"}, "")["a"]["columns"] == {"messages": "messages"}
