"""Frames that the captioner refuses, or of which it says nothing: blank captions, told as a gap."""

from collections.abc import Callable
from pathlib import Path

import pytest
from langchain_core.messages import BaseMessage
from tests.graph.test_ask import CHAIN, Truthful, run
from tests.graph.test_dataset import ROLES, Teacher, outcome
from tests.helpers.scripted import film, scripted_context, story_with

from videoespresso.dataset.video_worker import Worker
from videoespresso.errors import ModelError, ModelOutputError
from videoespresso.models.client.errors import RefusedError


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(story_with("vase breaks"), tmp_path_factory.mktemp("film") / "film.mp4")


def nothing() -> str:
    return ""


def refusal() -> str:
    raise RefusedError("the picture is refused")


def silent(
    about: Callable[[int], bool], reply: Callable[[], str] = nothing
) -> Callable[[list[BaseMessage]], str]:
    """A captioner with nothing to say about some pictures, by the order in which it saw them."""
    seen: dict[str, int] = {}

    def say(messages: list[BaseMessage]) -> str:
        number = seen.setdefault(str(messages[-1].content), len(seen))
        return reply() if about(number) else f"room: scene number {number} of things"

    return say


@pytest.mark.parametrize(
    ("select", "reply"), [("paper", refusal), ("uniform:999", nothing), ("all", nothing)]
)
def test_a_question_is_answered_without_them(
    video: Path, tmp_path: Path, select: str, reply: Callable[[], str]
) -> None:
    truthful = Truthful()
    script = truthful.script() | {"captioner": silent(lambda n: n in (1, 2), reply)}
    context, _ = scripted_context(tmp_path, script, select=select)
    first, _ = run(context, video)
    context, model = scripted_context(tmp_path, script, select=select)
    second, path = run(context, video)
    assert path == ["probe", "sample", "filter", *CHAIN]
    assert "captioner" not in model.asked, "that they have none is remembered, too"
    for answer in (first, second):
        assert answer.answered
        (gap,) = answer.gaps
        assert gap.stage == "caption"
        assert "have no caption" in gap.reason
        told = [d for d in answer.dropped if d.stage == "caption"]
        assert len(told) >= 2
        assert all(core.caption for core in answer.core_frames)


def test_a_second_look_may_see_nothing_that_can_be_said(video: Path, tmp_path: Path) -> None:
    context, _ = scripted_context(tmp_path / "count", Truthful().script())
    shown = run(context, video)[0].work.captioned
    doubt = Truthful(checker='{"carried": false, "missing": "who did it"}').script()
    doubt["captioner"] = silent(lambda n: n >= shown)
    context, _ = scripted_context(tmp_path, doubt)
    answer, path = run(context, video)
    assert path.count("select") == 2
    assert answer.answered
    assert [gap.stage for gap in answer.gaps] == ["caption"]


@pytest.mark.parametrize(("reply", "error"), [(nothing, ModelOutputError), (refusal, RefusedError)])
def test_nothing_said_at_all_is_an_error(
    video: Path, tmp_path: Path, reply: Callable[[], str], error: type[ModelError]
) -> None:
    script = Truthful().script() | {"captioner": silent(lambda _: True, reply)}
    context, _ = scripted_context(tmp_path, script)
    with pytest.raises(error):
        run(context, video)


def test_what_is_not_about_a_frame_stays_an_error(video: Path, tmp_path: Path) -> None:
    def down() -> str:
        raise ModelError("the server is down")

    script = Truthful().script() | {"captioner": silent(lambda n: n == 2, down)}
    context, _ = scripted_context(tmp_path, script)
    with pytest.raises(ModelError, match="down"):
        run(context, video)


@pytest.mark.parametrize("reply", [nothing, refusal])
def test_a_video_is_not_lost_for_one_frame(
    video: Path, tmp_path: Path, reply: Callable[[], str]
) -> None:
    captioner = silent(lambda n: n == 2, reply)
    done, _, folder = outcome(video, tmp_path, captioner=captioner)
    assert done.complete
    assert done.items
    cache = tmp_path / "cache"
    context, model = scripted_context(cache, Teacher().script(), roles=ROLES, detector="embedded:")
    again = Worker(folder, context, seed=3).do(str(video))
    assert model.asked == {}
    assert again.items == done.items


def test_a_video_of_which_nothing_is_said_is_done_another_time(video: Path, tmp_path: Path) -> None:
    done, _, folder = outcome(video, tmp_path, captioner=silent(lambda _: True))
    (failure,) = done.failures.values()
    assert (failure["stage"], failure["reason"]) == ("caption", "the reply is empty")
    cache = tmp_path / "cache"
    context, _ = scripted_context(cache, Teacher().script(), roles=ROLES, detector="embedded:")
    assert Worker(folder, context, seed=3).do(str(video)).complete
