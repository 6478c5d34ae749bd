"""One suite over every scorer and every picker: how many frames, which, and in what order."""

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image
from PIL.Image import Image as Picture

from videoespresso.errors import SettingsError, ToolError
from videoespresso.models.embedders import embedder
from videoespresso.tools.pickers import PICKERS, Frames, Pick, Score, pick_frames, picker
from videoespresso.tools.scorers import SCORERS, Film, scorer

QUESTION = "When does the red square appear?"
SIZES = (1, 2, 3, 7, 40)
BUDGETS = (1, 2, 4, 8, 100)


class Search:
    """Image-text vectors of the mean colour: a question about red is near to red frames."""

    name = "onnx:colours"

    def __init__(self, pictures: Sequence[Picture]) -> None:
        self._pictures = pictures

    def images(self, positions: Sequence[int]) -> np.ndarray:
        rows = [np.asarray(self._pictures[p]).reshape(-1, 3).mean(axis=0) + 1 for p in positions]
        unit = [row / np.linalg.norm(row) for row in rows]
        return np.array(unit, dtype=np.float32).reshape(-1, 3)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([[1.0, 0.0, 0.0] if "red" in t else [0, 0, 1.0] for t in texts], np.float32)


def pictures(count: int) -> list[Picture]:
    """Blue frames, and a red one two thirds through."""
    red = count * 2 // 3
    return [
        Image.new("RGB", (96, 54), (200, 0, 0) if k == red else (0, 0, 200)) for k in range(count)
    ]


def film(count: int) -> Film:
    shown = pictures(count)
    return Film(
        times=np.arange(count, dtype=np.float64) * 4.0,
        image=shown.__getitem__,
        captions={
            k: "a red square" if k == count * 2 // 3 else "a blue wall" for k in range(count)
        },
        embed=embedder("wordllama"),
        lines=lambda: [(count * 2 // 3 * 4.0, count * 2 // 3 * 4.0 + 1, "look, a red square")],
        search=Search(shown),
        rate=lambda _, images: [float(np.asarray(i)[0, 0, 0] > 100) * 9 for i in images],
    )


def lawful(picks: list[Pick], times: Sequence[float], k: int) -> None:
    instants = [times[p.at] for p in picks]
    assert len(picks) == min(k, len(set(times)))
    assert instants == sorted(set(instants)), "different instants in time order"
    assert all(p.why for p in picks)


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("by", PICKERS)
@pytest.mark.parametrize("scored", SCORERS)
def test_every_pair(scored: str, by: str, count: int) -> None:
    watched = film(count)
    frames = Frames(watched.times, watched.search.images(range(count)), watched.cuts)  # type: ignore[union-attr]
    score = scorer(scored)(QUESTION, watched)
    for k in BUDGETS:
        picks = pick_frames(picker(by), score, frames, k)
        lawful(picks, list(watched.times), k)
        assert picks == pick_frames(picker(by), score, frames, k), "the same again"


@pytest.mark.parametrize("by", sorted({*PICKERS} - {"focus"}))
@pytest.mark.parametrize("scored", ["captions", "clip", "vlm", "words"])
def test_the_frame_that_is_asked_about_is_picked(scored: str, by: str) -> None:
    watched = film(40)
    picks = pick_frames(picker(by), scorer(scored)(QUESTION, watched), Frames(watched.times), 4)
    near = {25, 26, 27} if scored == "words" else {26}
    assert near & {p.at for p in picks}


VALUES = {
    "constant": lambda n: np.ones(n),
    "zero": lambda n: np.zeros(n),
    "nothing known": lambda n: np.full(n, np.nan),
    "some unknown": lambda n: np.where(np.arange(n) % 2, np.nan, np.arange(n, dtype=float)),
    "infinite": lambda n: np.where(np.arange(n) % 3, np.inf, -np.inf),
    "one stands out": lambda n: (np.arange(n) == n // 2).astype(float),
    "negative": lambda n: -np.arange(n, dtype=float),
}


@pytest.mark.parametrize("count", [0, *SIZES])
@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("by", PICKERS)
def test_scores_of_any_kind(by: str, values: str, count: int) -> None:
    scores = VALUES[values](count)
    times = np.arange(count) * 2.5
    for k in (0, *BUDGETS):
        lawful(pick_frames(picker(by), lambda at: scores[list(at)], Frames(times), k), times, k)


@pytest.mark.parametrize("by", PICKERS)
def test_an_instant_that_is_there_twice_is_picked_once(by: str) -> None:
    times = np.repeat(np.arange(6) * 3.0, 2)
    frames = Frames(times, cuts=(4, 8))
    lawful(pick_frames(picker(by), lambda at: np.array(at, float), frames, 5), list(times), 5)
    lawful(pick_frames(picker(by), lambda at: np.array(at, float), frames, 9), list(times), 9)


@pytest.mark.parametrize("by", PICKERS)
def test_a_longer_film_takes_no_frame_out_of_reach(by: str) -> None:
    """The one stretch of 20 s that matters is hit, wherever it is and however much follows."""
    for seconds in (60, 600, 3600):
        times = np.arange(0, seconds, 2.0)
        for start in (0, 20, 34):
            scores = ((times >= start) & (times < start + 20)).astype(float)
            picks = pick_frames(picker(by), lambda at, s=scores: s[list(at)], Frames(times), 4)
            assert any(scores[p.at] for p in picks), (seconds, start)


def test_focus_does_not_ask_about_every_frame() -> None:
    times = np.arange(0, 3600, 1.0)
    asked: list[int] = []

    def score(positions: Sequence[int]) -> np.ndarray:
        asked.extend(positions)
        return np.exp(-((times[list(positions)] - 1800) ** 2) / 5000)

    picks = pick_frames(picker("focus"), score, Frames(times), 4)
    assert len(asked) == len(set(asked)) < len(times) * 0.32
    assert all(abs(times[p.at] - 1800) < 10 for p in picks)


def test_segments_takes_one_a_shot() -> None:
    frames = Frames(np.arange(20.0), cuts=(5, 9, 15))
    picks = pick_frames(picker("segments"), lambda at: np.array(at, float), frames, 4)
    assert [p.at for p in picks] == [4, 8, 14, 19]
    assert len({p.why for p in picks}) == 4


def test_a_plug_in_that_picks_badly_is_put_right() -> None:
    def bad(_score: Score, _frames: Frames, _k: int) -> list[Pick]:
        return [Pick(3, "mine"), Pick(3, "again"), Pick(99, "not there"), Pick(-1, "nor this")]

    times = np.arange(10.0)
    picks = pick_frames(bad, lambda at: np.zeros(len(at)), Frames(times), 4)
    lawful(picks, list(times), 4)
    assert Pick(3, "mine") in picks


def test_a_wrong_number_of_scores() -> None:
    with pytest.raises(ValueError, match="2 scores for 3 frames"):
        pick_frames(picker("top"), lambda _: [1.0, 2.0], Frames(np.arange(3.0)), 1)


@pytest.mark.parametrize("scored", ["captions", "clip", "words"])
def test_a_question_in_letters_that_the_model_does_not_know(scored: str) -> None:
    with pytest.raises(ToolError, match="language"):
        scorer(scored)("红色方块什么时候出现?", film(5))
    scorer(scored)("Wann erscheint die Fläche?", film(5))
    assert len(scorer("vlm")("红色方块什么时候出现?", film(5))([0, 1])) == 2


def test_what_cannot_be_scored_says_why() -> None:
    bare = Film(np.arange(3.0), pictures(3).__getitem__, {}, embedder("wordllama"))
    for name, why in (
        ("captions", "captioned"),
        ("words", "subtitles"),
        ("clip", "model"),
        ("vlm", "model"),
    ):
        with pytest.raises(ToolError, match=why):
            scorer(name)(QUESTION, bare)
    assert list(scorer("pixels")("", bare)([0, 1, 2])) == [1.0, 0.0, 1.0]


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(SettingsError) as error:
        picker("best")
    assert "focus" in error.value.hint
    with pytest.raises(SettingsError) as error:
        scorer("magic")
    assert "pixels" in error.value.hint
