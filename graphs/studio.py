"""The graphs as `langgraph dev` and LangGraph Studio open them; langgraph.json names them.

The server calls a factory in its event loop, for every run and whenever it shows the graph. What
blocks is therefore done in a thread: building the context opens files and imports chromadb. The
nodes themselves are plain functions, which LangGraph runs in threads when the graph is awaited, so
`langgraph dev` needs no --allow-blocking. The server brings its own checkpointer.
"""

import asyncio

from videoespresso.graphs.ask import AskGraph, ask_graph
from videoespresso.graphs.chat import ChatGraph, chat_graph
from videoespresso.graphs.context import bound, open_context
from videoespresso.graphs.dataset import DatasetGraph, dataset_graph
from videoespresso.graphs.dataset_context import DatasetContext, open_dataset
from videoespresso.settings import Settings


async def ask() -> AskGraph:
    """The ask graph with what the settings name; every run has a budget of its own."""
    return await asyncio.to_thread(lambda: bound(ask_graph(), open_context()))


async def chat() -> ChatGraph:
    """The chat graph, likewise; the runs of one thread are the questions of one chat."""
    return await asyncio.to_thread(lambda: bound(chat_graph(), open_context()))


async def dataset() -> DatasetGraph:
    """The dataset graph: one video a run, resumed from a journal in the cache folder. The graph of
    one run owns its journals: they are let go with it."""
    return await asyncio.to_thread(lambda: bound(dataset_graph(), _dataset_context()))


def _dataset_context() -> DatasetContext:
    settings = Settings.load()
    return open_dataset(settings.cache_dir / "dataset", settings)
