"""Rewards of evidence: exact values by hand, and that nothing earns more than honest work."""

import json
import math
import types
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from lab import rewards_bench
from tests.helpers import cheats
from tests.helpers.cheats import CHEATS, FAIR, HONEST, MAN, OPTIONS, STEPS, TIMES, reply

from videoespresso import evidence_scores as scores
from videoespresso.agents.reasoner import Evidence
from videoespresso.dataset.formats.conversion_report import Unusable
from videoespresso.dataset_record import LETTERS, DatasetItem
from videoespresso.errors import SettingsError, UserError
from videoespresso.evidence_scores import Placed
from videoespresso.theatre import make_story
from videoespresso.theatre.questions import questions
from videoespresso.training import rewards
from videoespresso.training.reward_choice import DEFAULTS, NAMES, functions, total, weights_of

COLUMNS = rewards.columns(cheats.record(), "a story")
DEFAULT = weights_of(truth=True)
AREAS = 0.12 + 0.008 + 0.14 + 0.16
"""Of the record's four boxes, in frames."""
RIVAL = 20 / (1200 + 80 - 20)
"""Overlap of the two boxes on the first frame."""
EVERY = {name: DEFAULT.get(name, 1.0) for name in NAMES}


def answerer(texts: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """A stage 2 that believes what it reads: the option most of whose words are in the evidence, of
    equal ones the first."""
    found: list[str | None] = []
    for text, row in zip(texts, rows, strict=True):
        words = set("".join(c if c.isalnum() else " " for c in text.casefold()).split())
        shares = [
            sum(w in words for w in option.casefold().split()) / len(option.split())
            for option in row["options"]
        ]
        found.append(LETTERS[shares.index(max(shares))] if max(shares) else None)
    return found


def truth(story: str, sentence: str, time_s: float) -> bool | None:
    assert story == "a story"
    return (sentence, time_s) in cheats.TRUE or None


def earned(text: Any, **changed: Any) -> dict[str, float | None]:
    """What a reply earns, by the name of the reward."""
    given = {name: [value] for name, value in {**COLUMNS, **changed}.items()}
    made = zip(NAMES, functions(EVERY, answerer, truth), strict=True)
    return {name: reward(prompts=["?"], completions=[text], **given)[0] for name, reward in made}


def test_the_record_s_own_reply_earns_everything() -> None:
    assert COLUMNS["reply"] == HONEST
    assert earned(HONEST) == dict.fromkeys(NAMES, 1.0)
    assert total(earned(HONEST), DEFAULT) == pytest.approx(2.7)


BLANKS = "blanks without end"


def test_there_are_cheats_enough() -> None:
    assert len(CHEATS) == len(set(CHEATS.values())) >= 25
    assert not {HONEST, FAIR} & set(CHEATS.values())


@pytest.mark.parametrize("name", CHEATS)
def test_no_cheat_earns_more_than_honest_work(name: str) -> None:
    honest, fair, cheat = earned(HONEST), earned(FAIR), earned(CHEATS[name])
    for reward, value in cheat.items():
        assert value is not None
        assert 0.0 <= value <= 1.0 == honest[reward], reward
    # nor, all in all, than a human's reply that is a little off; only `short` minds blanks
    for weights in (EVERY,) if name == BLANKS else (DEFAULT, EVERY):
        assert total(cheat, weights) < total(fair, weights) < total(honest, weights)
    for weights in (DEFAULT, DEFAULTS):  # the second where no story is known
        assert total(cheat, weights) <= total(honest, weights)


def test_what_a_fair_reply_earns() -> None:
    """Boxes: 20·60/(21·62), 1, 66/70, 19/20, by 4 boxes."""
    found = earned(FAIR)
    boxes = (1200 / 1302 + 1 + 66 / 70 + 19 / 20) / 4
    short = min(1.0, len(HONEST) / len(FAIR))
    assert found.pop("boxes") == pytest.approx(boxes)
    assert found.pop("short") == pytest.approx(short)
    assert found == dict.fromkeys(found, 1.0)


@pytest.mark.parametrize(
    ("name", "format_", "frames", "time", "boxes", "true"),
    [
        ("no steps", 0, 0, 0, 0, 0),
        ("all frames, nothing said", 1, 6 / 7, (3 + 0) * 2 / 7, 0, 0),
        ("one safe claim", 1, 1 / 2, 1 / 2, 1 / 4, 1 / 3),
        ("one safe claim ten times", 0, 1 / 2, 1 / 2, (1 + RIVAL) / 10, 1 / 10),
        ("one box a hundred times", 1, 1 / 2, 1 / 2, (1 + RIVAL) / 100, 1 / 3),
        ("every step twice", 0, 1, 1, 4 / 8, 3 / 6),
        ("right boxes at the last instant", 1, 1 / 2, 1 / 2, 1 / 4, 1 / 3),
        ("right boxes at one wrong instant", 1, 0, math.exp(-8) * 2 / 4, 0, 0),
        ("right boxes at instants that do not exist", 0, 0, 0, 0, 0),
        ("true, and about nothing", 1, 2 / 5, (1 + math.exp(-8)) * 2 / 5, 0, 2 / 3),
        ("whole-frame boxes", 1, 1, 1, AREAS / 4, 1),
        ("boxes that are the whole frame and more", 0, 1, 1, AREAS / 18**2 / 4, 1),
        ("corners the wrong way round", 0, 1, 1, 0, 1),
        ("a fence around it", 0, 0, 0, 0, 0),
    ],
)
def test_exact_values(
    name: str, format_: float, frames: float, time: float, boxes: float, true: float
) -> None:
    """Frames 1, 3, 4 (2, 10 and 20 s; the second is at 6 s) are the record's, with 4 boxes. σ is
    1 s at the end of a run: 4 s away is exp(-8)."""
    found = earned(CHEATS[name])
    wanted = {"format": format_, "frames": frames, "time": time, "boxes": boxes, "true": true}
    assert {k: found[k] for k in wanted} == pytest.approx(wanted)


def test_nearness_by_hand() -> None:
    assert scores.nearness([5.0], [5.0], 1.0) == 1.0
    assert scores.nearness([6.0], [5.0], 1.0) == pytest.approx(math.exp(-0.5))
    assert scores.nearness([4.0], [5.0], 1.0) == scores.nearness([6.0], [5.0], 1.0)
    assert scores.nearness([5.0, 5.0], [5.0], 1.0) == pytest.approx(2 / 3), "a spare one"
    assert scores.nearness([5.0], [5.0, 9.0], 1.0) == pytest.approx(2 / 3), "a missing one"
    assert scores.nearness([], [5.0], 1.0) == scores.nearness([math.inf], [5.0], 1.0) == 0.0
    with pytest.raises(ValueError, match="no instant"):
        scores.nearness([1.0], [], 1.0)


def test_sigma_shrinks_over_the_run() -> None:
    assert [scores.sigma_s(p) for p in (-1, 0, 0.5, 1, 7)] == [4.0, 4.0, 2.5, 1.0, 1.0]
    given = {name: [value] for name, value in COLUMNS.items()}
    off = reply([("x", 2, [])])  # 6 s; the nearest of the record's is 4 s away
    for step, sigma in ((0, 4.0), (5, 2.5), (10, 1.0)):
        state = types.SimpleNamespace(global_step=step, max_steps=10)
        found = rewards.time(["?"], [off], trainer_state=state, **given)
        assert found == [pytest.approx(2 * math.exp(-((4 / sigma) ** 2) / 2) / 4)]


def test_short_is_by_the_length_of_the_record_s_own_reply() -> None:
    own = len(HONEST)
    assert earned(HONEST + " " * own)["short"] == 0.5
    assert earned(reply(STEPS[:1]))["short"] == 1.0
    assert earned("{}")["short"] == earned("")["short"] == 0.0


@pytest.mark.parametrize("name", CHEATS)
def test_what_is_read_is_what_the_reasoner_s_schema_reads(name: str) -> None:
    """Not a word, frame or box more or less, where it is read at all."""
    found = rewards.read(CHEATS[name])
    if found is None:
        return
    value = Evidence.model_validate_json(CHEATS[name])
    assert value.model_dump() == json.loads(CHEATS[name])
    assert [frame for _, frame in found.steps] == [step.frame for step in value.steps]
    items = [item for step in value.steps for item in step.items]
    assert list(found.names) == [item.name for item in items]
    told = [[100 * v for v in box.xyxy] for box in found.boxes]
    assert told == [pytest.approx(item.box) for item in items if item.box]


def test_much_of_the_table_is_read_and_much_is_not() -> None:
    read = [name for name in CHEATS if rewards.read(CHEATS[name])]
    assert min(len(read), len(CHEATS) - len(read)) > 20
    assert {"no steps", "whole-frame boxes", BLANKS, "the largest numbers"} <= set(read)
    assert not {"NaN", "steps there twice", "truth as a number", "a box of truths"} & set(read)


def test_useful_asks_about_what_can_be_read_only() -> None:
    asked: list[str] = []

    def watched(texts: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[str | None]:
        asked.extend(texts)
        assert all(row["options"] == list(OPTIONS) and "trainer_state" not in row for row in rows)
        return ["b", None][: len(texts)]

    given = {name: [value] * 3 for name, value in COLUMNS.items()}
    reward = rewards.useful(watched)
    found = reward(["?"] * 3, [HONEST, "{}", FAIR], trainer_state=None, **given)
    assert found == [1.0, 0.0, 0.0]
    assert asked == [HONEST, FAIR]
    free = {**given, "letter": [None] * 3, "answer": ["B.", "", "C"]}
    assert reward(["?"] * 3, [HONEST, HONEST, FAIR], **free) == [1.0, None, 0.0]


def test_what_a_record_cannot_say_is_none() -> None:
    bare = reply([(text, frame, []) for text, frame, _ in STEPS])
    found = earned(HONEST, reply=bare, story=None, times=[None, 6.0, 10.0, 20.0])
    assert found["boxes"] is found["true"] is found["time"] is None
    assert found["frames"] == 1.0
    assert total(found, DEFAULT) == pytest.approx(1.7), "the others count"
    assert earned("", reply=bare)["boxes"] is None, "whatever the reply says"
    assert earned(HONEST, reply="?")["frames"] is None


def test_completions_come_as_texts_or_messages() -> None:
    half = len(HONEST) // 2
    parts = [{"type": "text", "text": HONEST[:half]}, {"type": "text", "text": HONEST[half:]}]
    for content in (HONEST, parts):
        assert earned([{"role": "assistant", "content": content}]) == earned(HONEST)
    assert earned([{"role": "assistant", "content": None}]) == earned("")


def test_the_same_reply_earns_the_same_among_others_and_again() -> None:
    texts = [HONEST, FAIR, *CHEATS.values()]
    given = {name: [value] * len(texts) for name, value in COLUMNS.items()}
    alone = [earned(text) for text in texts]
    for name, reward in zip(NAMES, functions(EVERY, answerer, truth), strict=True):
        for order in (1, -1):
            rewards.read.cache_clear()
            found = reward(prompts=["?"] * len(texts), completions=texts[::order], **given)
            assert found[::order] == [one[name] for one in alone]
        assert reward.__name__ == name, "as TRL logs it"


def test_a_row_without_its_columns_is_refused() -> None:
    with pytest.raises(UserError, match="lacks the column 'reply'") as caught:
        rewards.frames(["?"], [HONEST], times=[list(TIMES)])
    assert "rewards.columns" in caught.value.hint
    with pytest.raises(UserError, match="'times'"):
        rewards.frames(["?"], [HONEST], reply=[HONEST])


def test_a_record_that_repeats_itself_gives_no_columns() -> None:
    item = cheats.record()
    again = item.model_copy(update={"evidence": item.evidence * 2})
    with pytest.raises(Unusable):
        rewards.columns(again)
    with pytest.raises(Unusable):
        rewards.columns(DatasetItem(id="1", video=item.video, task=None, question="?", answer="a"))


def test_truth_of_the_theatre() -> None:
    """A question's own evidence is so in the phase that it is about; where the sentence cannot be
    told nothing is said, and a colour that nobody wears is never so."""
    told = {True: 0, False: 0, None: 0}
    for seed in range(1_000_000, 1_000_006):
        story = make_story(seed)
        for question in questions(story):
            for k, text in question.evidence:
                middle = (story.phases[k].t0 + story.phases[k].t1) / 2
                told[rewards.theatre_truth(f"train-{seed}", text, middle)] += 1
    assert told[True] > 9 * (told[False] + told[None])
    story = make_story(12)
    first, last = story.phases[0], story.phases[-1]
    assert rewards.theatre_truth("train-12", first.caption, first.t0) is True
    assert rewards.theatre_truth("train-12", last.caption, first.t0) is not True
    assert rewards.theatre_truth("train-12", "Colourless ideas sleep.", first.t0) is None
    for name in ("12", "spring-12", "train-x", "train-"):
        with pytest.raises(UserError, match="no story"):
            rewards.theatre_truth(name, "x", 0.0)


def mine(prompts: Any, completions: Sequence[Any], **given: Any) -> list[float | None]:
    """A reward of somebody's own."""
    return [float(len(rewards.text_of(one))) for one in completions]


def test_weights_are_named() -> None:
    assert weights_of() == DEFAULTS == {"format": 0.2, "useful": 1, "frames": 0.5, "boxes": 0.5}
    assert weights_of(truth=True) == {**DEFAULTS, "true": 0.5}
    own = f"{__name__}:mine"
    given = ["frames", "time=2", " short = 0 ", f"{own}=0.25"]
    assert weights_of(given, truth=True) == {"frames": 0.5, "time": 2.0, "short": 0.0, own: 0.25}
    made = functions(weights_of(given))
    assert [one.__name__ for one in made] == ["frames", "time", "short", "mine"]
    assert made[-1]([], ["four"]) == [4.0]


@pytest.mark.parametrize(
    ("given", "says", "hint"),
    [
        (["frame=1"], "no reward 'frame'", "frames"),
        (["zzz"], "no reward 'zzz'", "module:function"),
        (["time=x"], "weight of time", "time=0.5"),
        (["time="], "weight of time", "time=0.5"),
        (["time=-1"], "weight of time", "time=0.5"),
        (["time=nan"], "weight of time", "time=0.5"),
        (["time=inf"], "weight of time", "time=0.5"),
        (["time=1", "time=2"], "named twice", "once"),
        (["time=0"], "no reward counts", "above 0"),
    ],
)
def test_a_weight_that_cannot_be_is_refused(given: list[str], says: str, hint: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        weights_of(given)
    assert hint in caught.value.hint


def test_a_reward_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(UserError, match="useful needs stage 2"):
        functions({"useful": 1.0})
    with pytest.raises(UserError, match="needs to know what is true"):
        functions({"true": 1.0})
    for name in ("no_such_module_of_ours:f", f"{__name__}:COLUMNS"):
        with pytest.raises(UserError, match="no function to reward with"):
            functions({name: 1.0})
    with pytest.raises(SettingsError, match="cannot be imported"):
        functions({f"{__name__}:no_such_function": 1.0})


def test_a_box_counts_by_its_frame() -> None:
    """The man's box of the first frame, shown again in the third, is a spare one there."""
    wrong = [*STEPS[:1], (STEPS[1][0], 3, [("man", MAN)]), *STEPS[2:]]
    overlapped = 0.0  # MAN and WOMAN have no corner in common
    assert earned(reply(wrong))["boxes"] == pytest.approx((3 + overlapped) / 4)


def test_what_else_trl_hands_over_changes_nothing() -> None:
    given = {name: [value] for name, value in COLUMNS.items()}
    more = {"completion_ids": [[1, 2]], "trainer_state": None, "log_extra": print, "images": [[]]}
    for name, reward in zip(NAMES, functions(EVERY, answerer, truth), strict=True):
        assert reward(prompts=["?"], completions=[FAIR], **given, **more) == [earned(FAIR)[name]]


def test_published_rules_by_hand() -> None:
    """As docs/rewards.md tells them: their faults are theirs, not our reading's."""
    box, other = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
    true = [Placed(2.0, other), Placed(5.0, box)]
    assert rewards_bench.signed_gate([Placed(60.0, box)], true) == 1.0, "any later one"
    assert rewards_bench.signed_gate([Placed(4.5, box)], true) == 1.0
    assert rewards_bench.signed_gate([Placed(4.0, box)], true) == 0.0, "the other frame's box"
    assert rewards_bench.signed_gate([Placed(0.5, other)], true) == 0.0, "1.5 s too early"
    assert rewards_bench.signed_gate([Placed(5.0, box), Placed(0.0, box)], true) == 0.5
    assert rewards_bench.intersection([Placed(5.0, box), Placed(9.0, other)], true) == 1.0
    assert rewards_bench.intersection([Placed(5.0, box), Placed(2.0, box)], true) == 0.5
    assert rewards_bench.intersection([Placed(9.0, box)], true) == 0.0
    assert rewards_bench.point_time([2.0], [2.0, 5.0]) == 1.0
    assert rewards_bench.point_time([2.0, 6.0], [2.0, 5.0]) == pytest.approx(
        (1 + math.exp(-0.5)) / 2
    )


def test_the_bench_s_replies_earn_as_the_page_says() -> None:
    case = next(rewards_bench.cases(20))
    assert case.row["story"] == "train-1100013"
    theirs, ours = rewards_bench.published, rewards_bench.ours
    own, safe, late = (case.replies[k] for k in case.replies if "wrong" not in k and "ten" not in k)
    assert set(theirs(own, case.row).values()) == set(ours(own, case.row).values()) == {1.0}
    assert set(theirs(safe, case.row).values()) == {1.0}
    found = ours(safe, case.row)
    assert found["our frames"] == found["our time"] == 0.5
    assert found["our boxes"] == found["our true"] == pytest.approx(1 / 3)
    assert theirs(late, case.row)["Open-o3 boxes"] == 1.0
    assert ours(late, case.row)["our boxes"] == 0.0
