"""Tools of MCP servers as ours, through langchain-mcp-adapters (extra `mcp`).

    mcp:NAME            all tools of a server that `videoespresso.toml` describes under [mcp.NAME]
    mcp:NAME#TOOL       one of them
    mcp:http://...      all tools of a server that runs (streamable HTTP); #TOOL as above

A server is reached once in a process and stays open: its tools may remember what they did. The
protocol's client is awaited; it lives in an event loop in a thread of its own, so that tools work
from plain functions as from awaited graphs. Knows no graph.
"""

import asyncio
import atexit
import functools
import importlib
import importlib.util
import os
import re
import tempfile
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from videoespresso.errors import SettingsError, ToolError, UserError
from videoespresso.models.client.errors import redact
from videoespresso.models.client.http import leads_to_metadata
from videoespresso.settings import McpServer
from videoespresso.tools.from_langchain import LangChainTool

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

SCHEME = "mcp:"

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
_LOG_CHARS = 2000
_CLOSING_S = 6.0
"""The SDK gives a server 2 s to leave and 2 s to be stopped."""

T = TypeVar("T")


class McpTool(LangChainTool):
    """One tool of a server, called `server.tool`: two servers may each have a `search`."""

    def __init__(self, link: "Link", label: str, tool: "BaseTool") -> None:
        super().__init__(tool)
        self.name = _NOT_IN_A_NAME.sub("_", f"{label}.{tool.name}")[:64]
        self._link = link

    def _called(self, arguments: dict[str, Any]) -> Any:
        return self._link.call(self._tool.name, arguments)


def mcp_tools(spec: str, servers: Mapping[str, McpServer]) -> tuple[McpTool, ...]:
    """The tools a spec names (see the top of this file); connects to the server.

    Raises SettingsError for a server that nothing describes and an unset variable, and UserError
    where the package is missing, the server cannot be reached, or it has no such tool.
    """
    if importlib.util.find_spec("langchain_mcp_adapters") is None:
        raise UserError(
            f"{spec} needs the package langchain-mcp-adapters, which is not part of the core",
            hint='pip install "videoespresso[mcp]"',
        )
    where, _, only = spec.removeprefix(SCHEME).partition("#")
    if where in servers:
        server = servers[where]
    elif where.startswith(("http://", "https://")):
        server = McpServer(url=where)
    else:
        known = ", ".join(servers) or "none"
        raise SettingsError(
            f"there is no MCP server {where!r}; known: {known}",
            hint="Describe it in videoespresso.toml under [mcp.NAME], with command or url; "
            "or give mcp:http://HOST:PORT/mcp.",
        )
    if server.url:
        _check_host(server.url)
    link = _link(server.model_dump_json())
    name, offered = link.offered(where)
    label = where if where in servers else name
    if only and only not in offered:
        raise UserError(
            f"the MCP server {where!r} has no tool {only!r}",
            hint=f"It has: {', '.join(offered) or 'none'}.",
        )
    chosen = [offered[only]] if only else list(offered.values())
    return tuple(McpTool(link, label, tool) for tool in chosen)


def _check_host(url: str) -> None:
    """Raises SettingsError for a cloud's metadata service: a reply of it would be evidence."""
    parts = urlsplit(url)
    if parts.hostname and leads_to_metadata(parts.hostname, parts.port or 80):
        raise SettingsError(
            f"{parts.hostname} is where a cloud hands out this machine's keys, and no MCP server",
            hint="Check the address.",
        )


class _Opened(NamedTuple):
    """An open session: the name the server gives itself, its tools bound to the session, the task
    that holds it open, and the event on which that task closes it."""

    name: str
    tools: "dict[str, BaseTool]"
    keeper: "asyncio.Task[None]"
    leave: asyncio.Event


class Link:
    """The session with one server. Opened when needed, and again after it broke; thread-safe."""

    def __init__(self, server: McpServer) -> None:
        self._server = server
        self._now: _Opened | None = None
        self._keepers: set[asyncio.Task[None]] = set()
        self._opening = asyncio.Lock()

    def offered(self, where: str) -> "tuple[str, dict[str, BaseTool]]":
        """The server's name for itself, and its tools. Raises UserError where it has none to give:
        it cannot be started, cannot be reached, or hangs."""
        try:
            opened = _awaited(self._open())
        except ToolError as error:
            raise UserError(
                f"the MCP server {where!r} cannot be used: {error}",
                hint="Check that its command or URL works, and its timeout_s.",
            ) from error
        return opened.name, opened.tools

    def call(self, tool: str, arguments: dict[str, Any]) -> Any:
        """What a tool returns. Raises ToolError with the tool's own error text, or when the server
        hangs or dies; the next call then opens a new session."""
        return _awaited(self._call(tool, arguments))

    def close(self) -> None:
        """Ends the session; a server that was started for it is stopped."""
        _awaited(self._close())

    async def _call(self, name: str, arguments: dict[str, Any]) -> Any:
        from langchain_core.tools import ToolException  # noqa: PLC0415 - slow to import

        opened = await self._open()
        if name not in opened.tools:
            raise ToolError(f"the server has no tool {name!r} any more")
        call = asyncio.ensure_future(opened.tools[name].ainvoke(arguments))
        # a call may never be answered when its session breaks
        await asyncio.wait(
            {call, opened.keeper},
            timeout=self._server.timeout_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if call.done():
            try:
                return call.result()
            except ToolException as error:
                raise ToolError(" ".join(str(error).split())) from error
            except Exception as error:  # the server's, the SDK's and the adapters'
                self._drop(opened)
                raise ToolError(f"the server failed: {_error_line(error)}") from error
        call.cancel()
        ended = opened.keeper.done()
        self._drop(opened)
        if ended:
            raise ToolError("the connection to the server broke")
        raise ToolError(f"the server gave no answer within {self._server.timeout_s:g} s")

    async def _open(self) -> _Opened:
        """The open session, opened now where there is none. Raises ToolError."""
        async with self._opening:
            if self._now is not None and not self._now.keeper.done():
                return self._now
            ready: asyncio.Future[tuple[str, dict[str, BaseTool]]] = (
                asyncio.get_running_loop().create_future()
            )
            leave = asyncio.Event()
            with tempfile.TemporaryFile("w+", errors="replace") as log:
                keeper = asyncio.create_task(self._keep(ready, leave, log))
                self._keepers.add(keeper)
                keeper.add_done_callback(self._keepers.discard)
                try:
                    name, tools = await asyncio.wait_for(ready, self._server.timeout_s)
                except TimeoutError:
                    keeper.cancel()
                    limit = f"{self._server.timeout_s:g} s"
                    raise ToolError(f"it was not ready within {limit}{_last(log)}") from None
                except Exception as error:  # whatever the server or the way to it did
                    raise ToolError(f"{_error_line(error)}{_last(log)}") from error
            self._now = _Opened(name, tools, keeper, leave)
            return self._now

    async def _keep(
        self,
        ready: "asyncio.Future[tuple[str, dict[str, BaseTool]]]",
        leave: asyncio.Event,
        log: IO[str],
    ) -> None:
        """Opens a session and holds it until `leave` is set: anyio wants one task for both ends."""
        # an optional package, without which the type checker must give the same verdict
        load = importlib.import_module("langchain_mcp_adapters.tools").load_mcp_tools
        try:
            async with AsyncExitStack() as stack:
                session = await _session(self._server, stack, log)
                about = await session.initialize()
                tools = await load(
                    session, handle_tool_errors=False, tool_interceptors=[_text_only]
                )
                if not ready.done():
                    ready.set_result((about.serverInfo.name, {tool.name: tool for tool in tools}))
                await leave.wait()
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for the session
            if not ready.done():
                ready.set_exception(_leaf(error))

    def _drop(self, opened: _Opened) -> None:
        """Ends a session without waiting until it has ended."""
        opened.leave.set()
        if self._now is opened:
            self._now = None

    async def _close(self) -> None:
        if self._now is not None:
            self._drop(self._now)
        if waiting := set(self._keepers):
            _, slow = await asyncio.wait(waiting, timeout=_CLOSING_S)
            for task in slow:
                task.cancel()


async def _text_only(request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
    """A reply without pictures and other data, which neither findings nor traces can hold."""
    from langchain_core.tools import ToolException  # noqa: PLC0415 - slow to import

    reply = await handler(request)
    texts = [b for b in reply.content if hasattr(getattr(b, "resource", b), "text")]
    if reply.content and not texts:
        raise ToolException(f"it returned {reply.content[0].type} content and no text")
    return reply.model_copy(update={"content": texts})


async def _session(server: McpServer, stack: AsyncExitStack, log: IO[str]) -> Any:
    """A session that is not initialized yet. The stderr of a started server goes to `log`."""
    if server.url:
        sessions = importlib.import_module("langchain_mcp_adapters.sessions")
        way = {
            "transport": "streamable_http",
            "url": server.url,
            "headers": _filled(server.headers),
            "timeout": server.timeout_s,
            "sse_read_timeout": server.timeout_s,
        }
        return await stack.enter_async_context(sessions.create_session(way))
    mcp = importlib.import_module("mcp")
    stdio = importlib.import_module("mcp.client.stdio")
    started = mcp.StdioServerParameters(
        command=server.command,
        args=list(server.args),
        env=_filled(server.env),
        cwd=server.cwd or None,
    )
    read, write = await stack.enter_async_context(stdio.stdio_client(started, errlog=log))
    return await stack.enter_async_context(mcp.ClientSession(read, write))


def _filled(values: Mapping[str, str]) -> dict[str, str]:
    """The values with ${VARIABLE} read from the environment. Raises ToolError for an unset one."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise ToolError(f"the variable {match[1]} is not set")
        return os.environ[match[1]]

    return {name: _VARIABLE.sub(value, text) for name, text in values.items()}


def _leaf(error: BaseException) -> BaseException:
    """The error itself: anyio wraps what happens in a task group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _error_line(error: BaseException) -> str:
    error = _leaf(error)
    lines = redact(str(error)).strip().splitlines()
    if isinstance(error, ToolError) and lines:
        return lines[0]
    return f"{type(error).__name__}{f': {lines[0]}' if lines else ''}"


def _last(log: IO[str]) -> str:
    """The last line that a server wrote on stderr: mostly the reason why it ended."""
    log.seek(0, os.SEEK_END)
    log.seek(max(0, log.tell() - _LOG_CHARS))
    lines = redact(log.read()).strip().splitlines()
    return f" (it said: {lines[-1].strip()})" if lines else ""


# ---- the loop in its thread


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """An event loop that runs until the program ends."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="mcp", daemon=True).start()
    atexit.register(close_all)
    return loop


@functools.cache
def _link(server: str) -> Link:
    """The one link of this process to a server. server: a `McpServer` as JSON."""
    made = Link(McpServer.model_validate_json(server))
    _links.append(made)
    return made


_links: list[Link] = []


def _awaited(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(work, _loop()).result()


def close_all() -> None:
    """Ends every session; a tool that is called later opens a new one. Runs when the program ends;
    call it in a long-lived program that needs its servers no more."""
    for link in _links:
        link.close()
