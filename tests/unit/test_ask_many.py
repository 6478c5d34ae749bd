"""A batch of questions: what counts as a line, what is written, and how a run goes on."""

import json
import os
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import videoespresso as ve
from videoespresso.api import ask_many
from videoespresso.api.answer import Answer
from videoespresso.api.ask import Step
from videoespresso.api.ask_many_records import AnswersFile, plan
from videoespresso.graphs import context
from videoespresso.models.client.budget import Budget
from videoespresso.types import Gap, Usage, Video

VIDEO = Video(id="ab" * 32, path="a.mp4", duration_s=9, fps=Fraction(25), width=64, height=36)
Script = Callable[..., Answer]


def answer(question: str, text: str = "yes", **more: Any) -> Answer:
    return Answer(question=question, text=text, video=VIDEO, **more)


class Asker:
    """In the place of `ask`: counts, and does what the question's words say."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.together = self.most = 0
        self.lock = threading.Lock()
        self.hang = threading.Event()

    def __call__(
        self, video: str, question: str, *, on_step: Any, budget: Budget, **given: Any
    ) -> Answer:
        with self.lock:
            self.asked.append(question)
            self.together += 1
            self.most = max(self.most, self.together)
        try:
            return self.reply(video, question, on_step, budget)
        finally:
            with self.lock:
                self.together -= 1

    def reply(self, video: str, question: str, on_step: Any, budget: Budget) -> Answer:
        for node in ("probe", "sample", "caption", "remember"):
            on_step(Step(node=node, text=""))
        if "missing" in video:
            raise ve.VideoError(f"{video}: no such file", hint="check the path")
        if "model" in question:
            raise ve.ModelError("the server is down")
        if "settings" in question:
            raise ve.SettingsError("no key")
        if "hang" in question:
            self.hang.wait(20)
        try:
            budget.start()
        except ve.BudgetExceeded as error:
            return answer(question, answered=False, gaps=(Gap(stage="budget", reason=str(error)),))
        time.sleep(0.02)
        budget.finish(usage=Usage(calls=1))
        return answer(question)


@pytest.fixture
def asker(monkeypatch: pytest.MonkeyPatch) -> Asker:
    made = Asker()
    monkeypatch.setattr(ask_many, "ask", made)
    usable = SimpleNamespace(check_stages=lambda: None)
    monkeypatch.setattr(context, "open_context", lambda settings, tools: usable)
    return made


def some(n: int, video: str = "a.mp4") -> list[dict[str, Any]]:
    return [{"video": video, "question": f"question {k}?", "id": k} for k in range(n)]


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_question_is_answered_once_and_written(asker: Asker, tmp_path: Path) -> None:
    out = tmp_path / "answers.jsonl"
    asked = list(ve.ask_many(some(9), out=out, jobs=3))
    assert sorted(a.id for a in asked) == [str(k) for k in range(9)]
    assert [a.answer for a in asked if a.answer is None] == []
    assert {line["id"] for line in written(out)} == {a.id for a in asked}
    assert len(asker.asked) == len(set(asker.asked)) == 9
    assert "known" not in written(out)[0]


def test_jobs_are_at_a_time_and_one_video_is_looked_at_once(asker: Asker) -> None:
    two, reply = threading.Event(), asker.reply

    def together(video: str, question: str, on_step: Any, budget: Budget) -> Answer:
        if asker.together > 1:
            two.set()
        assert two.wait(60)
        return reply(video, question, on_step, budget)

    asker.reply = together  # type: ignore[method-assign]
    questions = [q for k in range(6) for q in some(1, f"{k}.mp4")]
    list(ve.ask_many(questions, jobs=3))
    assert 1 < asker.most <= 3
    looking: list[int] = []
    now = 0

    def watched(video: str, question: str, on_step: Any, budget: Budget) -> Answer:
        nonlocal now
        now += 1
        looking.append(now)
        time.sleep(0.02)
        now -= 1
        on_step(Step(node="remember", text=""))
        return answer(question)

    asker.reply = watched  # type: ignore[method-assign]
    list(ve.ask_many(some(6), jobs=3))
    assert looking == [1] * 6


def test_what_is_recorded_is_not_asked_again(asker: Asker, tmp_path: Path) -> None:
    out = tmp_path / "answers.jsonl"
    list(ve.ask_many(some(3), out=out))
    before = out.read_bytes()
    again = list(ve.ask_many(some(5), out=out))
    assert [a.known for a in again] == [True, True, True, False, False]
    assert len(asker.asked) == 5
    assert out.read_bytes().startswith(before)


def test_a_changed_text_under_the_same_id_is_another_question(asker: Asker, tmp_path: Path) -> None:
    out = tmp_path / "answers.jsonl"
    list(ve.ask_many(some(1), out=out))
    list(ve.ask_many([{"video": "a.mp4", "question": "another?", "id": 0}], out=out))
    assert asker.asked == ["question 0?", "another?"]


def test_two_equal_lines_are_one_question() -> None:
    assert len(plan([*some(2), *some(2)])) == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{broken", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "valid dictionary"),
        (b'{"video": "a.mp4"}', "`question`"),
        (b'{"video": "", "question": "q"}', "`video`"),
        (b'{"video": "a.mp4", "question": "q", "option": ["a"]}', "`option`"),
        (b'{"video": "a.mp4", "question": "q", "id": true}', "`id`"),
    ],
)
def test_a_bad_line_is_a_record_and_stops_nothing(
    asker: Asker, tmp_path: Path, line: bytes, said: str
) -> None:
    questions, out = tmp_path / "q.jsonl", tmp_path / "answers.jsonl"
    good = json.dumps(some(1)[0]).encode()
    questions.write_bytes(b"\xef\xbb\xbf" + line + b"\n\n" + good + b"\n")
    asked = {a.line: a for a in ve.ask_many(questions, out=out)}
    assert asked[3].answer
    assert asked[1].error
    assert said in asked[1].error.text
    assert "line 1" in asked[1].error.text
    assert '"question"' in asked[1].error.hint
    assert len(list(ve.ask_many(questions, out=out))) == len(written(out)) == 2


def test_errors_are_kept_and_asked_again_only_when_told(asker: Asker, tmp_path: Path) -> None:
    out = tmp_path / "answers.jsonl"
    questions = [*some(1, "missing.mp4"), *some(1), {"video": "b.mp4", "question": "model?"}]
    asked = {a.question: a for a in ve.ask_many(questions[1:], out=out)}
    assert asked["model?"].error
    assert asked["model?"].error.kind == "ModelError"
    missing = next(a for a in ve.ask_many(questions, out=out) if not a.known)
    assert missing.error
    assert (missing.error.kind, missing.error.hint) == ("VideoError", "check the path")
    count = len(asker.asked)
    assert all(a.known for a in ve.ask_many(questions, out=out))
    assert len(asker.asked) == count
    retried = list(ve.ask_many(questions, out=out, retry_errors=True))
    assert sorted(a.known for a in retried) == [False, False, True]
    assert len(written(out)) == 5


def test_what_is_wrong_with_the_run_ends_it(asker: Asker, tmp_path: Path) -> None:
    out = tmp_path / "answers.jsonl"
    with pytest.raises(ve.SettingsError, match="no key"):
        list(ve.ask_many([*some(1), {"video": "b", "question": "settings?"}], out=out, jobs=1))
    assert len(written(out)) == 1
    with pytest.raises(ve.SettingsError):
        ve.ask_many(some(1), select="by magic")
    with pytest.raises(ve.UserError, match="jobs"):
        ve.ask_many(some(1), jobs=0)
    with pytest.raises(ve.UserError, match=r"none\.jsonl"):
        ve.ask_many(tmp_path / "none.jsonl")


def test_an_unexpected_error_is_a_record_and_the_others_go_on(asker: Asker) -> None:
    plain = asker.reply

    def broken(video: str, question: str, on_step: Any, budget: Budget) -> Answer:
        if question == questions[0]["question"]:
            raise ZeroDivisionError("a bug of ours")
        return plain(video, question, on_step, budget)

    questions = some(3)
    asker.reply = broken  # type: ignore[method-assign]
    results = {r.question: r for r in ve.ask_many(questions)}
    failed = results.pop(questions[0]["question"]).error
    assert failed is not None
    assert "ZeroDivisionError: a bug of ours" in failed.text
    assert len(results) == 2
    assert all(r.answer for r in results.values())


def test_a_limit_is_of_the_whole_run_and_the_rest_is_asked_later(
    asker: Asker, tmp_path: Path
) -> None:
    out = tmp_path / "answers.jsonl"
    limited = ve.Settings.load({"budget_calls": 4})
    asked: list[ve.QuestionResult] = []
    records = ve.ask_many(some(10), out=out, jobs=3, settings=limited)
    with pytest.raises(ve.BudgetExceeded, match="6 of 10 questions are left") as caught:
        asked.extend(records)
    assert "higher limit" in caught.value.hint
    assert len(asked) == len(written(out)) == 4
    assert all(a.answer and not a.answer.gaps for a in asked)
    rest = list(ve.ask_many(some(10), out=out, jobs=3))
    assert sum(a.known for a in rest) == 4
    assert len(written(out)) == 10


def test_frames_are_each_questions_own() -> None:
    whole = Budget(max_usd=1, max_calls=2, max_frames=5, max_seconds=100)
    one, other = whole.part(), whole.part()
    one.charge_frames(4)
    assert (one.frames_left, other.frames_left) == (1, 5)
    assert (other.max_usd, other.max_calls) == (1, 2)
    one.start(0.5)
    one.finish(0.5, Usage(calls=1, usd=0.5))
    with pytest.raises(ve.BudgetExceeded):
        other.start(0.6)
    assert "spent" in whole.reached
    assert other.spent.usd == whole.spent.usd == 0.5
    other.start(0.1)
    other.finish(0.1, Usage(calls=1, usd=0.1))
    with pytest.raises(ve.BudgetExceeded):
        one.start()
    assert one.seconds_left == pytest.approx(whole.seconds_left, abs=1)


def test_who_stops_reading_stops_the_run(asker: Asker, tmp_path: Path) -> None:
    out = tmp_path / "answers.jsonl"
    waiting = [{"video": f"{k}.mp4", "question": "hang?"} for k in range(40)]
    records = ve.ask_many([*some(1), *waiting], out=out)
    assert next(records).id == "0"
    records.close()  # type: ignore[attr-defined]
    asker.hang.set()
    for thread in threading.enumerate():
        if thread.name.startswith("videoespresso-batch"):
            thread.join(10)
    assert len(asker.asked) <= 3, "what was begun ends; nothing more is begun"
    assert len(written(out)) == 1


def test_a_run_that_is_stopped_finishes_its_calls_and_makes_no_other(
    asker: Asker, tmp_path: Path
) -> None:
    """Two calls are under way: one is a question's last, after the other one more would come."""
    stop, refused = threading.Event(), threading.Event()
    together = threading.Barrier(2)

    def reply(video: str, question: str, on_step: Any, budget: Budget) -> Answer:
        on_step(Step(node="remember", text=""))
        budget.start()
        obeyed = threading.Event()
        with budget.watch(obeyed.set):
            together.wait(20)
            stop.set()
            assert obeyed.wait(20)
        budget.finish(usage=Usage(calls=1))
        if "0" in question:
            refused.wait(20)
            return answer(question)
        try:
            budget.start()
        except ve.BudgetExceeded as error:
            refused.set()
            return answer(question, gaps=(Gap(stage="budget", reason=str(error)),))
        return answer(question)

    asker.reply = reply  # type: ignore[method-assign]
    out = tmp_path / "answers.jsonl"
    asked = list(ve.ask_many(some(9, "a.mp4"), out=out, jobs=2, stop=stop))
    assert [a.id for a in asked] == ["0"]
    assert sorted(asker.asked) == ["question 0?", "question 1?"]
    assert len(written(out)) == 1


@pytest.mark.parametrize("cut", [1, 5, 30, -1])
def test_a_torn_last_line_is_cut_off_and_asked_again(
    asker: Asker, tmp_path: Path, cut: int
) -> None:
    out = tmp_path / "answers.jsonl"
    list(ve.ask_many(some(2), out=out, jobs=1))
    first, last = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(first + last[:cut])
    assert [a.known for a in ve.ask_many(some(2), out=out)] == [True, False]
    assert out.read_bytes().startswith(first)
    assert len(written(out)) == 2


@pytest.mark.parametrize(
    "content",
    ['{"video": "a"}\n', "notes\n", "notes", '{"key":"k","line":1}\n{"key":"'],
)
def test_a_file_of_somebody_else_is_left_as_it_is(
    asker: Asker, tmp_path: Path, content: str
) -> None:
    out = tmp_path / "answers.jsonl"
    out.write_text(content)
    with pytest.raises(ve.UserError, match="line 1 is no answer of ours"):
        list(ve.ask_many(some(1), out=out))
    assert out.read_text() == content
    assert asker.asked == []


def test_questions_are_not_replaced_by_answers(tmp_path: Path) -> None:
    questions = tmp_path / "q.jsonl"
    questions.write_text(json.dumps(some(1)[0]))
    with pytest.raises(ve.UserError, match="would replace"):
        ve.ask_many(questions, out=tmp_path / "." / "q.jsonl")


def test_one_run_at_a_time_writes_a_file(tmp_path: Path) -> None:
    out, locks = tmp_path / "answers.jsonl", tmp_path / "locks"
    with (
        AnswersFile.open(out, locks),
        pytest.raises(ve.UserError, match="another run"),
        AnswersFile.open(out, locks),
    ):
        pass
    with AnswersFile.open(out, locks):
        pass


@pytest.mark.parametrize("kind", ["device", "pipe", "folder"])
def test_answers_go_into_a_file_alone(tmp_path: Path, kind: str) -> None:
    """What a file holds already is read first; a device has no end, and a pipe waits."""
    out = Path("/dev/zero") if kind == "device" else tmp_path / kind
    if kind == "pipe":
        os.mkfifo(out)
    elif kind == "folder":
        out.mkdir()
    with pytest.raises(ve.UserError, match="no file"), AnswersFile.open(out, tmp_path / "locks"):
        pass


def test_a_place_that_cannot_be_written_is_told(asker: Asker, tmp_path: Path) -> None:
    with pytest.raises(ve.UserError, match="cannot be written"):
        list(ve.ask_many(some(1), out=tmp_path / "no" / "folder.jsonl"))
    assert asker.asked == []


def test_a_name_that_is_no_text_comes_back(asker: Asker, tmp_path: Path) -> None:
    out = tmp_path / "answers.jsonl"
    odd = some(1, b"caf\xe9.mp4".decode("utf-8", "surrogateescape"))
    list(ve.ask_many(odd, out=out))
    (again,) = ve.ask_many(odd, out=out)
    assert again.known
    assert again.video == odd[0]["video"]
