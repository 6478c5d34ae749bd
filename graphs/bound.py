"""A graph with a context in it, for those who run it without one: LangGraph Studio, whose server
gives a run only what JSON can hold, and the builders of before."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar, cast

GraphT = TypeVar("GraphT")


def bound(graph: GraphT, context: Any) -> GraphT:
    """The compiled graph, every run of which has this context."""
    kind: Any = type(graph)

    class Bound(kind):  # type: ignore[misc]
        # a class and not attributes, as LangGraph copies graphs by class and attributes
        def stream(self, *given: Any, **more: Any) -> Iterator[Any]:
            yield from super().stream(*given, **{**more, "context": context})

        async def astream(self, *given: Any, **more: Any) -> AsyncIterator[Any]:
            async for part in super().astream(*given, **{**more, "context": context}):
                yield part

    # no schema: a server would ask its users for the context
    return cast(GraphT, Bound(**{**vars(graph), "context_schema": None}))
