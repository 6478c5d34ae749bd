"""`videoespresso cache`: what was kept, how much room it takes, and clearing it."""

from pathlib import Path
from typing import Annotated

import typer

from videoespresso.cli.console import Exit, err, examples, out, show_table
from videoespresso.report.text import money
from videoespresso.settings import Settings

app = typer.Typer(
    name="cache",
    help="What was kept: frames, captions, model replies, downloads, chats.",
    no_args_is_help=True,
    epilog=examples("cache show", "cache clear --frames --yes"),
)


@app.command("show", epilog=examples("cache show"))
def show() -> None:
    """Show what is kept, and what the kept replies would cost again."""
    from videoespresso.memory.downloads import Downloads
    from videoespresso.memory.frames import FrameStore
    from videoespresso.memory.replies import ReplyCache

    folder = Settings.load().cache_dir
    frames = FrameStore(folder / "frames").stats()
    replies = ReplyCache(folder / "replies.sqlite").stats()
    downloads = Downloads(folder / "downloads").stats()
    rows = [
        ("frames", f"{frames.frames:,}", size(frames.bytes), f"{frames.videos} videos"),
        ("captions", "", size(folder_bytes(folder / "memory")), "rebuilt from frames and replies"),
        (
            "replies",
            f"{replies.replies:,}",
            size(replies.bytes),
            f"{money(replies.usage.usd)} to make again",
        ),
        (
            "downloads",
            f"{downloads.videos:,}",
            size(downloads.bytes),
            f"{downloads.addresses} addresses",
        ),
        ("chats", "", size(folder_bytes(folder / "chats")), "`chat --resume` goes on with one"),
    ]
    out().print(f"{folder}\n")
    show_table("Kept", "Number#", "Size#", "", rows=rows)


@app.command(
    "clear",
    epilog=examples("cache clear", "cache clear --replies --yes"),
)
def clear(
    frames: Annotated[bool, typer.Option("--frames", help="The pictures.")] = False,
    captions: Annotated[bool, typer.Option("--captions", help="The caption memory.")] = False,
    replies: Annotated[
        bool, typer.Option("--replies", help="Model replies; paid ones will be paid again.")
    ] = False,
    downloads: Annotated[bool, typer.Option("--downloads", help="Videos from addresses.")] = False,
    chats: Annotated[
        bool, typer.Option("--chats", help="What was asked and answered in chats.")
    ] = False,
    learned: Annotated[
        bool, typer.Option("--learned", help="What model servers were seen not to take.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Clear what is kept. Without a choice: frames and captions, never what was paid, said or
    fetched."""
    from videoespresso.memory.downloads import Downloads

    if not (frames or captions or replies or downloads or chats or learned):
        frames = captions = True
    chosen = {
        "frames": frames,
        "captions": captions,
        "replies": replies,
        "downloads": downloads,
        "chats": chats,
        "what was learned of servers": learned,
    }
    names = " and ".join(name for name, on in chosen.items() if on)
    folder = Settings.load().cache_dir
    if not yes and not typer.confirm(f"Clear {names} in {folder}?", err=True):
        err().print("nothing cleared")
        raise typer.Exit(Exit.ANSWERED)
    _clear(folder, frames=frames, captions=captions, replies=replies, learned=learned)
    if downloads:
        Downloads(folder / "downloads").clear()
    if chats:
        _clear_chats(folder / "chats")
    out().print(f"cleared {names}")


def _clear(folder: Path, *, frames: bool, captions: bool, replies: bool, learned: bool) -> None:
    from videoespresso.memory.captions import CaptionMemory
    from videoespresso.memory.frames import FrameStore
    from videoespresso.memory.replies import ReplyCache
    from videoespresso.models.embedders import embedder

    if frames:
        FrameStore(folder / "frames").clear()
    if captions:
        memory = CaptionMemory.open(folder / "memory", embedder())
        for video_id in memory.video_ids():
            memory.forget(video_id)
    if replies:
        ReplyCache(folder / "replies.sqlite").clear()
    if learned:
        ReplyCache(folder / "replies.sqlite").forget_inabilities()


def _clear_chats(folder: Path) -> None:
    """The threads and the history of the prompt; a chat that is open elsewhere stays."""
    from videoespresso.memory.threads import ThreadStore

    with ThreadStore(folder) as threads:
        threads.clear()
    (folder / "history").unlink(missing_ok=True)


def folder_bytes(folder: Path) -> int:
    """Bytes of the files below a folder; 0 where there is none."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def size(count: int) -> str:
    """Bytes for a person: '0 B', '12.3 kB', '4.0 GB'."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 999.95 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
