"""What several tests of whole commands share."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.helpers.forks import Forks, Run


@pytest.fixture(scope="session")
def readers_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of somebody who reads all guides: a film that was looked at for one block is known to the
    next."""
    return tmp_path_factory.mktemp("reader")


@pytest.fixture
def as_a_reader(readers_cache: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of a cache of the test's own."""
    monkeypatch.setenv("VIDEOESPRESSO_CACHE_DIR", str(readers_cache))


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """What starts a command in a process of its own in 20 ms; two seconds go once a session."""
    with Forks() as made:
        yield made


@pytest.fixture
def run(forks: Forks, tmp_path: Path) -> Run:
    """`videoespresso` with these words in the test's folder."""

    def started(
        *words: str | Path, said: str = "", **more: str
    ) -> subprocess.CompletedProcess[str]:
        env = os.environ | {"COLUMNS": "120", **more}
        return forks.run(*map(str, words), cwd=tmp_path, env=env, said=said)

    return started
