"""What cheating earns by our rewards of evidence and by two published ones: `python -m
lab.rewards_bench`. On the theatre's truth; then texts a second of each of ours, on one core.

The published rules were written anew from their source (Open-o3-Video 51387ab, `reward_func.py`;
OneThinker 4448451, `onethinker_reward.py`); nothing of theirs was run.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from videoespresso.dataset_record import (
    LETTERS,
    DatasetItem,
    EvidenceSentence,
    FrameBox,
    GroundedItem,
    KeyFrame,
    SourceVideo,
)
from videoespresso.evidence_scores import Placed, overlap
from videoespresso.statistics import mean
from videoespresso.theatre import SPLITS, Story, make_story
from videoespresso.theatre.questions import Question, questions
from videoespresso.training import rewards
from videoespresso.training.reward_choice import NAMES, functions

LATE_S = 4.0
"""The film's last frame is at least so far behind the last core frame: with sigma 1 s that is
worth exp(-8)."""
LEAST_STEPS = 3
Row = dict[str, Any]


class Case(NamedTuple):
    """A question, the columns of its record, and replies by what they do."""

    seed: int
    question: Question
    row: Row
    replies: dict[str, str]


# ---- the published rules, on boxes at instants in seconds


def point_time(cited: Sequence[float], true: Sequence[float]) -> float:
    """Open-o3: mean over the claims of exp(-d²/2) to the nearest key frame (sigma 1 s, as in the
    last quarter of a run)."""
    each = [math.exp(-(min(abs(c - t) for t in true) ** 2) / 2) for c in cited]
    return sum(each) / len(each) if each else 0.0


def signed_gate(cited: Sequence[Placed], true: Sequence[Placed]) -> float:
    """Open-o3: mean over the claims of the best overlap with a box of the nearest key frame among
    those that are less than 1 s later than the claim; earlier ones are all let in."""
    total = 0.0
    for claim in cited:
        near = [t for t in true if t.time_s - claim.time_s < 1.0]
        apart = min((abs(t.time_s - claim.time_s) for t in near), default=0.0)
        there = [t for t in near if abs(t.time_s - claim.time_s) == apart]
        total += max((overlap(claim.xyxy, t.xyxy) for t in there), default=0.0)
    return total / len(cited) if cited else 0.0


def intersection(cited: Sequence[Placed], true: Sequence[Placed]) -> float:
    """OneThinker: mean overlap over the frames that both name, one box a frame. It is half of the
    accuracy of its spatio-temporal task."""
    ours = {c.time_s: c.xyxy for c in reversed(cited)}
    theirs = {t.time_s: t.xyxy for t in reversed(true)}
    each = [overlap(box, theirs[t]) for t, box in ours.items() if t in theirs]
    return sum(each) / len(each) if each else 0.0


def published(text: str, row: Row) -> dict[str, float]:
    """By the three rules."""
    cited, true = (_seconds(one, row["times"]) for one in (text, row["reply"]))
    instants = [[row["times"][f - 1] for _, f in _read(x).steps] for x in (text, row["reply"])]
    return {
        "Open-o3 time": point_time(*instants),
        "Open-o3 boxes": signed_gate(cited, true),
        "OneThinker boxes": intersection(cited, true),
    }


def _read(text: str) -> rewards.Cited:
    reply = rewards.read(text)
    assert reply is not None
    return reply


def _seconds(text: str, times: Sequence[float]) -> list[Placed]:
    return [Placed(times[round(b.time_s) - 1], b.xyxy) for b in _read(text).boxes]


# ---- records of the theatre


def cases(films: int) -> Iterator[Case]:
    """Of the first films of the test split the questions with steps enough, a box on each, and a
    last frame that is no part of them."""
    first, _ = SPLITS["test"]
    for seed in range(first, first + films):
        story = make_story(seed)
        for question in questions(story):
            if (item := record(story, question)) is not None:
                row = rewards.columns(item, f"train-{seed}")
                yield Case(seed, question, row, replies(row))


def record(story: Story, question: Question) -> DatasetItem | None:
    """The question with its core frames (in the middle of their phases) and the film's last one;
    boxes are of whom a sentence names. None where it is not fit."""
    steps = question.evidence
    middles = [(story.phases[k].t0 + story.phases[k].t1) / 2 for k, _ in steps]
    last = story.duration_s - 1 / story.fps
    if len(steps) < LEAST_STEPS or last - middles[-1] < LATE_S:
        return None
    sentences = []
    for at, ((_, text), instant) in enumerate(zip(steps, middles, strict=True)):
        seen = [o for o in story.scene(instant).objects if o.phrase in text]
        if not seen:
            return None
        items = tuple(
            GroundedItem(name=o.phrase, boxes=(FrameBox(xyxy=o.xyxy, frame=at),)) for o in seen
        )
        sentences.append(EvidenceSentence(text=text, frame=at, items=items))
    return DatasetItem(
        id=f"{story.seed:016x}",
        video=SourceVideo(path=f"{story.seed}.mp4"),
        task=None,
        question=question.text,
        answer=question.answer,
        options=question.options,
        letter=LETTERS[question.correct],
        evidence=tuple(sentences),
        core_frames=tuple(
            KeyFrame(image=f"{k}.jpg", time_s=t) for k, t in enumerate((*middles, last))
        ),
    )


def replies(row: Row) -> dict[str, str]:
    """The record's own, and what cheats."""
    steps = json.loads(row["reply"])["steps"]
    safe = {**steps[0], "items": steps[0]["items"][:1]}
    late = {**steps[-1], "frame": len(row["times"])}
    wrong = {**late, "items": [{**item, "box": [0, 0, 2, 2]} for item in late["items"]]}
    return {
        "the record's own": row["reply"],
        "its last step wrong": _text([*steps[:-1], wrong]),
        "one safe claim": _text([safe]),
        "the last box, at the film's end": _text([late]),
        "the safe claim ten times": _text([safe] * 10),
    }


def _text(steps: Sequence[Row]) -> str:
    return json.dumps({"steps": steps}, separators=(",", ":"), ensure_ascii=False)


def ours(text: str, row: Row) -> dict[str, float]:
    """By our rewards, without `useful`, which needs a model."""
    given = {name: [value] for name, value in row.items()}
    names = {name: 1.0 for name in NAMES if name != "useful"}
    made = functions(names, truth=rewards.theatre_truth)
    scores = {n: reward(["?"], [text], **given)[0] for n, reward in zip(names, made, strict=True)}
    return {f"our {name}": math.nan if v is None else v for name, v in scores.items()}


# ---- speed


def rate(run: Callable[[], object], count: int, least_s: float) -> float:
    """Texts a second of process time, over runs of at least so long in all; of one run the next
    remembers the stories, and no text."""
    runs, begun = 0, time.process_time()
    while (spent := time.process_time() - begun) < least_s:
        rewards.read.cache_clear()
        rewards._phases.cache_clear()
        run()
        runs += 1
    return runs * count / spent


def speed(cases: Sequence[Case], texts: int, least_s: float) -> None:
    """Prints it, on so many texts that all differ."""
    rows = [cases[k % len(cases)].row for k in range(texts)]
    different = [row["reply"].replace('"text":"', f'"text":"{k} ', 1) for k, row in enumerate(rows)]
    given = {name: [row[name] for row in rows] for name in rows[0]}
    weights = {name: 1.0 for name in NAMES}
    made = functions(weights, lambda texts, _: ["A"] * len(texts), rewards.theatre_truth)
    signs = sum(map(len, different)) / texts
    print(f"\ntexts a second, {texts} different ones of {signs:.0f} signs in the mean")
    for name, reward in zip(weights, made, strict=True):
        run = partial(reward, ["?"] * texts, different, **given)
        print(f"{name:12} {rate(run, texts, least_s):12,.0f}")


def main() -> None:
    """Prints the worked example, the means over all films, and the speed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=300, help="looked through")
    parser.add_argument("--texts", type=int, default=1000, help="of the speed")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each speed")
    given = parser.parse_args()
    all_cases = list(cases(given.films))
    example = all_cases[0]
    print(f"train-{example.seed}: {example.question.text}\ntimes {example.row['times']}")
    for name, text in example.replies.items():
        print(f"\n{name}: {text}")
        for rule, value in {**published(text, example.row), **ours(text, example.row)}.items():
            print(f"  {rule:18} {value:.3f}")
    films = [case.seed for case in all_cases]
    print(f"\n{len(all_cases)} questions of {len(set(films))} films; 95 % intervals over films")
    for name in example.replies:
        earned = [
            {**published(c.replies[name], c.row), **ours(c.replies[name], c.row)} for c in all_cases
        ]
        print(f"\n{name}")
        for rule in earned[0]:
            of = mean([one[rule] for one in earned], films)
            ends = of.interval if of.low is None else f"{of.low:.3f} to {of.high:.3f}"
            print(f"  {rule:18} {of.value:.3f} ({ends})")
    speed(all_cases, given.texts, given.seconds)


if __name__ == "__main__":
    main()
