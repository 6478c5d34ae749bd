"""Loads tools by name and runs them safely; built-in tools are loaded as those of other packages.

Knows no graph: `load_tools` turns names into tools, `run_tool` turns whatever a tool does into
findings or a gap.
"""

import contextvars
import queue
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from itertools import islice
from typing import Any, NamedTuple, cast

from videoespresso.errors import UserError
from videoespresso.models.client.errors import redact
from videoespresso.settings import McpServer
from videoespresso.tools.base import NEEDS, Finding, Given, Tool, ToolRequest, Unknown
from videoespresso.tools.from_langchain import LangChainTool, is_langchain
from videoespresso.types import Gap

GROUP = "videoespresso.tools"
"""The entry point group for tools of other packages."""

Servers = Mapping[str, McpServer]

BUILT_IN: tuple[EntryPoint, ...] = tuple(
    EntryPoint(name=name, value=f"videoespresso.tools.builtin.{value}", group=GROUP)
    for name, value in (
        ("count", "count:Count"),
        ("look_closer", "look_closer:LookCloser"),
        ("read_text", "read_text:ReadText"),
        ("search_memory", "search_memory:SearchMemory"),
        ("subtitles", "subtitles:Subtitles"),
        ("track", "track:Tracker"),
        ("transcript", "transcript:Transcript"),
    )
)
"""Our own tools. An entry point is imported when its tool is used, so extras stay optional."""

TOOL_TIMEOUT_S = 60.0
"""A tool that has not answered by then counts as hung; enough for a model on a CPU to look at a few
frames."""

MAX_FINDINGS = 64
"""Findings taken from one run of one tool; the rest is left out, and a gap says so."""

_REASON_CHARS = 200
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Loaded(NamedTuple):
    """Tools ready to run, and a sentence on each plug-in that was left out."""

    tools: tuple[Tool, ...]
    warnings: tuple[str, ...]


class ToolResult(NamedTuple):
    """The result of one run of a tool: findings, and a gap when it failed or was cut short."""

    findings: tuple[Finding, ...]
    gap: Gap | None


def known_tools() -> dict[str, EntryPoint]:
    """Every tool by name: built-ins, then installed plug-ins; nothing is imported.

    A name is taken once: built-ins first, then by distribution name, so that installing a package
    never replaces a tool silently.
    """
    others = sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, source_of(entry)))
    known: dict[str, EntryPoint] = {}
    for entry in (*BUILT_IN, *others):
        known.setdefault(entry.name, entry)
    return known


class KnownTool(NamedTuple):
    """A tool with a name. tool: None where it cannot be loaded, for `reason`."""

    name: str
    source: str
    tool: Tool | None
    reason: str = ""


def survey(more: Iterable[str] = (), servers: Servers | None = None) -> list[KnownTool]:
    """Every known tool, each tried: built-ins, plug-ins, `more` ("package.module:name", "mcp:..."),
    and what the MCP servers offer.

    One that cannot be imported, or reached, is listed with the reason; it stops nobody else's.
    """
    known, servers = known_tools(), servers or {}
    built_in = {entry.name for entry in BUILT_IN}
    listed: dict[str, KnownTool] = {}
    for name in dict.fromkeys((*known, *more, *(f"mcp:{server}" for server in servers))):
        entry = known.get(name)
        source = "built in" if name in built_in else source_of(entry) if entry else "settings"
        source = name.partition("#")[0] if name.startswith("mcp:") else source
        try:
            tools = _named(name, known, servers)
        except UserError as error:
            listed[name] = KnownTool(name, source, None, str(error))
        else:
            for tool in tools:
                called = tool.name if entry is None else name
                listed.setdefault(called, KnownTool(called, source, tool))
    return list(listed.values())


def load_tools(
    wanted: Iterable[Given] = (), *, installed: bool = False, servers: Servers | None = None
) -> Loaded:
    """The wanted tools, in that order, and with `installed` every plug-in that can be loaded.

    An item is a known name ("count"), "package.module:name", "mcp:..." (from_mcp.py; `servers` are
    the settings'), or a tool itself (an object, a class without arguments, or a tool of
    LangChain's). Raises `UserError` when a wanted tool cannot be loaded, or when two have one name.
    Another installed plug-in that cannot be loaded is skipped with a warning which names it.
    """
    known = known_tools()
    tools: dict[str, Tool] = {}
    for tool in (tool for item in wanted for tool in _given(item, known, servers or {})):
        if tool.name in tools:
            raise UserError(
                f"two tools are called {tool.name!r}",
                hint="Ask for it once, or rename one: findings cite the name.",
            )
        tools[tool.name] = tool
    warnings = []
    built_in = {entry.name for entry in BUILT_IN}
    for name, entry in known.items() if installed else ():
        if name in built_in or name in tools:
            continue
        try:
            tool = _load(entry)
        except UserError as error:
            warnings.append(f"{error}; skipped")
            continue
        if tools.setdefault(tool.name, tool) is not tool:
            warnings.append(f"another tool is already called {tool.name!r}: {name!r} is skipped")
    return Loaded(tuple(tools.values()), tuple(warnings))


def check_tool(candidate: object, source: str) -> Tool:
    """The candidate as a `Tool`; a class is called without arguments first, and a LangChain tool
    becomes one that a model can call.

    Raises `UserError` saying which part of the contract is missing.
    """
    tool: Any = candidate
    if isinstance(candidate, type):
        try:
            tool = candidate()
        except Exception as error:  # others' code
            raise UserError(
                f"{source} cannot be made: {error_line(error)}",
                hint="Its class must take no arguments.",
            ) from error
    tool = LangChainTool(tool) if is_langchain(tool) else tool
    name = getattr(tool, "name", None)
    wrong = None
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        wrong = f"a name of letters, digits, '_', '-' and '.' (it has {name!r})"
    elif not isinstance(getattr(tool, "description", None), str):
        wrong = "a description"
    elif getattr(tool, "needs", None) not in NEEDS:
        wrong = f"needs, one of {', '.join(NEEDS)}"
    elif not callable(getattr(tool, "run", None)):
        wrong = "a method run(request)"
    elif tool.needs == "call" and not isinstance(getattr(tool, "parameters", None), dict):
        wrong = "parameters, the JSON Schema of what a model may call it with"
    if wrong:
        raise UserError(
            f"{source} is not a tool: it lacks {wrong}", hint="See videoespresso.tools.base.Tool."
        )
    return cast("Tool", tool)


def run_tool(tool: Tool, request: ToolRequest, *, timeout_s: float = TOOL_TIMEOUT_S) -> ToolResult:
    """Runs a tool once, in a thread of its own, for at most `timeout_s` seconds.

    An exception, a hang, a result that is not findings, and a finding on a frame or instant the
    video does not have all give a gap and no findings: nothing of a tool that failed is evidence. A
    hung tool's thread cannot be stopped; it is a daemon, and its late result is dropped.
    """
    stage = f"tool:{tool.name}"
    if tool.needs in ("frames", "text") and not request.frames:
        return ToolResult((), Gap(stage=stage, reason="there are no core frames to look at"))
    results: queue.SimpleQueue[list[Any] | Gap] = queue.SimpleQueue()

    def work() -> None:
        try:
            # listed here, because a generator does its work, and may hang, while it is read
            results.put(list(islice(tool.run(request), MAX_FINDINGS + 1)))
        except BaseException as error:  # noqa: BLE001 - others' code; even SystemExit ends here
            results.put(Gap(stage=stage, reason=f"failed: {error_line(error)}"))

    context = contextvars.copy_context()  # tracing and callbacks follow into the thread
    threading.Thread(target=context.run, args=(work,), name=stage, daemon=True).start()
    try:
        result = results.get(timeout=timeout_s)
    except queue.Empty:
        return ToolResult((), Gap(stage=stage, reason=f"gave no answer within {timeout_s:g} s"))
    if isinstance(result, Gap):
        return ToolResult((), result)
    unknown = next((item for item in result if isinstance(item, Unknown)), None)
    result = [item for item in result if not isinstance(item, Unknown)]
    findings = [_checked(item, request) for item in result[:MAX_FINDINGS]]
    good = tuple(item for item in findings if isinstance(item, Finding))
    if len(good) < len(findings):
        first = next(item for item in findings if isinstance(item, str))
        return ToolResult((), Gap(stage=stage, reason=f"its result cannot be used: {first}"))
    if len(result) > MAX_FINDINGS:
        cut = f"found more than {MAX_FINDINGS} things; the first {MAX_FINDINGS} are used"
        return ToolResult(good, Gap(stage=stage, reason=cut))
    return ToolResult(good, Gap(stage=stage, reason=redact(unknown.text)) if unknown else None)


def _checked(item: object, request: ToolRequest) -> Finding | str:
    """The finding, with its frame's exact instant and no key in it; or what is wrong with it."""
    if not isinstance(item, Finding):
        return f"it holds {type(item).__name__}, not Finding"
    if item.frame_id is not None:
        instants = {core.frame.id: core.frame.time_s for core in request.frames}
        if item.frame_id not in instants:
            return "a finding is on a frame that is not among the core frames"
        return item.model_copy(
            update={"time_s": instants[item.frame_id], "text": redact(item.text)}
        )
    if item.boxes:
        return "a finding has boxes and no frame"
    if item.time_s > request.video.duration_s:
        return f"a finding is at {item.time_s:g} s, after the end of the video"
    return item.model_copy(update={"text": redact(item.text)})


def _given(item: Given, known: dict[str, EntryPoint], servers: Servers) -> Sequence[Tool]:
    if isinstance(item, str):
        return _named(item, known, servers)
    return (check_tool(item, "the tool given"),)


def _named(item: str, known: dict[str, EntryPoint], servers: Servers) -> Sequence[Tool]:
    """What a name stands for: one tool, or those of an MCP server."""
    if item in known:
        return (_load(known[item]),)
    if item.startswith("mcp:"):
        from videoespresso.tools.from_mcp import mcp_tools  # noqa: PLC0415 - asyncio, an extra

        return mcp_tools(item, servers)
    module, colon, name = item.partition(":")
    if colon and module and name:
        return (_load(EntryPoint(name=item, value=item, group=GROUP)),)
    raise UserError(
        f"there is no tool {item!r}",
        hint=f"Known: {', '.join(sorted(known))}. Or give package.module:name, or mcp:SERVER.",
    )


def _load(entry: EntryPoint) -> Tool:
    """Imports what an entry point names. Raises `UserError` naming the tool and who brought it."""
    source = f"the tool {entry.name!r} ({source_of(entry)})"
    try:
        candidate = entry.load()
    except Exception as error:  # others' code runs on import
        raise UserError(
            f"{source} cannot be imported: {error_line(error)}",
            hint="Repair or uninstall the package that brings it."
            if entry.dist is not None
            else "Check the name, and that the module is installed or on PYTHONPATH.",
        ) from error
    return check_tool(candidate, source)


def source_of(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value


def error_line(error: BaseException) -> str:
    """An exception as one short line. Keys are taken out: an SDK's error may quote its request."""
    lines = redact(str(error)).strip().splitlines()
    return f"{type(error).__name__}{f': {lines[0]}' if lines else ''}"[:_REASON_CHARS]
