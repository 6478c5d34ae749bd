"""`videoespresso models`: which model fills which role, and one real request to each."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from pydantic import BaseModel

from videoespresso.cli import models_pull
from videoespresso.cli.console import (
    Exit,
    err,
    examples,
    one_line,
    out,
    say_warning,
    show_table,
    write_json,
)
from videoespresso.cli.options import MODELS, takes_settings
from videoespresso.errors import BudgetExceeded, VideoEspressoError
from videoespresso.settings import Settings

if TYPE_CHECKING:
    from PIL.Image import Image

    from videoespresso.agents.base import Agent
    from videoespresso.models.client.budget import Budget
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
    """One thing that was tried. ok: None where it is not known. `hint` says what to do about it."""

    name: str
    ok: bool | None
    detail: str
    hint: str = ""

    @property
    def result(self) -> str:
        """For JSON: pass, fail or unknown."""
        return "unknown" if self.ok is None else ("pass" if self.ok else "fail")


@app.command(
    "list",
    epilog=examples("models list", "models list -m openai:gpt-4o", "models list --json"),
)
@takes_settings(MODELS)
def list_models(
    *,
    settings: Settings,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, only.")] = False,
) -> None:
    """Show the model of each role, and what each profile needs, costs and downloads."""
    from videoespresso.models.costs import formula
    from videoespresso.models.profiles import UNCONFIGURED, configured, resolve

    resolved = resolve(settings)
    profiles = [_described(name) for name in _profiles()]
    if as_json:
        roles = {r.role: {"spec": r.spec, "set_by": r.source} for r in resolved.values()}
        write_json(Listed(roles=roles, profiles=profiles, question_formula=formula()))
        return
    rows = [(r.role, r.spec + _until(r), r.source) for r in resolved.values()]
    show_table("Role", "Model", "Set by", rows=rows)
    out().print()
    for p in profiles:
        _show_profile(p)
    counted = "; ".join(f"{p['name']} {p['frame_formula']}" for p in profiles if p["frame_usd"])
    out().print(f"\n* estimate for {formula()}.", style="dim")
    out().print(f"Tokens of an image: {counted}. Prices: {_as_of()}.", style="dim")
    if not configured(settings):
        say_warning(UNCONFIGURED)


def _show_profile(described: dict[str, Any]) -> None:
    """Some lines: a table of sentences has no room in a terminal."""
    frame, question = _usd(described)
    costs = "free" if frame == question == "free" else f"{frame} a frame, {question} a question*"
    name, about, note = (described[key] for key in ("name", "about", "note"))
    out().print(f"{name:<10} {costs}", style="bold")
    takes = f"needs {described['needs']}; downloads {described['downloads']}"
    for text in (takes, f"{about} {note}".strip()):
        out().print(fill(one_line(text), out().width, initial_indent=IN, subsequent_indent=IN))


IN = " " * 11
"""Before the lines about a profile: the width of its name."""


class Listed(BaseModel):
    """What `models list --json` prints. Dollars are null where a price is not known."""

    roles: dict[str, dict[str, str]]
    profiles: list[dict[str, Any]]
    question_formula: str


def _profiles() -> list[str]:
    from videoespresso.models.profiles import PROFILES

    return list(PROFILES)


def _described(name: str) -> dict[str, Any]:
    """A profile with what it costs, whatever else is set."""
    from videoespresso.models.client.prices import image_formula
    from videoespresso.models.costs import frame_usd, question_usd
    from videoespresso.models.profiles import PROFILES, resolve

    profile, roles = PROFILES[name], resolve(Settings(profile=name))
    captioner = roles["captioner"].model
    return {
        "name": name,
        "about": profile.about,
        "note": profile.note,
        "needs": profile.needs,
        "downloads": profile.downloads,
        "frame_usd": frame_usd(captioner),
        "frame_formula": image_formula(captioner),
        "question_usd": question_usd(roles),
    }


def _usd(described: dict[str, Any]) -> Iterator[str]:
    """The two costs for a person."""
    for usd in (described["frame_usd"], described["question_usd"]):
        yield "not known" if usd is None else (_dollars(usd) if usd else "free")


def _dollars(usd: float) -> str:
    """Two digits that count, written out: a frame may cost a hundredth of a cent."""
    return "$" + f"{float(f'{usd:.2g}'):.9f}".rstrip("0").rstrip(".")


def _until(role: "Role") -> str:
    """The day on which its provider shuts the role's model down, where one is known."""
    from videoespresso.models.client.prices import ends

    if role.role in ("detector", "embedder"):
        return ""
    day = ends(role.model)
    return f" (until {day})" if day else ""


def _as_of() -> str:
    from videoespresso.models.client.prices import price
    from videoespresso.models.specs import ModelSpec

    known = price(ModelSpec("openai", "gpt-4o"))
    return f"of {known.as_of} or later" if known and known.as_of else "your server's own"


@app.command(
    "test",
    epilog=examples("models test", "models test --model reasoner=ollama:qwen2.5vl", codes=True),
)
@takes_settings(MODELS)
def try_models(*, settings: Settings) -> None:
    """Make one real request to each role's model; with a paid model this costs a little."""
    if not show_checks(role_checks(settings)):
        raise typer.Exit(Exit.FAILED)


def show_checks(checks: Iterator[Check], *, as_json: bool = False) -> bool:
    """Prints each check as it is done, or all as one list; returns whether none failed."""
    done: list[Check] = []
    for check in checks:
        done.append(check)
        if as_json:
            continue
        mark, style = _MARKS[check.result]
        out().print(mark, style=style, end=" ")
        out().print(f"{check.name:<18} {one_line(check.detail)}")
        for line in check.hint.splitlines():
            out().print(f"                        {one_line(line)}", style="yellow")
    if as_json:
        write_json(Checked(checks=[_row(check) for check in done]))
    return all(check.ok is not False for check in done)


_MARKS = {"pass": ("ok  ", "green"), "fail": ("FAIL", "bold red"), "unknown": ("?   ", "yellow")}


class Checked(BaseModel):
    """What `doctor --json` prints: name, result (pass, fail, unknown), detail, remedy of each."""

    checks: list[dict[str, str]]


def _row(check: Check) -> dict[str, str]:
    detail, remedy = check.detail, check.hint
    return {"name": check.name, "result": check.result, "detail": detail, "remedy": remedy}


def role_checks(settings: Settings, budget: "Budget | None" = None) -> Iterator[Check]:
    """One real request a role, in the very form in which the role asks; nothing from the cache."""
    from videoespresso.models import served
    from videoespresso.models.profiles import CHAT_ROLES, resolve

    resolved = resolve(settings)
    try:
        resolved = served.located(resolved, CHAT_ROLES)
    except VideoEspressoError as error:
        yield Check("server", False, str(error), error.hint)
    picture = drawn_street()
    for role in CHAT_ROLES:
        if not (resolved[role].model.model or resolved[role].model.in_process):
            continue  # its server does not say which model it serves
        with err().status(f"asking the {role}: {resolved[role].spec}"):
            check = attempt(role, partial(_chat, resolved[role], picture, settings, budget))
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
    except BudgetExceeded as error:
        return Check(name, None, str(error), "Raise --max-usd.")
    except VideoEspressoError as error:
        return Check(name, False, str(error), error.hint)
    return Check(name, True, f"{detail} · {time.monotonic() - started:.1f} s")


def drawn_street() -> "Image":
    """A drawn street scene with a red car, 320 × 180: for test requests."""
    from videoespresso.models.proof import street

    return street()


def _chat(role: "Role", picture: "Image", settings: Settings, budget: "Budget | None") -> str:
    """A small made-up case through the role itself: its prompt, its typed reply; no cache."""
    from videoespresso.agents.base import Agent
    from videoespresso.models.chat import chat_model
    from videoespresso.models.client.usage import UsageLog

    model = chat_model(role.model, timeout_s=settings.timeout_s)
    agent = Agent(
        role.role,
        role.model,
        model,
        usage_log=UsageLog(),
        budget=budget,
        one_image=settings.one_image or None,
        timeout_s=settings.timeout_s,
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

    if spec == "off":
        return "off: answers have no boxes (videoespresso models pull detector)"
    boxes = detector(spec).detect(picture, ("car",))
    return f"{spec} found {len(boxes)} boxes on a test picture"


def _embed(spec: str) -> str:
    from videoespresso.models.embedders import embedder

    rows, width = embedder(spec)(["a red car"]).shape
    return f"{spec} made {rows} vector of {width} numbers"
