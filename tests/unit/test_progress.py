"""What is under way: counted, with the time left, on a terminal, in a log, and in a notebook."""

import io
import re
import sys
from fractions import Fraction
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from videoespresso.graphs.context import Context
from videoespresso.graphs.estimate import Looked, to_come
from videoespresso.graphs.state import State
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.prices import image_tokens, price
from videoespresso.models.specs import ModelSpec
from videoespresso.report.progress_bar import ProgressBar
from videoespresso.settings import Settings
from videoespresso.types import FrameRef, Progress

ONE_FILM: State = {"path": "a.mp4", "question": "", "options": []}

PLAN = Progress("plan", "52 frames, about 56 calls, $0.004")


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (Progress("caption", "captioning", 17, 52, 20.4), "captioning 17 of 52 · 0:20 left"),
        (Progress("caption", "captioning", 17, 52, 3725.0), "captioning 17 of 52 · 62:05 left"),
        (Progress("sample", "looking at frames", 8), "looking at frames 8"),
        (Progress("answer", "answering"), "answering"),
        (Progress("fetch", "fetching", 12.3, 80.0, 22.0), "fetching 12.3 of 80.0 MB · 0:22 left"),
        (PLAN, "52 frames, about 56 calls, $0.004"),
    ],
)
def test_a_line(said: Progress, line: str) -> None:
    assert str(said) == line


def context(
    listen: Any, spec: str = "openai:gpt-4o-mini", select: str = "paper", sheet: int = 1
) -> Any:
    agent = SimpleNamespace(spec=ModelSpec.parse(spec), sheet=sheet, can_call=True)
    roles = ("captioner", "selector", "reasoner", "checker")
    return SimpleNamespace(
        on_progress=listen,
        settings=Settings(select=select),
        agents=dict.fromkeys(roles, agent),
        tools=(),
        budget=Budget(),
    )


def frames(count: int) -> list[FrameRef]:
    return [
        FrameRef(
            id=f"a@{k}", video_id="a", time_s=k, index=-1, fps=Fraction(25), rule="", sha="",
            width=640, height=360,
        )
        for k in range(count)
    ]  # fmt: skip


def test_the_time_left_is_that_at_the_rate_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Progress] = []
    now = iter([100.0, 102.0, 104.0, 110.0])
    monkeypatch.setattr("videoespresso.graphs.context.time.monotonic", lambda: next(now))
    count = Context.counting(context(said.append), "caption", 3)
    for _ in range(3):
        count()
    assert [(p.done, p.total, p.left_s) for p in said] == [(1, 3, 4.0), (2, 3, 2.0), (3, 3, 0.0)]
    Context.counting(context(None), "caption", 3)()  # nobody listens


def test_what_it_will_take_is_said_from_sizes_and_prices() -> None:
    said: list[Progress] = []
    to_come(context(said.append), ONE_FILM, Looked(frames(52), 40))
    to_come(context(said.append, select="uniform:4"), ONE_FILM, Looked(frames(52), 40))
    to_come(context(said.append), ONE_FILM, Looked(frames(52), 0))
    to_come(context(said.append, sheet=8), ONE_FILM, Looked(frames(52), 41))
    texts = [p.text for p in said]
    assert texts[0].startswith("52 frames, about 44 calls, $")
    assert texts[1].startswith("52 frames, about 43 calls, $")
    assert texts[2].startswith("52 frames, all known from before, about 4 calls, $")
    assert texts[3].startswith("52 frames, about 10 calls, $"), "six sheets and four others"
    spec = ModelSpec.parse("openai:gpt-4o-mini")
    rate = price(spec)
    assert rate is not None
    pictures = rate.usd(40 * image_tokens(spec, 640, 360), 0)
    assert pictures < float(texts[0].rpartition("$")[2]) < 1.5 * pictures
    assert {p.step for p in said} == {"plan"}


@pytest.mark.parametrize(
    ("spec", "cost"),
    [("embedded:", "$0.00"), ("openai:a-new-model", "at a price that is not known")],
)
def test_what_is_free_and_what_nobody_knows(spec: str, cost: str) -> None:
    said: list[Progress] = []
    to_come(context(said.append, spec), ONE_FILM, Looked(frames(2), 2))
    assert said[0].text == f"2 frames, about 6 calls, {cost}"


def test_a_log_is_not_flooded(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("videoespresso.report.progress_bar.time.monotonic", lambda: now[0])
    log = io.StringIO()
    bar = ProgressBar(Console(file=log, force_terminal=False, width=200))
    bar(PLAN)
    for second in range(100):
        now[0] = second / 4
        bar(Progress("caption", "captioning", second + 1, 100, 1.0))
    bar(Progress("done", "done"))
    lines = log.getvalue().splitlines()
    assert lines[0] == PLAN.text
    assert [re.sub(r" ·.*", "", line) for line in lines[1:]] == [
        "captioning 41 of 100", "captioning 81 of 100"
    ]  # fmt: skip


def test_on_a_terminal_only_the_plan_stays() -> None:
    screen = io.StringIO()
    bar = ProgressBar(Console(file=screen, force_terminal=True, width=80, color_system=None))
    bar(Progress("probe", "opening"))
    bar(PLAN)
    bar(Progress("caption", "captioning [bold]\x1b[2J", 1, 2, 1.0))
    bar(Progress("done", "done"))
    raw = screen.getvalue()
    assert "captioning [bold][2J 1 of 2 · 0:01 left" in raw
    left = re.sub(r"\x1b\[\?25[hl]", "", raw)
    left = re.sub(r"[^\n]*\n?\r?(\x1b\[1A)?\x1b\[2K", "", left)
    assert left.strip() == PLAN.text


def test_in_a_notebook_it_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    display = ModuleType("IPython.display")
    cell = SimpleNamespace(update=shown.append)
    display.HTML = str  # type: ignore[attr-defined]
    display.display = lambda *_given, **_more: cell  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    bar = ProgressBar(Console(file=io.StringIO(), force_jupyter=True))
    bar(Progress("caption", "<b>", 17, 52, 20.0))
    bar(PLAN)
    bar(Progress("answer", "answering"))
    bar.close()
    assert shown[0] == ('<progress value="17" max="52"></progress> &lt;b&gt; 17 of 52 · 0:20 left')
    assert shown[2] == f"<div>{PLAN.text}</div><progress></progress> answering"
    assert shown[3] == f"<div>{PLAN.text}</div>", "the bar goes away"
