"""Released files in all the shapes that were seen, and records of ours, for tests."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

from PIL import Image

from videoespresso.dataset_record import (
    DatasetItem,
    EvidenceSentence,
    FrameBox,
    GroundedItem,
    GroupCaption,
    KeyFrame,
    SourceVideo,
    item_id,
)

ELECTION = "XD-Violence/3_image/Election.2005__#00-05-30_00-06-56_label_A"


def tag(name: str, *boxes: list[float]) -> str:
    return f"<obj_start>{name}<obj_end><box_start>{json.dumps(list(boxes))}<box_end>"


def bench_record(**more: Any) -> dict[str, Any]:
    """As in bench_hard.json: ten keys in their order."""
    record = {
        "core_frames_paths": [f"{ELECTION}/480.jpg", f"{ELECTION}/528.jpg"],
        "core_frames_captions": ["a man in a dark suit stands by a table", "he hands it over"],
        "question": "How do the man's actions change between the two frames?",
        "answer": "He first waits, then hands over the envelope.",
        "key_items": ["man", "envelope"],
        "evidence": f"The {tag('man', [50.5, 40.25, 20.0, 60.0])} waits, then gives the "
        f"{tag('envelope')} away.",
        "task": "Event Dynamic Analysis",
        "correct_answer": "(B)",
        "video_path": "all_video/XD-Violence/Election.2005__#00-05-30_00-06-56_label_A.mp4",
        "options": ["(A): He runs.", "(B): He hands it over.", "(C): He sits.", "(D): He left."],
    }
    return {name: value for name, value in (record | more).items() if value is not ...}


def train_record(**more: Any) -> dict[str, Any]:
    """As in videoespresso_train_video.json, the newer form."""
    animal, water = tag("animal", [52.1, 40.3, 20.0, 31.7]), tag("water")
    record = {
        "video_path": "Moviechat/videos/1/AWG-5.mp4",
        "keyframe_path": ["Moviechat/1_image/AWG-5/6100.jpg", "Moviechat/1_image/AWG-5/6450.jpg"],
        "caption": ["an animal rests under a tree", "the animal walks to the water"],
        "question": "Why does the animal get up?",
        "answer": "Because it is thirsty.",
        "task": "Causal Analysis",
        "evidence": f"An animal rests; the {animal} moves toward the {water}.",
    }
    return {name: value for name, value in (record | more).items() if value is not ...}


def write(file: Path, records: list[Any], indent: int | None = 4) -> Path:
    """As the authors write: one list."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(records, indent=indent, ensure_ascii=False), encoding="utf-8")
    return file


def item(number: int = 0, folder: Path | None = None, **more: Any) -> DatasetItem:
    """A record as the builder writes it: two core frames of a group of four. folder: where its
    images are made."""
    images = [f"images/{number}-{k}.jpg" for k in range(2)]
    for k, image in enumerate(images if folder else []):
        assert folder is not None
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 36), (40 * k, number % 256, 90)).save(folder / image)
    question, answer = f"Why does car {number} stop?", "because the light is red"
    frames = tuple(
        KeyFrame(
            image=image, frame_id=f"v@{2000 * k}", time_s=2.0 * k, index=50 * k, rule="fps=1",
            caption=f"core {k}", captioned=f"frame {2 * k}", width=64, height=36,
        )
        for k, image in enumerate(images)
    )  # fmt: skip
    light = GroundedItem(
        name="light", boxes=(FrameBox(xyxy=(0.1, 0.2, 0.3, 0.4), frame=0, score=0.9),)
    )
    record: dict[str, Any] = {
        "id": item_id("v", question, answer),
        "video": SourceVideo(path="v.mp4", id="v", duration_s=9.0, fps=Fraction(25)),
        "task": "Causal Inference",
        "question": question,
        "answer": answer,
        "options": ("it is out of fuel", answer, "a dog runs by", "it is parked"),
        "letter": "B",
        "evidence": (
            EvidenceSentence(text="The light turns red.", frame=0, items=(light,)),
            EvidenceSentence(text="The car stops.", frame=1, items=(GroundedItem(name="car"),)),
        ),
        "core_frames": frames,
        "captions": tuple(
            GroupCaption(text=f"frame {k}", frame_id=f"v@{1000 * k}", time_s=1.0 * k)
            for k in range(4)
        ),
        "group": 0,
        "seed": 7,
    }
    return DatasetItem(**(record | more))


def dataset(folder: Path, count: int = 3) -> Path:
    """A dataset's folder as the builder leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    items = [item(number, folder) for number in range(count)]
    lines = "".join(one.model_dump_json() + "\n" for one in items)
    (folder / "records.jsonl").write_text(lines)
    return folder
