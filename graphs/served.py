"""The graphs as `langgraph dev` and LangGraph Studio open them; langgraph.json names them.

The server calls a factory in its event loop, for every run and whenever it shows the graph. What
blocks is therefore done in a thread: building the context opens files and imports chromadb. The
nodes themselves are plain functions, which LangGraph runs in threads when the graph is awaited, so
`langgraph dev` needs no --allow-blocking. The server brings its own checkpointer.
"""

import asyncio

from langgraph.graph.state import CompiledStateGraph

from videoespresso.graphs.ask import build_ask_graph
from videoespresso.graphs.chat import ChatState, Noted, Said, build_chat_graph
from videoespresso.graphs.context import Context, open_context
from videoespresso.graphs.state import Answered, Ask, State
from videoespresso.settings import Settings


async def ask() -> CompiledStateGraph[State, None, Ask, Answered]:
    """The ask graph with what the settings name; every run has a budget of its own."""
    return await asyncio.to_thread(lambda: build_ask_graph(_context()))


async def chat() -> CompiledStateGraph[ChatState, None, Said, Noted]:
    """The chat graph, likewise; the runs of one thread are the questions of one chat."""
    return await asyncio.to_thread(lambda: build_chat_graph(_context()))


def _context() -> Context:
    return open_context(Settings.load())
