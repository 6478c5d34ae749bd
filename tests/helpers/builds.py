"""Datasets built from tiny clips against a server that replies by rule."""

from pathlib import Path
from typing import Any

from lab.rehearsal_server import RehearsalServer
from tests.helpers.clips import clips
from tests.helpers.forks import Forks

from videoespresso.api.build_dataset import Built, build_dataset
from videoespresso.settings import DATASET_ROLES, Settings

ROLES = ("captioner", *DATASET_ROLES)
AT_A_TIME = 4
"""Calls; what a builder that is killed may have paid for in vain."""
GROUP = 4
"""Captions; a clip of eight seconds has two groups."""


class Builds:
    """One set of clips, and datasets made of them by name, each with a cache of its own."""

    def __init__(self, folder: Path, server: RehearsalServer, videos: int = 3) -> None:
        self.folder, self.server = folder, server
        self.videos = clips(folder / "clips", videos)
        self.log = folder / "log"

    def cache(self, name: str) -> Path:
        return self.folder / f"{name}-cache"

    def settings(self, name: str, **more: Any) -> Settings:
        spec = f"openai:rehearsal@{self.server.url}"
        given = dict.fromkeys(ROLES, spec) | {
            "detector": "off", "dynamic_fps": 1.0, "concurrency": AT_A_TIME, "profile": "embedded",
            "cache_dir": self.cache(name), **more,
        }  # fmt: skip
        return Settings.load(given, environ={})

    def build(self, name: str, **more: Any) -> Built:
        """In this process."""
        return build_dataset(
            self.videos, self.folder / name, settings=self.settings(name, **more), group=GROUP
        )

    def argv(self, name: str, *more: str) -> list[str]:
        models = [f"-m{role}=openai:rehearsal@{self.server.url}" for role in ROLES]
        given = ["--detector", "off", "--group", str(GROUP), "--concurrency", str(AT_A_TIME)]
        out = ["--out", str(self.folder / name)]
        return ["dataset", "build", str(self.videos), *out, *models, *given, "--quiet", *more]

    def env(self, name: str) -> dict[str, str]:
        return {"VIDEOESPRESSO_CACHE_DIR": str(self.cache(name)), "VIDEOESPRESSO_DYNAMIC_FPS": "1"}

    def start(self, forks: Forks, name: str, *more: str, crash: tuple[Any, ...] = ()) -> int:
        """In a process of its own."""
        return forks.start(self.argv(name, *more), self.log, crash, **self.env(name))

    def files(self, name: str) -> dict[str, bytes]:
        """What all runs must agree on, to the byte."""
        names = ("records.jsonl", "rejects.jsonl")
        return {n: (self.folder / name / n).read_bytes() for n in names}

    def pictures(self, name: str) -> set[str]:
        return {p.name for p in (self.folder / name / "frames").iterdir() if p.name[0] != "."}
