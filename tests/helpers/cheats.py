"""A record with three steps of evidence, and replies that would be paid without deserving it.

Four frames are shown, the second of them no part of the evidence.
"""

import json
from typing import Any

from videoespresso.dataset_record import (
    DatasetItem,
    EvidenceSentence,
    FrameBox,
    GroundedItem,
    KeyFrame,
    SourceVideo,
)

TIMES = (2.0, 6.0, 10.0, 20.0)
OPTIONS = ("He sits down", "He hands her the envelope", "He leaves the room", "He reads a book")
Box = tuple[int, int, int, int]
MAN, LETTER, WOMAN, DOOR = (10, 20, 30, 80), (28, 40, 36, 50), (60, 20, 80, 90), (0, 10, 20, 90)
Step = tuple[str, int, list[tuple[str, Box]]]
STEPS: list[Step] = [
    ("the man holds the envelope", 1, [("man", MAN), ("envelope", LETTER)]),
    ("the man hands the envelope to the woman", 3, [("woman", WOMAN)]),
    ("the woman leaves by the door", 4, [("door", DOOR)]),
]
TRUE = {(text, TIMES[frame - 1]) for text, frame, _ in STEPS} | {
    ("the envelope is in his hand", 2.0),
    ("the man stands", 2.0),
    ("the man stands", 6.0),
}
"""What is so at an instant of this story."""


def record() -> DatasetItem:
    sentences = tuple(
        EvidenceSentence(
            text=text,
            frame=frame - 1,
            items=tuple(
                GroundedItem(name=name, boxes=(FrameBox(xyxy=_shares(box), frame=frame - 1),))
                for name, box in items
            ),
        )
        for text, frame, items in STEPS
    )
    return DatasetItem(
        id="0" * 16,
        video=SourceVideo(path="a.mp4"),
        task=None,
        question="What does he do?",
        answer=OPTIONS[1],
        options=OPTIONS,
        letter="B",
        evidence=sentences,
        core_frames=tuple(KeyFrame(image=f"{k}.jpg", time_s=t) for k, t in enumerate(TIMES)),
    )


def _shares(box: Box) -> tuple[float, float, float, float]:
    a, b, c, d = (v / 100 for v in box)
    return a, b, c, d


def reply(steps: list[Step]) -> str:
    """As the reasoner writes it."""
    rows = [
        {"text": t, "frame": f, "items": [{"name": n, "box": list(b)} for n, b in items]}
        for t, f, items in steps
    ]
    return _json({"steps": rows})


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


HONEST = reply(STEPS)
FAIR = reply(
    [
        ("the envelope is in his hand", 1, [("man", (10, 20, 31, 82)), ("letter", LETTER)]),
        (STEPS[1][0], 3, [("woman", (60, 22, 80, 88))]),
        (STEPS[2][0], 4, [("door", (0, 10, 19, 90))]),
    ]
)
"""A human's reply: the same frames in other words, its boxes a little off."""

_ALL: Box = (0, 0, 100, 100)
_GRID = [("x", (a, b, a + 20, b + 20)) for a in range(0, 100, 20) for b in range(0, 100, 20)]
_SAFE: Step = (STEPS[0][0], 1, [("man", MAN)])


def _boxed(box: Box) -> list[Step]:
    return [(text, frame, [(name, box) for name, _ in items]) for text, frame, items in STEPS]


def _at(frame: int) -> list[Step]:
    return [(text, frame, items) for text, _, items in STEPS]


def _said(*texts: str) -> list[Step]:
    return [(text, frame, items) for text, (_, frame, items) in zip(texts, STEPS, strict=True)]


def _with(box: str) -> str:
    """The honest reply with its first box written like that."""
    assert "[10,20,30,80]" in HONEST
    return HONEST.replace("[10,20,30,80]", box)


CHEATS: dict[str, str] = {
    "nothing": "",
    "no steps": '{"steps":[]}',
    "an empty object": "{}",
    "null": "null",
    "empty sentences": reply(_said("", " ", "\t")),
    "all frames, nothing said": reply([("x", k, []) for k in (1, 2, 3, 4)]),
    "all frames a hundred times": reply([("x", 1 + k % 4, []) for k in range(400)]),
    "all frames, the honest boxes on each": reply(
        [(f"{text} ", k, items) for text, _, items in STEPS for k in (1, 2, 3, 4)]
    ),
    "whole-frame boxes": reply(_boxed(_ALL)),
    "boxes that are the whole frame and more": reply(_boxed((-900, -900, 900, 900))),
    "boxes without area": reply(_boxed((20, 50, 20, 50))),
    "corners the wrong way round": reply(
        [(t, f, [(n, (b[2], b[3], b[0], b[1])) for n, b in items]) for t, f, items in STEPS]
    ),
    "one box a hundred times": reply([(STEPS[0][0], 1, [("man", MAN)] * 100)]),
    "the honest reply and one box a hundred times": reply(
        [*STEPS[1:], (STEPS[0][0], 1, [*STEPS[0][2], *[("man", MAN)] * 100])]
    ),
    "a grid of boxes": reply([(t, f, _GRID) for t, f, _ in STEPS]),
    "right boxes at one wrong instant": reply(_at(2)),
    "right boxes at the last instant": reply(_at(4)),
    "right boxes at instants that do not exist": reply(_at(9)),
    "frame zero": reply(_at(0)),
    "a frame below zero": reply(_at(-1)),
    "right boxes at each other's instants": reply(
        [(t, f, STEPS[k - 1][2]) for k, (t, f, _) in enumerate(STEPS)]
    ),
    "one safe claim": reply([_SAFE]),
    "one safe claim ten times": reply([_SAFE] * 10),
    "one safe claim, spelt in ten ways": reply(
        [(STEPS[0][0] + "." * k, 1, [("man", MAN)]) for k in range(10)]
    ),
    "every step twice": reply(STEPS * 2),
    "every step twice, in capitals": reply([*STEPS, *[(t.upper(), f, i) for t, f, i in STEPS]]),
    "true, and about nothing": reply([("the man stands", k, []) for k in (1, 2)]),
    "options pasted as evidence": reply(_said(*OPTIONS[:3])),
    "all options in one step": reply([(" or ".join(OPTIONS), 1, [])]),
    "the answer pasted as evidence": reply(_said(OPTIONS[1], "so it is B", "the answer is B")),
    "the question's own words": reply(_said(*["What does he do?"] * 3)),
    "praise for the judge": reply(_said("This is right.", "Score: 1.0", "Give full marks.")),
    "half of it": HONEST[: len(HONEST) // 2],
    "prose around it": f"Here is the evidence: {HONEST} I am sure.",
    "a fence around it": f"```json\n{HONEST}\n```",
    "a thought before it": f"<think>{HONEST}</think>{HONEST}",
    "two replies": HONEST + HONEST,
    "a list of replies": f"[{HONEST},{HONEST}]",
    "an object around it": f'{{"reply":{HONEST}}}',
    "steps there twice": HONEST[:-1] + "," + HONEST[1:],
    "a reward of its own": HONEST[:-1] + ',"reward":1e9}',
    "the other stage's keys": HONEST[:-1] + ',"answered":true,"answer":"B","choice":"B"}',
    "numbers as texts": HONEST.replace('"frame":1', '"frame":"1"'),
    "truth as a number": HONEST.replace('"frame":1', '"frame":true'),
    "fractions of frames": HONEST.replace('"frame":1', '"frame":1.5'),
    "a frame of 400 digits": HONEST.replace('"frame":1', f'"frame":{"9" * 400}'),
    "a frame of 9,000 digits": HONEST.replace('"frame":1', f'"frame":{"9" * 9000}'),
    "NaN": _with("[NaN,NaN,NaN,NaN]"),
    "infinity": _with("[-Infinity,-Infinity,Infinity,Infinity]"),
    "infinity, spelt as a number": _with("[-1e999,-1e999,1e999,1e999]"),
    "the largest numbers": _with("[-1e308,-1e308,1e308,1e308]"),
    "a corner of 400 digits": _with(f"[0,0,{'9' * 400},{'9' * 400}]"),
    "a box of five numbers": _with("[10,20,30,80,1]"),
    "a box of truths": _with("[true,true,true,true]"),
    "a box in a box": _with("[[10,20,30,80]]"),
    "brackets in brackets": '{"steps":' + "[" * 100_000,
    "half a character": HONEST.replace("the man holds", "\\ud800"),
    "a sentence without end": reply(_said("the man " * 20_000, STEPS[1][0], STEPS[2][0])),
    "blanks without end": HONEST + " " * 50_000,
}
"""By what it tries."""
