"""Profiles: named sets of specs, and which spec each role ends up with."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from videoespresso.errors import SettingsError
from videoespresso.models.pull.catalogue import WEIGHTS
from videoespresso.models.specs import (
    EMBEDDED,
    OWN_HOSTS,
    ModelSpec,
    host_of,
    is_local,
    is_private,
    openai_base_url,
)
from videoespresso.models.weights import pulled_detector, pulled_spec
from videoespresso.settings import (
    CHAT_ROLES as CHAT_ROLES,  # part of what a profile is
)
from videoespresso.settings import (
    DATASET_ROLES,
    DEFAULT_SOURCE,
    MODEL_ROLES,
    ROLES,
    Settings,
    from_file,
)

ZERO_SHOT = "hf:IDEA-Research/grounding-dino-tiny"
EMBEDDER = "wordllama"
PACK = f"{EMBEDDED}:"
TEACHER = "embedded:teacher"
"""Rules on captions, for dataset mode without a key; no model."""
_GPT_4O_TEACHES = {
    **dict.fromkeys(("generator", "annotator", "distractor"), "openai:gpt-4o"),
    "verifier": "openai:gpt-4.1",
}
"""The paper's steps 5 and 7; its verifier is "an additional LLM" that it does not name, so here
another one than the generator."""


@dataclass(frozen=True)
class Profile:
    """A spec a role, what the set is for, what it needs (a key, a server, a package) and downloads,
    and what one should know before using it."""

    name: str
    about: str
    specs: Mapping[str, str]
    note: str = ""
    needs: str = "nothing"
    downloads: str = "nothing"


def _profile(
    name: str, about: str, note: str = "", *, needs: str, downloads: str = "nothing", **specs: str
) -> Profile:
    filled = {"detector": "off", "embedder": EMBEDDER, **specs}
    return Profile(name, about, filled, note, needs, downloads)


def _two(small: str, large: str, verifier: str, **specs: str) -> dict[str, str]:
    """A small model that captions and selects, a large one that reasons and teaches, and another
    one to verify what that taught."""
    return {
        **dict.fromkeys(("captioner", "selector", "checker"), small),
        **dict.fromkeys(("reasoner", "generator", "annotator", "distractor"), large),
        "verifier": verifier,
        **specs,
    }


SERVER_URL = "http://localhost:8000/v1"
"""Where profile `server` looks when the setting `server_url` says nothing: vLLM's own port."""
_EVERYBODY = (*CHAT_ROLES, *DATASET_ROLES)
_SERVER = dict.fromkeys(_EVERYBODY, f"openai:@{SERVER_URL}")
OLLAMA_MODEL = "qwen3-vl:4b-instruct"
"""A current small model that sees, 3.3 GB; the tag without `-instruct` thinks first, at length."""

LAPTOP_VLM = f"onnx:{WEIGHTS['vlm'].repo}?dtype={WEIGHTS['vlm'].graphs['decoder_model_merged']}"
"""What `models pull laptop` fetches. Where anything was pulled as the `vlm`, it is used instead."""


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        _profile(
            "embedded",
            "The models in the package: offline, no key, no torch.",
            "They know the synthetic theatre and nothing else; on other videos they say so.",
            needs="nothing",
            **dict.fromkeys(CHAT_ROLES, "embedded:"),
            **dict.fromkeys(DATASET_ROLES, TEACHER),
            detector="embedded:",
        ),
        # The captioner sees every frame, so it is chosen by what a frame costs
        # (tests/unit/test_profiles.py): GPT-4o mini bills 14,167 tokens for one, $0.0021.
        _profile(
            "openai",
            "OpenAI: a small model looks, GPT-4o reasons and generates.",
            "OpenAI shuts GPT-4o down on 2027-01-14; -m reasoner=openai:NAME takes another.",
            needs="OPENAI_API_KEY",
            **_two("openai:gpt-6-luna?detail=low&effort=none", "openai:gpt-4o", "openai:gpt-4.1")
            | {"reasoner": "openai:gpt-4o?detail=high"},
        ),
        _profile(
            "gemini",
            "Google Gemini: Flash-Lite looks, Flash reasons.",
            needs="GOOGLE_API_KEY, extra `gemini`",
            **_two(
                "google_genai:gemini-2.5-flash-lite?detail=medium",
                "google_genai:gemini-3.6-flash?effort=low",
                "google_genai:gemini-3.5-flash?effort=low",
            ),
        ),
        _profile(
            "anthropic",
            "Anthropic Claude: Haiku looks, Sonnet reasons.",
            needs="ANTHROPIC_API_KEY, extra `anthropic`",
            **_two(
                "anthropic:claude-haiku-4-5",
                "anthropic:claude-sonnet-5",
                "anthropic:claude-opus-4-8",
            ),
        ),
        _profile(
            "ollama",
            "Ollama on this machine; no key.",
            "-m ollama:NAME takes another model; OLLAMA_HOST says where Ollama is.",
            needs="Ollama running, extra `ollama`",
            downloads=f"`ollama pull {OLLAMA_MODEL}`, 3.3 GB",
            **dict.fromkeys(_EVERYBODY, f"ollama:{OLLAMA_MODEL}"),
        ),
        _profile(
            "server",
            "Any OpenAI-compatible server (vLLM, llama.cpp, LM Studio): the model that it serves.",
            "server_url or VIDEOESPRESSO_SERVER_URL says where; or -m openai:NAME@URL.",
            needs=f"a server at {SERVER_URL}",
            **_SERVER,
        ),
        _profile(
            "laptop",
            "This machine, two cores and no key: SmolVLM2 answers, D-FINE finds, CLIP chooses.",
            "A small model: it is often wrong. Minutes for a minute of film (docs/laptop.md).",
            needs="`videoespresso models pull laptop`",
            downloads="about 1.2 GB, which `models pull laptop` says exactly before it asks",
            **dict.fromkeys(_EVERYBODY, LAPTOP_VLM),
        ),
        _profile("local", "The older name of `server`.", needs="as `server`", **_SERVER),
        # Paper sections 1 (InternVL2-8B captions, BGE-M3, GroundingDINO, GPT-4o) and 3
        # (InternVL2-1B + QwenLM-0.5B selects). InternVL2's own checkpoints run remote code, which
        # we never do; InternVL3 is the same line in plain transformers (its 1B is InternViT-300M
        # with Qwen2.5-0.5B). The paper's reasoner checkpoint is not released: GPT-4o stands in.
        _profile(
            "paper",
            "The paper's line-up as far as it is public; a GPU, OPENAI_API_KEY and extra `local`.",
            "InternVL3 stands in for InternVL2 and GPT-4o for the unreleased reasoner.",
            needs="OPENAI_API_KEY, a GPU, extra `local`",
            downloads="InternVL3-8B and -1B, GroundingDINO, BGE-M3 (`models pull hf:ID`): 21 GB",
            captioner="hf:OpenGVLab/InternVL3-8B-hf",
            selector="hf:OpenGVLab/InternVL3-1B-hf",
            reasoner="openai:gpt-4o",
            checker="openai:gpt-4o",
            detector="hf:IDEA-Research/grounding-dino-base",
            embedder="hf:BAAI/bge-m3",
            **_GPT_4O_TEACHES,
        ),
    )
}
DEFAULT = "embedded"

UNCONFIGURED = (
    "No model is configured: the embedded pack answers, and about the synthetic theatre only. "
    "For your own videos choose one, e.g. --profile openai (see `videoespresso models list`)."
)


@dataclass(frozen=True)
class Role:
    """The spec a role uses, and where it came from: a setting's source or "profile NAME". keyless:
    only a file names its server, so that the provider's key is not sent there."""

    role: str
    spec: str
    source: str
    keyless: bool = False

    @property
    def model(self) -> ModelSpec:
        """The parsed spec of a chat role. Raises SettingsError if it is not one."""
        return replace(ModelSpec.parse(self.spec), keyless=self.keyless)


def profile(name: str) -> Profile:
    """The profile of that name. Raises SettingsError naming those that exist."""
    if name not in PROFILES:
        raise SettingsError(
            f"unknown profile {name!r}", hint=f"Choose one of {', '.join(PROFILES)}."
        )
    return PROFILES[name]


def configured(settings: Settings) -> bool:
    """Whether anybody chose a model: a profile, or a spec for a chat role."""
    given = (getattr(settings, role) for role in MODEL_ROLES)
    return bool(settings.profile) or any(given)


NOT_CHOSEN = "not chosen"
"""Source of the detector `off` where nobody chose one and none was pulled."""


def resolve(settings: Settings) -> dict[str, Role]:
    """Every role's spec: its own setting, else the profile's; where no profile was chosen it
    follows the roles that were set (`_following`), never the pack.

    With nothing set at all that is the default profile. The pack's detector comes with the pack's
    chat roles only; where nobody chose another one, it is the one that was pulled, else `off`.
    Raises SettingsError for an unknown profile or a chat role whose spec cannot be read.
    """
    given = {role: getattr(settings, role) for role in ROLES}
    own = {role: Role(role, spec, settings.source(role)) for role, spec in given.items() if spec}
    alone = not settings.profile and configured(settings)
    chosen = own if alone else _of_profile(settings) | own
    roles = {role: _suited(chosen.get(role) or _following(role, chosen)) for role in MODEL_ROLES}
    roles["embedder"] = chosen.get("embedder") or Role("embedder", EMBEDDER, DEFAULT_SOURCE)
    roles["detector"] = own.get("detector") or _detector(settings, chosen | roles)
    named = _hosts_named(settings)
    return {role: replace(roles[role], keyless=_keyless(roles[role], named)) for role in ROLES}


def destinations(settings: Settings) -> dict[str, bool]:
    """The other machines that get frames or captions, and whether over plain http beyond this
    network; empty where all of it stays here. Raises as `resolve`."""
    specs = [
        role.model
        for role in resolve(settings).values()
        if role.role in CHAT_ROLES or role.spec.startswith("openai:")
    ]
    hosts: dict[str, bool] = {}
    for spec in specs:
        if host := host_of(spec):
            url = spec.base_url or (openai_base_url() or "" if spec.provider == "openai" else "")
            plain = url.startswith("http://") and not is_local(url)
            hosts[host] = hosts.get(host, False) or plain
    return hosts


def _hosts_named(settings: Settings) -> set[str]:
    """The hosts that the environment, a flag or a caller names, and not a file alone."""
    named = {
        getattr(settings, key).rpartition("@")[2] if key in ROLES else getattr(settings, key)
        for key in (*ROLES, "server_url")
        if not from_file(settings.source(key))
    }
    return {_host(url) for url in (*named, openai_base_url() or "")} - {""}


def _keyless(role: Role, named: set[str]) -> bool:
    """Whether the provider's key must not go where this role's requests go. A server on this
    machine or network gets what `openai_key` says: no key of OpenAI's own."""
    provider, _, rest = role.spec.partition(":")
    url = rest.rpartition("@")[2]
    host = _host(url)
    return not (not host or is_private(url) or host in (*named, OWN_HOSTS.get(provider, "")))


def _host(url: str) -> str:
    """The host of an http(s) address, "" of anything else."""
    if not url.startswith(("http://", "https://")):
        return ""
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _of_profile(settings: Settings) -> dict[str, Role]:
    chosen = profile(settings.profile or DEFAULT)
    source = f"profile {chosen.name}" + ("" if settings.profile else " (default)")
    specs = chosen.specs
    if settings.server_url:
        url = settings.server_url.rstrip("/")
        if not url.startswith(("http://", "https://")):
            raise SettingsError(
                f"`server_url` ({settings.source('server_url')}) is no address: {url!r}",
                hint=f"Write it whole, e.g. {SERVER_URL}.",
            )
        specs = {role: spec.replace(SERVER_URL, url) for role, spec in specs.items()}
    if LAPTOP_VLM in specs.values() and (vlm := pulled_spec(settings, "vlm")):
        specs = {role: vlm if spec == LAPTOP_VLM else spec for role, spec in specs.items()}
    return {role: Role(role, spec, source) for role, spec in specs.items()}


def _following(role: str, chosen: Mapping[str, Role]) -> Role:
    """The model of a role that nobody set: the selector's is the captioner's, captioner and
    reasoner have each other's, all others the reasoner's; where neither is set, the first that is.
    """
    first = ["reasoner", "captioner"]
    if role in ("captioner", "selector"):
        first.reverse()
    leader = next(r for r in (*first, *MODEL_ROLES) if r in chosen)
    return Role(role, chosen[leader].spec, f"as the {leader}")


def _suited(role: Role) -> Role:
    """`embedded:` is the pack for a question's roles and the teacher for those of dataset mode: the
    one cannot do the other's work. Raises SettingsError for a spec that cannot be read."""
    if role.role == "captioner" and (detail := _caption_detail(role.model)):
        return replace(role, spec=f"{role.spec}{detail}")
    if role.model.provider != EMBEDDED or role.spec not in (PACK, TEACHER):
        return role
    return replace(role, spec=TEACHER if role.role in DATASET_ROLES else PACK)


_CAPTION_DETAIL = {"openai": "low", "google_genai": "medium"}
"""How closely a captioner looks whose spec does not say it: each frame costs that."""


def _caption_detail(spec: ModelSpec) -> str:
    """What such a spec lacks; "" for nothing."""
    detail = _CAPTION_DETAIL.get(spec.provider, "")
    if not detail or not _paid(spec) or "detail" in spec.options:
        return ""
    return f"{'&' if spec.options else '?'}detail={detail}"


def _detector(settings: Settings, roles: Mapping[str, Role]) -> Role:
    """The detector where none was set."""
    pack = all(roles[role].model.provider == EMBEDDED for role in CHAT_ROLES)
    given = roles.get("detector", Role("detector", "off", "as the reasoner"))
    if given.spec not in ("off", PACK):
        return given
    if pack:
        return replace(given, spec=PACK)
    pulled = pulled_detector(settings)
    return Role("detector", pulled or "off", "pulled" if pulled else NOT_CHOSEN)


NO_BOXES = "no boxes: `videoespresso models pull detector`"
"""Said with every answer where there is no detector because nobody chose one."""
ONE_JUDGE = (
    "{spec} both writes the questions and verifies them, so it judges its own work; another model "
    "as verifier, e.g. -m verifier=SPEC, is stricter"
)


def notes(settings: Settings, *, dataset: bool = False) -> tuple[str, ...]:
    """What should be known of the models before anything is made with them. dataset: for records
    instead of answers. The teacher is two sets of rules and judges nothing of its own."""
    roles = resolve(settings)
    texts = [NO_BOXES] if roles["detector"].source == NOT_CHOSEN else []
    spec = roles["generator"].spec
    if dataset and spec == roles["verifier"].spec != TEACHER:
        texts.append(ONE_JUDGE.format(spec=spec))
    return tuple(texts)


ONE_IMAGE = ("llava:", "llava-phi3", "llama3.2-vision", "bakllava", "moondream", "llava-1.5")
"""Names (as Ollama and vLLM serve them) of models that take one image a request."""


def takes_one_image(spec: ModelSpec) -> bool:
    """Whether several images must become one grid: known from the name (see also `one_image`)."""
    name = spec.name.lower().rpartition("/")[2]
    return name in {"llava"} or name.startswith(ONE_IMAGE)


SHEET = 8
"""Frames a caption request holds: pictures stay told apart, and the reply far from its limit."""
_SHEETS = ("openai", "anthropic", "google_genai")
"""Providers that are paid: each request for one frame pays for the prompt again."""


LOOK_SIDE = 512
"""The longer side in pixels of a picture for a reasoner that is paid by the pixel: one tile of
OpenAI's. What is too small to be read at that size is what the tool look_closer is for."""


def look_side(spec: ModelSpec) -> int | None:
    """The longer side at which a model is shown core frames; None for as they are."""
    return LOOK_SIDE if _paid(spec) else None


def _paid(spec: ModelSpec) -> bool:
    """Whether it is one of those providers, at its own address."""
    own = spec.base_url or (spec.provider == "openai" and openai_base_url())
    return not own and spec.provider in _SHEETS


def sheet_size(spec: ModelSpec) -> int:
    """Frames that one request for captions holds: one for models in this process, and for servers
    with an address of their own, whose requests cost nothing and whose small models take one
    picture for another."""
    return SHEET if _paid(spec) else 1
