"""Runs: what is asked, what is recorded, what survives, what may be compared."""

import json
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from tests.helpers.scripted import ScriptedModel, film, scripted_context, text_of

from videoespresso.dataset_record import DatasetItem, SourceVideo
from videoespresso.errors import BudgetExceeded, ModelError, UserError, VideoError
from videoespresso.evaluation import results
from videoespresso.evaluation.cases import Case, Listed, Truth
from videoespresso.evaluation.compare import compare
from videoespresso.evaluation.page import EvidencePages, render
from videoespresso.evaluation.run import Plan, Run
from videoespresso.evaluation.summary import summary
from videoespresso.memory.frames import FrameStore
from videoespresso.settings import Settings
from videoespresso.tasks import TASKS
from videoespresso.theatre import make_story
from videoespresso.types import Progress

CONDITIONS = ("ours", "uniform:3", "direct", "blind", "oracle-frames", "oracle-evidence",
              "oracle-sentences", "own-sentences", "sentence-removed")  # fmt: skip
OPTIONS = ("red", "green", "blue", "grey")


class Sly:
    """Knows no truth: the second option; the first where it is shown gold evidence; refuses what
    has "unknown" in it."""

    def captioner(self, messages: list[BaseMessage]) -> str:
        return f"room: {hash(str(messages[-1].content)) % 10_000} things"

    def selector(self, messages: list[BaseMessage]) -> str:
        count = len(re.findall(r" \[\d+\]$", text_of(messages), re.MULTILINE))
        return json.dumps({"core": [{"frame": n, "why": "w"} for n in {1, count}]})

    def reasoner(self, messages: list[BaseMessage]) -> str:
        told = text_of(messages)
        if told.endswith("Please provide evidence to help answer the question."):
            return json.dumps({"steps": [{"frame": 1, "text": "something is seen", "items": []}]})
        gold = any("the gold sentence" in str(m.content) for m in messages)
        if any("unknown" in str(m.content) for m in messages):
            return json.dumps({"answered": False, "answer": "", "choice": None})
        choice = 0 if gold else 1
        if "(A)" not in told:
            return json.dumps({"answered": True, "answer": "it is red", "choice": None})
        return json.dumps({"answered": True, "answer": OPTIONS[choice], "choice": "AB"[choice]})

    def checker(self, messages: list[BaseMessage]) -> str:
        return json.dumps({"carried": True, "missing": ""})

    @property
    def script(self) -> dict[str, Callable[[list[BaseMessage]], str]]:
        return {r: getattr(self, r) for r in ("captioner", "selector", "reasoner", "checker")}


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("eval")
    return [
        film(make_story(seed), folder / f"{seed}.mp4", fps=1) for seed in (1_000_001, 1_000_004)
    ]


def case(k: int, path: Path | None) -> Case:
    def find() -> Path:
        if path is None:
            raise VideoError("there is no video 'gone.mp4'")
        return path

    name = path.name if path else "gone.mp4"
    item = DatasetItem(
        id=f"q{k}", video=SourceVideo(path=name), task=TASKS[k % 2], question=f"Which colour, {k}?",
        answer=OPTIONS[k % 2], options=OPTIONS, letter="AB"[k % 2],
    )  # fmt: skip
    truth = Truth(intervals=((0.0, 4.0),), scenes=(((0.0, 4.0),),),
                  sentences=((2.0, "the gold sentence"),))  # fmt: skip
    return Case(item, name, find, truth)


class Bench:
    """A run with scripted models."""

    def __init__(self, folder: Path, cases: list[Case], **given: Any) -> None:
        self.folder, self.cases, self.given = folder, cases, given
        self.models: list[ScriptedModel] = []
        self.wait: Callable[[], None] = lambda: None

    def run(self, out: str = "run", conditions: tuple[str, ...] = CONDITIONS, **plan: Any) -> Run:
        settings = Settings.load(
            {"detector": "off", "cache_dir": self.folder / "cache", "dynamic_fps": 1.0,
             **self.given}, environ={},
        )  # fmt: skip

        def context_of(settings: Settings, budget: Any, log: Any) -> Any:
            context, model = scripted_context(
                self.folder / "cache", Sly().script, embedder="wordllama", **self.given
            )
            self.models.append(model)
            agents = {}
            for role, agent in context.agents.items():
                agent.usage_log, agent.budget = log, budget
                agents[role] = agent
            return replace(context, settings=settings, agents=agents, usage_log=log, budget=budget)

        bench = Listed("colours", tuple(self.cases))
        return Run(Plan(bench, self.folder / out, settings, conditions, jobs=1, **plan), context_of)

    @property
    def calls(self) -> int:
        return sum(sum(model.asked.values()) for model in self.models)


def nobody(progress: Progress) -> None:
    """Listens to nothing."""


def go(run: Run) -> list[results.Json]:
    run.go(nobody, threading.Event())
    return list(results.read(run.plan.records).values())


@pytest.fixture
def bench(tmp_path: Path, films: list[Path]) -> Bench:
    return Bench(tmp_path, [case(k, films[k // 2]) for k in range(4)])


def test_every_case_is_asked_under_every_condition(bench: Bench) -> None:
    records = go(bench.run())
    assert len(records) == 4 * len(CONDITIONS)
    assert not [r["error"] for r in records if "error" in r]
    by = {(r["condition"], r["item"]): r for r in records}
    assert by["blind", "q0"]["frames"] == 0
    assert by["uniform:3", "q0"]["frames"] == 3
    assert by["direct", "q0"]["picked_s"] == by["ours", "q0"]["picked_s"]
    assert by["oracle-sentences", "q0"]["picked_s"] == by["ours", "q0"]["picked_s"]
    gold = by["oracle-frames", "q0"]["picked_s"]
    assert [abs(t - 2.0) <= 0.5 for t in gold] == [True], "the frame nearest to the middle"
    assert by["ours", "q0"]["said"] == "B"
    assert by["oracle-evidence", "q0"]["said"] == "A", "the gold sentences reached the reasoner"
    assert by["oracle-evidence", "q0"]["steps"][0]["text"] == "the gold sentence"
    assert by["own-sentences", "q0"]["steps"][0]["text"] == "something is seen"
    assert by["sentence-removed", "q0"]["steps"] == []
    firsts = [r for r in records if r["first"]]
    assert {r["video"] for r in firsts} == {c.video for c in bench.cases}
    assert len(firsts) == 2, "a video is looked at once, by its first question"


def test_the_same_run_again_asks_nothing(bench: Bench) -> None:
    go(bench.run())
    calls = bench.calls
    again = go(bench.run())
    assert bench.calls == calls
    assert len(again) == 4 * len(CONDITIONS)


@pytest.mark.parametrize("after", [1, 5, 12])
def test_a_stopped_run_goes_on_where_it_was(bench: Bench, after: int) -> None:
    whole = go(bench.run("whole"))
    stop, made = threading.Event(), 0

    def listen(progress: Progress) -> None:
        nonlocal made
        made += progress.step == "eval"
        if made == after:
            stop.set()

    run = bench.run("torn")
    run.go(listen, stop)
    assert len(results.read(run.plan.records)) == after
    half = next(c.scores for c in summary(run.plan.out).conditions if c.missing)
    assert half.over_all is None, "over all is of all"
    with run.plan.records.open("a") as lines:
        lines.write('{"key": "torn li')
    lines_before = len(run.plan.records.read_text().splitlines())
    rest = go(bench.run("torn"))
    assert len(run.plan.records.read_text().splitlines()) == lines_before + len(whole) - after

    def told(records: list[results.Json]) -> list[Any]:
        keep = ("key", "said", "picked_s", "steps", "truth")
        return sorted([json.dumps([r[k] for k in keep]) for r in records])

    assert told(rest) == told(whole)


def test_a_missing_video_is_listed_and_not_measured(bench: Bench, tmp_path: Path) -> None:
    bench.cases.append(case(4, None))
    run = bench.run(conditions=("ours", "blind"))
    go(run)
    found = summary(run.plan.out)
    assert not found.whole
    assert [(one.item, one.condition) for one in found.not_measured] == [("q4", "ours")]
    ours = found.conditions[0].scores
    assert (ours.items, ours.measured) == (5, 4)
    assert ours.micro is not None
    assert ours.over_all is not None
    assert (ours.micro.value, ours.over_all.value) == (0.5, 0.4)
    calls = bench.calls
    go(bench.run(conditions=("ours", "blind"), retry=True))
    assert bench.calls == calls, "the video is still not there"


def test_the_numbers_of_a_run(bench: Bench) -> None:
    run = bench.run()
    go(run)
    found = {c.condition: c for c in summary(run.plan.out).conditions}
    assert found["oracle-evidence"].scores.micro is not None
    assert found["oracle-evidence"].scores.micro.value == 0.5, "always the first: right for A"
    assert found["oracle-evidence"].evidence == {}, "it cites what it was given"
    assert found["oracle-frames"].evidence["temporal hit rate"].value == 1.0
    assert found["oracle-frames"].evidence["acc@evidence"].value == 0.5
    assert found["blind"].evidence == {}
    assert found["uniform:3"].cost["core frames"].value == 3.0
    assert (
        found["ours"].cost["model calls, first"].value
        > found["ours"].cost["model calls, later"].value
    )
    page = render([summary(run.plan.out)])
    for word in ("Which colour", "oracle-evidence", "Content-Security-Policy", TASKS[0]):
        assert word in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page
    store = FrameStore(bench.folder / "cache/frames")
    gallery = bench.folder / "page.html"
    linked = render([summary(run.plan.out)], None, EvidencePages(gallery, store.image))
    first = re.search(r'href="(page-evidence/[0-9a-f]+\.html)"', linked)
    assert first is not None
    evidence = (bench.folder / first[1]).read_text()
    assert "Which colour" in evidence
    assert "data:image" in evidence, "the frame is on the page"
    assert re.search(r"[12] kept of (?!2 )\d+ looked at", evidence), "and how many were dropped"


def test_conditions_of_a_run_are_compared_in_pairs(bench: Bench) -> None:
    run = bench.run(conditions=("ours", "uniform:3", "oracle-evidence"))
    go(run)
    first, second = compare([run.plan.out], margin=0.5)
    assert (first.first, first.second) == ("ours", "uniform:3")
    assert first.paired.difference.value == 0.0
    assert first.paired.difference.low is not None
    assert first.paired.difference.low < -0.1, "four items show little"
    assert (second.paired.first_only, second.paired.second_only) == (2, 2)
    assert first.equivalence is not None
    assert {t.task for t in first.tasks} == {TASKS[0], TASKS[1]}


def test_conditions_asked_in_turn_are_compared_too(bench: Bench) -> None:
    """But not those of other questions: what is compared has the same."""
    go(bench.run(conditions=("ours",)))
    go(bench.run(conditions=("uniform:3",)))
    assert [c.condition for c in summary(bench.folder / "run").conditions] == ["ours", "uniform:3"]
    (pair,) = compare([bench.folder / "run"])
    assert (pair.first, pair.second, pair.n) == ("ours", "uniform:3", 4)
    bench.cases.pop()
    go(bench.run(conditions=("uniform:3",)))
    assert [c.condition for c in summary(bench.folder / "run").conditions] == ["uniform:3"]


def test_runs_that_differ_in_more_are_refused(bench: Bench, tmp_path: Path) -> None:
    one = bench.run("one", ("ours",))
    go(one)
    bench.given["max_side"] = 320
    other = bench.run("other", ("ours",))
    go(other)
    with pytest.raises(UserError, match="differ in pixels") as refused:
        compare([one.plan.out, other.plan.out])
    assert "--allow pixels" in refused.value.hint
    (found,) = compare([one.plan.out, other.plan.out], allow=["pixels"])
    assert found.allowed == ("pixels",)
    bench.cases.pop()
    fewer = bench.run("fewer", ("ours",))
    go(fewer)
    with pytest.raises(UserError, match="differ in items"):
        compare([other.plan.out, fewer.plan.out])


def test_two_selections_are_compared_across_runs(bench: Bench) -> None:
    runs = []
    for select in ("retrieval", "uniform:2"):
        bench.given["select"] = select
        runs.append(bench.run(select.partition(":")[0], ("ours", "blind")))
        go(runs[-1])
    ours, blind = compare([run.plan.out for run in runs])
    assert (ours.first, ours.second) == ("retrieval:ours", "uniform:ours")
    assert not ours.allowed
    assert blind.paired.difference.value == 0.0, "what was selected is nothing to the blind"


def test_a_folder_of_another_run_is_not_touched(bench: Bench, tmp_path: Path) -> None:
    go(bench.run("run", ("blind",)))
    with pytest.raises(UserError, match="holds a run of colours by letter"):
        go(bench.run("run", ("blind",), protocol="open"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter.txt").write_text("dear")
    with pytest.raises(UserError, match="something else"):
        go(bench.run("full", ("blind",)))


def test_what_cannot_be_asked_is_said_before(bench: Bench, films: list[Path]) -> None:
    with pytest.raises(UserError, match="core frames of ours"):
        bench.run(conditions=("direct",))
    with pytest.raises(UserError, match="no condition"):
        bench.run(conditions=("best",))
    bare = case(0, films[0])
    bench.cases = [replace(bare, truth=Truth())]
    with pytest.raises(UserError, match="does not say what is true"):
        bench.run(conditions=("oracle-frames",))
    item = bare.item.model_copy(update={"options": OPTIONS[:2]})
    bench.cases = [replace(bare, item=item)]
    with pytest.raises(UserError, match="fewer than 2 distractors"):
        bench.run(conditions=("ours",), protocol="open")
    item = bare.item.model_copy(update={"letter": None, "options": ()})
    bench.cases = [replace(bare, item=item)]
    with pytest.raises(UserError, match="no options"):
        bench.run(conditions=("ours",))


def test_open_questions_never_see_the_options(bench: Bench) -> None:
    run = bench.run("open", ("ours", "blind"), protocol="open")
    records = go(run)
    assert {r["reply"] for r in records} == {"it is red"}
    from videoespresso.models.embedders import embedder  # noqa: PLC0415

    scores = summary(run.plan.out, embedder("wordllama"), tau=0.3).conditions[0].scores
    assert (scores.protocol, scores.measured) == ("open", 4)
    with pytest.raises(UserError, match="open-ended"):
        summary(run.plan.out)


def test_a_model_that_never_answers_ends_the_run(bench: Bench, monkeypatch: Any) -> None:
    def refuse(self: Any, messages: Any) -> str:
        raise ModelError("the key is wrong", retryable=False)

    monkeypatch.setattr(Sly, "reasoner", refuse)
    with pytest.raises(ModelError, match="the key is wrong"):
        go(bench.run(conditions=("blind",)))


def test_a_limit_is_that_of_the_run_and_what_is_done_is_kept(bench: Bench) -> None:
    bench.given["budget_calls"] = 3
    run = bench.run(conditions=("blind",))
    with pytest.raises(BudgetExceeded):
        go(run)
    known = results.read(run.plan.records)
    assert len(known) == 3
    assert not [r for r in known.values() if "error" in r], "a limit is no failure of an item"
    bench.given["budget_calls"] = 100
    assert len(go(bench.run(conditions=("blind",)))) == 4


def test_what_nothing_answers_is_in_no_accuracy(tmp_path: Path, films: list[Path]) -> None:
    cases = [case(k, films[k // 2]) for k in range(4)]
    for k, question in ((2, "Who is unknown?"), (3, "Which colour has the ghost?")):
        item = cases[k].item.model_copy(update={"question": question})
        cases[k] = replace(cases[k], item=item, truth=Truth(), unanswerable=True)
    run = Bench(tmp_path, cases).run(conditions=("ours", "oracle-frames"))
    records = go(run)
    assert not [r["error"] for r in records if "error" in r]
    assert len(records) == 4 + 2, "what nobody knows has no oracle"
    ours, oracle = summary(run.plan.out).conditions
    assert (ours.scores.items, ours.missing, oracle.missing) == (2, 0, 0)
    assert {name: e.value for name, e in ours.refusals.items()} == {
        "refused where nothing answers": 0.5,
        "a letter where nothing answers": 0.5,
        "confirmed where nothing answers": 0.5,
        "refused where the film answers": 0.0,
    }
    assert oracle.refusals == {}
    assert [c.left_out for c in compare([run.plan.out])] == [0]
    assert "refused where nothing answers" in render([summary(run.plan.out)])
