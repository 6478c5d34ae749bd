"""`videoespresso init`: three questions, a settings file, and a first real answer."""

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videoespresso.cli.console import Exit, err, examples, one_line, say_warning, typed_line
from videoespresso.errors import SettingsError, UserError
from videoespresso.settings import Settings
from videoespresso.settings_file import FILE_NAME, find_file, user_file

if TYPE_CHECKING:
    from videoespresso.models.profiles import Role

EPILOG = examples(
    "init",
    "init --profile openai --max-usd 0.05 --yes",
    "init --server http://localhost:8080/v1 --yes holiday.mp4",
    "init --profile embedded --yes --no-answer",
    codes=True,
)
KEYED = ("openai", "gemini", "anthropic")
USUAL_SERVERS = (
    ("vLLM", "http://localhost:8000/v1"),
    ("llama.cpp", "http://localhost:8080/v1"),
    ("LM Studio", "http://localhost:1234/v1"),
)
MAX_USD = 0.05
"""Dollars a question: twice what a first question about an hour of film takes."""
SAMPLE_SEED = 1_100_003
"""The theatre's story that is the sample: short, and no model was taught on it."""
QUESTION = "What happens in this video?"


@dataclass(frozen=True)
class Choice:
    """What was chosen. model: a spec for every role, where a profile does not say it."""

    profile: str = ""
    server_url: str = ""
    model: str = ""
    max_usd: float | None = None


def init(
    video: Annotated[str | None, typer.Argument(help="A video of yours to ask about.")] = None,
    question: Annotated[str, typer.Option("--question", help="What to ask about it.")] = QUESTION,
    profile: Annotated[str | None, typer.Option(help="A named set of models.")] = None,
    server: Annotated[str | None, typer.Option(metavar="URL", help="A model server.")] = None,
    max_usd: Annotated[float | None, typer.Option(min=0, help="Dollars a question.")] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing; an old file becomes FILE.bak.")
    ] = False,
    answer: Annotated[bool, typer.Option(help="End with a question about a video.")] = True,
) -> None:
    """Choose the models in three questions: a key, a server or this machine; which; a limit."""
    target = user_file()
    try:
        _settle(target, _choose(profile, server, max_usd, ask=not yes), ask=not yes)
    except KeyboardInterrupt:
        err().print("\ninterrupted; nothing was written", style="yellow")
        raise typer.Exit(Exit.INTERRUPTED) from None
    err().print(f"written: {target}")
    existing = find_file()
    if existing != target:
        say_warning(f"in this folder {existing} is read instead of it")
    settings = Settings.load(file=target)
    if answer and _ready(settings):
        _answer(video, question, settings, ask=not yes)


def _settle(target: Path, choice: Choice, *, ask: bool) -> None:
    """Writes the file, after asking where there is one already."""
    if ask and target.exists() and not _agreed(f"{target} exists. Replace it?"):
        raise UserError("nothing was written", hint=f"{target} is as it was.")
    write(target, text_of(choice))


# ---- the questions


def _choose(profile: str | None, server: str | None, max_usd: float | None, *, ask: bool) -> Choice:
    """From the options, else from three questions. Raises UserError where neither says it."""
    from videoespresso.models.profiles import profile as known

    if profile is None and server is None:
        if not ask:
            raise UserError(
                "--yes needs to know what to write", hint="Add --profile NAME or --server URL."
            )
        choice = _kind_and_which()
    elif server is not None:
        choice = _of_server(server, ask=ask)
    else:
        choice = Choice(profile=known(profile or "").name)
    if choice.profile in KEYED and max_usd is None:
        max_usd = _dollars() if ask else MAX_USD
    return Choice(choice.profile, choice.server_url, choice.model, max_usd)


def _kind_and_which() -> Choice:
    kind = _one_of(
        "1. What should answer?",
        {
            "key": "a provider: you have a key of OpenAI, Google or Anthropic",
            "server": "a model server: Ollama, vLLM, llama.cpp, LM Studio",
            "machine": "this machine alone: no key, no server",
        },
    )
    if kind == "key":
        from videoespresso.models.profiles import PROFILES

        there = {name: PROFILES[name].about + _key_note(name) for name in KEYED}
        return Choice(profile=_one_of("2. Which provider?", there))
    if kind == "server":
        return _of_server(_which_server(), ask=True)
    return Choice(profile=_one_of("2. Which models?", _on_this_machine()))


def _key_note(name: str) -> str:
    from videoespresso.models.chat import missing_key
    from videoespresso.models.profiles import PROFILES
    from videoespresso.models.specs import ModelSpec

    missing = missing_key(ModelSpec.parse(PROFILES[name].specs["captioner"]))
    return f" ({missing} is not set yet)" if missing else " (its key is set)"


def _on_this_machine() -> dict[str, str]:
    from videoespresso.models.profiles import PROFILES

    names = [name for name in ("laptop", "embedded") if name in PROFILES]
    return {name: f"{PROFILES[name].about} {PROFILES[name].note}" for name in names}


def _which_server() -> str:
    """ "ollama", or an address; those of the usual ports that answer come first."""
    from videoespresso.models.served import model_names, ollama_names, ollama_url

    there: dict[str, str] = {}
    for what, url in (("Ollama", "ollama"), *USUAL_SERVERS):
        try:
            names = ollama_names() if url == "ollama" else model_names(url)
        except SettingsError:
            continue
        there[url] = f"{what}, which has {', '.join(names[:4]) or 'no model yet'}"
    if not there:
        err().print(f"  (nothing answers at {ollama_url()} and the usual ports of this machine)")
        there["ollama"] = "Ollama, when it runs"
    there["another"] = "another address"
    chosen = _one_of("2. Which server?", there, address=True)
    return chosen if chosen != "another" else _line("   Its address, e.g. http://host:8000/v1: ")


def _of_server(url: str, *, ask: bool) -> Choice:
    """The server by its address, asked what it serves; where that is several models, which."""
    from videoespresso.models.profiles import OLLAMA_MODEL
    from videoespresso.models.served import model_names, ollama_names
    from videoespresso.models.specs import ModelSpec

    if url == "ollama":
        names = ollama_names()
        if not names or OLLAMA_MODEL in names or not ask:
            return Choice(profile="ollama")
        shown = dict.fromkeys(names, "it must see pictures")
        return Choice(model=f"ollama:{_one_of('   Which of its models?', shown)}")
    spec = ModelSpec.parse(f"openai:@{url.strip()}")
    names = model_names(spec.base_url)
    if len(names) == 1:
        return Choice(profile="server", server_url=spec.base_url)
    if not ask or not names:
        raise SettingsError(
            f"{spec.base_url} serves {len(names)} models: {', '.join(names[:8])}",
            hint="Leave out --yes, and choose one of them.",
        )
    name = _one_of("   Which of its models?", dict.fromkeys(names, "it must see pictures"))
    return Choice(model=f"openai:{name}@{spec.base_url}")


def _dollars() -> float | None:
    while True:
        text = _line(f"3. At most how many dollars a question? [{MAX_USD}; 0 for no limit] ")
        try:
            usd = float(text.lstrip("$") or MAX_USD)
        except ValueError:
            usd = -1.0
        if usd >= 0:
            return usd or None
        err().print("   a number, please, such as 0.05")


def _one_of(question: str, choices: dict[str, str], *, address: bool = False) -> str:
    """The name that was chosen, by its number or itself; Enter is the first. address: one that is
    pasted is an answer, too."""
    err().print(question, style="bold")
    names = list(choices)
    for number, name in enumerate(names, 1):
        err().print(f"   {number}  {one_line(f'{name}: {choices[name]}')}")
    while True:
        text = _line("   Number or name [1]: ") or "1"
        if text in names or (address and re.search(r"://|:\d", text)):
            return text
        if text.isdecimal() and 1 <= int(text) <= len(names):
            return names[int(text) - 1]
        err().print(f"   one of 1 to {len(names)}, please")


def _agreed(question: str) -> bool:
    return _line(f"{question} [y/N] ").lower() in ("y", "yes")


def _line(prompt: str) -> str:
    """A line that was typed. Raises UserError at the end of the input."""
    err().print(prompt, end="")
    try:
        return typed_line().strip()
    except EOFError:
        raise UserError(
            "there was no answer", hint="In a script give --profile or --server, and --yes."
        ) from None


# ---- the file


def text_of(choice: Choice) -> str:
    """The settings file, with what each line is for. There is no key in it, ever."""
    from videoespresso.models.profiles import PROFILES

    lines = [
        f"# Written by `videoespresso init` on {date.today()}; change or delete any line.",
        "# Options of a command and VIDEOESPRESSO_... variables are stronger than this file.",
        "# Keys do not belong here: they stay in the environment.",
        "",
    ]
    if choice.profile:
        about = PROFILES[choice.profile]
        lines += [f"# {about.about}", f"# Needs: {about.needs}. Downloads: {about.downloads}."]
        lines += [f"profile = {json.dumps(choice.profile)}"]
    if choice.server_url:
        lines += [f"server_url = {json.dumps(choice.server_url)}"]
    if choice.model:
        lines += ["# One model for every role; `captioner = ...` and the like set one of them."]
        lines += [f"model = {json.dumps(choice.model)}"]
    lines += ["", "# Limits of one question; reaching one ends with what is known by then."]
    lines += ["[budget]"]
    lines += ["# usd = 0.05" if choice.max_usd is None else f"usd = {choice.max_usd:g}"]
    return "\n".join([*lines, "# calls = 60", "# seconds = 300", ""])


def write(target: Path, text: str) -> None:
    """The whole file or none of it; one that was there is kept as FILE.bak."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=target.parent, prefix=f".{FILE_NAME}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            if target.exists():
                shutil.copy2(target, target.with_name(f"{FILE_NAME}.bak"))
            Path(draft).replace(target)
        finally:
            Path(draft).unlink(missing_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{target} cannot be written: {error.strerror}", hint="Check the folder's rights."
        ) from error


# ---- the first answer


def _ready(settings: Settings) -> bool:
    """Whether a question can be asked now; what is missing is said."""
    from videoespresso.models import served
    from videoespresso.models.chat import missing_key
    from videoespresso.models.profiles import resolve

    specs = [role.model for role in _chat(resolve(settings))]
    try:
        served.check(spec for spec in specs if spec.provider == "onnx")
    except SettingsError:
        err().print("now fetch the models, sizes are said first: videoespresso models pull laptop")
        err().print('then ask: videoespresso ask VIDEO "What happens?"')
        return False
    missing = {missing_key(spec) for spec in specs} - {""}
    for variable in sorted(missing):
        err().print(f"now put your key into the environment: export {variable}=...")
    if missing:
        err().print('then ask: videoespresso ask VIDEO "What happens?"')
    return not missing


def _chat(roles: dict[str, "Role"]) -> Sequence["Role"]:
    from videoespresso.models.profiles import CHAT_ROLES

    return [roles[name] for name in CHAT_ROLES]


def _answer(video: str | None, question: str, settings: Settings, *, ask: bool) -> None:
    from videoespresso.cli.ask import code_of, run, show, show_doubts
    from videoespresso.models.profiles import resolve

    pack = any(role.model.provider == "embedded" for role in _chat(resolve(settings)))
    if pack and video is not None:
        say_warning("the embedded models know the theatre only: the sample is asked about instead")
        video = None
    if video is None and ask and not pack:
        video = _line("A video of yours to ask about (Enter: a sample): ") or None
        question = (video and _line(f"Your question [{question}]: ")) or question
    if video is None:
        video, question = sample(settings)
    err().print(f"asking {video}: {question}")
    begun = time.monotonic()
    answer = run([video], question, (), (), settings, "line")
    show(answer, quiet=False, elapsed_s=time.monotonic() - begun)
    show_doubts(answer)
    raise typer.Exit(code_of(answer))


def sample(settings: Settings) -> tuple[str, str]:
    """A film of the theatre, drawn once, and a question that it answers."""
    from videoespresso.theatre.film import film
    from videoespresso.theatre.questions import questions
    from videoespresso.theatre.stories import make_story

    story = make_story(SAMPLE_SEED)
    path = settings.cache_dir / "sample.mp4"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        film(story, path)
    return str(path), next(questions(story)).text
