"""`videoespresso memory`: the caption memory, looked at and its index made anew."""

from typing import TYPE_CHECKING, Annotated

import typer

from videoespresso.cli.cache import size
from videoespresso.cli.console import err, examples, out, show_table
from videoespresso.settings import Settings

if TYPE_CHECKING:
    from videoespresso.memory.captions import CaptionMemory, MemoryStats

app = typer.Typer(
    name="memory",
    help="The captions that are remembered, and the index that finds them.",
    no_args_is_help=True,
    epilog=examples("memory stats", "memory rebuild --embedder hf:BAAI/bge-m3"),
)

WhereOption = Annotated[
    str | None,
    typer.Option(metavar="PATH|URL", help="A folder, or a Chroma server's http://host:port."),
]
EmbedderOption = Annotated[
    str | None, typer.Option(metavar="SPEC", help="wordllama, openai:MODEL or hf:MODEL.")
]


@app.command("stats", epilog=examples("memory stats"))
def stats(where: WhereOption = None, embedder: EmbedderOption = None) -> None:
    """Show how many captions are remembered and whether all are in the index."""
    _show(opened(where, embedder).stats())


@app.command(
    "rebuild",
    epilog=examples("memory rebuild", "memory rebuild --where http://localhost:8000"),
)
def rebuild(where: WhereOption = None, embedder: EmbedderOption = None) -> None:
    """Throw the index away and make it again from the captions; no model is asked for a caption."""
    memory = opened(where, embedder)
    with err().status("embedding the captions"):
        made = memory.rebuild()
    _show(made)


def opened(where: str | None, embedder_spec: str | None) -> "CaptionMemory":
    """The memory that `ask` uses, or the one named."""
    from videoespresso.memory.captions import CaptionMemory
    from videoespresso.models.paid_embedder import within_limits
    from videoespresso.models.profiles import resolve

    settings = Settings.load({"embedder": embedder_spec})
    root = settings.cache_dir / "memory"
    role = resolve(settings)["embedder"]
    embed = within_limits(role.model if role.spec.startswith("openai:") else role.spec)
    return CaptionMemory.open(where or settings.memory or root, embed, root=root)


def _show(stats: "MemoryStats") -> None:
    rows = [
        ("videos", f"{stats.videos:,}"),
        ("captions", f"{stats.captions:,}"),
        ("different texts", f"{stats.texts:,}"),
        ("in the index", f"{stats.indexed:,}"),
        ("size", size(stats.bytes)),
    ]
    out().print(f"{stats.where} · {stats.embedder}\n")
    show_table("Memory", "#", rows=rows)
