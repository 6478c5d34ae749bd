"""Vectors of frames beside the captions: kept by model and video."""

from pathlib import Path

import numpy as np

from videoespresso.memory.captions import CaptionMemory
from videoespresso.memory.image_vectors import ImageVectors
from videoespresso.models.embedders import embedder
from videoespresso.types import Caption


def test_what_was_put_is_there_for_that_model_and_video(tmp_path: Path) -> None:
    memory = CaptionMemory.open(tmp_path, embedder("wordllama"))
    memory.add("film", [Caption(frame_id="a@0", time_s=0, text="a red car")])
    rows = {f"a@{k}": np.eye(4, dtype=np.float32)[k] for k in range(3)}
    ImageVectors(memory.where, "one").put("film", rows)
    again = ImageVectors(CaptionMemory.open(tmp_path, embedder("wordllama")).where, "one")
    known = again.get("film", ["a@2", "a@0", "a@9"])
    assert known.keys() == {"a@0", "a@2"}
    assert all(np.allclose(known[name], rows[name]) for name in known)
    assert again.get("other", ["a@0"]) == again.get("film", []) == {}
    assert ImageVectors(memory.where, "two").get("film", ["a@0"]) == {}
    (hit,) = memory.search("a car", ["film"], 3)
    assert hit.caption.text == "a red car", "captions are none the worse"
