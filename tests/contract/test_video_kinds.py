"""Videos as cameras, editors, uploads and browsers leave them: each stands for a kind."""

import os
import struct
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.helpers.videos import CORNERS, RECIPES, card, encode, read_corners, read_number

from videoespresso.errors import VideoError
from videoespresso.tools.decode import probe
from videoespresso.tools.decode.bytes import missing_bytes
from videoespresso.tools.decode.decord import fits
from videoespresso.tools.decode.picture import tone_mapped
from videoespresso.tools.decode.pyav import At
from videoespresso.tools.video import Backend, open_video

FULL = 10_000
PLAIN = next(r for r in RECIPES if r.name == "rotated-90.mp4")
PLAIN = replace(PLAIN, name="plain.mp4", rotation=0)
ONE = 0x10000


def first(path: Path, backend: Backend = "auto") -> NDArray[np.uint8]:
    with open_video(path, backend=backend) as reader:
        return next(iter(reader.at([0.0], FULL))).rgb


# ---- display matrices


@pytest.mark.parametrize("backend", ["pyav", "decord"])
@pytest.mark.parametrize(
    ("matrix", "stored_as"),
    [
        ((1, 0, 0, 1), lambda rgb: rgb),
        ((-1, 0, 0, 1), lambda rgb: rgb[:, ::-1]),
        ((1, 0, 0, -1), lambda rgb: rgb[::-1]),
        ((-1, 0, 0, -1), lambda rgb: rgb[::-1, ::-1]),
        ((0, 1, 1, 0), lambda rgb: rgb.swapaxes(0, 1)),
        ((0, 1, -1, 0), lambda rgb: np.rot90(rgb, 1)),
        ((0, -1, 1, 0), lambda rgb: np.rot90(rgb, -1)),
        ((0, -1, -1, 0), lambda rgb: rgb[::-1, ::-1].swapaxes(0, 1)),
    ],
    ids=["none", "hflip", "vflip", "180", "transpose", "90", "270", "anti-transpose"],
)
def test_all_eight_display_matrices(
    tmp_path: Path,
    matrix: tuple[int, int, int, int],
    stored_as: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
    backend: Backend,
) -> None:
    a, b, c, d = matrix
    width, height = (72, 128) if b else (128, 72)
    path = encode(
        tmp_path / "m.mp4", PLAIN, lambda i: np.ascontiguousarray(stored_as(card(i, width, height)))
    )
    data = bytearray(path.read_bytes())
    at = data.find(b"tkhd") + 4 + 4 + 20 + 16
    data[at : at + 36] = struct.pack(">9i", a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    with open_video(path, backend=backend) as reader:
        assert (reader.video.width, reader.video.height) == (width, height)
    for seen, wanted in zip(read_corners(first(path, backend)), CORNERS, strict=True):
        assert np.allclose(seen, wanted, atol=45), (seen, wanted)


def test_a_display_matrix_of_zeros_turns_nothing(tmp_path: Path) -> None:
    path = encode(tmp_path / "m.mp4", PLAIN)
    data = bytearray(path.read_bytes())
    at = data.find(b"tkhd") + 4 + 4 + 20 + 16
    data[at : at + 36] = bytes(36)
    path.write_bytes(data)
    with open_video(path) as reader:
        assert reader.video.rotation == 0


# ---- what stands after a whole file


@pytest.mark.parametrize(
    "tail",
    [b"\n", b"\r\n------WebKitFormBoundaryabc--\r\n", b"\0" * 5, b"\0\0\1\0free", b"x" * 900],
)  # fmt: skip
def test_bytes_after_a_whole_file_are_no_loss(tmp_path: Path, tail: bytes) -> None:
    path = encode(tmp_path / "t.mp4", PLAIN)
    path.write_bytes(path.read_bytes() + tail)
    with open_video(path) as reader:
        last = [read_number(p.rgb) for p in reader.at([100.0], FULL)]
    assert last == [len(PLAIN.pts) - 1]


@pytest.mark.parametrize("options", [{}, {"movflags": "+frag_keyframe+empty_moov"}])
def test_what_a_decoder_misses_is_still_noticed(tmp_path: Path, options: dict[str, str]) -> None:
    path = encode(tmp_path / "t.mp4", PLAIN, container_options=options)
    data = path.read_bytes()
    end = data.rfind(b"moof") if options else data.rfind(b"moov")
    for cut in (end + 2, end + 40):
        path.write_bytes(data[:cut])
        with pytest.raises(VideoError, match=r"cut off|holds no pictures"), open_video(path):
            pass


@pytest.mark.parametrize(
    ("name", "index"),
    [("a.mkv", b"\x1c\x53\xbb\x6b"), ("a.webm", b"\x1c\x53\xbb\x6b"), ("a.avi", b"idx1")],
)
def test_a_cut_behind_the_pictures_is_no_loss(tmp_path: Path, name: str, index: bytes) -> None:
    """In the index; a byte of the last picture less is one."""
    codec = "libvpx-vp9" if name.endswith("webm") else PLAIN.codec
    recipe = replace(PLAIN, codec=codec, options={}, fps=Fraction(25))
    path = encode(tmp_path / name, recipe)
    data = path.read_bytes()
    at = data.rfind(index)
    for cut in (len(data) - 3, at + 9, at + 4, at):
        path.write_bytes(data[:cut])
        with open_video(path) as reader:
            assert [read_number(p.rgb) for p in reader.at([9.0], FULL)] == [len(PLAIN.pts) - 1]
    path.write_bytes(data[: at - 2])
    with pytest.raises(VideoError, match="cut off"), open_video(path):
        pass


def test_a_matroska_file_that_is_cut_between_two_clusters_is_cut_off(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", PLAIN, container_options={"cluster_time_limit": "500"})
    data = path.read_bytes()
    last = data.rfind(b"\x1f\x43\xb6\x75")
    assert data.count(b"\x1f\x43\xb6\x75") > 1
    path.write_bytes(data[:last])
    with pytest.raises(VideoError, match="cut off"), open_video(path):
        pass


def test_an_avi_above_a_gigabyte_has_several_parts(tmp_path: Path) -> None:
    """OpenDML: pictures go on in a RIFF of their own behind the first."""
    path = encode(tmp_path / "a.avi", PLAIN)
    data = path.read_bytes()
    pictures = data[data.rfind(b"LIST", 0, data.rfind(b"movi")) : data.rfind(b"idx1")]
    more = b"RIFF" + (4 + len(pictures)).to_bytes(4, "little") + b"AVIX" + pictures
    for whole in (data + more, data + more + more, data + more + b"\r\n"):
        path.write_bytes(whole)
        assert missing_bytes(str(path)) == 0
    for lost in (5, len(more) // 2, len(more) - 20, len(more) - 10):
        path.write_bytes((data + more)[:-lost])
        assert missing_bytes(str(path)) > 0, lost
    with pytest.raises(VideoError, match="cut off"), open_video(path):
        pass
    indexed = _with_index_of_indexes(data, (data.rfind(b"movi"), len(data) + 24))
    path.write_bytes(indexed + more)
    assert missing_bytes(str(path)) == 0
    path.write_bytes(indexed)  # cut exactly between two parts
    assert missing_bytes(str(path)) > 0
    with pytest.raises(VideoError, match="cut off"), open_video(path):
        pass
    path.write_bytes(_with_index_of_indexes(data, (data.rfind(b"movi"),)))
    with open_video(path) as reader:
        assert reader.video.duration_s > 0


def _with_index_of_indexes(data: bytes, offsets: tuple[int, ...]) -> bytes:
    """An AVI of FFmpeg's whose stream says where its indexes are, in the place kept free for it."""
    at = data.index(b"JUNK", data.index(b"strl"))
    entries = b"".join(struct.pack("<QII", offset, 64, 10) for offset in offsets)
    index = struct.pack("<HBBI4s12x", 4, 0, 0, len(offsets), b"00dc") + entries
    return data[:at] + b"indx" + data[at + 4 : at + 8] + index + data[at + 8 + len(index) :]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
@pytest.mark.parametrize(
    "before",
    [bytes(100), b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", b"ID3\4\0\0\0\0\0\x0a" + bytes(10)],
    ids=["zeros", "headers", "ID3"],
)
def test_bytes_before_a_file_are_left_out(tmp_path: Path, name: str, before: bytes) -> None:
    """Also where a form's end follows; one that is cut off is so wherever it begins."""
    path = encode(tmp_path / name, PLAIN)
    data = path.read_bytes()
    path.write_bytes(before + data + b"\r\n------WebKitFormBoundaryabc--\r\n")
    with open_video(path) as reader:
        assert [read_number(p.rgb) for p in reader.at([9.0], FULL)] == [len(PLAIN.pts) - 1]
        assert f"{len(before)} bytes before the film are left out" in reader.video.note
    path.write_bytes(before + data[: len(data) // 2])
    with pytest.raises(VideoError, match="cut off"), open_video(path):
        pass


def test_decord_is_given_no_file_that_begins_with_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own FFmpeg takes a playlist before a film for the whole, and follows it."""
    decord, opened = pytest.importorskip("decord"), []
    monkeypatch.setattr(decord, "VideoReader", opened.append)
    path = encode(tmp_path / "film.mp4", PLAIN)
    path.write_bytes(b"#EXTM3U\n#EXTINF:4,\nother.ts\n#EXT-X-ENDLIST\n#\n" + path.read_bytes())
    assert fits(str(path), probe.read_facts(str(path), lambda: None), lambda: None) is None
    assert not opened


def test_a_text_that_names_a_film_s_first_box_is_a_text(tmp_path: Path) -> None:
    path = tmp_path / "page.mp4"
    path.write_text("what a film begins with: 0000ftypisom, says the standard\n" * 20)
    with pytest.raises(VideoError, match="text"), open_video(path):
        pass


# ---- bare streams


@pytest.mark.parametrize(
    ("kind", "codec", "options"),
    [
        ("h264", "libx264", {"x264-params": "bframes=2:keyint=12"}),
        ("hevc", "libx265", {"x265-params": "log-level=none:keyint=12"}),
        ("m1v", "mpeg1video", {"qscale": "2", "bf": "2"}),
        ("m2v", "mpeg2video", {"qscale": "2"}),
        ("mjpeg", "mjpeg", {"qscale": "2"}),
        ("h263", "h263", {"qscale": "2"}),
        ("obu", "libsvtav1", {"preset": "12", "crf": "20"}),
    ],
)
def test_a_bare_stream_is_counted_and_says_so(
    tmp_path: Path, kind: str, codec: str, options: dict[str, str]
) -> None:
    size = (176, 144) if kind == "h263" else PLAIN.size
    form = "yuvj420p" if kind == "mjpeg" else PLAIN.pix_fmt
    recipe = replace(PLAIN, codec=codec, options=options, fps=Fraction(25), size=size, pix_fmt=form)
    path = encode(tmp_path / f"raw.{kind}", recipe)
    frames = len(PLAIN.pts)
    with open_video(path) as reader:
        assert reader.video.duration_s == pytest.approx(frames / 25)
        assert "no instants" in reader.video.note
        seen = [(p.time_s, read_number(p.rgb)) for p in reader.at([0.0, 0.4, 1.0], FULL)]
    assert seen == [(0.0, 0), (pytest.approx(0.4), 10), (pytest.approx(1.0), 25)]


def test_what_is_counted_begins_at_zero(tmp_path: Path) -> None:
    """An AVI whose head is gone is read as a bare stream, which FFmpeg says begins at 1.4 s."""
    options = {"qscale": "2", "g": "6"}
    recipe = replace(PLAIN, codec="mpeg4", options=options, fps=Fraction(25), pts=range(100))
    whole = encode(tmp_path / "whole.avi", recipe).read_bytes()
    path = tmp_path / "headless.avi"
    path.write_bytes(whole[len(whole) // 2 :])
    with av.open(str(path)) as container:
        assert container.streams.video[0].start_time, "else this test shows nothing"
    with open_video(path) as reader:
        end = reader.video.duration_s
        assert 1 < end < 3
        seen = [(p.time_s, read_number(p.rgb)) for p in reader.at([0.0, 0.4, 0.8, end], FULL)]
        keys = [p.time_s for p in reader.keyframes(64)]
    times, numbers = zip(*seen, strict=True)
    assert times == (0.0, *map(pytest.approx, (0.4, 0.8)), pytest.approx(end, abs=0.05))
    assert numbers[2] - numbers[1] == 10  # the first lean on what is gone
    assert numbers[3] == 99
    assert all(0 <= key <= end for key in keys)


def test_a_decoder_has_at_most_sixteen_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a large machine those of dav1d would go beyond the memory limit."""
    monkeypatch.setattr(os, "cpu_count", lambda: 256)
    options = {"preset": "12", "crf": "20"}
    path = encode(tmp_path / "raw.obu", replace(PLAIN, codec="libsvtav1", options=options))
    container, stream = probe.open_stream(str(path))
    with container:
        assert stream.codec_context.thread_count == 16


# ---- several streams


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("backend", ["pyav", "decord"])
def test_of_several_streams_the_default_or_the_largest(
    tmp_path: Path, marked: bool, backend: Backend
) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as out:
        streams = []
        for size in ((64, 36), (128, 72)):
            stream = out.add_stream("libx264", rate=25, options={"crf": "18"})
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            streams.append(stream)
        if marked:
            streams[0].disposition = 0
            streams[1].disposition = av.stream.Disposition.default
        for i in range(30):
            for stream, number in zip(streams, (2000, i), strict=True):
                rgb = card(number, stream.width, stream.height)
                frame = av.VideoFrame.from_ndarray(rgb, "rgb24")
                frame.pts, frame.time_base = i, Fraction(1, 25)
                out.mux(stream.encode(frame))
        for stream in streams:
            out.mux(stream.encode(None))
    with open_video(path, backend=backend) as reader:
        assert reader.video.width == 128
        assert [read_number(p.rgb) for p in reader.at([0.0, 0.4], FULL)] == [0, 10]


# ---- HDR


def test_pq_white_is_white_and_the_probe_says_hdr(tmp_path: Path) -> None:
    path = tmp_path / "hdr.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream(
            "libx265",
            rate=25,
            options={
                "x265-params": "log-level=none:colorprim=bt2020:transfer=smpte2084:"
                "colormatrix=bt2020nc:hdr10=1"
            },
        )
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
        for i in range(5):
            frame = av.VideoFrame(64, 64, "yuv420p10le")
            for plane, value in zip(frame.planes, (571, 512, 512), strict=True):
                plane.update(np.full(plane.buffer_size // 2, value, np.uint16).tobytes())
            frame.pts, frame.time_base = i, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with open_video(path) as reader:
        assert "HDR (PQ)" in reader.video.note
    assert first(path).min() >= 200


@pytest.mark.parametrize("transfer", ["PQ", "HLG"])
def test_the_tone_curve_grows_and_keeps_grey_grey(transfer: str) -> None:
    ramp = np.repeat(np.linspace(0, 65535, 512).astype(np.uint16)[None, :, None], 3, 2)
    mapped = tone_mapped(ramp, transfer)[0].astype(int)
    assert (np.diff(mapped, axis=0) >= 0).all()
    assert np.abs(mapped - mapped[:, :1]).max() <= 2
    assert mapped[0].max() == 0
    assert mapped[-1].min() == 255


# ---- pictures that change on the way


def test_a_size_that_changes_on_the_way_keeps_its_shape(tmp_path: Path) -> None:
    parts = []
    for n, size in enumerate(((128, 72), (72, 128))):
        recipe = replace(PLAIN, size=size, options={"crf": "18", "bf": "0"}, fps=Fraction(25))
        parts.append(encode(tmp_path / f"{n}.h264", recipe).read_bytes())
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(parts))
    with open_video(path) as reader:
        shapes = [p.rgb.shape[:2] for p in reader.at([0.0, 1.8], FULL)]
    assert shapes == [(72, 128), (128, 72)]


@pytest.mark.parametrize(("kind", "codec"), [("h264", "libx264"), ("m2v", "mpeg2video")])
def test_a_size_that_grows_beyond_the_cap_on_the_way_is_refused(
    tmp_path: Path, kind: str, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes before it is shown; what is too large is never decoded, and not passed over."""
    parts = []
    for n, size in enumerate(((64, 64), (128, 128))):
        recipe = replace(PLAIN, codec=codec, size=size, options={}, fps=Fraction(25))
        parts.append(encode(tmp_path / f"{n}.{kind}", recipe).read_bytes())
    path = tmp_path / f"both.{kind}"
    path.write_bytes(b"".join(parts))
    monkeypatch.setattr(probe, "MOST_PIXELS", 100 * 100)
    pictures = At(str(path), probe.read_facts(str(path), lambda: None), lambda: None, FULL)
    shown = pictures.next(0.2)
    assert shown is not None
    assert shown.rgb.shape == (64, 64, 3)
    with pytest.raises(VideoError, match="larger than 8K"):
        pictures.next(100.0)


@pytest.mark.parametrize("transfer", ["", "PQ", "HLG"])
def test_an_interlaced_frame_is_no_comb(tmp_path: Path, transfer: str) -> None:
    """The second field shows another moment: white, where the first is black."""

    def comb(_: int) -> NDArray[np.uint8]:
        rgb = np.zeros((72, 128, 3), np.uint8)
        rgb[1::2] = 255
        return rgb

    curve = {"": "", "PQ": ":transfer=smpte2084", "HLG": ":transfer=arib-std-b67"}[transfer]
    options = {"crf": "1", "x264-params": f"tff=1{curve}"}
    path = encode(tmp_path / "i.mp4", replace(PLAIN, options=options, pix_fmt="yuv444p"), comb)
    with open_video(path) as reader:
        assert ("HDR" in reader.video.note) is bool(transfer)
    assert first(path).max() < 60
