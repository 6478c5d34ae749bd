"""An adapter merged into its base: full weights in one folder, which any server of them offers."""

import shutil
from pathlib import Path

from videoespresso.errors import UserError
from videoespresso.models.hf_weights import ADAPTER, RECIPE, load, parts
from videoespresso.training.base import needed
from videoespresso.training.trainer import quiet


def merge(adapter: str | Path, out: str | Path) -> Path:
    """Writes the merged model, its processor and its recipe to `out`; returns it.

    Raises UserError for a folder that is no adapter and for an `out` that holds something, and
    SettingsError or ModelError where it cannot be loaded.
    """
    text = str(adapter).removeprefix("hf:")
    if not parts(text)[1]:
        raise UserError(
            f"{text} is no adapter: it has no {ADAPTER}",
            hint="Give the --out of a `train` command.",
        )
    target = Path(out)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} holds something", hint="Give --out a new folder.")
    needed()
    with quiet():
        processor, model = load(text, "auto", "cpu")
    try:
        target.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(target)
        processor.save_pretrained(target)
        recipe = Path(parts(text)[1]) / RECIPE
        if recipe.is_file():
            shutil.copyfile(recipe, target / RECIPE)
    except OSError as error:
        raise UserError(
            f"{target} cannot be written: {error.strerror or error}",
            hint="Check the folder and the room on the disk.",
        ) from error
    return target
