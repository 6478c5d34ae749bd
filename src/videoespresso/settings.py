"""Settings: what you gave beats the environment, which beats the file, which beats the default.

The file is `videoespresso.toml` in the user's config folder, and above it the one in the current
folder, as far as it is harmless or trusted (settings_file.py). The environment variables are the
field names in capitals behind `VIDEOESPRESSO_`. Keys and passwords are not settings: they stay in
the variables their providers define (OPENAI_API_KEY, ...), and a value that carries one is refused.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import Field, ValidationError, model_validator

from videoespresso import settings_file
from videoespresso.errors import SettingsError
from videoespresso.settings_file import FILE_NAME
from videoespresso.types import Record

PREFIX = "VIDEOESPRESSO_"
DATASET_ROLES = ("generator", "verifier", "annotator", "distractor")
"""Chat roles of dataset mode only."""
ROLES = ("captioner", "selector", "reasoner", "checker", "detector", "embedder", *DATASET_ROLES)
MODEL_ROLES = tuple(role for role in ROLES if role not in ("detector", "embedder"))
"""Roles filled by a chat model, of a question and of dataset mode."""
MODEL = "model"
"""A key that stands for all of them."""
CHAT_ROLES = ("captioner", "selector", "reasoner", "checker")
"""Those of a question."""
HARMLESS = frozenset(("fps", "dynamic_fps", "max_side", "decoder", "sheet", "one_image")) | {
    *("tau", "select", "stages", "quick", "look", "timeout_s")
}
"""Keys that count from a file nobody trusted: they send nothing elsewhere and run nothing."""
_NAMES = re.compile(r"[\w-]+(\+[\w-]+)?(:\d{1,3})?")
"""A selection by names alone."""
LOWER_ONLY = ("budget_", "download_", "concurrency", "requests_per_minute", "tokens_per_minute")
"""Beginnings of limits, which count from there where they are lower."""
QUESTION_USD = 0.25
"""The limit of a question with paid models where none is set (models/costs.py)."""
DEFAULT_SOURCE, GIVEN = "default", "given"
WEB_PORTS = (80, 443, 8000, 8008, 8080, 8081, 8443, 8888)
"""Where web servers are; a video is fetched from no other port of the internet."""

_SECRET = re.compile(
    r"""://[^/@\s]*:[^/@\s]*@        # https://user:password@host
      | \bsk-[A-Za-z0-9_-]{8,}       # OpenAI, Anthropic and their imitators
      | \bhf_[A-Za-z0-9]{16,}        # Hugging Face
      | [?&](?:api[_-]?)?(?:key|token)=""",
    re.VERBOSE | re.IGNORECASE,
)
_SECRET_NAME = re.compile(r"key|token|secret|password|authorization|cookie", re.IGNORECASE)


def cache_dir() -> Path:
    """The folder for frames, captions and replies. It is not created here.

    VIDEOESPRESSO_CACHE_DIR, else the platform's cache folder (platformdirs).
    """
    given = os.environ.get(PREFIX + "CACHE_DIR")
    if given:
        return Path(given).expanduser()
    return Path(platformdirs.user_cache_path("videoespresso", appauthor=False))


def models_dir() -> Path:
    """The folder for pulled weights, which nobody clears by accident. It is not created here.

    VIDEOESPRESSO_MODELS_DIR, else `models` in the platform's data folder (platformdirs).
    """
    given = os.environ.get(PREFIX + "MODELS_DIR")
    if given:
        return Path(given).expanduser()
    return Path(platformdirs.user_data_path("videoespresso", appauthor=False)) / "models"


class McpServer(Record):
    """How to reach an MCP server: the command that starts it (stdio), or the URL of one that runs.

    env, headers: a value may hold ${VARIABLE}, which is read when the server is reached; one whose
    name says that it is a secret must. timeout_s: how long connecting and each call may take.
    """

    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    cwd: str = ""
    url: str = Field(default="", pattern=r"^(https?://.*)?$")
    headers: dict[str, str] = Field(default_factory=dict)
    timeout_s: float = Field(default=30.0, gt=0, le=600)

    @model_validator(mode="after")
    def _one_way(self) -> "McpServer":
        if bool(self.command) == bool(self.url):
            raise ValueError("give either `command` (and args, env, cwd) or `url` (and headers)")
        for name, value in (*self.env.items(), *self.headers.items()):
            if _SECRET_NAME.search(name) and "${" not in value:
                raise ValueError(f'`{name}` is a secret: write {name} = "${{VARIABLE}}"')
        return self


class Settings(Record):
    """Everything that can be set, each value with where it came from (`sources`).

    profile: a named set of models. captioner ... distractor: a spec `provider:model[@base_url]`;
        "" means what the profile says, and without a profile what the roles say that were set.
        With neither nothing is configured: models/profiles.py takes the embedded pack, says so.
        `load` takes `model`, too: every chat role that the same place does not set itself.
    server_url: the OpenAI-compatible server of profile `server`, e.g. http://localhost:8080/v1.
    label_check: of dataset mode: checks boxes, "colors" (also ""), a CLIP `hf:ID_OR_PATH`, "off".
    fps, dynamic_fps: frames a second on static and on moving stretches (paper: 1 and 2-4).
    decoder: "pyav", "decord" where it reads a file right, or "auto", the quicker as measured
        (docs/results/decode.md).
    max_side: the longer side of a frame in pixels. tau: the semantic filter's threshold, None for
        its default. select: the selection strategy. stages: evidence and answer in two replies or
        in one; "" is two, and one with quick. quick: eight frames, one call, no captions.
    look: how densely frames are taken (graphs/context.py). one_image: the models take one image a
        request, several become a labelled grid. sheet: frames a request for captions holds; 0 is
        what its provider takes, one of a server of your own.
    tools: tools to use on every question, by name or "package.module:name"; in the environment
        separated by commas.
    mcp: MCP servers by name; "mcp:NAME" in `tools` uses what one offers. Only in the file.
    memory: a folder or the http(s) URL of a Chroma server; "" is a folder in the cache.
    budget_*: limits of one question: dollars, model calls, frames, seconds; None is no limit. Of
        a batch all but frames are limits of the whole.
    download_*: limits of a video given by its address: bytes, seconds of video, seconds for all of
        it, seconds without a byte; download_ports: ports of the internet it may be on.
        allow_private_addresses: it may be on this machine or network, on every port.
    timeout_s: how long one model call may take. concurrency: calls at a time on one model.
    requests_per_minute, tokens_per_minute: limits of each model's provider; None is no limit. What
        a server asks for in Retry-After is heard by every caller whatever is set.
    models_dir: the folder of pulled weights (`videoespresso models pull`).
    """

    profile: str = ""
    captioner: str = ""
    selector: str = ""
    reasoner: str = ""
    checker: str = ""
    detector: str = ""
    embedder: str = ""
    generator: str = ""
    verifier: str = ""
    annotator: str = ""
    distractor: str = ""
    server_url: str = ""
    label_check: str = ""
    fps: float = Field(default=1.0, gt=0, le=60)
    dynamic_fps: float = Field(default=4.0, gt=0, le=60)
    decoder: Literal["auto", "pyav", "decord"] = "auto"
    max_side: int = Field(default=640, ge=32, le=4096)
    tau: float | None = Field(default=None, ge=-1, le=1)
    select: str = "auto"
    stages: Literal["", "two", "one"] = ""
    quick: bool = False
    look: Literal["fast", "normal", "thorough"] = "normal"
    one_image: bool = False
    sheet: int = Field(default=0, ge=0, le=32)
    tools: tuple[str, ...] = ()
    mcp: dict[str, McpServer] = Field(default_factory=dict)
    memory: str = ""
    budget_usd: float | None = Field(default=None, ge=0)
    budget_calls: int | None = Field(default=None, ge=0)
    budget_frames: int | None = Field(default=None, ge=1)
    budget_seconds: float | None = Field(default=None, gt=0)
    download_max_bytes: int = Field(default=2 * 1024**3, ge=1)
    download_max_duration_s: float = Field(default=4 * 3600.0, gt=0)
    download_timeout_s: float = Field(default=3600.0, gt=0)
    download_stall_s: float = Field(default=30.0, gt=0)
    download_ports: tuple[int, ...] = WEB_PORTS
    allow_private_addresses: bool = False
    timeout_s: float = Field(default=120.0, gt=0, le=86_400)
    concurrency: int = Field(default=4, ge=1, le=256)
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    cache_dir: Path = Field(default_factory=cache_dir)
    models_dir: Path = Field(default_factory=models_dir)
    sources: dict[str, str] = Field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @classmethod
    def load(
        cls,
        given: Mapping[str, Any] | None = None,
        *,
        file: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> "Settings":
        """Reads files, environment and what was given; a None in `given` counts as not given.

        file: the only one that is read, as trusted; default the user's, and above it the one in the
        current folder, of which without `videoespresso trust` only harmless keys count.

        Raises SettingsError for an unknown key (with the nearest known one), a value that does
        not fit, a file that is not TOML, a secret in a value, and a role whose model a file named
        that nobody trusted.
        """
        environ = os.environ if environ is None else environ
        layers, warnings, ignored = _from_files(file, environ)
        in_environment, unknown = _from_environment(environ)
        above = [(PREFIX + key.upper(), {key: value}) for key, value in in_environment.items()]
        options = {key: value for key, value in (given or {}).items() if value is not None}
        above.append((GIVEN, options))
        chosen = {key: value for _, layer in above for key, value in _spread(layer).items()}
        if _without_its_model(ignored, chosen):
            keys = ", ".join(f"`{key}`" for key in ignored)
            raise SettingsError(
                f"{keys}: set by a file that nobody trusted: {settings_file.local_file()}",
                hint="Read it, then: videoespresso trust "
                f"{settings_file.local_file()}; or choose the models by -m or --profile.",
            )
        layers += above
        values: dict[str, Any] = {}
        sources: dict[str, str] = {}
        for source, layer in layers:
            for key, value in layer.items():
                _check(key, value, source)
            for key, value in _spread(layer).items():
                values[key], sources[key] = value, source
        return _build(values, sources, (*warnings, *unknown))

    def changed(self, given: Mapping[str, Any]) -> "Settings":
        """These settings with others over them, as `load` reads what is given; None is not given.
        Raises SettingsError as it does."""
        over = {key: value for key, value in given.items() if value is not None}
        for key, value in over.items():
            _check(key, value, GIVEN)
        over = _spread(over)
        own = {key: getattr(self, key) for key in self.model_fields_set if key in KNOWN}
        sources = self.sources | dict.fromkeys(over, GIVEN)
        return _build(own | over, sources, self.warnings)

    @property
    def one_stage(self) -> bool:
        """Whether one reply carries evidence and answer."""
        return self.stages == "one" or (self.quick and not self.stages)

    def source(self, key: str) -> str:
        """Where the value came from: a file, a variable, "given" or "default"."""
        return self.sources.get(key, DEFAULT_SOURCE)


def from_file(source: str) -> bool:
    """Whether a source is a settings file, and neither the environment, a caller nor a default."""
    return source not in (GIVEN, DEFAULT_SOURCE) and not source.startswith(PREFIX)


def settings_of(
    settings: "Settings | Mapping[str, Any] | None" = None,
    *,
    model: str | None = None,
    profile: str | None = None,
) -> Settings:
    """What a caller gave as settings: none of them, a mapping as for `Settings.load`, or settings
    that were loaded; with a model for every chat role and a profile over them."""
    over = {MODEL: model, "profile": profile}
    if isinstance(settings, Settings):
        return settings.changed(over) if model or profile else settings
    return Settings.load({**(settings or {}), **{k: v for k, v in over.items() if v is not None}})


KNOWN = (MODEL, *(key for key in Settings.model_fields if key not in ("sources", "warnings")))

FILE_ONLY = ("mcp",)
"""Tables, which no variable can hold well."""


def _spread(layer: Mapping[str, Any]) -> dict[str, Any]:
    """What one place sets, its `model` as the roles it stands for."""
    everybody = dict.fromkeys(MODEL_ROLES, layer[MODEL]) if layer.get(MODEL) else {}
    return everybody | {key: value for key, value in layer.items() if key != MODEL}


def _from_files(
    file: Path | None, environ: Mapping[str, str]
) -> tuple[list[tuple[str, dict[str, Any]]], tuple[str, ...], tuple[str, ...]]:
    """What the files say, the user's first, then that of the current folder, which is all there is
    if `file` is given; a warning for each key that does not count; and these keys."""
    if file is not None:
        return [(str(file), settings_file.read(file)[0])], (), ()
    layers: list[tuple[str, dict[str, Any]]] = []
    if (own := settings_file.user_file()).is_file():
        layers.append((str(own), settings_file.read(own)[0]))
    here = settings_file.local_file()
    if not here.is_file() or (own.exists() and here.samefile(own)):
        return layers, (), ()
    values, sha = settings_file.read(here)
    for key, value in values.items():
        _check(key, value, str(here))
    before = layers[0][1] if layers else {}
    kept = {
        key: value
        for key, value in values.items()
        if settings_file.trusted(sha, environ) or _harmless(key, value, before)
    }
    ignored = tuple(key for key in values if key not in kept)
    warnings = tuple(
        f"`{key}` of {here} does not count, because nobody trusted that file. Read it, then: "
        f"videoespresso trust {here}"
        for key in ignored
    )
    return [*layers, (str(here), kept)], warnings, ignored


def _harmless(key: str, value: Any, before: Mapping[str, Any]) -> bool:
    """Whether a key may come from a file that nobody trusted: one of `HARMLESS`, or a limit that is
    lower than the one that holds without it."""
    if key == "select":  # a name; never package.module:name, which is code
        return isinstance(value, str) and _NAMES.fullmatch(value) is not None
    if key in HARMLESS:
        return True
    if not key.startswith(LOWER_ONLY):
        return False
    unset = QUESTION_USD if key == "budget_usd" else Settings.model_fields[key].default
    limit = before.get(key, unset)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return limit is None or (isinstance(limit, int | float) and value <= limit)


def _without_its_model(ignored: Sequence[str], values: Mapping[str, Any]) -> str:
    """The first role whose model was named by a file that nobody trusted, and by nothing that beats
    a file; "" for none."""
    named = [k for k in ignored if k in (MODEL, "profile", "server_url", *ROLES, "label_check")]
    chosen = "profile" in values or all(values.get(role) for role in CHAT_ROLES)
    covered = {*values} | ({MODEL, "profile", "server_url", *MODEL_ROLES} if chosen else set())
    return next((key for key in named if key not in covered), "")


def _from_environment(environ: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Values of known variables, and a warning for each unknown one that resembles a known one."""
    values: dict[str, str] = {}
    warnings: list[str] = []
    # VIDEOESPRESSO_MODEL first: what a role's own variable says is the last word
    for name, value in sorted(environ.items(), key=lambda one: (one[0] != PREFIX + "MODEL", *one)):
        if not name.startswith(PREFIX) or value == "":
            continue
        key = name.removeprefix(PREFIX).lower()
        if key in FILE_ONLY:
            warnings.append(f"{name} is not read: `{key}` belongs into {FILE_NAME}")
        elif key in KNOWN:
            values[key] = value
        elif near := difflib.get_close_matches(key, KNOWN, n=1):
            warnings.append(f"{name} is not a setting; did you mean {PREFIX}{near[0].upper()}?")
    return values, tuple(warnings)


def _check(key: str, value: Any, source: str) -> None:
    """Refuses unknown keys and values with a secret in them; the value itself is never quoted."""
    if key not in KNOWN:
        near = difflib.get_close_matches(key, KNOWN, n=1)
        hint = f"Did you mean `{near[0]}`?" if near else f"Known keys: {', '.join(KNOWN)}."
        if re.search(r"key|token|secret|password", key, re.IGNORECASE):
            hint = "Keys do not belong in settings; put them in OPENAI_API_KEY and the like."
        raise SettingsError(f"unknown setting `{key}` ({source})", hint=hint)
    if any(_SECRET.search(text) for text in _texts(value)):
        raise SettingsError(
            f"the value of `{key}` ({source}) carries a key or a password",
            hint="Put it in the provider's variable, e.g. OPENAI_API_KEY, and leave it out here.",
        )


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _build(values: dict[str, Any], sources: dict[str, str], warnings: tuple[str, ...]) -> Settings:
    """Validates; the first value that does not fit is named with its source."""
    for key in ("cache_dir", "models_dir"):
        if key in values:
            values[key] = Path(str(values[key])).expanduser()
    for key in ("tools", "download_ports"):
        if isinstance(values.get(key), str):
            names = values[key].split(",")
            values[key] = tuple(name.strip() for name in names if name.strip())
    try:
        return Settings(**values, sources=sources, warnings=warnings)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        deep = ".".join(map(str, first["loc"]))
        # a table may hold what should not be quoted
        what = (
            f"`{deep}`" if isinstance(values.get(key), dict) else f"`{key}` = {values.get(key)!r}"
        )
        raise SettingsError(
            f"{what} ({sources.get(key, DEFAULT_SOURCE)}): {first['msg']}",
            hint=f"Correct `{key}`, or leave it out to take the default.",
        ) from error
