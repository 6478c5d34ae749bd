"""A dataset gone on with on another server, or with frames of another size: nothing said of other
pictures, or by others, is taken for what was asked."""

import json
from pathlib import Path

import pytest
from lab.rehearsal_server import RehearsalServer
from tests.helpers.builds import GROUP, ROLES, Builds

from videoespresso.api.build_dataset import build_dataset


def test_another_server_under_the_same_spec_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RehearsalServer() as one, RehearsalServer() as other:
        builds = Builds(tmp_path, one, videos=1)
        settings = builds.settings("x", **dict.fromkeys(ROLES, "openai:rehearsal"))
        asked = []
        for server in (one, other, one):
            url = server.url.replace("://", "://me:planted-secret@")
            monkeypatch.setenv("OPENAI_BASE_URL", url)
            server.forget()
            build_dataset(builds.videos, tmp_path / "x", settings=settings, group=GROUP)
            asked.append(server.counts.as_json()["requests"])
        assert asked[0] == asked[1] > 0
        assert asked[2] == 0, "what the first server said is known"
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or b"planted-secret" not in file.read_bytes(), file
    servers = json.loads((tmp_path / "x" / "dataset.json").read_text())["made_with"]["servers"]
    assert set(servers) == set(ROLES)


def test_frames_of_another_size_are_captioned_anew(tmp_path: Path) -> None:
    with RehearsalServer() as server:
        builds = Builds(tmp_path, server, videos=1)
        asked = []
        for side in (48, 96, 48):
            server.forget()
            builds.build("x", max_side=side)
            asked.append(server.counts.as_json()["roles"].get("captioner", 0))
        assert asked[0] > 0
        assert asked[1] >= asked[0]
        assert asked[2] == 0, "what was said of the small ones is known"
