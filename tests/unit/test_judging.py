"""A judge: what it is asked, what is made of its ratings, and what it is worth itself."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from PIL import Image
from pydantic import BaseModel
from tests.helpers import chat_server as fake
from tests.helpers.released import bench_record, item, write

import videoespresso as ve
from videoespresso.agents.base import Agent
from videoespresso.agents.judge import CRITERIA, Opinion, may_abstain, prompt
from videoespresso.cli.app import main
from videoespresso.cli.console import Exit, err, out
from videoespresso.dataset_record import DatasetItem, KeyFrame, SourceVideo
from videoespresso.errors import BudgetExceeded, ModelError, SettingsError, UserError
from videoespresso.evaluation import judging, protocols
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.specs import ModelSpec
from videoespresso.testing import ScriptedModel, text_of

ANSWER, REFERENCE = "Answer to be judged: ", "Reference answer: "


def opinion(overall: int, **more: int) -> str:
    """A reply; each rating is the overall one unless it is said."""
    return json.dumps({"reason": "so", "can_tell": True} | dict.fromkeys(CRITERIA, overall) | more)


ABSTAINS = '{"reason": "who knows", "can_tell": false}'


def judge_of(reply: Callable[[str, bool], str], cache: Path | None = None, **limits: Any) -> Agent:
    """A judge that says `reply(answer, reference first)`."""

    def said(messages: list[BaseMessage]) -> str:
        text = text_of(messages, 1)  # behind it may be what was wrong with an earlier reply
        answer = re.search(f"{ANSWER}(.*)", text)
        assert answer is not None
        return reply(answer[1], text.index(REFERENCE) < text.index(ANSWER))

    model = ScriptedModel(script={"judge": said}, asked={})
    replies = None if cache is None else ReplyCache(cache / "replies.sqlite")
    spec, budget = ModelSpec.parse("hf:scripted"), Budget(**limits)
    return Agent("judge", spec, model, usage_log=UsageLog(), replies=replies, budget=budget)


def shown(*answers: str) -> list[judging.Shown]:
    return [
        (item(k, id=f"{k:016x}", video=SourceVideo(path=f"{k}.mp4")), answer)
        for k, answer in enumerate(answers)
    ]


def test_each_answer_is_rated_in_both_orders_and_the_mean_counts() -> None:
    agent = judge_of(lambda answer, first: opinion(8 if first else 6, logic=int(answer)))
    found = judging.judge(shown("3", "5", "7"), agent, sees="nothing")
    assert agent.model.asked == {"judge": 6}  # type: ignore[attr-defined]
    assert {name: e.value for name, e in found.ratings.items()} == {
        "logic": 5.0, "factuality": 7.0, "accuracy": 7.0, "conciseness": 7.0, "overall": 7.0,
    }  # fmt: skip
    assert found.opinions[0].overall == (8, 6)
    assert (found.n, found.rated, found.cannot_tell, found.unreadable) == (3, 3, 0, 0)
    assert (found.judge, found.prompt) == ("hf:scripted", prompt().sha)
    assert found.temperature is None  # a scripted model takes none
    assert found.turned is not None
    assert found.turned.value == 0.0
    assert found.agreement is None


def test_an_overall_rating_is_asked_for_and_no_mean() -> None:
    agent = judge_of(lambda *_: opinion(9, logic=1, factuality=1, accuracy=1, conciseness=1))
    assert judging.judge(shown("x", "y"), agent, sees="nothing").ratings["overall"].value == 9


def test_a_verdict_that_turns_with_the_order_is_counted() -> None:
    agent = judge_of(lambda answer, first: opinion(9 if first or answer == "b" else 2))
    found = judging.judge(shown("a", "b", "a", "b"), agent, sees="nothing")
    assert found.turned is not None
    assert (found.turned.value, found.turned.n) == (0.5, 4)
    assert found.alpha is not None
    assert found.alpha.value < 0.5


def test_a_judge_who_likes_length_is_found_out() -> None:
    agent = judge_of(lambda answer, _: opinion(min(10, len(answer))))
    found = judging.judge(shown(*("x" * k for k in range(1, 11))), agent, sees="nothing")
    assert found.length is not None
    assert found.length.value == pytest.approx(1)
    assert found.alpha is not None
    assert found.alpha.value == 1


def test_agreement_with_the_letters() -> None:
    pairs = shown("(B) yes", "(C) no", "(B) no", "(B) yes")
    letters = protocols.letter([i for i, _ in pairs], [a for _, a in pairs]).verdicts
    agent = judge_of(lambda answer, _: opinion(9 if "yes" in answer else 2))
    found = judging.judge(pairs, agent, sees="nothing", letters=letters)
    assert found.agreement is not None
    assert (found.agreement.value, found.agreement.n) == (0.75, 4)


def test_what_it_cannot_tell_and_what_cannot_be_read_rate_nothing() -> None:
    replies = {"tells": opinion(4), "abstains": ABSTAINS, "babbles": "I like it."}
    agent = judge_of(lambda answer, first: replies[answer] if first else opinion(6))
    found = judging.judge(shown(*replies, "abstains"), agent, sees="nothing")
    assert (found.n, found.rated, found.cannot_tell, found.unreadable) == (4, 4, 2, 1)
    assert found.ratings["overall"].value == (5 + 6 + 6 + 6) / 4
    assert [o.overall for o in found.opinions] == [(4, 6), (None, 6), (None, 6), (None, 6)]
    nobody = judging.judge(shown("x"), judge_of(lambda *_: ABSTAINS), sees="nothing")
    assert (nobody.rated, nobody.ratings, nobody.alpha, nobody.turned) == (0, {}, None, None)


@pytest.mark.parametrize("sees", ["evidence", "nothing"])
def test_it_sees_what_is_said(sees: Any) -> None:
    texts: list[str] = []

    def said(messages: list[BaseMessage]) -> str:
        texts.append(text_of(messages))
        return opinion(5)

    agent = judge_of(lambda *_: "")
    agent.model = ScriptedModel(script={"judge": said}, asked={})
    pairs = shown("it\nis: red")
    judging.judge(pairs, agent, sees=sees)
    assert all(("The light turns red." in text) == (sees == "evidence") for text in texts)
    assert all(f"{ANSWER}it is: red\n" in text for text in texts), "an answer opens no section"
    assert not any(option in text for text in texts for option in ("a dog runs by", "parked"))


def test_it_is_shown_the_pictures_of_a_benchmark_and_of_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    Image.new("RGB", (64, 36), "red").save(tmp_path / "bench" / "a.png")
    Image.new("RGB", (64, 36), "blue").save(tmp_path / "secret.png")
    pictures = judging.pictures_of(tmp_path / "bench" / "bench.json")
    framed = item(0, id="0", core_frames=(KeyFrame(image="a.png"),), evidence=())
    assert [p.size for p in pictures(framed)] == [(64, 36)]
    for names in ((), ("../secret.png",), ("none.png",)):
        with pytest.raises(UserError, match=r"no picture|cannot be read"):
            pictures(
                item(0, id="0", core_frames=tuple(KeyFrame(image=n) for n in names), evidence=())
            )
    seen: list[Any] = []

    def said(messages: list[BaseMessage]) -> str:
        seen.append(messages[1].content)
        return opinion(5)

    agent = judge_of(lambda *_: "")
    agent.model = ScriptedModel(script={"judge": said}, asked={})
    judging.judge([(framed, "red")], agent, sees="frames", pictures=pictures)
    assert [[block["type"] for block in blocks] for blocks in seen] == [["image_url", "text"]] * 2
    paid = ModelSpec.parse("openai:gpt-4o")
    without = judging.forecast([(framed, "red")], paid, "nothing")
    with_ = judging.forecast([(framed, "red")], paid, "frames", pictures)
    assert with_.input_tokens > without.input_tokens + 100
    with pytest.raises(UserError, match="no pictures to show"):
        judging.judge([(framed, "red")], agent, sees="frames")


@pytest.mark.parametrize(
    "reply",
    ['{"can_tell": true}', opinion(11), opinion(0), '{"logic": 3}', opinion(5, logic=50)],
)
def test_ratings_that_are_none_are_no_opinion(reply: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Opinion.model_validate_json(reply)


def test_a_judge_that_may_not_abstain_is_refused() -> None:
    class Sure(BaseModel):
        overall: int

    assert may_abstain(Opinion) is Opinion
    with pytest.raises(SettingsError, match="Sure cannot say that it cannot tell"):
        may_abstain(Sure)


def test_the_embedded_models_are_no_judge(tmp_path: Path) -> None:
    settings = ve.Settings.load({"cache_dir": tmp_path}, environ={})
    with pytest.raises(SettingsError, match="cannot judge"):
        judging.open_judge("embedded:", settings)


def test_a_limit_ends_it_and_the_next_time_nothing_is_asked_twice(tmp_path: Path) -> None:
    pairs = shown(*map(str, range(6)))
    first = judge_of(lambda *_: opinion(5), tmp_path, max_calls=5)
    first.concurrency = 1
    with pytest.raises(BudgetExceeded):
        judging.judge(pairs, first, sees="nothing")
    second = judge_of(lambda *_: opinion(5), tmp_path)
    assert judging.judge(pairs, second, sees="nothing").rated == 6
    assert first.model.asked["judge"] + second.model.asked["judge"] == 12  # type: ignore[attr-defined]


def test_the_forecast_counts_both_orders_and_knows_prices() -> None:
    pairs = shown("a", "b")
    paid = judging.forecast(pairs, ModelSpec.parse("openai:gpt-4o"), "nothing")
    assert (paid.calls, paid.usd is not None and paid.usd > 0) == (4, True)
    more = judging.forecast(pairs, ModelSpec.parse("openai:gpt-4o"), "evidence")
    assert more.input_tokens > paid.input_tokens
    unknown = ModelSpec.parse("openai:x@https://example.org/v1")
    assert judging.forecast(pairs, unknown, "nothing").usd is None


def test_answers_without_words_are_not_shown_and_a_reference_is_needed() -> None:
    items: list[DatasetItem] = [i for i, _ in shown("a", "b", "c")]
    assert [r for _, r in judging.answered(items, ["x", " ", None])] == ["x"]
    with pytest.raises(UserError, match="1 items have no reference answer"):
        judging.answered([items[0].model_copy(update={"answer": ""})], ["x"])


# ---- the command


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    out.cache_clear()
    err.cache_clear()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIDEOESPRESSO_CACHE_DIR", str(tmp_path / "cache"))
    records = [
        bench_record(question=f"Who {k}?", video_path=f"{k}.mp4", model_output="(B)")
        for k in range(3)
    ]
    return write(tmp_path / "out.json", records)


def test_the_command_says_what_it_takes_and_what_the_judge_is_worth(
    outputs: Path, capsys: Any
) -> None:
    with fake.Server([fake.say(opinion(7))]) as server:
        line = ["eval", "score", "out.json", "--judge", f"openai:some@{server.url}"]
        assert main([*line, "--dry-run"]) == Exit.ANSWERED
        assert json.loads(capsys.readouterr().out)["calls"] == 6
        assert server.requests == []
        assert main([*line, "--json"]) == Exit.ANSWERED
        shown_ = capsys.readouterr()
        asked = len(server.requests)
        assert all(request["temperature"] == 0 for request in server.requests)
        assert main(line) == Exit.ANSWERED
        assert len(server.requests) == asked, "what is known is not asked again"
    judged = json.loads(shown_.out)["judged"]
    assert judged["ratings"]["overall"]["value"] == 7
    assert (judged["sees"], judged["temperature"]) == ("nothing", 0)
    assert judged["agreement"]["value"] == 1.0
    assert "6 calls" in shown_.err
    table = capsys.readouterr().out
    assert "Krippendorff's alpha between the orders" in table
    assert "3 answers in both orders, 3 rated" in table


def test_a_judge_that_does_not_answer_ends_it(outputs: Path, capsys: Any) -> None:
    with fake.Server([fake.status(401, "no such key")]) as server:
        judge = f"openai:some@{server.url}"
        assert main(["eval", "score", "out.json", "--judge", judge]) == Exit.FAILED
        with pytest.raises(ModelError):
            ve.score(outputs, judge=judge)
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (["--max-usd", "1"], "nothing here costs anything"),
        (["--dry-run"], "nothing here costs anything"),
        (["--judge", "embedded:"], "cannot judge"),
        (["--judge", "nobody"], "nobody"),
    ],
)
def test_what_cannot_be_done_costs_nothing(
    outputs: Path, more: list[str], what: str, capsys: Any
) -> None:
    assert main(["eval", "score", "out.json", *more]) == Exit.USER
    assert what in " ".join(capsys.readouterr().err.split())
