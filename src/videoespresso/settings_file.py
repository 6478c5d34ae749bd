"""The settings' files: where they are, what is in them, and which of them the user trusts.

A file in the current folder may be a stranger's: it came with a clone or an archive. What could
send frames or a key elsewhere, run a program or load code counts from it only once its very content
was trusted (`videoespresso trust`); the content's sha256 is kept in the user's config folder.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs

from videoespresso.errors import SettingsError

FILE_NAME = "videoespresso.toml"
MOST_BYTES = 1 << 15
"""Of a settings file; one with every key has 3 kB. Python's parser took 1.7 GB for one of 40 kB."""
TRUST_VARIABLE = "VIDEOESPRESSO_TRUST"
"""A sha256 that is trusted, for machines on which nobody types."""


def user_file() -> Path:
    """`videoespresso.toml` in the user's config folder, whether or not it is there."""
    return Path(platformdirs.user_config_path("videoespresso", appauthor=False)) / FILE_NAME


def local_file() -> Path:
    """`videoespresso.toml` in the current folder, whether or not it is there."""
    return Path.cwd() / FILE_NAME


def find_file() -> Path | None:
    """The file in the current folder, else the user's, else None."""
    return next((path for path in (local_file(), user_file()) if path.is_file()), None)


def read(path: Path) -> tuple[dict[str, Any], str]:
    """(values, sha256 of the content). `[budget] usd = 1` and `budget_usd = 1` are the same, and
    [download] too. Raises SettingsError."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise SettingsError(
                f"{path} is larger than {MOST_BYTES >> 10} kB: no settings file",
                hint="Fix the file.",
            )
        data = tomllib.loads(content.decode("utf-8"))
        repr(data)  # as an error will say it; a number of 5,000 hexadecimal digits cannot be said
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, a number of 5,000 digits
        raise SettingsError(f"{path} is not valid TOML: {error}", hint="Fix the file.") from error
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read: {error.strerror}", hint="Check the path and its permissions."
        ) from error
    for name, example in (("budget", "usd = 1"), ("download", "timeout_s = 600")):
        table = data.pop(name, {})
        if not isinstance(table, dict):
            raise SettingsError(
                f"{path}: `{name}` is a table", hint=f"Write [{name}] and under it {example}."
            )
        data |= {f"{name}_{key}": value for key, value in table.items()}
    return data, hashlib.sha256(content).hexdigest()


def trusted(sha: str, environ: Mapping[str, str]) -> bool:
    """Whether the user trusts a file of that content."""
    return sha in environ.get(TRUST_VARIABLE, "").lower().split() or sha in _record()


def trust(path: Path) -> str:
    """Trusts the file as it is now; returns its sha256. Raises SettingsError."""
    _, sha = read(path)
    _keep({**_record(), sha: str(path.absolute())})
    return sha


def forget(path: Path) -> int:
    """Trusts nothing more that was trusted at that path; returns how many contents that were."""
    known = _record()
    left = {sha: where for sha, where in known.items() if where != str(path.absolute())}
    _keep(left)
    return len(known) - len(left)


def _store() -> Path:
    return user_file().with_name("trusted.json")


def _record() -> dict[str, str]:
    """sha256 -> the path at which it was trusted. A damaged record trusts nothing."""
    try:
        record = json.loads(_store().read_bytes())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _keep(record: Mapping[str, str]) -> None:
    store = _store()
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        draft = store.with_suffix(".new")
        draft.write_text(json.dumps(record, indent=1), encoding="utf-8")
        draft.replace(store)
    except OSError as error:
        raise SettingsError(
            f"{store} cannot be written: {error.strerror}", hint="Check the folder's permissions."
        ) from error
