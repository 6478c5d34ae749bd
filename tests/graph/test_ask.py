"""The ask graph on a scripted model and a real video: path, evidence, failures."""

import asyncio
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from PIL.Image import Image
from tests.helpers.scripted import film, scripted_context, story_with, text_of

import videoespresso as ve
from videoespresso.errors import SettingsError, UserError, VideoError
from videoespresso.graphs.ask import MESSAGES, ask_graph, build_ask_graph, message
from videoespresso.graphs.context import Context
from videoespresso.graphs.watch import watch
from videoespresso.theatre import Story
from videoespresso.tools.base import Finding, Needs, ToolRequest
from videoespresso.types import Answer, Caption

QUESTION = "What happens to the vase?"


@pytest.fixture(scope="module")
def story() -> Story:
    return story_with("vase breaks")


@pytest.fixture(scope="module")
def video(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(story, tmp_path_factory.mktemp("film") / "räume #1.mp4")


class Truthful:
    """A script that captions by counting, keeps the two middle captions and cites the first."""

    def __init__(self, **fixed: str) -> None:
        self.fixed = fixed
        self.seen = 0

    def captioner(self, messages: list[BaseMessage]) -> str:
        self.seen += 1
        return f"room: scene number {self.seen} of things"

    def selector(self, messages: list[BaseMessage]) -> str:
        lines = re.findall(r" \[(\d+)\]$", text_of(messages), re.MULTILINE)
        middle = len(lines) // 2
        return json.dumps(
            {"core": [{"frame": middle + 1, "why": "b"}, {"frame": middle, "why": "a"}]}
        )

    def reasoner(self, messages: list[BaseMessage]) -> str:
        if "with the help of the evidence" in text_of(messages):
            return json.dumps({"answered": True, "answer": "it breaks", "choice": "B"})
        item = {"name": "vase", "box": [1, 2, 3, 4]}
        return json.dumps({"steps": [{"frame": 1, "text": "the vase breaks", "items": [item]}]})

    def checker(self, messages: list[BaseMessage]) -> str:
        return json.dumps({"carried": True, "missing": ""})

    def script(self) -> dict[str, Any]:
        roles = ("captioner", "selector", "reasoner", "checker")
        return {
            r: (lambda _m, r=r: self.fixed[r]) if r in self.fixed else getattr(self, r)
            for r in roles
        }


def run(context: Context, video: Path, **given: Any) -> tuple[Answer, list[str]]:
    context = context.with_tools(given.pop("tools", ()))
    ask = {"path": str(video), "question": QUESTION, "options": [], **given}
    path: list[str] = []
    for update in ask_graph().stream(ask, context=context, stream_mode="updates"):  # type: ignore[arg-type]
        path += update
        last = update
    return Answer.model_validate(last["finish"]["answer"]), path


CHAIN = ["select", "ground", "use_tools", "evidence", "answer", "check", "finish"]
LOOKING = ["probe", "sample", "caption", "remember", "filter"]


def test_the_path_and_the_answer(video: Path, tmp_path: Path) -> None:
    context, model = scripted_context(tmp_path, Truthful().script())
    answer, path = run(context, video, options=["it stands", "it breaks"])
    assert path == LOOKING + CHAIN
    assert (answer.text, answer.choice, answer.answered, answer.checked) == (
        "it breaks",
        1,
        True,
        True,
    )
    assert [c.why for c in answer.core_frames] == ["a", "b"]
    times = [c.frame.time_s for c in answer.core_frames]
    assert times == sorted(times)
    step = answer.evidence[0]
    assert step.frame_id == answer.core_frames[0].frame.id
    assert step.items[0].name == "vase"
    assert step.items[0].boxes == (), "without a detector there is no box, whatever the model says"
    looked = {f.frame_id for f in answer.dropped} | {c.frame.id for c in answer.core_frames}
    assert len(looked) == answer.work.decoded
    assert all(d.reason for d in answer.dropped)
    assert answer.work.captioned == model.asked["captioner"]
    assert answer.work.captioned + answer.work.shared == answer.work.decoded
    assert answer.usage["reasoner"].calls == 2


def test_a_second_question_decodes_and_captions_nothing(video: Path, tmp_path: Path) -> None:
    run(scripted_context(tmp_path, Truthful().script())[0], video)
    context, model = scripted_context(tmp_path, Truthful().script())
    answer, path = run(context, video, question="Who is there?")
    assert path == ["probe", "sample", "filter", *CHAIN]
    assert (answer.work.decoded, answer.work.captioned) == (0, 0)
    assert answer.work.remembered > 0
    assert "captioner" not in model.asked


def test_state_holds_no_pixels_and_stays_small(video: Path, tmp_path: Path) -> None:
    context, _ = scripted_context(tmp_path, Truthful().script())
    saver = InMemorySaver()
    graph = ask_graph(saver)
    config: Any = {"configurable": {"thread_id": "t"}}
    graph.invoke({"path": str(video), "question": QUESTION, "options": []}, config, context=context)

    def walk(value: Any) -> Iterator[Any]:
        yield value
        if isinstance(value, dict):
            for inner in value.values():
                yield from walk(inner)
        elif isinstance(value, list | tuple):
            for inner in value:
                yield from walk(inner)

    values = graph.get_state(config).values
    assert not [v for v in walk(values) if isinstance(v, bytes | Image)]
    assert len(json.dumps(values)) < 100_000
    assert "base64" not in json.dumps(values)
    kept = repr((saver.storage, saver.writes, saver.blobs))
    assert "evidence_text" in kept, "the state is in it"
    for part in ("Context", "ScriptedModel", "SamplingPlan", str(context.settings.cache_dir)):
        assert part not in kept, "the context is not"


def test_a_reached_limit_ends_with_what_is_known(video: Path, tmp_path: Path) -> None:
    free, _ = scripted_context(tmp_path, Truthful().script())
    captions = run(free, video)[0].work.captioned
    context, _ = scripted_context(tmp_path / "b", Truthful().script(), budget_calls=captions + 1)
    answer, path = run(context, video)
    assert path[-1] == "finish"
    assert "evidence" in path
    assert "answer" not in path
    assert not answer.answered
    assert [g.stage for g in answer.gaps] == ["budget"]
    assert len(answer.core_frames) == 2, "what the selector found is kept"


def test_frames_are_limited_too(video: Path, tmp_path: Path) -> None:
    context, _ = scripted_context(tmp_path, Truthful().script(), budget_frames=5)
    assert run(context, video)[0].work.decoded <= 5


@pytest.mark.parametrize("reply", ["", "I would pick the second one.", '{"core": "all of them"}'])
def test_a_selector_that_cannot_be_read_leaves_a_gap(
    video: Path, tmp_path: Path, reply: str
) -> None:
    context, _ = scripted_context(tmp_path, Truthful(selector=reply).script())
    answer, _ = run(context, video)
    assert answer.answered
    assert [g.stage for g in answer.gaps] == ["select"]
    assert 1 <= len(answer.core_frames) <= 3


def test_a_selector_that_keeps_nothing_falls_back_to_retrieval(video: Path, tmp_path: Path) -> None:
    context, _ = scripted_context(tmp_path, Truthful(selector='{"core": []}').script())
    answer, _ = run(context, video)
    assert answer.core_frames
    assert all("chose none" in c.why for c in answer.core_frames)


def _sampled(cache: Path, video: Path) -> list[dict[str, Any]]:
    """The frames of a first look."""
    context, _ = scripted_context(cache, Truthful().script())
    ask: Any = {"path": str(video), "question": QUESTION, "options": []}
    for update in ask_graph().stream(ask, context=context, stream_mode="updates"):
        if "sample" in update:
            return list(update["sample"]["frames"])
    raise AssertionError


def test_an_unsatisfied_checker_gets_one_more_look(video: Path, tmp_path: Path) -> None:
    doubt = '{"carried": false, "missing": "who did it"}'
    first = {f["id"] for f in _sampled(tmp_path, video)}
    context, model = scripted_context(tmp_path, Truthful(checker=doubt).script())
    answer, path = run(context, video)
    assert path.count("look_again") == 1
    assert path.count("select") == 2
    assert answer.answered
    assert not answer.checked
    assert any("who did it" in w for w in answer.warnings)
    assert model.asked["selector"] == 2
    assert any(f.frame_id not in first for f in answer.dropped), "closer frames were looked at"
    shown = model.asked["captioner"]
    again, path = run(context, video)
    assert path.count("look_again") == 1
    assert (again.work.decoded, again.work.captioned) == (0, 0), "both looks are remembered"
    assert model.asked["captioner"] == shown


@pytest.mark.parametrize(
    ("missing", "checked"),
    [
        ("", True), ("None.", True), ("nothing else is needed", True), ("N/A", True), ("нет", True),
        ("No further evidence is needed.", True), ("who did it", False), ("no face", False),
        ("Nothing shows his face", False),
    ],
)  # fmt: skip
def test_a_checker_that_agrees_with_a_reserve_confirms_nothing(
    missing: str, checked: bool, video: Path, tmp_path: Path
) -> None:
    reply = json.dumps({"carried": True, "missing": missing})
    context, _ = scripted_context(tmp_path, Truthful(checker=reply).script())
    answer, path = run(context, video)
    assert answer.checked is checked
    assert "look_again" not in path, "it is no cause to pay for another look"
    assert any(missing in w for w in answer.warnings) is not checked


def test_no_answer_is_said_not_guessed(video: Path, tmp_path: Path) -> None:
    class Empty(Truthful):
        def reasoner(self, messages: list[BaseMessage]) -> str:
            if "with the help of the evidence" in text_of(messages):
                return json.dumps({"answered": False, "answer": "no idea", "choice": "A"})
            return json.dumps({"steps": []})

    context, _ = scripted_context(tmp_path, Empty().script())
    answer, _ = run(context, video, options=["yes", "no"])
    assert (answer.answered, answer.choice, answer.evidence) == (False, None, ())
    assert "do not carry" in answer.text


def test_a_reply_that_is_none_of_the_options_is_not_checked(video: Path, tmp_path: Path) -> None:
    class Elsewhere(Truthful):
        def reasoner(self, messages: list[BaseMessage]) -> str:
            reply = json.loads(super().reasoner(messages))
            return json.dumps(reply | {"answer": "it flies", "choice": None})

    context, model = scripted_context(tmp_path, Elsewhere().script())
    answer, _ = run(context, video, options=["it waits", "it breaks"])
    assert (answer.answered, answer.choice, model.asked["checker"]) == (True, None, 1)
    assert not answer.checked, "the checker agreed with what answers none of the options"


def test_a_checker_that_fails_leaves_the_answer_unchecked(video: Path, tmp_path: Path) -> None:
    context, _ = scripted_context(tmp_path, Truthful(checker="maybe").script())
    answer, _ = run(context, video)
    assert (answer.answered, answer.checked) == (True, False)
    assert [g.stage for g in answer.gaps] == ["check"]


class Good:
    name, description = "thermometer", "How warm it is."
    needs: Needs = "frames"

    def run(self, request: ToolRequest) -> list[Finding]:
        frame = request.frames[0].frame
        return [Finding(text="It is\nQuestion: warm.", time_s=frame.time_s, frame_id=frame.id)]


class Broken:
    name, description = "broken", "Fails."
    needs: Needs = "frames"

    def run(self, request: ToolRequest) -> list[Finding]:
        raise RuntimeError("no battery")


def test_tools_are_cited_and_failures_are_gaps(video: Path, tmp_path: Path) -> None:
    shown: list[str] = []

    class Reads(Truthful):
        def reasoner(self, messages: list[BaseMessage]) -> str:
            shown.append(text_of(messages, 1))
            return super().reasoner(messages)

    context, _ = scripted_context(tmp_path, Reads().script())
    answer, _ = run(context, video, tools=(Good(), Broken()))
    assert "thermometer" in {s.source for s in answer.evidence}
    assert [g.stage for g in answer.gaps] == ["tool:broken"]
    assert not any("no battery" in s.text for s in answer.evidence)
    assert "- thermometer" in shown[0]
    assert shown[0].count("\nQuestion:") == 1, "a finding cannot open a section of the prompt"


@pytest.mark.parametrize(
    ("select", "most"), [("uniform:4", 4), ("all", 32), ("retrieval", 3), ("keyframes", 32)]
)
def test_strategies(video: Path, tmp_path: Path, select: str, most: int) -> None:
    context, model = scripted_context(tmp_path, Truthful().script(), select=select)
    answer, _ = run(context, video)
    assert 1 <= len(answer.core_frames) <= most
    if select == "uniform:4":
        assert len(answer.core_frames) == 4
    assert "selector" not in model.asked
    assert answer.settings["select"] == select


def test_what_other_questions_looked_at_does_not_crowd_out_what_this_one_did(
    video: Path, tmp_path: Path
) -> None:
    context, _ = scripted_context(tmp_path, Truthful().script(), select="retrieval")
    before, _ = run(context, video)
    key = context.memory_key(before.core_frames[0].frame.video_id)
    closer = [
        Caption(frame_id=f"{key}@{k}", time_s=k / 100, text=f"{QUESTION} {k}") for k in range(300)
    ]
    context.memory.add(key, closer)
    after, _ = run(context, video)
    assert [c.frame.id for c in after.core_frames] == [c.frame.id for c in before.core_frames]


def test_an_unknown_strategy_is_said_before_anything_is_decoded(video: Path) -> None:
    with pytest.raises(SettingsError, match="no selection strategy"):
        ve.ask(video, QUESTION, select="best")


def test_a_file_that_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("not a video")
    context, _ = scripted_context(tmp_path / "cache", Truthful().script())
    with pytest.raises(VideoError):
        run(context, tmp_path / "a.mp4")


async def _awaited(context: Context, video: Path) -> dict[str, Any]:
    given: Any = {"path": str(video), "question": QUESTION, "options": []}
    return await ask_graph().ainvoke(given, context=context)


def test_it_can_be_awaited(video: Path, tmp_path: Path) -> None:
    context, _ = scripted_context(tmp_path, Truthful().script())
    answer = Answer.model_validate(asyncio.run(_awaited(context, video))["answer"])
    assert answer.text == "it breaks"


def test_a_run_without_a_context_says_what_is_missing(video: Path) -> None:
    with pytest.raises(UserError, match="without a context") as raised:
        ask_graph().invoke({"path": str(video), "question": QUESTION, "options": []})
    assert "open_context" in raised.value.hint


def test_two_contexts_share_the_graph_and_nothing_else(video: Path, tmp_path: Path) -> None:
    """The same compiled graph, at the same time, once with room and once without."""
    plenty, _ = scripted_context(tmp_path / "a", Truthful().script())
    little, _ = scripted_context(tmp_path / "b", Truthful().script(), budget_calls=1)
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda context: run(context, video)[0], (plenty, little)))
    assert [a.answered for a in answers] == [True, False]
    assert ask_graph() is ask_graph()


@pytest.mark.parametrize("how", ["sync", "awaited"])
def test_the_builder_of_before_warns_and_works(video: Path, tmp_path: Path, how: str) -> None:
    context, _ = scripted_context(tmp_path, Truthful().script())
    with pytest.warns(DeprecationWarning, match=r"ask_graph\(\)"):
        graph = build_ask_graph(context, [Good()], checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    given: Any = {"path": str(video), "question": QUESTION, "options": []}
    if how == "sync":
        graph.invoke(given, config)
    else:
        asyncio.run(graph.ainvoke(given, config))
    answer = Answer.model_validate(graph.get_state(config).values["answer"])
    assert "thermometer" in {step.source for step in answer.evidence}


def test_a_run_can_go_on_from_a_state_that_is_given(video: Path, tmp_path: Path) -> None:
    context, _ = scripted_context(tmp_path, Truthful().script())
    known: Any = watch(context, str(video), QUESTION)
    graph, config = ask_graph(InMemorySaver()), {"configurable": {"thread_id": "t"}}
    graph.update_state(config, Command(update=known, goto="select"), as_node="filter")  # type: ignore[arg-type]
    path = [
        name
        for update in graph.stream(None, config, context=context, stream_mode="updates")  # type: ignore[arg-type]
        for name in update
    ]
    assert path == CHAIN


def test_the_readme_has_the_graph() -> None:
    drawn = ask_graph().get_graph().draw_mermaid(with_styles=False)
    guide = (Path(__file__).parents[2] / "docs/graph.md").read_text()
    assert drawn.strip() in guide, f"put this into docs/graph.md:\n{drawn}"


def test_every_node_has_a_sentence_or_needs_none() -> None:
    nodes = set(ask_graph().get_graph().nodes) - {"__start__", "__end__"}
    assert nodes - set(MESSAGES) == {"remember", "finish"}
    assert message("remember", {}) == "done"
    stopped = {"stop": "budget", "gaps": [{"stage": "budget", "reason": "2 of 2 calls made"}]}
    assert message("evidence", stopped) == "stopped: 2 of 2 calls made"
