"""What questions cost by default on paid models: calls, pictures and captions, where they arrive.

The limits are the promise of docs/models.md; the dollars follow from the sizes by the providers'
formulas (models/client/prices.py).
"""

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.graph.test_candidates import asked, film
from tests.helpers.paid_server import Paid, paid_context

from videoespresso.graphs import proposal
from videoespresso.graphs.context import Context
from videoespresso.graphs.selection import Pair
from videoespresso.settings import Settings

AUTO = Settings.model_fields["select"].default
PAIR = "pixels+segments"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "test-key-of-nobody")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Mapping[int, Path]:
    folder = tmp_path_factory.mktemp("films")
    return {s: film(folder / f"{s}.mp4", s, size=(320, 180)) for s in (10, 60, 600)}


@pytest.mark.parametrize(("seconds", "most"), [(10, 6), (60, 12), (600, 40)])
def test_a_first_and_a_next_question_by_default(
    films: Mapping[int, Path], tmp_path: Path, seconds: int, most: int
) -> None:
    model = Paid()
    with paid_context(tmp_path, model, select=AUTO) as context:
        first = asked(context, films[seconds])
        assert first.answered
        assert first.settings["pair"] == "paper"
        assert model.calls.total() <= most
        assert model.images["captioner"] == first.work.captioned
        assert model.details["captioner"] == {"low"}
        assert 0 < sum(usage.usd or 0.0 for usage in first.usage.values()) <= 0.02
        model.calls.clear()
        model.images.clear()
        second = asked(context.renewed(), films[seconds], "What was there before?")
        assert second.work.captioned == second.work.decoded == 0
        assert model.calls.total() <= 4
        assert "captioner" not in model.calls
        assert sum(usage.usd or 0.0 for usage in second.usage.values()) <= 0.005


@pytest.mark.parametrize("seconds", [10, 60, 600])
def test_a_first_and_a_next_question_by_a_pair(
    films: Mapping[int, Path], tmp_path: Path, seconds: int
) -> None:
    model = Paid()
    with paid_context(tmp_path, model, select=PAIR) as context:
        first = asked(context, films[seconds])
        assert first.answered
        assert first.settings["pair"] == "pixels+segments:8"
        assert model.calls.total() <= 5, "captions in a sheet, selector, evidence, answer, check"
        assert model.images["captioner"] == first.work.captioned <= 8
        assert model.images["selector"] <= 8
        assert model.images["reasoner"] == 2 * len(first.core_frames) <= 6
        total = sum(usage.usd or 0.0 for usage in first.usage.values())
        assert 0 < total <= 0.02
        assert model.details["captioner"] == {"low"}
        model.calls.clear()
        model.images.clear()
        second = asked(context.renewed(), films[seconds], "What was there before?")
        assert second.work.captioned == second.work.decoded == 0
        assert model.calls.total() <= 4
        assert "captioner" not in model.calls
        assert sum(usage.usd or 0.0 for usage in second.usage.values()) <= 0.005


def test_a_next_question_with_other_candidates_captions_none(
    films: Mapping[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with an image-text model, whose candidates are the question's."""
    picked = ["segments", "bolt"]
    monkeypatch.setattr(proposal, "pair_for", lambda *_: Pair("pixels", picked[0], 8, agent=True))
    model = Paid()
    with paid_context(tmp_path, model, select=PAIR) as context:
        first = asked(context, films[60])
        picked.pop(0)
        model.calls.clear()
        model.bodies.clear()
        second = asked(context.renewed(), films[60], "What was there before?")
    assert first.work.captioned == 8
    assert shown(model).count("wall, number") < 8, "some have no caption"
    assert second.work.captioned == 0
    assert model.calls.total() <= 4
    assert {d.reason for d in second.dropped if d.stage == "select"} == {
        "not needed for this question"
    }


def shown(model: Paid) -> str:
    """What the selector was sent."""
    return next(str(body["messages"]) for body in model.bodies if "selector" in str(body)[:400])


def test_the_selector_sees_numbered_pictures_with_captions(
    films: Mapping[int, Path], tmp_path: Path
) -> None:
    model = Paid()
    with paid_context(tmp_path, model, select=PAIR) as context:
        answer = asked(context, films[60])
    assert model.images["selector"] == 8
    assert "[8] (" in shown(model)
    assert shown(model).count("wall, number") == 8
    assert [core.why for core in answer.core_frames] == ["it is asked about"] * 2


@pytest.mark.parametrize("most", [1, 4])
def test_where_few_pictures_are_taken_they_are_on_one_sheet(
    films: Mapping[int, Path], tmp_path: Path, most: int
) -> None:
    model = Paid(most_images=most)
    with paid_context(tmp_path, model, select="pixels+segments") as context:
        answer = asked(context, films[60])
        assert len(answer.core_frames) == 2
        assert answer.core_frames[0].why == "it is asked about"
        assert not answer.gaps
        assert model.images["selector"] in (1, 8 + 1)
        model.images.clear()
        asked(context.renewed(), films[60], "And before?")
        assert model.images["selector"] == 1, "that is remembered"


def test_a_server_of_ones_own_gets_one_sheet(films: Mapping[int, Path], tmp_path: Path) -> None:
    model = Paid()
    own = dict.fromkeys(("captioner", "selector"), "openai:q@{url}")
    with paid_context(tmp_path, model, select=PAIR, specs=own) as context:
        asked(context, films[60])
    assert model.images["selector"] == 1
    assert model.calls["captioner"] == 8


def test_a_server_that_takes_several_is_told_so_by_a_setting(
    films: Mapping[int, Path], tmp_path: Path
) -> None:
    model = Paid()
    own = dict.fromkeys(("captioner", "selector"), "openai:q@{url}")
    with paid_context(tmp_path, model, select=PAIR, specs=own, sheet=8) as context:
        asked(context, films[60])
    assert (model.calls["captioner"], model.images["captioner"]) == (1, 8)
    assert model.images["selector"] == 8
    named = context_of(tmp_path, model="openai:q@http://127.0.0.1:9/v1", sheet=4)
    assert named.agents["captioner"].sheet == 4
    assert context_of(tmp_path, sheet=4).agents["captioner"].sheet == 1, "the pack takes one"


def test_of_frames_with_the_same_words_the_selector_sees_one(
    films: Mapping[int, Path], tmp_path: Path
) -> None:
    model = Paid(same="A wall.")
    with paid_context(tmp_path, model, select=PAIR) as context:
        asked(context, films[60])
    assert model.images["selector"] == 1


def test_a_selector_that_takes_no_pictures_reads_the_captions(
    films: Mapping[int, Path], tmp_path: Path
) -> None:
    class Blind(Paid):
        def takes(self, role: str) -> str:
            return "this model does not support image input" if role == "selector" else ""

    model = Blind()
    with paid_context(tmp_path, model, select=PAIR) as context:
        answer = asked(context, films[60])
    assert answer.core_frames[0].why == "it is asked about"
    assert not answer.gaps


def context_of(tmp_path: Path, **given: object) -> Context:
    from videoespresso.graphs.context import open_context  # noqa: PLC0415 - beside what it is for

    return open_context(Settings.load({"cache_dir": tmp_path, **given}, environ={}))


def test_captions_are_looked_at_from_afar_and_look_closer_closely(tmp_path: Path) -> None:
    named = context_of(tmp_path, model="openai:gpt-4o").agents["captioner"]
    assert str(named.spec) == "openai:gpt-4o?detail=low"
    assert str(named.closely().spec) == "openai:gpt-4o"
    high = context_of(tmp_path, model="openai:gpt-4o?detail=high").agents["captioner"]
    assert str(high.spec) == "openai:gpt-4o?detail=high"
    luna = context_of(tmp_path, profile="openai").agents["captioner"]
    assert str(luna.closely().spec) == "openai:gpt-6-luna?effort=none"
