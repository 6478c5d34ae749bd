"""dataset.json: what a dataset was made with, and a line a run."""

from pathlib import Path

from tests.scripted import scripted_context

from videoespresso.dataset.manifest import made_key, made_with
from videoespresso.settings import DATASET_ROLES

ROLES = ("captioner", *DATASET_ROLES)


def test_another_choice_of_frames_is_another_dataset(tmp_path: Path) -> None:
    def key(**settings: str) -> str:
        context, _ = scripted_context(tmp_path, {}, roles=ROLES, **settings)
        return made_key(made_with(context, 0, 15))

    assert key(select="keyframes") != key()
    assert key(select="uniform") == key(select="paper"), "dataset mode selects nothing"
