"""`doctor` proves a server: what each kind of server can do is found out, in few requests."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.helpers import chat_server as fake
from tests.helpers.seeing_server import Seer

from videoespresso.cli.app import main
from videoespresso.models.chat import chat_model
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.proof import CALLS, MOST_CALLS, Proof, most_usd
from videoespresso.models.specs import ModelSpec

SEER = Seer()
GOOD = {
    "JSON schema": "pass",
    "sees": "pass",
    "pictures": "pass",
    "order": "pass",
    "instants": "pass",
    "pictures a request": "pass",
    "tools": "pass",
    "streaming": "pass",
}


def proved(behaviour: fake.Behaviour, **limits: Any) -> tuple[dict[str, Any], int]:
    """The findings by name, and how many requests they took."""
    with fake.Server([behaviour]) as server:
        spec = ModelSpec.parse(f"openai:seer@{server.url}")
        model = chat_model(spec, max_tokens=256, timeout_s=20)
        proof = Proof(spec, model, usage_log=UsageLog(), budget=Budget(**limits))
        found = {finding.name: finding for finding in proof.findings()}
        return found, len(server.requests)


def test_a_good_server_passes_in_four_requests() -> None:
    found, requests = proved(SEER)
    assert {name: f.result for name, f in found.items()} == GOOD
    assert requests == CALLS
    assert "16 or more" in found["pictures a request"].detail
    assert "sheet = 8" in found["pictures a request"].detail
    assert "2, 7.5, 11, 19.5" in found["instants"].detail
    assert not any(f.remedy for f in found.values())


@pytest.mark.parametrize(
    ("seer", "changed"),
    [
        (
            Seer(sees=False),
            {"sees": "fail", "pictures": "fail", "order": "unknown"},
        ),
        (Seer(order=-1), {"order": "fail", "sees": "fail"}),
        (Seer(instants=False), {"instants": "fail"}),
        (Seer(json_schema=False), {"JSON schema": "fail"}),
        (Seer(json_schema=False, tools=False), {"JSON schema": "fail", "tools": "fail"}),
        (Seer(tools=False), {"tools": "fail"}),
        (Seer(stream=False), {"streaming": "fail"}),
        (Seer(most_images=6), {}),
        (Seer(most_images=10), {}),
    ],
)
def test_what_a_server_cannot_do_is_found(seer: Seer, changed: dict[str, str]) -> None:
    found, requests = proved(seer)
    assert {name: f.result for name, f in found.items()} == GOOD | changed
    assert all(found[name].remedy for name in changed)
    assert CALLS <= requests <= MOST_CALLS
    if seer.most_images < 16:
        room = found["pictures a request"]
        assert room.detail == f"{seer.most_images}, as the server says"
        assert f"uniform:{seer.most_images}" in room.remedy


def test_a_refused_parameter_is_left_out_from_then_on() -> None:
    found, requests = proved(fake.without("temperature", then=SEER))
    assert {name: f.result for name, f in found.items()} == GOOD
    assert requests == CALLS + 1


def test_a_server_of_one_picture_is_proved_with_one() -> None:
    found, requests = proved(Seer(most_images=1))
    assert found["pictures"].result == "fail"
    assert "grid" in found["pictures"].remedy
    assert (found["sees"].result, found["instants"].result) == ("pass", "pass")
    assert "order" not in found
    assert requests <= MOST_CALLS


def test_a_server_that_takes_no_picture_is_said_to_be_blind() -> None:
    found, requests = proved(Seer(refuses_images=True))
    assert found["sees"].result == "fail"
    assert "vision model" in found["sees"].remedy
    assert found["tools"].result == found["streaming"].result == "pass"
    assert requests <= MOST_CALLS


@pytest.mark.parametrize(
    ("behaviour", "word"),
    [
        (fake.status(401, "no"), "401"),
        (fake.html(), "not a chat completion"),
        (fake.say("I am only words."), "no reply could be read"),
    ],
)
def test_no_server_stops_the_doctor(behaviour: fake.Behaviour, word: str) -> None:
    found, _ = proved(behaviour)
    assert found["sees"].result == "fail"
    assert any(word in f.detail for f in found.values())


def test_a_limit_is_kept_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    found, requests = proved(SEER, max_calls=1)
    assert requests == 1
    assert found["tools"].result == found["streaming"].result == "unknown"
    assert "--max-usd" in found["tools"].remedy
    spec = ModelSpec.parse("openai:gpt-4o")
    most = most_usd(spec)
    assert most is not None
    assert 0.01 < most < 0.1
    assert most_usd(ModelSpec.parse("mistralai:x")) is None


# ---- the command


@pytest.fixture
def doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict[str, Any]]]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIDEOESPRESSO_CACHE_DIR", str(tmp_path / "cache"))

    def run(*line: str) -> tuple[int, dict[str, Any]]:
        code = main(["doctor", "--json", *line])
        checks = json.loads(capsys.readouterr().out)["checks"]
        return code, {check["name"]: check for check in checks}

    return run


def test_the_doctor_counts_first_and_then_proves(doctor: Any) -> None:
    with fake.Server([Seer()]) as server:
        code, checks = doctor("-m", f"openai:@{server.url}")
        posts = [path for path in server.paths if path.endswith("completions")]
    assert code == 0, checks
    assert {name: checks[name]["result"] for name in GOOD} == GOOD
    assert f"openai:seer@{server.url}" in checks["requests"]["detail"]
    assert checks["requests"]["detail"].startswith("8 to 12 follow, for nothing at most")
    assert 8 <= len(posts) <= 12
    names = list(checks)
    assert names.index("requests") < names.index("captioner") < names.index("sees")
    assert checks["question"]["detail"].startswith("free")


def test_a_blind_server_fails_the_doctor_with_a_remedy(doctor: Any) -> None:
    with fake.Server([Seer(sees=False)]) as server:
        code, checks = doctor("-m", f"openai:x@{server.url}")
    assert code == 4
    assert checks["sees"]["result"] == "fail"
    assert checks["sees"]["remedy"]


def test_a_closed_port_is_one_failed_check(doctor: Any) -> None:
    code, checks = doctor("-m", "openai:@http://127.0.0.1:9/v1")
    assert code == 4
    assert checks["server"]["result"] == "fail"
    assert "nothing answers at http://127.0.0.1:9" in checks["server"]["detail"]
    assert "sees" not in checks
