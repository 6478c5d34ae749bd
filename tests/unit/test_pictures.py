"""Pictures on a terminal: how it is found out what it shows, and what it is sent."""

import base64
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageChops
from rich.console import Console

from videoespresso.cli.pictures import blocks, drawn, protocol, sixels


@pytest.mark.parametrize(
    ("environ", "how"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"KITTY_WINDOW_ID": "1", "TERM": "xterm"}, "kitty"),
        ({"KITTY_WINDOW_ID": "1", "TMUX": "/tmp/t"}, ""),
        ({"TERM_PROGRAM": "iTerm.app"}, "iterm"),
        ({"TERM": "xterm-256color"}, ""),
    ],
)
def test_which_terminals_show_pictures(environ: dict[str, str], how: str) -> None:
    assert protocol(environ, lambda: b"\x1b[?62;22c") == how


@pytest.mark.parametrize(
    ("environ", "answer", "how"),
    [
        ({"TERM": "xterm-256color"}, b"\x1b[?62;4;22c", "sixel"),
        ({"TERM": "foot"}, b"typed\x1b[?4c", "sixel"),
        ({"TERM": "xterm"}, b"\x1b[?64;14;44c", ""),
        ({"TERM": "xterm"}, b"", ""),
        ({"TERM": "xterm", "TMUX": "x"}, b"\x1b[?4c", ""),
        ({"TERM": "dumb"}, b"\x1b[?4c", ""),
    ],
)
def test_a_terminal_says_that_it_has_sixels(
    environ: dict[str, str], answer: bytes, how: str
) -> None:
    assert protocol(environ, lambda: answer) == how


def test_a_real_terminal_is_asked_and_its_answer_read() -> None:
    """At the other end of a pseudo-terminal, as a terminal would answer; and one that is silent."""
    import pty  # noqa: PLC0415 - not on Windows

    code = (
        "from videoespresso.cli.pictures import attributes, protocol;"
        "said = attributes(); how = protocol({'TERM': 'xterm'}, lambda: said);"
        "print('ANSWER', said.hex(), how)"
    )
    for answer, how in ((b"\x1b[?62;4c", "sixel"), (b"", "")):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=theirs, stdout=theirs, close_fds=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
        os.close(theirs)
        heard = b""
        try:
            while b"\x1b[c" not in heard:
                heard += os.read(ours, 64)
            os.write(ours, answer)
            while b"ANSWER" not in heard or not heard.endswith(b"\n"):
                heard += os.read(ours, 64)
        finally:
            process.wait()
            os.close(ours)
        assert f"ANSWER {answer.hex()} {how}".strip().encode() in heard


def painted(text: str) -> Image.Image:
    """Sixels read back: what a terminal would draw."""
    assert text.startswith("\x1bP")
    assert text.endswith("\x1b\\")
    _, _, width, height = map(int, re.findall(r'"(\d+);(\d+);(\d+);(\d+)', text)[0])
    drawn_, palette = Image.new("RGB", (width, height)), {}
    body = text[text.index("q") + 1 : -2]
    for number, red, green, blue in re.findall(r"#(\d+);2;(\d+);(\d+);(\d+)", body):
        levels = (round(int(value) * 2.55) for value in (red, green, blue))
        palette[number] = tuple(levels)
    body = re.sub(r'"[\d;]+|#\d+;2;[\d;]+', "", body)
    for band, rows in enumerate(body.split("-")):
        for line in filter(None, rows.split("$")):
            number, columns = re.fullmatch(r"#(\d+)(.*)", line).groups()
            x = 0
            for repeat, character in re.findall(r"(?:!(\d+))?([?-~])", columns):
                for column in range(x, x + int(repeat or 1)):
                    for bit in range(6):
                        if (ord(character) - 63) >> bit & 1:
                            drawn_.putpixel((column, 6 * band + bit), palette[number])
                x += int(repeat or 1)
    return drawn_


@pytest.mark.parametrize("size", [(97, 31), (12, 6), (7, 1)])
def test_sixels_are_the_picture(size: tuple[int, int]) -> None:
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    image.paste("red", (0, 0, size[0] // 2, size[1] // 2 + 1))
    back = painted(sixels(image))
    assert back.size == size
    difference = ImageChops.difference(image, back).getextrema()
    assert max(high for _low, high in difference) <= 8


def test_a_frame_becomes_sixels(tmp_path: Path) -> None:
    file = tmp_path / "frame.png"
    Image.new("RGB", (960, 540), "lime").save(file)
    assert painted(drawn(file, "sixel")).getpixel((100, 100)) == (0, 255, 0)


def test_a_picture_arrives_whole(tmp_path: Path) -> None:
    file = tmp_path / "frame.jpg"
    Image.effect_noise((960, 540), 90).convert("RGB").save(file)
    pieces = drawn(file, "kitty").split("\x1b\\")[:-1]
    assert len(pieces) > 1
    assert all(len(piece.partition(";")[2]) <= 4096 for piece in pieces)
    assert ["m=1" in piece for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    data = base64.b64decode("".join(piece.partition(";")[2] for piece in pieces))
    assert Image.open(io.BytesIO(data)).size == (480, 270)
    inline = drawn(file, "iterm")
    assert base64.b64decode(inline.partition(":")[2].removesuffix("\a")) == data
    assert drawn(tmp_path / "gone.jpg", "kitty") == ""
    assert drawn(file, "") == ""


def test_a_picture_of_half_blocks(tmp_path: Path) -> None:
    file = tmp_path / "frame.png"
    picture = Image.new("RGB", (100, 50), (255, 0, 0))
    picture.paste((0, 0, 255), (0, 25, 100, 50))
    picture.save(file)
    text = blocks(file, 40)
    assert text is not None
    rows = text.plain.splitlines()
    assert rows == ["▄" * 40] * 10
    assert str(text.spans[0].style) == "#ff0000 on #ff0000"
    assert str(text.spans[-1].style) == "#0000ff on #0000ff"
    shown = io.StringIO()
    Console(file=shown, force_terminal=True, color_system="256").print(text)
    assert "38;5;196" in shown.getvalue(), "in the colours that the terminal has"
    assert blocks(tmp_path / "gone.png", 40) is None
