"""`videoespresso models`: which model fills which role, and one real request to each."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import typer

from videoespresso.cli import models_pull
from videoespresso.cli.console import Exit, err, examples, one_line, out, say_warning, show_table
from videoespresso.cli.options import MODELS, takes_settings
from videoespresso.errors import VideoEspressoError
from videoespresso.settings import Settings

if TYPE_CHECKING:
    from PIL.Image import Image

    from videoespresso.agents.base import Agent
    from videoespresso.models.profiles import Role

app = typer.Typer(
    name="models",
    help="Which model fills which role, whether it answers; weights for this machine.",
    no_args_is_help=True,
    epilog=examples("models list", "models test --profile openai", "models pull laptop"),
)
models_pull.add_to(app)

LONGEST_REPLY = 60
"""Characters of a reply that are shown: enough to see that it is one."""


class Check(NamedTuple):
    """One thing that was tried. `hint` says what to do when it is not ok."""

    name: str
    ok: bool
    detail: str
    hint: str = ""


@app.command(
    "list",
    epilog=examples("models list", "models list --model reasoner=openai:gpt-4o"),
)
@takes_settings(MODELS)
def list_models(*, settings: Settings) -> None:
    """Show the model of each role with where it was set, and the profiles there are."""
    from videoespresso.models.profiles import PROFILES, UNCONFIGURED, configured, resolve

    resolved = resolve(settings)
    rows = [(role.role, role.spec, role.source) for role in resolved.values()]
    show_table("Role", "Model", "Set by", rows=rows)
    notes = [(p.name, f"{p.about} {p.note}".strip()) for p in PROFILES.values()]
    out().print()
    show_table("Profile", "What it is", rows=notes)
    if not configured(settings):
        say_warning(UNCONFIGURED)


@app.command(
    "test",
    epilog=examples("models test", "models test --model reasoner=ollama:qwen2.5vl", codes=True),
)
@takes_settings(MODELS)
def try_models(*, settings: Settings) -> None:
    """Make one real request to each role's model; with a paid model this costs a little."""
    if not show_checks(role_checks(settings)):
        raise typer.Exit(Exit.FAILED)


def show_checks(checks: Iterator[Check]) -> bool:
    """Prints each check as it is done; returns whether all were ok."""
    all_ok = True
    for check in checks:
        all_ok = all_ok and check.ok
        mark, style = ("ok  ", "green") if check.ok else ("FAIL", "bold red")
        out().print(mark, style=style, end=" ")
        out().print(f"{check.name:<10} {one_line(check.detail)}")
        if check.hint:
            out().print(f"                {one_line(check.hint)}", style="yellow")
    return all_ok


def role_checks(settings: Settings) -> Iterator[Check]:
    """One real request a role, in the very form in which the role asks; nothing from the cache."""
    from videoespresso.models.profiles import CHAT_ROLES, resolve

    resolved = resolve(settings)
    picture = drawn_street()
    for role in CHAT_ROLES:
        with err().status(f"asking the {role}: {resolved[role].spec}"):
            check = attempt(role, partial(_chat, resolved[role], picture, settings))
        yield check
    with err().status("looking with the detector"):
        check = attempt("detector", partial(_detect, resolved["detector"].spec, picture))
    yield check
    with err().status("embedding a sentence"):
        check = attempt("embedder", partial(_embed, resolved["embedder"].spec))
    yield check


def attempt(name: str, work: Callable[[], str]) -> Check:
    """Runs a check; a known error is its result, an unknown one is a bug and is raised."""
    started = time.monotonic()
    try:
        detail = work()
    except VideoEspressoError as error:
        return Check(name, False, str(error), error.hint)
    return Check(name, True, f"{detail} · {time.monotonic() - started:.1f} s")


def drawn_street() -> "Image":
    """A drawn street scene, 320 × 180: for test requests."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (320, 180), (150, 190, 225))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 120, 320, 180), fill=(95, 95, 100))
    draw.rounded_rectangle((60, 95, 160, 140), radius=10, fill=(200, 40, 40))
    draw.ellipse((75, 128, 99, 152), fill=(20, 20, 20))
    draw.ellipse((121, 128, 145, 152), fill=(20, 20, 20))
    return picture


def _chat(role: "Role", picture: "Image", settings: Settings) -> str:
    """A small made-up case through the role itself: its prompt, its typed reply; no cache."""
    from videoespresso.agents.base import Agent
    from videoespresso.models.chat import chat_model
    from videoespresso.models.client.usage import UsageLog

    model = chat_model(role.model, timeout_s=settings.timeout_s)
    agent = Agent(
        role.role, role.model, model, usage_log=UsageLog(), one_image=settings.one_image or None
    )
    reply = one_line(_case(role.role, agent, picture))
    return f"{role.spec} {reply if len(reply) <= LONGEST_REPLY else reply[:LONGEST_REPLY] + '…'}"


def _case(role: str, agent: "Agent", picture: "Image") -> str:
    """The role's reply about a red car on a road, as text."""
    from videoespresso.agents import captioner, checker, prompt_parts, reasoner, selector
    from videoespresso.types import Caption, EvidenceStep

    question = "What colour is the car?"
    match role:
        case "captioner":
            return f"said “{captioner.caption(agent, [picture])[0]}”"
        case "selector":
            texts = ("a red car", "an empty road")
            captions = [
                Caption(frame_id=f"test@{i}", time_s=i, text=text) for i, text in enumerate(texts)
            ]
            return f"kept {len(selector.select(agent, question, captions))} of 2 frames"
        case "reasoner":
            shown = [prompt_parts.Shown(picture, 0.0, "a red car")]
            evidence, _ = reasoner.evidence(agent, question, shown)
            return f"wrote {len(evidence.steps)} steps of evidence"
        case _:
            step = EvidenceStep(text="The car is red.", frame_id="test@0", time_s=0.0)
            carried = checker.check(agent, question, [step], "Red.").carried
            return f"judged an answer {'carried' if carried else 'not carried'} by its evidence"


def _detect(spec: str, picture: "Image") -> str:
    from videoespresso.tools.grounding import detector

    boxes = detector(spec).detect(picture, ("car",))
    return f"{spec} found {len(boxes)} boxes on a test picture"


def _embed(spec: str) -> str:
    from videoespresso.models.embedders import embedder

    rows, width = embedder(spec)(["a red car"]).shape
    return f"{spec} made {rows} vector of {width} numbers"
