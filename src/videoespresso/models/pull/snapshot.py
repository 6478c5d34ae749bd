"""`models pull hf:OWNER/NAME`: what transformers loads of a repository, into the hub's own cache
(HF_HOME), where `hf:OWNER/NAME` looks for it and other programs find it, too.

huggingface_hub goes on with a cut file only within one process, so the transfer is that of
`hub.fetch`. Files lie in the cache as it keeps them where it cannot make links: themselves under
`snapshots/COMMIT`, and the commit's name in `refs/main`.
"""

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from filelock import FileLock, Timeout

from videoespresso.errors import SettingsError, UserError
from videoespresso.models.pull import hub

FOLDERS = ("", "1_Pooling", "additional_chat_templates")
"""Of a repository, what transformers and our embedders read; "" is its root."""
BEST = (".safetensors",)
OTHERS = (".bin", ".pt", ".pth", ".h5", ".msgpack", ".ot", ".gguf", ".onnx", ".onnx_data")
"""Files of weights: of several formats the first alone is loaded."""


class Snapshot(NamedTuple):
    """What would be fetched. files: those of `listed` that are needed. have: bytes of them that
    are in the cache, parts of files too."""

    listed: hub.Listing
    files: tuple[hub.HubFile, ...]
    have: int

    @property
    def repo(self) -> str:
        """The repository's name."""
        return self.listed.repo

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def planned(repo: str) -> Snapshot:
    """What `hf:repo` needs. Raises SettingsError (no such repository, no weights), ModelError (no
    hub)."""
    listed = hub.listing(repo)
    files = _needed(listed.files)
    if not any(file.name.endswith((*BEST, *OTHERS)) for file in files):
        raise SettingsError(f"{repo} has no weights that transformers loads")

    def have(file: hub.HubFile) -> int:
        if _there(listed, file):
            return file.size
        part = hub.part_of(_folder(listed) / file.name)
        return min(part.stat().st_size, file.size) if part.is_file() else 0

    return Snapshot(listed, files, sum(map(have, files)))


def fetch(plan: Snapshot, on_bytes: Callable[[int], None]) -> str:
    """Fetches what is missing and returns the spec. Of a file that was cut only the rest is asked
    for; on_bytes is called with what was there, too.

    Raises as `planned`, UserError for a full disk and while another process fetches it.
    """
    folder = _folder(plan.listed)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # beside the repositories, where huggingface_hub has its own locks
        lock = folder.parents[2] / ".locks" / folder.parents[1].name / "pull.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=0):
            # what says that there is a model comes when all else is there
            for file in sorted(plan.files, key=lambda file: file.name == "config.json"):
                if _there(plan.listed, file):
                    on_bytes(file.size)
                else:
                    hub.fetch(plan.listed, file, folder / file.name, on_bytes)
            refs = folder.parents[1] / "refs" / "main"
            refs.parent.mkdir(exist_ok=True)
            refs.write_text(plan.listed.revision, encoding="utf-8")
    except Timeout as error:
        raise UserError(f"another process fetches {plan.repo}", hint="Wait for it.") from error
    except OSError as error:
        raise hub.no_room(error) from error
    return f"hf:{plan.repo}"


def _folder(listed: hub.Listing) -> Path:
    """Where the cache keeps the files of a commit."""
    from huggingface_hub import constants  # noqa: PLC0415 - only pulling needs it

    repo = f"models--{listed.repo.replace('/', '--')}"
    return Path(constants.HF_HUB_CACHE) / repo / "snapshots" / listed.revision


def _there(listed: hub.Listing, file: hub.HubFile) -> bool:
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - as above

    found = try_to_load_from_cache(listed.repo, file.name, revision=listed.revision)
    return isinstance(found, str)


def _needed(files: tuple[hub.HubFile, ...]) -> tuple[hub.HubFile, ...]:
    """Without folders that nothing reads, and without second formats of the weights."""
    read = [f for f in files if str(PurePosixPath(f.name).parent).removeprefix(".") in FOLDERS]
    best = any(f.name.endswith(BEST) for f in read)
    leave = OTHERS if best else tuple(end for end in OTHERS if end != ".bin")
    return tuple(f for f in read if not f.name.endswith(leave))
