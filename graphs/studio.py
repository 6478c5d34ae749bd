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
from videoespresso.graphs.dataset import build_dataset_graph
from videoespresso.graphs.dataset_context import DatasetContext
from videoespresso.graphs.dataset_state import DatasetState, Filmed, Outcome
from videoespresso.graphs.state import Answered, Ask, State
from videoespresso.memory.journal import Journals
from videoespresso.settings import DATASET_ROLES, Settings


async def ask() -> CompiledStateGraph[State, None, Ask, Answered]:
    """The ask graph with what the settings name; every run has a budget of its own."""
    return await asyncio.to_thread(lambda: build_ask_graph(_context()))


async def chat() -> CompiledStateGraph[ChatState, None, Said, Noted]:
    """The chat graph, likewise; the runs of one thread are the questions of one chat."""
    return await asyncio.to_thread(lambda: build_chat_graph(_context()))


async def dataset() -> CompiledStateGraph[DatasetState, None, Filmed, Outcome]:
    """The dataset graph: one video a run, resumed from a journal in the cache folder."""
    return await asyncio.to_thread(_dataset)


def _dataset() -> CompiledStateGraph[DatasetState, None, Filmed, Outcome]:
    base = open_context(Settings.load(), roles=("captioner", *DATASET_ROLES))
    folder = base.settings.cache_dir / "dataset"
    # the graph of one run owns its journals: they are let go with it
    context = DatasetContext(
        base=base,
        keep_image=lambda f: (
            f"frames/{base.store.keep(f['video_id'], f['sha'], folder / 'frames')}"
        ),
        journals=Journals(folder / "work"),
    )
    return build_dataset_graph(context)


def _context() -> Context:
    return open_context(Settings.load())
