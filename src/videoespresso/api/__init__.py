"""The public doors: `ask`, `ask_many`, `Chat`, and the MCP server."""
