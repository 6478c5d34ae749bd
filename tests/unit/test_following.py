"""Follow-up questions by rule: what a pronoun, "and after that?" and a video's name stand for."""

import pytest

from videoespresso.agents.follower import resolve, which_video
from videoespresso.types import ChatTurn, EvidenceStep, KeyItem

ROOM, STREET = "/v/room.mp4", "/v/street.mp4"


def step(text: str, time_s: float, *items: str) -> EvidenceStep:
    named = tuple(KeyItem(name=name) for name in items)
    return EvidenceStep(text=text, frame_id=f"x@{time_s}", time_s=time_s, items=named)


def turn(answer: str, *steps: EvidenceStep, video: str = ROOM, answered: bool = True) -> ChatTurn:
    return ChatTurn(
        said="?", question="Who is it?", video=video, answer=answer, answered=answered,
        evidence=steps,
    )  # fmt: skip


VASE = turn(
    "the woman in red",
    step("The vase breaks.", 12.0, "vase"),
    step("the boy in white falls", 4.0, "boy in white"),
)


@pytest.mark.parametrize(
    ("said", "question"),
    [
        ("and after that?", "What happens right after the vase breaks?"),
        ("What happens next?", "What happens right after the vase breaks?"),
        ("then what", "What happens right after the vase breaks?"),
        ("And then?", "What happens right after the vase breaks?"),
        ("and before?", "What happens right before the boy in white falls?"),
        ("what happened before that?", "What happens right before the boy in white falls?"),
        ("why?", "What is the reason that the vase breaks?"),
        ("But why did that happen?", "What is the reason that the vase breaks?"),
        ("who is she?", "who is the woman in red?"),
        ("What is her mood?", "What is the woman in red's mood?"),
        ("Who looks at her?", "Who looks at the woman in red?"),
        ("What does he do?", "What does the boy in white do?"),
        ("She is sad, why is that so?", "The woman in red is sad, why is that so?"),
        ("Who drops it?", "Who drops the vase?"),
        ("Is it raining?", "Is it raining?"),
        ("What is after the man in blue?", "What is after the man in blue?"),
        ("Why does the girl cry when she falls?", "Why does the girl cry when she falls?"),
        ("Who is there?", "Who is there?"),
        ("Where are the others?", "Where are the others?"),
    ],
)  # fmt: skip
def test_what_a_follow_up_means(said: str, question: str) -> None:
    assert resolve(said, [VASE], [ROOM]) == (question, 0)


@pytest.mark.parametrize("said", ["and after that?", "who is she?", "why?", "Who drops it?"])
def test_a_first_question_is_never_changed(said: str) -> None:
    assert resolve(said, [], [ROOM]) == (said, 0)


def test_the_newest_turn_that_names_somebody_counts() -> None:
    older, newer = turn("the girl in blue"), turn("it rains", step("it rains", 3.0))
    assert resolve("who is she?", [VASE, older, newer], [ROOM])[0] == "who is the girl in blue?"


def test_a_refusal_names_nobody() -> None:
    refused = turn("The man in green is not there.", answered=False)
    assert resolve("who is he?", [VASE, refused], [ROOM])[0] == "who is the boy in white?"


def test_a_room_is_not_taken_for_a_dress() -> None:
    kitchen = turn("the man in the kitchen")
    assert resolve("who is he?", [kitchen], [ROOM])[0] == "who is the man?"


@pytest.mark.parametrize(
    ("said", "position"),
    [
        ("Why does the car stop in street.mp4?", 1),
        ("who is in video 1?", 0),
        ("what happens in the second clip?", 1),
        ("and in the last video?", 1),
        ("who is in the room?", 1),
        ("who is in video 7?", 1),
    ],
)
def test_which_video(said: str, position: int) -> None:
    assert which_video(said, [turn("so", video=STREET)], [ROOM, STREET]) == position


def test_the_name_of_the_video_is_not_part_of_the_question() -> None:
    found = resolve("Why does the car stop in street.mp4?", [], [ROOM, STREET])
    assert found == ("Why does the car stop?", 1)
