"""`videoespresso mcp`: our tools for other programs' models, over stdio or HTTP."""

from typing import Annotated

import typer

from videoespresso.cli.ask import roles
from videoespresso.cli.console import err, examples, say_warning
from videoespresso.errors import UserError
from videoespresso.settings import Settings

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
    profile: Annotated[
        str | None, typer.Option(help="A named set of models; `models list` shows them.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", metavar="ROLE=SPEC", help="A model for one role."),
    ] = None,
    max_usd: Annotated[float | None, typer.Option(help="Spend no more dollars a call.")] = None,
    max_calls: Annotated[int | None, typer.Option(help="Model calls a tool call.")] = None,
) -> None:
    """Serve ask, find_moments, list_core_frames, get_frame and describe over MCP (extra `mcp`).

    Whoever reaches it may open any video that you may: over HTTP it listens on this machine only.
    """
    from videoespresso.mcp_server import HOST, PORT, build_server

    if port is not None and not http:
        raise UserError("--port is for --http", hint="Give both, or neither for stdio.")
    settings = Settings.load(
        {
            "profile": profile,
            **roles(model or ()),
            "budget_usd": max_usd,
            "budget_calls": max_calls,
        }
    )
    for warning in settings.warnings:
        say_warning(warning)
    port = port or PORT
    server = build_server(settings, HOST, port)
    if not http:
        server.run("stdio")  # stdout is the protocol's: nothing else may be written there
        return
    err().print(f"listening on http://{HOST}:{port}/mcp", style="dim")
    server.run("streamable-http")
