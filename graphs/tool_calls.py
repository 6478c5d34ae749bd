"""The reasoner calls tools: a few turns, then it answers with what is known."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from videoespresso.agents import caller, wire
from videoespresso.agents.messages import Call, Turn
from videoespresso.errors import BudgetExceeded, ModelError
from videoespresso.graphs.context import Context
from videoespresso.graphs.state import Json
from videoespresso.graphs.tool_use import found, patience
from videoespresso.models.failures import UnsupportedError
from videoespresso.tools.base import Finding, Tool, ToolRequest
from videoespresso.tools.registry import Ran, run_tool
from videoespresso.types import Gap

MOST_TURNS = 4
"""Turns in which tools may be called. A model that then still wants more answers without."""
MOST_CALLS = 4
"""Calls of one turn that are made; the others are refused, which the model is told."""

UNABLE = (
    "{spec} cannot call tools, so these were not used: {names}. "
    "Choose another reasoner, e.g. --model reasoner=openai:gpt-4o."
)


@dataclass
class Called:
    """What calling tools gave: findings and gaps as state holds them, and warnings."""

    findings: list[Json] = field(default_factory=list)
    gaps: list[Json] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    stop: str = ""

    def gap(self, stage: str, reason: str) -> None:
        """Something that is not known now."""
        self.gaps.append(Gap(stage=stage, reason=reason).model_dump(mode="json"))


def call_tools(
    context: Context,
    request: ToolRequest,
    show: Callable[[], Sequence[wire.Shown[Any]]],
    known: Sequence[Json],
) -> Called:
    """Lets the reasoner call the tools that have `parameters`, for at most `MOST_TURNS` turns.

    show: gives the core frames; where there is no tool to call, no pixels are read. known: what
    tools have found without being called. A model that fails leaves a gap, and a reached budget
    ends the run with what is known.
    """
    called = Called()
    offered = {
        caller.public(tool.name): tool for tool in context.tools if _parameters(tool) is not None
    }
    waiting = [tool.name for tool in context.tools if tool.needs == "call"]
    agent = context.agents["reasoner"]
    if not offered:
        return called
    if not agent.can_call:
        if waiting:
            names = ", ".join(waiting)
            called.warnings.append(UNABLE.format(spec=agent.spec, names=names))
        return called
    try:
        _converse(context, request, show(), known, offered, called)
    except UnsupportedError:
        spec, names = agent.spec, ", ".join(tool.name for tool in offered.values())
        called.warnings.append(UNABLE.format(spec=spec, names=names))
    except ModelError as error:
        called.gap("tools", f"{error}; no more tools were called")
    except BudgetExceeded as error:
        called.gap("budget", f"{error}. {error.hint}".strip())
        called.stop = "budget"
    return called


def _parameters(tool: Tool) -> dict[str, Any] | None:
    """What a tool may be called with; None for one that is not called."""
    parameters: dict[str, Any] | None = getattr(tool, "parameters", None)
    return parameters


def _converse(
    context: Context,
    request: ToolRequest,
    shown: Sequence[wire.Shown[Any]],
    known: Sequence[Json],
    offered: dict[str, Tool],
    called: Called,
) -> None:
    """The turns; what they give goes into `called` as it comes."""
    specs = [caller.offer(t.name, t.description, _parameters(t) or {}) for t in offered.values()]
    turns = [caller.opening(request.question, shown, told(known))]
    before: set[str] = set()
    for _ in range(MOST_TURNS):
        wanted = caller.choose(context.agents["reasoner"], turns, specs)
        if not wanted.calls:
            return
        turns.append(Turn("assistant", (wanted.text,), calls=tuple(wanted.calls)))
        for number, call in enumerate(wanted.calls):
            if number >= MOST_CALLS:
                turns.append(_refused(call, f"at most {MOST_CALLS} calls a turn", called))
                continue
            turns.append(_made(context, request, call, offered, before, called))
    called.gap("tools", f"tools were still wanted after {MOST_TURNS} turns; no more were called")


def _made(
    context: Context,
    request: ToolRequest,
    call: Call,
    offered: dict[str, Tool],
    before: set[str],
    called: Called,
) -> Turn:
    """One call, made safely; the turn that tells the model what it gave."""
    tool = offered.get(call.name)
    if tool is None:
        return _refused(call, f"there is no tool {call.name!r:.80}", called)
    if call.fault:
        return _refused(call, call.fault, called)
    same = json.dumps([call.name, call.arguments], sort_keys=True, default=str)
    if same in before:
        return caller.replied(call.id, (), "it was called with these arguments before")
    before.add(same)
    asked = replace(request, arguments=call.arguments)
    ran: Ran = run_tool(tool, asked, timeout_s=patience(context))
    new = [finding for finding in found(tool.name, ran) if finding not in called.findings]
    called.findings += new
    if ran.gap is not None:
        called.gap(ran.gap.stage, ran.gap.reason)
    fault = ran.gap.reason if ran.gap is not None and not ran.findings else ""
    return caller.replied(call.id, _lines(tool, ran.findings), fault)


def _refused(call: Call, why: str, called: Called) -> Turn:
    called.gap("tools", f"a call was not made: {why}")
    return caller.replied(call.id, (), why)


def _lines(tool: Tool, findings: Sequence[Finding]) -> list[tuple[str, float, str]]:
    return [(tool.name, finding.time_s, finding.text) for finding in findings]


def told(findings: Sequence[Json]) -> list[tuple[str, float, str]]:
    """Findings as the reasoner is shown them: (tool, instant, text)."""
    return [(f["tool"], f["time_s"], f["text"]) for f in findings]
