"""`videoespresso mcp`: our tools for other programs' models, over stdio or HTTP."""

import logging
from typing import Annotated

import typer

from videoespresso.cli.console import err, examples
from videoespresso.cli.options import QUESTION, takes_settings
from videoespresso.errors import UserError
from videoespresso.settings import Settings

EPILOG = examples("mcp", "mcp --profile openai --max-usd 0.5", "mcp --http --port 8765")
OPTIONS = ("profile", "model", "max_usd", "max_calls", "private")


@takes_settings({name: QUESTION[name] for name in OPTIONS})
def serve(
    http: Annotated[
        bool, typer.Option("--http", help="Streamable HTTP on this machine, not stdio.")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="With --http.", show_default="8765"),
    ] = None,
    *,
    settings: Settings,
) -> None:
    """Serve ask, find_moments, list_core_frames, get_frame and describe over MCP (extra `mcp`).

    Whoever reaches it may open any video that you may: over HTTP it listens on this machine only.
    """
    from videoespresso.api.mcp_server import HOST, PORT, build_server

    if port is not None and not http:
        raise UserError("--port is for --http", hint="Give both, or neither for stdio.")
    port = port or PORT
    server = build_server(settings, HOST, port)
    if not http:
        server.run("stdio")  # stdout is the protocol's: nothing else may be written there
        return
    err().print(f"listening on http://{HOST}:{port}/mcp", style="dim")
    logging.getLogger("mcp.server.streamable_http").addFilter(not_a_disconnection)
    server.run("streamable-http")


def not_a_disconnection(record: logging.LogRecord) -> bool:
    """Leaves out the traceback that the mcp package logs whenever a client disconnects."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or kind.__name__ != "ClosedResourceError"
