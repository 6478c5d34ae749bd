"""One file from a Hugging Face hub: found, fetched, gone on with after a cut, and checked.

huggingface_hub knows where the hub is, who asks and what is there (HF_ENDPOINT, HF_HOME, HF_TOKEN,
HF_HUB_OFFLINE). Its own downloads do not go on after a killed process (2.x writes a file of its own
each time and removes it) and compare sizes only, so the transfer is ours, for `hf:` too.
"""

import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import httpx

from videoespresso.errors import ModelError, SettingsError, UserError, VideoEspressoError

OnBytes = Callable[[int], None]
"""Called with the number of bytes that came."""
MOST_CUTS = 4
"""Times in a row that a connection may be lost without a byte in between."""
WAIT_S, TIMEOUT_S = 1.0, 30.0
"""Seconds between two tries, and without a byte."""
_CHUNK = 1 << 20
_FOLDER_HINT = "Or copy the repository's files from another machine and give them: --from FOLDER."


class HubFile(NamedTuple):
    """A file of a repository. size: bytes. sha256: of what is kept in LFS or Xet, else "". git: its
    blob's SHA-1, "" where unknown."""

    name: str
    size: int
    sha256: str = ""
    git: str = ""


class Listing(NamedTuple):
    """A repository at one commit."""

    repo: str
    revision: str
    files: tuple[HubFile, ...]


def listing(repo: str) -> Listing:
    """What a repository holds now, from the hub's metadata.

    Raises SettingsError where there is no such repository, ModelError where the hub cannot be
    asked.
    """
    from huggingface_hub import HfApi  # noqa: PLC0415 - takes a moment; only pulling needs it

    try:
        info = HfApi().model_info(repo, files_metadata=True, timeout=30)
    except Exception as error:  # its HTTP library differs between releases
        raise hub_error(error, repo) from error
    files = tuple(
        HubFile(s.rfilename, s.size or 0, s.lfs.sha256 if s.lfs else "", s.blob_id or "")
        for s in info.siblings or ()
        if ".." not in PurePosixPath(s.rfilename).parts  # it becomes a path in our folder
    )
    return Listing(repo, info.sha or "main", files)


def in_cache(repo: str, file: str = "config.json") -> Path | None:
    """The repository's folder in the hub's own cache (HF_HOME), None where it was never there, and
    for what cannot be a repository's name. file: one that it has."""
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - as above

    try:
        config = try_to_load_from_cache(repo, file)
    except ValueError:  # HFValidationError, which has moved between releases
        return None
    return Path(config).parent if isinstance(config, str) else None


def local(where: str, spec: str, file: str = "config.json") -> str:
    """The folder of a model for transformers: `where` itself, or a repository's in the cache. file:
    one that it has. Nothing is downloaded.

    Raises SettingsError where it is neither, with the command that fetches it.
    """
    folder = Path(where).expanduser()
    if folder.is_dir():
        return str(folder)
    path_like = where.startswith((".", "~", "/")) or where.count("/") > 1
    if path_like:
        raise SettingsError(f"{spec}: there is no folder {where}", hint="Check the path.")
    if (cached := in_cache(where, file)) is not None:
        return str(cached)
    raise SettingsError(
        f"{spec}: {where} is neither a folder nor in the cache of Hugging Face",
        hint=f"Nothing is downloaded unasked: `videoespresso models pull hf:{where}` fetches it.",
    )


def offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network."""
    from huggingface_hub import constants  # noqa: PLC0415 - as above

    return bool(constants.HF_HUB_OFFLINE)


def fetch(where: Listing, file: HubFile, target: Path, on_bytes: OnBytes) -> None:
    """One file into `target`, which appears whole and checked or not at all.

    What came before a cut stays beside it (`.part`) and is gone on with. A copy in the hub's cache
    is taken instead. Raises ModelError where the hub fails or sends something else than it
    announced, UserError where the disk is full.
    """
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - as above

    part = part_of(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    cached = try_to_load_from_cache(where.repo, file.name, revision=where.revision)
    if isinstance(cached, str) and not part.exists():
        shutil.copyfile(cached, part)
        on_bytes(file.size)
    else:
        _transfer(where, file, part, on_bytes)
    if not matches(part, file):
        part.unlink()
        raise ModelError(
            f"{where.repo}: {file.name} is not what the hub announced (its checksum differs)",
            hint="Pull again; where it happens again, something between here and the hub alters "
            f"files. {_FOLDER_HINT}",
            retryable=True,
        )
    part.replace(target)


def part_of(target: Path) -> Path:
    """Where what came of a file lies until it is whole."""
    return target.with_name(target.name + ".part")


def _transfer(where: Listing, file: HubFile, part: Path, on_bytes: OnBytes) -> None:
    """What is missing of a file, however often the connection is cut while something comes."""
    from huggingface_hub import hf_hub_url  # noqa: PLC0415 - as above

    url, cuts = hf_hub_url(where.repo, file.name, revision=where.revision), 0
    have = part.stat().st_size if part.exists() else 0
    on_bytes(have)
    while have < file.size or not part.exists():
        try:
            _go_on(url, have, file.size, part, on_bytes)
        except httpx.HTTPStatusError as error:
            raise hub_error(error, where.repo) from error
        except httpx.TransportError as error:
            cuts = 0 if part.exists() and part.stat().st_size > have else cuts + 1
            if cuts == MOST_CUTS:
                raise hub_error(error, where.repo) from error
            time.sleep(WAIT_S)
        else:
            if part.stat().st_size <= have:
                return  # its checksum will say what is wrong
        have = part.stat().st_size if part.exists() else 0


def _go_on(url: str, have: int, size: int, part: Path, on_bytes: OnBytes) -> None:
    """One request for what comes after `have` bytes of `size`. The login stays with the hub: httpx
    takes it off where the hub leads to another host."""
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # noqa: PLC0415 - as above
        build_hf_headers,  # exported when it is first used
    )

    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with httpx.stream(
        "GET", url, headers=headers, follow_redirects=True, timeout=TIMEOUT_S
    ) as response:
        response.raise_for_status()
        with part.open("ab" if response.status_code == 206 else "wb") as body:
            for chunk in response.iter_raw():
                on_bytes(body.write(chunk))
                if body.tell() > size:
                    return  # its checksum will not be the one that was announced


def matches(path: Path, file: HubFile) -> bool:
    """Whether a file's content is the one that the hub announced, by the strongest it said."""
    if path.stat().st_size != file.size:
        return False
    if not file.sha256 and not file.git:
        return True
    digest = hashlib.sha256() if file.sha256 else hashlib.sha1(b"blob %d\0" % file.size)
    with path.open("rb") as body:
        while chunk := body.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest() == (file.sha256 or file.git)


def hub_error(error: Exception, repo: str) -> VideoEspressoError:
    """A hub's error as one of ours, with what to do."""
    from huggingface_hub.errors import (  # noqa: PLC0415 - as above
        GatedRepoError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    status = getattr(getattr(error, "response", None), "status_code", None)
    missing = isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError)
    if missing or isinstance(error, HFValidationError) or status == 404:
        return SettingsError(
            f"the hub has no repository {repo}, or it is private",
            hint="Check the name, write OWNER/NAME; a private one needs `hf auth login`.",
        )
    if status in (401, 403):
        return SettingsError(
            f"{repo} wants its terms accepted, or a login",
            hint=f"Accept them on its page of the hub, then `hf auth login`. {_FOLDER_HINT}",
        )
    if isinstance(error, OfflineModeIsEnabled):
        return SettingsError(
            f"{repo} cannot be pulled: HF_HUB_OFFLINE is set, and the hub's cache has no copy",
            hint=f"Unset HF_HUB_OFFLINE. {_FOLDER_HINT}",
        )
    if isinstance(error, OSError) and error.errno is not None:
        return no_room(error)
    what = f"it answered {status}" if status else type(error).__name__
    return ModelError(
        f"{repo}: the hub cannot be reached, or stopped in the middle ({what})",
        hint=f"What came is kept: the same command goes on from there. {_FOLDER_HINT}",
        retryable=True,
    )


def no_room(error: OSError) -> UserError:
    """A disk that cannot be written."""
    return UserError(
        f"the models folder cannot be written: {error.strerror or error}",
        hint="Free some space, or choose another folder with VIDEOESPRESSO_MODELS_DIR.",
    )
