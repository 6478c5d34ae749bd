"""An MCP server with tools that work, fail, hang and die: `python mcp_tools.py [PORT]`.

Over stdio, or over streamable HTTP on a port of this machine. Only for tests.
"""

import asyncio
import os
import sys

from mcp.server.fastmcp import FastMCP, Image

server = FastMCP(
    "weather station", log_level="ERROR", port=int(sys.argv[1]) if len(sys.argv) > 1 else 0
)
asked: list[str] = []


@server.tool()
async def forecast(city: str, days: int = 1) -> str:
    """The weather in a city."""
    asked.append(city)
    return f"{city}: sun for {days} days (asked {len(asked)} times)"


@server.tool()
def key() -> str:
    """What the variable of this server holds."""
    return os.environ.get("STATION_KEY", "none")


@server.tool()
def refuse() -> str:
    """Refuses."""
    raise ValueError("no such city")


@server.tool()
def picture() -> Image:
    """A picture and no text."""
    return Image(data=b"\x89PNG", format="png")


@server.tool()
async def hang() -> str:
    """Never answers."""
    await asyncio.sleep(3600)
    return "late"


@server.tool()
def die() -> str:
    """Ends the server."""
    os._exit(3)


if __name__ == "__main__":
    sys.stderr.write("the station is up\n")
    server.run("streamable-http" if len(sys.argv) > 1 else "stdio")
