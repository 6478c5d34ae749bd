"""LangChain's tools as ours: what `@tool` makes, and what its toolkits and MCP adapters give.

They become callable tools: they wait until a reasoner calls them, and what they return becomes a
finding that cites their name. A result that is no text (None, bytes, an object) is no finding.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from videoespresso.errors import ToolError
from videoespresso.tools.base import Finding, Needs, ToolRequest

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

MAX_CHARS = 2000
"""Characters of one result that become a finding, some 500 tokens: a web page would bury what the
frames show. What is cut says so."""

_MEDIA = ("image", "image_url", "audio", "video", "file")


def is_langchain(candidate: object) -> bool:
    """Whether it is a LangChain tool. Imports nothing: where there is one, LangChain is loaded."""
    module = sys.modules.get("langchain_core.tools")
    return module is not None and isinstance(candidate, module.BaseTool)


class LangChainTool:
    """One LangChain tool under our contract.

    name, description: its own. parameters: its arguments as JSON Schema, those that a runtime
    injects left out.
    """

    needs: Needs = "call"

    def __init__(self, tool: "BaseTool") -> None:
        from langchain_core.utils.function_calling import (  # noqa: PLC0415 - slow to import
            convert_to_openai_tool,
        )

        function = convert_to_openai_tool(tool)["function"]
        self.name = tool.name
        self.description = str(function.get("description") or tool.name)
        self.parameters: dict[str, Any] = function.get("parameters") or {"type": "object"}
        # an error that a tool turns into text would be read as a finding
        strict = {"handle_tool_error": False, "handle_validation_error": False}
        self._tool = tool.model_copy(update=strict)

    def run(self, request: ToolRequest) -> list[Finding]:
        """Calls it with the request's arguments; one finding, at the first core frame's instant,
        unless it returned findings of its own. Raises whatever it raises, and ToolError with what
        is wrong where the arguments do not fit."""
        try:
            result = self._called(dict(request.arguments))
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in fault["loc"])
            raise ToolError(f"{where or self.name}: {fault['msg']}") from error
        if isinstance(result, Finding):
            return [result]
        if isinstance(result, list | tuple) and any(isinstance(item, Finding) for item in result):
            return list(result)
        time_s = request.frames[0].frame.time_s if request.frames else 0.0
        text = _text(result) if result != [] else ""  # [] is also no content block
        return [Finding(text=text, time_s=time_s)] if text else []

    def _called(self, arguments: dict[str, Any]) -> Any:
        if getattr(self._tool, "func", True) is None:  # made of a coroutine alone, as MCP's are
            return asyncio.run(self._tool.ainvoke(arguments))
        return self._tool.invoke(arguments)


def _text(result: Any) -> str:
    """A result in words; a JSON value as JSON. Raises ToolError for what has none."""
    result = getattr(result, "content", result)  # a ToolMessage or a Document's like
    if isinstance(result, list) and result and all(_is_block(item) for item in result):
        texts = [item["text"] for item in result if item["type"] == "text"]
        if not texts:
            raise ToolError(f"it returned {result[0]['type']} content and no text")
        result = "\n".join(texts)
    if not isinstance(result, str):
        if not isinstance(result, bool | int | float | Mapping | list | tuple):
            raise ToolError(f"it returned {type(result).__name__}, not text")
        try:
            result = json.dumps(result, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ToolError(f"it returned what JSON cannot hold: {error}") from None
    text = " ".join(result.split())
    if len(text) > MAX_CHARS:
        return f"{text[:MAX_CHARS]} … (cut after {MAX_CHARS} of {len(text)} characters)"
    return text


def _is_block(item: object) -> bool:
    """Whether it is a content block. Pictures and files are left out of findings: they are text."""
    if not isinstance(item, dict) or not isinstance(item.get("type"), str):
        return False
    return isinstance(item.get("text"), str) if item["type"] == "text" else item["type"] in _MEDIA
