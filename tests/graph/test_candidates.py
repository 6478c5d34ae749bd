"""What a question costs with the pairs of `--select`: calls, captions and pictures."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from langchain_core.messages import BaseMessage
from tests.helpers.scripted import scripted_context, text_of

from videoespresso.errors import SettingsError
from videoespresso.graphs import proposal
from videoespresso.graphs.ask import ask_graph
from videoespresso.graphs.context import Context
from videoespresso.graphs.selection import PROPOSED, Candidates, strategy
from videoespresso.graphs.watch import CLOSER, watch
from videoespresso.models.specs import ModelSpec
from videoespresso.testing import ScriptedModel
from videoespresso.types import Answer, Caption

SHOT_S = 5
"""Seconds of each shot of the films."""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Mapping[int, Path]:
    """Films of so many seconds, another picture every five."""
    folder = tmp_path_factory.mktemp("films")
    return {seconds: film(folder / f"{seconds}.mp4", seconds) for seconds in (10, 60, 600)}


def film(path: Path, seconds: int, looped: int = 0, size: tuple[int, int] = (160, 90)) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=2)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for k in range(seconds * 2):
            shot = k // (2 * SHOT_S)
            cells = np.random.default_rng(shot % looped if looped else shot).integers(
                0, 255, (3, 4, 3)
            )
            picture = np.kron(cells, np.ones((size[1] // 3, size[0] // 4, 1))).astype(np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return path


class Counting:
    """A script that counts pictures by role and answers from the first core frame."""

    def __init__(self, same: str = "") -> None:
        self.pictures: Counter[str] = Counter()
        self.captioned = 0
        self.same = same

    def count(self, role: str, messages: list[BaseMessage]) -> int:
        seen = json.dumps([m.content for m in messages]).count("image_url")
        self.pictures[role] += seen // 2  # a block names it twice: its type and its key
        return seen // 2

    def captioner(self, messages: list[BaseMessage]) -> str:
        self.count("captioner", messages)
        self.captioned += 1
        return self.same or f"wall number {self.captioned} of many colours"

    def scorer(self, messages: list[BaseMessage]) -> str:
        count = len(re.findall(r"\[\d+\]", text_of(messages)))
        self.count("scorer", messages)
        return json.dumps({"scores": [{"frame": n, "score": n % 10} for n in range(1, count + 1)]})

    def reasoner(self, messages: list[BaseMessage]) -> str:
        self.count("reasoner", messages)
        step = {"frame": 1, "text": "a wall", "items": []}
        return json.dumps({"steps": [step], "answered": True, "answer": "a wall", "choice": None})

    def script(self) -> dict[str, Any]:
        return {
            "captioner": self.captioner,
            "scorer": self.scorer,
            "selector": lambda _: '{"core": [{"frame": 1, "why": "a wall"}]}',
            "reasoner": self.reasoner,
            "checker": lambda _: '{"carried": true, "missing": ""}',
        }


def asked(context: Context, video: Path, question: str = "What is it?") -> Answer:
    given: Any = {"path": str(video), "question": question, "options": []}
    answer = ask_graph().invoke(given, context=context)["answer"]
    return Answer.model_validate(answer)


def calls(model: ScriptedModel) -> int:
    """Of every role but the captioner, which takes one frame a call or several."""
    return sum(count for role, count in model.asked.items() if role != "captioner")


@pytest.mark.parametrize("seconds", [10, 60, 600])
def test_a_pair_captions_at_most_eight_frames(
    films: Mapping[int, Path], tmp_path: Path, seconds: int
) -> None:
    counting = Counting()
    context, model = scripted_context(tmp_path, counting.script(), select="pixels+segments")
    answer = asked(context, films[seconds])
    assert answer.answered
    assert answer.settings["pair"] == "pixels+segments:8"
    assert 1 <= answer.work.captioned <= 8
    assert counting.pictures["captioner"] <= 8
    assert calls(model) == 4
    assert sum(model.asked.values()) <= 12
    if seconds == 60:
        assert answer.work.captioned == 8, "twelve shots are there"
    again, model = scripted_context(tmp_path, counting.script(), select="pixels+segments")
    second = asked(again, films[seconds], "What was there before?")
    assert second.work.captioned == second.work.decoded == 0
    assert "captioner" not in model.asked
    assert sum(model.asked.values()) <= 4


@pytest.mark.parametrize("select", ["uniform:3", "pixels+top:3", "vlm+focus:3", "vlm+aks:3"])
def test_only_core_frames_are_captioned(
    films: Mapping[int, Path], tmp_path: Path, select: str
) -> None:
    counting = Counting()
    context, model = scripted_context(tmp_path, counting.script(), select=select)
    answer = asked(context, films[60])
    assert len(answer.core_frames) == 3
    assert answer.work.captioned <= 3
    assert "selector" not in model.asked
    assert answer.settings["pair"] == select
    assert not answer.gaps
    assert all(core.caption and core.why for core in answer.core_frames)
    assert bool(counting.pictures["scorer"]) == select.startswith("vlm")


def test_captions_from_before_are_used(films: Mapping[int, Path], tmp_path: Path) -> None:
    script = Counting().script()
    asked(scripted_context(tmp_path, script, select="paper")[0], films[60])
    context, model = scripted_context(tmp_path, script, select="captions+mmr:2")
    answer = asked(context, films[60])
    assert len(answer.core_frames) == 2
    assert "captioner" not in model.asked


@pytest.mark.parametrize("select", ["captions+top:3", "words+bolt:3"])
def test_what_cannot_score_gives_way_to_an_even_choice(
    films: Mapping[int, Path], tmp_path: Path, select: str
) -> None:
    context, _ = scripted_context(tmp_path, Counting().script(), select=select)
    answer = asked(context, films[60])
    (gap,) = answer.gaps
    assert gap.stage == "select"
    assert "even distances" in gap.reason
    assert answer.settings["pair"] == "uniform:3"
    assert len(answer.core_frames) == 3


@pytest.mark.extras
def test_words_goes_by_the_subtitles(films: Mapping[int, Path], tmp_path: Path) -> None:
    pytest.importorskip("pysubs2", reason="the extra subtitles")
    video = tmp_path / "spoken.mp4"
    video.write_bytes(films[60].read_bytes())
    lines = [(10, "good morning"), (41, "where is the yellow duck"), (55, "good night")]
    said = "".join(
        f"{n}\n00:00:{s:02},000 --> 00:00:{s + 1:02},000\n{text}\n\n"
        for n, (s, text) in enumerate(lines, 1)
    )
    video.with_suffix(".srt").write_text(said)
    context, _ = scripted_context(tmp_path, Counting().script(), select="words+top:1")
    (core,) = asked(context, video, "Where is the yellow duck?").core_frames
    assert 38 <= core.frame.time_s <= 45


def test_a_scorer_that_replies_nonsense_gives_way_too(
    films: Mapping[int, Path], tmp_path: Path
) -> None:
    script = Counting().script() | {"scorer": lambda _: "I would rather not."}
    context, _ = scripted_context(tmp_path, script, select="vlm+top:2")
    answer = asked(context, films[10])
    assert answer.answered
    assert [gap.stage for gap in answer.gaps] == ["select"]


def test_a_looped_film_has_a_candidate_a_caption(tmp_path: Path) -> None:
    kept = [Caption(frame_id=str(k), time_s=k, text=f"Wall {k % 2}") for k in range(6)]
    read: list[str] = []

    def selector(messages: list[BaseMessage]) -> str:
        read.append(text_of(messages))
        return '{"core": [{"frame": 2, "why": "Wall 1"}]}'

    context, _ = scripted_context(tmp_path, {"selector": selector})
    reasons = {c.frame_id: "a shot" for c in kept}
    chosen = strategy("auto")(context, Candidates("?", "", [], kept, kept, reasons))
    assert [name for name, _ in chosen] == ["1"]
    assert read[0].count("Wall") == 2


def test_auto_captions_everything_but_with_an_image_text_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pair that knows no question misses what it asks about; the pack's captions cost nothing."""
    from videoespresso.graphs.context import open_context  # noqa: PLC0415 - beside what it tests

    context, _ = scripted_context(tmp_path, Counting().script(), select="auto")
    assert proposal.automatic(context, "?") is None
    monkeypatch.setattr(proposal, "pulled_spec", lambda *_: "onnx:clip")
    assert proposal.automatic(context, "?") == proposal.SEEING
    assert proposal.automatic(context, " ") == proposal.BLIND
    assert proposal.automatic(open_context(context.settings), "?") is None


def test_without_a_question_candidates_are_proposed_too(
    films: Mapping[int, Path], tmp_path: Path
) -> None:
    context, _ = scripted_context(tmp_path, Counting().script(), select="pixels+segments")
    state = watch(context, str(films[60]))
    assert len(state["candidates"]) == len(state["captions"]) == 8
    assert len(state["frames"]) > 8


def test_a_name_that_is_none_lists_what_is_known(tmp_path: Path) -> None:
    for name in ("magic+top", "clip+best:3", "clip+top:0", "uniform:0"):
        with pytest.raises(SettingsError) as error:
            strategy(name)
        assert "pixels" in error.value.hint or "focus" in error.value.hint, name


def test_clip_without_a_model_is_refused(films: Mapping[int, Path], tmp_path: Path) -> None:
    context, model = scripted_context(
        tmp_path, Counting().script(), select="clip+top:3", models_dir=tmp_path / "none"
    )
    with pytest.raises(SettingsError, match="image-text"):
        asked(context, films[10])
    assert not model.asked


def test_a_second_look_is_shown_further_candidates_too(
    films: Mapping[int, Path], tmp_path: Path
) -> None:
    """A scene that no candidate shows is not found closer to one of them."""
    doubt = {"checker": lambda _: '{"carried": false, "missing": "who did it"}'}
    script = Counting().script() | doubt
    context, model = scripted_context(tmp_path, script, select="pixels+segments")
    answer = asked(context, films[60])
    assert model.asked["selector"] == 2
    more = proposal.MORE
    assert PROPOSED + more <= answer.work.captioned <= PROPOSED + more + CLOSER
    fixed, _ = scripted_context(tmp_path / "fixed", script, select="pixels+segments:3")
    assert asked(fixed, films[60]).work.captioned <= 3 + CLOSER


KITCHEN = ("the officer chops the fish", "the officer mixes the tomato", "the red truck stops")
MANY = ("many films end here",)


@pytest.mark.parametrize(
    ("question", "first", "shown"),
    [
        ("How is the tomato prepared?", 1, [1, 2]),
        ("How is the tomato prepared?", 2, [2]),
        ("What happens before the red truck stops?", 1, [1, 3]),
        ("How is the onion prepared?", 1, [1]),
        ("What does the officer do with them?", 1, [1]),
        ("How many cooks are at the end of the film?", 1, [1]),
    ],
)
def test_what_the_question_names_is_shown_though_a_small_selector_passed_it_by(
    tmp_path: Path, question: str, first: int, shown: list[int]
) -> None:
    script = {"selector": lambda _: json.dumps({"core": [{"frame": first, "why": "w"}]})}
    context, _ = scripted_context(tmp_path, script)
    kept = [
        Caption(frame_id=f"{k}", time_s=k, text=text)
        for k, text in enumerate((*KITCHEN, *MANY), start=1)
    ]
    chosen = strategy("paper")(context, Candidates(question, "video", (), kept, kept))
    assert [int(name) for name, _ in chosen] == shown
    context.agents["selector"].spec = ModelSpec.parse("openai:gpt-4o")
    chosen = strategy("paper")(context, Candidates(question, "video", (), kept, kept))
    assert [int(name) for name, _ in chosen] == [first], "a large one chooses by itself"
