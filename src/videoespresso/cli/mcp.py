"""`videoespresso mcp`: our tools for other programs' models, over stdio or HTTP."""

import logging
from typing import Annotated

import typer

from videoespresso.cli.console import err, examples, say_warning
from videoespresso.cli.options import MaxCalls, MaxUsd, Model, Private, Profile, settings_of
from videoespresso.errors import UserError

EPILOG = examples("mcp", "mcp --profile openai --max-usd 0.5", "mcp --http --port 8765")


def add_to(app: typer.Typer) -> None:
    """Registers the command."""
    app.command("mcp", epilog=EPILOG)(serve)


def serve(
    http: Annotated[
        bool, typer.Option("--http", help="Streamable HTTP on this machine, not stdio.")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="With --http.", show_default="8765"),
    ] = None,
    profile: Profile = None,
    model: Model = None,
    max_usd: MaxUsd = None,
    max_calls: MaxCalls = None,
    private: Private = False,
) -> None:
    """Serve ask, find_moments, list_core_frames, get_frame and describe over MCP (extra `mcp`).

    Whoever reaches it may open any video that you may: over HTTP it listens on this machine only.
    """
    from videoespresso.api.mcp_server import HOST, PORT, build_server

    if port is not None and not http:
        raise UserError("--port is for --http", hint="Give both, or neither for stdio.")
    settings = settings_of(
        profile=profile, model=model, max_usd=max_usd, max_calls=max_calls, private=private
    )
    for warning in settings.warnings:
        say_warning(warning)
    port = port or PORT
    server = build_server(settings, HOST, port)
    if not http:
        server.run("stdio")  # stdout is the protocol's: nothing else may be written there
        return
    err().print(f"listening on http://{HOST}:{port}/mcp", style="dim")
    logging.getLogger("mcp.server.streamable_http").addFilter(not_a_goodbye)
    server.run("streamable-http")


def not_a_goodbye(record: logging.LogRecord) -> bool:
    """Leaves out the traceback that the mcp package logs whenever a client takes its leave."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or kind.__name__ != "ClosedResourceError"
