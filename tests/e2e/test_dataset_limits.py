"""Limits, changed models and prompts, servers that fail, files that are none: counted at the
server."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from lab.rehearsal_server import Asked, RehearsalServer
from tests.helpers.builds import Builds
from tests.helpers.clips import clip

from videoespresso.agents import prompts
from videoespresso.api.build_dataset import Built, build_dataset
from videoespresso.cli.app import main
from videoespresso.cli.console import Exit
from videoespresso.dataset.forecast import forecast_dataset
from videoespresso.dataset_record import DatasetItem, Reject
from videoespresso.errors import BudgetExceeded, ModelError
from videoespresso.memory.journal import Journal
from videoespresso.models.client.prices import Price
from videoespresso.report.text import total

PRICE = Price(2.5, 10.0, "")
CALLS = 17


class Fault:
    """What the server does instead of replying."""

    def __init__(self) -> None:
        self.instead: Callable[[Asked], tuple[int, str] | None] = lambda _asked: None

    def __call__(self, asked: Asked) -> tuple[int, str] | None:
        return self.instead(asked)


@pytest.fixture(scope="module")
def fault() -> Fault:
    return Fault()


@pytest.fixture(scope="module")
def builds(fault: Fault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builds]:
    with RehearsalServer(hook=fault) as server:
        made = Builds(tmp_path_factory.mktemp("builds"), server, videos=2)
        made.build("reference")
        yield made


@pytest.fixture
def name(builds: Builds, fault: Fault, request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a new dataset whose frames are there already; the server counts from zero."""
    for part in ("frames", "probes"):
        target = builds.cache(request.node.name) / part
        shutil.copytree(builds.cache("reference") / part, target)
    builds.server.forget()
    yield request.node.name
    builds.server.latency_s = 0.0
    fault.instead = lambda _asked: None


def records(builds: Builds, name: str) -> list[DatasetItem]:
    data = builds.files(name)["records.jsonl"]
    return [DatasetItem.model_validate_json(line) for line in data.splitlines()]


def rejects(folder: Path) -> list[Reject]:
    lines = (folder / "rejects.jsonl").read_text().splitlines()
    return [Reject.model_validate_json(line) for line in lines]


# ---- limits


def test_a_limit_of_calls_is_kept_at_the_server_and_what_is_there_is_whole(
    builds: Builds, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for key, value in builds.env(name).items():
        monkeypatch.setenv(key, value)
    spent = 0
    for limit in (CALLS, 40):
        before = spent
        assert main(builds.argv(name, "--max-calls", str(limit - spent), "--json")) == Exit.BUDGET
        spent = builds.server.counts.as_json()["requests"]
        told = Built.model_validate_json(capsys.readouterr().out)
        assert told.ended == "budget"
        assert total(told.usage.values()).calls == spent - before
        assert told.records == len(records(builds, name))
        assert spent == limit
        reference = {r.id: r for r in records(builds, "reference")}
        assert all(r == reference[r.id] for r in records(builds, name))
    assert main(builds.argv(name)) == 0
    assert builds.server.counts.as_json()["twice"] == 0
    assert builds.files(name) == builds.files("reference")


def test_a_limit_in_dollars_is_kept_at_the_server(
    builds: Builds, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("videoespresso.models.client.usage.price", lambda _spec: PRICE)
    limit = 0.05
    with pytest.raises(BudgetExceeded) as caught:
        builds.build(name, budget_usd=limit)
    assert "same command" in caught.value.hint
    tokens = builds.server.counts.tokens.values()
    spent = PRICE.usd(sum(t[0] for t in tokens), sum(t[1] for t in tokens))
    # a call may cost 1,024 tokens out, a cent, of which most replies are a tenth
    assert limit - 0.02 < spent <= limit


def test_one_call_at_a_time_gets_there_too(builds: Builds, name: str) -> None:
    builds.build(name, concurrency=1)
    assert builds.server.counts.most == 1
    assert builds.files(name) == builds.files("reference")


def test_as_many_calls_as_allowed_are_made_at_a_time_and_no_more(builds: Builds, name: str) -> None:
    builds.server.forget(together=12)
    builds.server.latency_s = 0.3  # in which a thirteenth would come
    builds.build(name, concurrency=12)
    assert builds.server.counts.most == 12


def test_no_calls_at_all_are_enough_for_what_is_known(builds: Builds) -> None:
    before = builds.files("reference")
    builds.server.forget()
    assert builds.build("reference", budget_calls=0).ended == ""
    assert builds.server.counts.as_json()["requests"] == 0
    assert builds.files("reference") == before


# ---- what is changed


@pytest.mark.parametrize(
    ("role", "asked"),
    [
        ("generator", {"generator", "verifier", "annotator", "distractor"}),
        ("distractor", {"distractor"}),
    ],
)
def test_another_model_redoes_its_stage_and_what_follows(
    role: str, asked: set[str], builds: Builds, name: str
) -> None:
    builds.build(name)
    builds.server.forget()
    builds.build(name, **{role: f"openai:another@{builds.server.url}"})
    assert set(builds.server.counts.roles) == asked
    made = {r.made[stage].model for r in records(builds, name) for stage in r.made}
    assert f"openai:another@{builds.server.url}" in made


def test_another_prompt_redoes_its_stage_only_where_the_rest_is_told_the_same(
    builds: Builds, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds.build(name)
    builds.server.forget()
    folder = shutil.copytree(prompts.FOLDER, tmp_path / "prompts")
    with (folder / "verifier.md").open("a") as file:
        file.write("\nBe strict.\n")
    monkeypatch.setattr(prompts, "FOLDER", folder)
    built = builds.build(name)
    assert set(builds.server.counts.roles) == {"verifier"}
    assert built.records == len(records(builds, "reference"))
    shas = {r.made["verify"].prompt for r in records(builds, name)}
    assert shas == {prompts.load("verifier").sha}
    assert shas != {r.made["verify"].prompt for r in records(builds, "reference")}


# ---- servers that fail


def test_failures_in_the_middle_are_mended_by_the_same_command(
    builds: Builds, fault: Fault, name: str
) -> None:
    refused = set()

    def sometimes(asked: Asked) -> tuple[int, str] | None:
        if asked.role not in ("verifier", "distractor") or int(asked.sha, 16) % 3:
            return None
        refused.add(asked.sha)
        return 404, "no such model today"

    fault.instead = sometimes
    built = builds.build(name)
    assert built.failed == len(built.failures) > 0
    assert all("no such model today" in told for told in built.failures)
    assert 0 < built.records < len(records(builds, "reference"))
    fault.instead = lambda _asked: None
    builds.server.forget()
    assert builds.build(name).failed == 0
    assert refused <= set(builds.server.counts.bodies)
    assert builds.files(name) == builds.files("reference")


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A folder of twelve clips."""
    folder = tmp_path / "many"
    folder.mkdir()
    for k in range(12):
        clip(folder / f"{k}.mp4", 100 + k, seconds=2)
    return folder


@pytest.mark.parametrize(
    ("status", "said", "remedy"),
    [
        (401, "Incorrect API key provided", "OPENAI_API_KEY"),
        (402, "Payment required", "billing"),
        (429, "insufficient_quota: you exceeded your current quota", "billing"),
    ],
)
def test_a_refused_account_ends_the_run_at_once_with_a_remedy(
    builds: Builds, fault: Fault, name: str, many: Path, status: int, said: str, remedy: str
) -> None:
    fault.instead = lambda _asked: (status, said)
    settings = builds.settings(name)
    with pytest.raises(ModelError, match=f"{status}: .*{said}") as caught:
        build_dataset(many, builds.folder / name, settings=settings, jobs=2)
    assert remedy in caught.value.hint
    assert "same command goes on" in caught.value.hint
    assert builds.server.counts.as_json()["requests"] <= 2 * settings.concurrency


def test_a_key_that_is_refused_in_the_middle_loses_nothing(
    builds: Builds, fault: Fault, name: str
) -> None:
    fault.instead = lambda asked: (401, "revoked") if asked.role == "annotator" else None
    with pytest.raises(ModelError, match=r"401: .*revoked"):
        builds.build(name)
    before = builds.server.counts
    assert before.roles["generator"] > 0
    fault.instead = lambda _asked: None
    builds.server.forget()
    assert builds.build(name).failed == 0
    after = builds.server.counts
    twice = set(before.bodies) & set(after.bodies)
    assert len(twice) == before.roles["annotator"], "only what was refused is asked again"
    assert builds.files(name) == builds.files("reference")


def test_models_that_fail_video_after_video_end_the_run(
    builds: Builds, fault: Fault, name: str, many: Path
) -> None:
    fault.instead = lambda _asked: (403, "not from this country")
    with pytest.raises(ModelError, match=r"8 videos in a row .*403: .*country") as caught:
        build_dataset(many, builds.folder / name, settings=builds.settings(name), jobs=1)
    assert "same command goes on" in caught.value.hint
    assert builds.server.counts.as_json()["requests"] <= 8 * 4


def test_a_forecast_says_what_was_refused(builds: Builds, fault: Fault, name: str) -> None:
    fault.instead = lambda _asked: (401, "Incorrect API key provided")
    with pytest.raises(ModelError, match=r"401: .*Incorrect") as caught:
        forecast_dataset(
            builds.videos, builds.folder / name, settings=builds.settings(name), sample=2
        )
    assert "OPENAI_API_KEY" in caught.value.hint


def test_replies_that_come_late_are_failures_and_mended(builds: Builds, name: str) -> None:
    builds.server.latency_s = 3.0
    built = builds.build(name, timeout_s=0.05)
    assert all("did not answer in time" in told for told in built.failures)
    assert built.failed == 2, "a video each: its captions"
    builds.server.latency_s = 0.0
    assert builds.build(name).failed == 0
    assert builds.files(name) == builds.files("reference")


# ---- files that are none


def test_a_thousand_broken_files_between_good_ones_stop_nothing(builds: Builds, name: str) -> None:
    videos = builds.folder / "mixed"
    videos.mkdir()
    for k in range(1000):
        (videos / f"{k:04}.mp4").write_bytes(b"")
    (videos / "noise.mp4").write_bytes(bytes(range(256)) * 40)
    good = sorted(builds.videos.iterdir())
    for k, path in enumerate(good):
        shutil.copyfile(path, videos / f"{500 + k}-good.mp4")
    shutil.copyfile(good[0], videos / "zz-copy.mp4")
    out = builds.folder / name
    built = build_dataset(videos, out, settings=builds.settings(name), group=4)
    assert (built.done, built.failed) == (1004, 0)
    found = [r.criterion for r in rejects(out)]
    assert found.count("unreadable video") == 1001
    assert [r.reason.rpartition("/")[2] for r in rejects(out) if r.criterion == "duplicate"] == [
        "500-good.mp4"
    ]
    assert built.records == len(records(builds, "reference"))


def test_a_file_that_was_mended_is_no_reject_any_more(builds: Builds, name: str) -> None:
    videos, out = builds.folder / f"{name}-videos", builds.folder / name
    videos.mkdir()
    (videos / "0.mp4").write_bytes(b"half a download")
    assert build_dataset(videos, out, settings=builds.settings(name), group=4).rejects == 1
    shutil.copyfile(sorted(builds.videos.iterdir())[0], videos / "0.mp4")
    built = build_dataset(videos, out, settings=builds.settings(name), group=4)
    assert built.records > 0
    assert "unreadable video" not in {r.criterion for r in rejects(out)}


def test_files_that_cannot_be_read_are_said_and_nothing_else_is_an_error(
    builds: Builds, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for key, value in builds.env(name).items():
        monkeypatch.setenv(key, value)
    bad = [builds.folder / f"{name}-{k}.mp4" for k in range(12)]
    for path in bad:
        path.write_bytes(b"half a download")
    out = ["--out", str(builds.folder / name), "--group", "4"]
    assert main(["dataset", "build", *map(str, bad), *out]) == Exit.USER
    told = capsys.readouterr()
    assert "0 records, 12 rejects" in told.out
    said = [line for line in told.err.splitlines() if "warning: left out: " in line]
    assert len(said) == 10
    assert all(any(path.name in line for path in bad) for line in said)
    assert "12 videos in all were left out" in told.err
    assert "rejects of these videos: 12 unreadable video" in told.out
    argv = builds.argv(name)
    argv.insert(2, str(bad[0]))
    assert main(argv) == 0
    assert capsys.readouterr().err.count("left out: ") == 1


def test_a_run_that_makes_nothing_says_so(
    builds: Builds, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for key, value in builds.env(name).items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(builds.server, "pairs", 0)
    assert main(builds.argv(name)) == Exit.NOT_ANSWERED
    told = capsys.readouterr()
    assert "no record was made" in told.err
    assert "no question" in told.out


def test_videos_that_another_process_is_at_work_on_are_no_failure(
    builds: Builds, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for key, value in builds.env(name).items():
        monkeypatch.setenv(key, value)
    with ExitStack() as held:
        for journal in (builds.folder / "reference" / "work").glob("*.jsonl"):
            held.enter_context(Journal(builds.folder / name / "work" / journal.name))
        assert main(builds.argv(name)) == 0
    message = " ".join(capsys.readouterr().err.split())
    assert "2 videos are being done by another process" in message
    assert "the same command does what it leaves" in message
    assert main(builds.argv(name)) == 0


def test_a_name_that_is_no_text_is_a_video_all_the_same(builds: Builds, name: str) -> None:
    videos, out = builds.folder / f"{name}-videos", builds.folder / name
    videos.mkdir()
    good, bad = str(videos / "g\udcffod.mp4"), str(videos / "b\udcffd.mp4")
    shutil.copyfile(sorted(builds.videos.iterdir())[0], good)
    Path(bad).write_bytes(b"")
    built = build_dataset(videos, out, settings=builds.settings(name), group=4)
    assert (built.failed, built.done) == (0, 2)
    assert [r.criterion for r in rejects(out) if r.stage == "probe"] == ["unreadable video"]
    assert built.records > 0
