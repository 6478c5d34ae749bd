"""`models pull hf:OWNER/NAME`: what transformers loads of a repository, into the hub's own cache
(HF_HOME), where `hf:OWNER/NAME` looks for it and other programs find it, too."""

from pathlib import PurePosixPath
from typing import NamedTuple

from videoespresso.errors import SettingsError
from videoespresso.models.pull import hub

FOLDERS = ("", "1_Pooling", "additional_chat_templates")
"""Of a repository, what transformers and our embedders read; "" is its root."""
BEST = (".safetensors",)
OTHERS = (".bin", ".pt", ".pth", ".h5", ".msgpack", ".ot", ".gguf", ".onnx", ".onnx_data")
"""Files of weights: of several formats the first alone is loaded."""


class Snapshot(NamedTuple):
    """What would be fetched. have: bytes of it that are in the cache."""

    repo: str
    files: tuple[hub.HubFile, ...]
    have: int

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def planned(repo: str) -> Snapshot:
    """What `hf:repo` needs. Raises SettingsError (no such repository, no weights), ModelError (no
    hub)."""
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - only pulling needs it

    listed = hub.listing(repo)
    files = _needed(listed.files)
    if not any(file.name.endswith((*BEST, *OTHERS)) for file in files):
        raise SettingsError(f"{repo} has no weights that transformers loads")

    def there(file: hub.HubFile) -> bool:
        file_path = try_to_load_from_cache(repo, file.name, revision=listed.revision)
        return isinstance(file_path, str)

    return Snapshot(repo, files, sum(file.size for file in files if there(file)))


def fetch(plan: Snapshot) -> str:
    """Fetches what is missing, with huggingface_hub's own progress; returns the spec. Files that
    are whole are not fetched again. Raises as `planned`, UserError for a full disk."""
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - only pulling needs it

    try:
        for file in plan.files:
            hf_hub_download(plan.repo, file.name)
    except Exception as error:  # its HTTP library differs between releases
        raise hub.hub_error(error, plan.repo) from error
    return f"hf:{plan.repo}"


def _needed(files: tuple[hub.HubFile, ...]) -> tuple[hub.HubFile, ...]:
    """Without folders that nothing reads, and without second formats of the weights."""
    read = [f for f in files if str(PurePosixPath(f.name).parent).removeprefix(".") in FOLDERS]
    best = any(f.name.endswith(BEST) for f in read)
    leave = OTHERS if best else tuple(end for end in OTHERS if end != ".bin")
    return tuple(f for f in read if not f.name.endswith(leave))
