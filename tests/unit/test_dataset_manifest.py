"""dataset.json: what a dataset was made with, and a line a run."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.helpers.scripted import scripted_context

from videoespresso.dataset.folder import Folder
from videoespresso.dataset.manifest import made_key, made_with, write_manifest
from videoespresso.settings import DATASET_ROLES

ROLES = ("captioner", *DATASET_ROLES)


def test_another_choice_of_frames_is_another_dataset(tmp_path: Path) -> None:
    def key(**settings: str) -> str:
        context, _ = scripted_context(tmp_path, {}, roles=ROLES, **settings)
        return made_key(made_with(context, 0, 15))

    assert key(select="keyframes") != key()
    assert key(select="retrieval") == key(select="paper"), "dataset mode selects nothing"


def test_runs_that_end_together_are_all_there(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.open()

    def runs(n: int) -> None:
        for k in range(5):
            write_manifest(folder, {}, {}, {"n": (n, k)})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(runs, range(4)))
    printed = [tuple(run["n"]) for run in json.loads(folder.manifest.read_text())["runs"]]
    assert sorted(printed) == [(n, k) for n in range(4) for k in range(5)]
