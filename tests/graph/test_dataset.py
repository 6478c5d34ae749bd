"""The dataset graph on a scripted model and a real video: records, rejects, failures."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from langgraph.runtime import Runtime
from PIL.Image import Image
from tests.helpers.scripted import ScriptedModel, film, scripted_context, story_with, text_of

from videoespresso.api.build_dataset import build_dataset
from videoespresso.dataset.folder import Folder
from videoespresso.dataset.inspect.record_measures import UNUSABLE
from videoespresso.dataset.video_worker import Outcome, Worker
from videoespresso.dataset_record import DatasetItem
from videoespresso.errors import ModelError, ToolError, UserError
from videoespresso.graphs.dataset import build_dataset_graph, dataset_graph, fault_of, group
from videoespresso.models.client.errors import RefusedError
from videoespresso.settings import DATASET_ROLES
from videoespresso.theatre import Story
from videoespresso.types import Box

ROLES = ("captioner", *DATASET_ROLES)


@pytest.fixture(scope="module")
def story() -> Story:
    return story_with("vase breaks")


@pytest.fixture(scope="module")
def video(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(story, tmp_path_factory.mktemp("film") / "räume #1.mp4")


def lines(messages: list[BaseMessage]) -> list[str]:
    """The captions that a role was shown."""
    return re.findall(r"^\([\d.]+ s\) (.*) \[\d+\]$", text_of(messages), re.MULTILINE)


class Teacher:
    """A script that captions by counting and asks one question about the first and last caption."""

    def __init__(self, **fixed: Any) -> None:
        self.fixed = fixed
        self.seen = 0

    def captioner(self, messages: list[BaseMessage]) -> str:
        self.seen += 1
        return f"room: scene number {self.seen} of things"

    def generator(self, messages: list[BaseMessage]) -> str:
        shown = lines(messages)
        pair = {
            "question": f"How does {shown[0]} lead to the end?",
            "answer": f"After it comes {shown[-1]}.",
            "task": "Causal Analysis",
        }
        return json.dumps({"pairs": [pair, *self.fixed.get("more", [])]})

    def verifier(self, messages: list[BaseMessage]) -> str:
        return json.dumps({"reason": "fits", "criterion": "", "accepted": True})

    def annotator(self, messages: list[BaseMessage]) -> str:
        shown = lines(messages)
        core = [shown[-1], shown[0]]
        sentences = [
            {"text": "It ends.", "core": 1, "items": ["vase"]},
            {"text": "It begins.", "core": 2, "items": []},
        ]
        return json.dumps({"core": core, "evidence": sentences})

    def distractor(self, messages: list[BaseMessage]) -> str:
        wrong = [{"text": f"After it comes another thing {k}.", "error": "it"} for k in "abc"]
        return json.dumps({"wrong": wrong})

    def script(self, **replies: Any) -> dict[str, Any]:
        return {role: replies.get(role, getattr(self, role)) for role in ROLES}


def outcome(video: Path, tmp_path: Path, **replies: Any) -> tuple[Outcome, ScriptedModel, Folder]:
    """One video done with the teacher, some of whose replies are others."""
    more = {"more": replies.pop("more", [])}
    context, model = scripted_context(
        tmp_path / "cache", Teacher(**more).script(**replies), roles=ROLES, detector="embedded:"
    )
    folder = Folder(tmp_path / "out")
    folder.open()
    return Worker(folder, context, seed=3).do(str(video)), model, folder


@pytest.fixture(scope="module")
def made(video: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    return outcome(video, tmp_path_factory.mktemp("made"))


def test_a_record_says_what_it_stands_on(made: Any, video: Path) -> None:
    done, _, folder = made
    assert done.complete
    assert not done.rejects
    item = DatasetItem.model_validate(next(iter(done.items.values())))
    assert item.task == "Causal Inference"
    assert item.video.path == str(video)
    assert item.options[ord(item.letter or "") - ord("A")] == item.answer
    assert len(item.options) == 4
    times = [f.time_s for f in item.core_frames]
    assert times == sorted(times)
    assert all((folder.root / f.image).is_file() for f in item.core_frames)
    assert set(item.made) == {
        "caption", "generate", "verify", "annotate", "ground_time", "ground_space", "distract",
    }  # fmt: skip


def test_evidence_follows_its_frame_when_core_captions_come_out_of_order(made: Any) -> None:
    done, _, _ = made
    item = DatasetItem.model_validate(next(iter(done.items.values())))
    by_text = {e.text: e.frame for e in item.evidence}
    assert by_text == {"It ends.": 1, "It begins.": 0}


def test_a_second_run_asks_nobody(made: Any, video: Path, tmp_path: Path) -> None:
    done, _, folder = made
    context, model = scripted_context(
        folder.root.parent / "cache", {}, roles=ROLES, detector="embedded:"
    )
    again = Worker(folder, context, seed=3).do(str(video))
    assert model.asked == {}
    assert again.items == done.items


def test_a_changed_seed_only_mixes_the_options_anew(made: Any, video: Path) -> None:
    _done, _, folder = made
    context, model = scripted_context(
        folder.root.parent / "cache", {}, roles=ROLES, detector="embedded:"
    )
    orders = {
        tuple(next(iter(Worker(folder, context, seed=s).do(str(video)).items.values()))["options"])
        for s in range(6)
    }
    assert model.asked == {}
    assert len(orders) > 1


def test_a_rejected_pair_keeps_its_reason(video: Path, tmp_path: Path) -> None:
    told = json.dumps({"reason": "no such thing", "criterion": "hallucination", "accepted": False})
    done, model, _ = outcome(video, tmp_path, verifier=lambda _: told)
    (reject,) = done.rejects.values()
    assert (reject["stage"], reject["criterion"]) == ("verify", "hallucination")
    assert reject["reason"] == "no such thing"
    assert done.complete
    assert "annotator" not in model.asked


@pytest.mark.parametrize(
    ("pair", "criterion"),
    [
        ({"question": " ", "answer": "b", "task": "Causal Inference"}, "empty"),
        ({"question": "Why?", "answer": "b", "task": None}, "task"),
        ({"question": "WHY so?", "answer": "b", "task": "Causal Inference"}, "asked twice"),
        ({"question": "What is in frame 3?", "answer": "b", "task": "Causal Inference"},
         "names a frame"),
    ],
)  # fmt: skip
def test_a_pair_nobody_can_use_is_refused(pair: dict[str, Any], criterion: str) -> None:
    before = [{"question": "Why so?", "answer": "x", "task": "Causal Inference"}]
    found = fault_of(pair, before)
    assert found is not None
    assert found[0] == criterion


def test_a_pair_that_can_be_used_is_not() -> None:
    good = {"question": "Why does she frame it?", "answer": "b", "task": "Causal Inference"}
    assert fault_of(good, []) is None


def test_a_group_without_questions_says_so(video: Path, tmp_path: Path) -> None:
    done, _, _ = outcome(video, tmp_path, generator=lambda _: '{"pairs": []}')
    (reject,) = done.rejects.values()
    assert (reject["stage"], reject["criterion"]) == ("generate", "no question")
    assert done.complete


def test_json_of_another_kind_is_no_empty_list_of_pairs(video: Path, tmp_path: Path) -> None:
    done, _, _ = outcome(video, tmp_path, generator=lambda _: '{"core": []}')
    (reject,) = done.rejects.values()
    assert (reject["stage"], reject["criterion"]) == ("generate", "unusable reply")


def test_core_captions_of_one_frame_are_no_record(video: Path, tmp_path: Path) -> None:
    def same(messages: list[BaseMessage]) -> str:
        first = lines(messages)[0]
        return json.dumps(
            {"core": [first, first], "evidence": [{"text": "It.", "core": 1, "items": []}]}
        )

    done, _, _ = outcome(video, tmp_path, annotator=same)
    (reject,) = done.rejects.values()
    assert (reject["stage"], reject["criterion"]) == ("ground_time", "single frame")


def test_options_that_give_the_answer_away_are_asked_again_then_refused(
    video: Path, tmp_path: Path
) -> None:
    told = json.dumps({"wrong": [{"text": "After it comes"}, {"text": "a"}, {"text": "a"}]})
    done, model, _ = outcome(video, tmp_path, distractor=lambda _: told)
    (reject,) = done.rejects.values()
    assert reject["stage"] == "distract"
    assert model.asked["distractor"] == 2


def test_a_model_that_fails_leaves_a_failure_and_the_next_run_mends_it(
    video: Path, tmp_path: Path
) -> None:
    def down(_: list[BaseMessage]) -> str:
        raise ModelError("the server is down")

    done, model, folder = outcome(video, tmp_path, verifier=down)
    assert not done.complete
    (failure,) = done.failures.values()
    assert failure["stage"] == "verify"
    assert "the server is down" in failure["reason"]
    teacher = Teacher()
    context, model = scripted_context(
        tmp_path / "cache", teacher.script(), roles=ROLES, detector="embedded:"
    )
    mended = Worker(folder, context, seed=3).do(str(video))
    assert mended.complete
    assert set(model.asked) == {"verifier", "annotator", "distractor"}


def test_a_reply_without_json_is_a_reject_with_its_stage(video: Path, tmp_path: Path) -> None:
    done, _, _ = outcome(video, tmp_path, annotator=lambda _: "I would rather not.")
    (reject,) = done.rejects.values()
    assert (reject["stage"], reject["criterion"]) == ("annotate", UNUSABLE)


def test_a_reply_of_no_use_is_not_paid_for_again(video: Path, tmp_path: Path) -> None:
    done, _, folder = outcome(video, tmp_path, annotator=lambda _: "I would rather not.")
    context, model = scripted_context(tmp_path / "cache", {}, roles=ROLES, detector="embedded:")
    again = Worker(folder, context, seed=3).do(str(video))
    assert model.asked == {}
    assert again.complete
    assert again.rejects == done.rejects


def test_a_refusal_is_a_reject_and_not_asked_again(video: Path, tmp_path: Path) -> None:
    def refuses(_: list[BaseMessage]) -> str:
        raise RefusedError("content filter")

    done, _, folder = outcome(video, tmp_path, verifier=refuses)
    (told,) = done.rejects.values()
    assert (told["stage"], told["criterion"]) == ("verify", "refused by the model")
    context, model = scripted_context(tmp_path / "cache", {}, roles=ROLES, detector="embedded:")
    assert Worker(folder, context, seed=3).do(str(video)).rejects == done.rejects
    assert model.asked == {}


def test_evidence_on_captions_that_are_nowhere_is_no_record(video: Path, tmp_path: Path) -> None:
    def blank(messages: list[BaseMessage]) -> str:
        shown = lines(messages)
        said = [{"text": "It.", "core": 3, "items": []}]
        return json.dumps({"core": [shown[0], shown[-1], " "], "evidence": said})

    done, _, _ = outcome(video, tmp_path, annotator=blank)
    (reject,) = done.rejects.values()
    assert (reject["stage"], reject["criterion"]) == ("ground_time", "no evidence")


class Detector:
    """A vase in the middle, unless it fails."""

    name, labels = "mine:", ("vase",)

    def __init__(self, identity: str = "", fails: bool = False) -> None:
        self.identity, self.fails, self.asked = identity, fails, 0

    def detect(self, image: Image, names: Sequence[str] = ()) -> list[Box]:
        self.asked += 1
        if self.fails:
            raise ToolError("out of memory")
        return [Box(label="vase", xyxy=(0.4, 0.4, 0.6, 0.6), score=0.9)]


def with_detector(video: Path, tmp_path: Path, detector: Detector) -> Outcome:
    context, _ = scripted_context(tmp_path / "cache", Teacher().script(), roles=ROLES)
    folder = Folder(tmp_path / "out")
    folder.open()
    return Worker(folder, replace(context, detector=detector), seed=3).do(str(video))


def boxes(done: Outcome) -> int:
    (item,) = done.items.values()
    return sum(len(i["boxes"]) for step in item["evidence"] for i in step["items"])


def test_a_detector_that_fails_leaves_a_record_without_boxes_and_is_tried_again(
    video: Path, tmp_path: Path
) -> None:
    done = with_detector(video, tmp_path, Detector(fails=True))
    (failure,) = done.failures.values()
    assert (failure["stage"], failure["reason"]) == ("ground_space", "out of memory")
    assert boxes(done) == 0
    mended = with_detector(video, tmp_path, Detector())
    assert mended.complete
    assert boxes(mended) == 1


def test_other_weights_under_the_same_name_look_again(video: Path, tmp_path: Path) -> None:
    asked = []
    for identity in ("a", "a", "b"):
        detector = Detector(identity)
        with_detector(video, tmp_path, detector)
        asked.append(detector.asked)
    assert asked == [2, 0, 2], "once a core frame"


@pytest.mark.parametrize("labels", [("vase",), None])
def test_a_record_keeps_what_a_reasoner_is_shown_of_its_frames(
    video: Path, tmp_path: Path, labels: tuple[str, ...] | None
) -> None:
    """All that a detector sees on a core frame, whether the evidence names it or not; of one that
    only looks for what it is asked for nothing: it is asked after the evidence."""
    detector = Detector()
    detector.labels = labels  # type: ignore[assignment]
    (item,) = with_detector(video, tmp_path, detector).items.values()
    assert len(item["core_frames"]) == 2
    for frame in item["core_frames"]:
        shown = frame["boxes"] and [(b["label"], b["xyxy"]) for b in frame["boxes"]]
        assert shown == (labels and [("vase", [0.4, 0.4, 0.6, 0.6])])


def test_a_file_that_is_no_video_is_a_reject(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.mp4"
    wrong.write_text("no video")
    done, _, folder = outcome(wrong, tmp_path)
    (reject,) = done.rejects.values()
    assert reject["criterion"] == "unreadable video"
    assert done.complete
    assert folder.merge() == {"videos": 1, "complete": 1, "records": 0, "rejects": 1}


def test_the_same_bytes_are_done_once(video: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(video.read_bytes())
    context, _ = scripted_context(tmp_path / "cache", Teacher().script(), roles=ROLES)
    folder = Folder(tmp_path / "out")
    folder.open()
    worker = Worker(folder, context)
    first, second = worker.do(str(video)), worker.do(str(copy))
    assert len(first.items) == 1
    (reject,) = second.rejects.values()
    assert reject["criterion"] == "duplicate"
    assert folder.merge()["records"] == 1


@pytest.mark.parametrize(
    ("captions", "sizes"),
    [(15, [15]), (19, [19]), (20, [15, 5]), (34, [15, 19]), (3, [3]), (30, [15, 15])],
)
def test_groups_have_fifteen_and_a_short_rest_joins_the_last(
    captions: int, sizes: list[int], tmp_path: Path
) -> None:
    context, _ = scripted_context(tmp_path, {}, roles=ROLES)
    worker = Worker(Folder(tmp_path), context)
    rows = [{"frame_id": str(k), "time_s": k, "text": f"caption {k}"} for k in range(captions)]
    state: Any = {"kept": [r["frame_id"] for r in rows], "captions": rows, "video": {}}
    found = group(state, Runtime(context=worker.context))["groups"]
    assert [len(g["captions"]) for g in found] == sizes
    assert [c["frame_id"] for g in found for c in g["captions"]] == [r["frame_id"] for r in rows]


def test_the_guide_shows_the_graph_as_it_is() -> None:
    drawn = dataset_graph().get_graph()
    guide = (Path(__file__).resolve().parents[2] / "docs/dataset.md").read_text()
    shown = guide.partition("```mermaid\n")[2].partition("```")[0]
    assert shown.strip() == drawn.draw_mermaid(with_styles=False).strip()


def test_the_builder_of_before_warns_and_works(video: Path, tmp_path: Path) -> None:
    context, _ = scripted_context(tmp_path, {"captioner": lambda _: "a room"}, roles=ROLES)
    worker = Worker(Folder(tmp_path / "set"), context)
    with pytest.warns(DeprecationWarning, match=r"dataset_graph\(\)"):
        graph = build_dataset_graph(worker.context)
    (reject,) = graph.invoke({"path": str(video)})["rejects"]
    assert reject["criterion"] == "too few captions"
    worker.context.journals.release(str(video))


def test_nothing_that_exists_is_said_before_a_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.mp4 and 1 more: no such file"):
        build_dataset([tmp_path / "none.mp4", tmp_path / "nor.mp4"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
