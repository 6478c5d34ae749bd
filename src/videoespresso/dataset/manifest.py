"""dataset.json: what a dataset was made with, and what became of each run."""

import hashlib
import json
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from videoespresso.agents import generator
from videoespresso.agents.prompts import load
from videoespresso.dataset.folder import Folder, written
from videoespresso.dataset_record import VERSION
from videoespresso.graphs.context import Context
from videoespresso.memory.disk import writer_lock
from videoespresso.tools.detectors.label_check import ColorCheck

Json = dict[str, Any]


def made_with(context: Context, seed: int, group: int) -> Json:
    """What the records of a run depend on: models, servers that the environment names (marks of
    them), prompts, sampling, seed."""
    settings = context.settings
    prompts = {"generator": generator.prompt().sha}  # the only one with something to fill in
    prompts |= {r: load(r).sha for r in ("captioner", "verifier", "annotator", "distractor")}
    marks = {role: agent.identity.get("server", "") for role, agent in context.agents.items()}
    servers = {role: mark for role, mark in marks.items() if mark}
    return {
        "models": {role: str(agent.spec) for role, agent in context.agents.items()}
        | {"detector": context.detector.name, "embedder": context.embed.name}
        | {"label_check": settings.label_check or ColorCheck.name},
        **({"servers": servers} if servers else {}),
        "prompts": dict(sorted(prompts.items())),
        "sampling": {
            "fps": settings.fps,
            "dynamic_fps": settings.dynamic_fps,
            "max_side": settings.max_side,
            "max_frames": context.plan.max_frames,
            "tau": "default" if settings.tau is None else settings.tau,
            "keyframes": settings.select == "keyframes",
        },
        "group": group,
        "seed": seed,
    }


def made_key(made: Json) -> str:
    """Names what replies depend on: all but the seed, which no prompt holds."""
    text = json.dumps({k: v for k, v in made.items() if k != "seed"}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_manifest(folder: Folder, settings: Json, counts: Json, run: Json) -> None:
    """Writes the latest settings, the counts, and a line a run, of which `run` is the last; one
    writer at a time, so that runs which end together are all there. Raises MemoryStoreError."""
    ended_at = datetime.now(UTC).isoformat(timespec="seconds")
    run = {"ended_at": ended_at, "made_with": settings, **run}
    with writer_lock(folder.lock):
        manifest = {
            "schema_version": VERSION,
            "videoespresso": version("videoespresso"),
            "made_with": settings,
            "counts": counts,
            "runs": [*_runs(folder), run],
        }
        with written(folder.manifest) as file:
            json.dump(manifest, file, indent=2)


def _runs(folder: Folder) -> list[Json]:
    try:
        manifest = json.loads(folder.manifest.read_text(encoding="utf-8"))
        runs = manifest["runs"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return runs if isinstance(runs, list) else []


def different(one: dict[str, Any], other: dict[str, Any], name: str = "") -> str:
    """The first thing in which `other` differs from `one`, with both values; "" when none."""
    for key in sorted(one | other):
        a, b = one.get(key), other.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            if inner := different(a, b, f"{name}{key}."):
                return inner
        elif a != b:
            return f"{name}{key} is {b!r} and not {a!r}"
    return ""
