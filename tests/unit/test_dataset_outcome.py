"""What becomes of a video, whatever the order in which its parts come."""

from itertools import permutations
from typing import Any

import pytest

from videoespresso.dataset.video_worker import Outcome

VIDEO = {"path": "a.mp4", "id": "a" * 64}


def of_group(group: int) -> dict[str, Any]:
    return {"id": "pair", "video": VIDEO, "group": group, "question": "Why?", "answer": "So."}


@pytest.mark.parametrize("order", list(permutations((0, 1, 2))))
def test_a_pair_of_several_groups_is_the_first_groups_whichever_is_done_first(
    order: tuple[int, ...],
) -> None:
    outcome = Outcome("a.mp4")
    for group in (*order, *order):  # what a graph inside wrote comes by way of the outer one, too
        outcome.take({"items": [of_group(group)]})
    assert outcome.items == {"pair": of_group(0)}
    told = sorted(outcome.rejects.values(), key=lambda r: r["group"])
    assert [(r["stage"], r["criterion"], r["group"]) for r in told] == [
        ("generate", "asked twice", 1),
        ("generate", "asked twice", 2),
    ]
    assert {(r["question"], r["answer"], r["video_id"]) for r in told} == {
        ("Why?", "So.", VIDEO["id"])
    }
