"""What the first bytes and the container's own sizes say about a file, without FFmpeg.

FFmpeg plays a cut-off file up to the cut and reports success. The sizes written in the container
tell exactly whether all of it is there, without decoding and without false alarms.
"""

import os
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"
_FAR = 1 << 16
"""How far into a file its beginning is looked for; servers send at most 8 kB of headers."""
_BEGINNINGS = re.compile(rb"(?=\0\0[\0-\x0f].ftyp\w|\x1a\x45\xdf\xa3|RIFF)", re.DOTALL)
CONTAINERS = frozenset(("mp4", "mkv/webm", "avi"))
"""Of `looks_like`: those that begin with their first byte."""
_INDEXES = re.compile(rb"indx....\x04\x00\x00\x00(....).{16}", re.DOTALL)
"""The head of an index of indexes in an AVI, with the number of its entries."""
_LARGEST_HEADERS = 1 << 24
"""Bytes of an AVI's headers: FFmpeg writes 77 kB a stream."""
_NEEDED = frozenset({b"moov", b"mdat", b"moof"})
"""Boxes of an mp4 without which a decoder misses something."""
_CLUSTER = b"\x1f\x43\xb6\x75"
_SEEK_HEAD = b"\x11\x4d\x9b\x74"
_SEEK = re.compile(rb"\x53\xab\x84(.{4})\x53\xac(?=([\x81-\x88].{0,8}))", re.DOTALL)
"""An entry of it: the name of four bytes, and the position of one to eight, with its length."""
_BESIDE = frozenset(
    (b"\x1c\x53\xbb\x6b", b"\x12\x54\xc3\x67", b"\x11\x4d\x9b\x74", b"\x10\x43\xa7\x70")
)
"""Cues, Tags, SeekHead, Chapters (RFC 9559): behind the clusters a decoder can do without them."""


def looks_like(path: str) -> str:
    """ "mp4", "mkv/webm", "avi", "animated webp", "text" or "" by the first bytes."""
    with open(path, "rb") as file:
        head = file.read(512)
    if kind := _kind(head):
        return kind
    if head[4:8] in (b"moov", b"mdat", b"free", b"wide"):
        return "mp4"
    printable = sum(32 <= b < 127 or b in b"\t\r\n" for b in head)
    return "text" if head and printable >= 0.95 * len(head) else ""


def _kind(head: bytes) -> str:
    if head[4:8] == b"ftyp":
        return "mp4"
    if head.startswith(_EBML):
        return "mkv/webm"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "avi"
    if head.startswith(b"RIFF") and head[8:16] == b"WEBPVP8X" and head[20:21] > b"\0":
        return "animated webp" if head[20] & 0b10 else ""
    return ""


def is_animated(path: str) -> bool:
    """Whether a picture says at its beginning that it is animated: WebP by its flag, AVIF by its
    brand, GIF by its second picture. False for what is no regular file."""
    if not os.path.isfile(path):  # a pipe would be waited for
        return False
    with open(path, "rb") as file:
        head = file.read(1024)
        if head.startswith((b"GIF87a", b"GIF89a")):
            return _gif_pictures(file, most=2) > 1
    if _kind(head) == "mp4":
        return b"avis" in head[8 : int.from_bytes(head[:4], "big")]
    return _kind(head) == "animated webp"


def _gif_pictures(file: BinaryIO, most: int) -> int:
    """How many pictures a GIF holds, counted up to so many, by its blocks; nothing is unpacked."""
    file.seek(10)
    _skip_palette(file, file.read(3)[:1])
    count = 0
    while count < most and (mark := file.read(1)) in (b",", b"!"):
        if mark == b",":
            count += 1
            _skip_palette(file, file.read(9)[8:])
        file.seek(1, os.SEEK_CUR)  # the extension's label, or how the picture is packed
        while (length := file.read(1)) and length[0]:
            file.seek(length[0], os.SEEK_CUR)
    return count


def _skip_palette(file: BinaryIO, about: bytes) -> None:
    """Of 2 to 256 colours, if there is one."""
    if about and about[0] & 0x80:
        file.seek(3 << (about[0] & 7) + 1, os.SEEK_CUR)


def begins_late(path: str) -> tuple[int, str]:
    """(bytes before the file proper, what it looks like): an answer's headers, a form's boundary,
    a lost block, stored with the file; (0, "") if none is seen."""
    with open(path, "rb") as file:
        head = file.read(_FAR)
    for match in _BEGINNINGS.finditer(head):
        at = match.start()
        if at > 0 and (kind := _kind(head[at : at + 32])):
            return at, kind
    return 0, ""


def missing_bytes(path: str, begin: int = 0) -> int:
    """How many bytes the container, which begins there, says should be there and are not; 0 if
    whole or unknown."""
    kind, size = looks_like(path), os.path.getsize(path) - begin
    with open(path, "rb") as whole:
        file: Any = whole
        if begin:
            kind, file = begins_late(path)[1], _Behind(whole, begin)
        if kind == "mp4":
            return max(0, _mp4_end(file, size) - size)
        if kind == "mkv/webm":
            return max(0, _mkv_end(file, size) - size)
        if kind == "avi":
            return max(0, _avi_end(file, size) - size)
    return 0


class _Behind(NamedTuple):
    """A file from a place on, as if it began there."""

    file: BinaryIO
    begin: int

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Where it is now, as `tell`."""
        self.file.seek(offset + (0 if whence else self.begin), whence)
        return self.tell()

    def tell(self) -> int:
        """Bytes behind the place."""
        return self.file.tell() - self.begin

    def read(self, size: int) -> bytes:
        """The next bytes."""
        return self.file.read(size)


def _mp4_end(file: BinaryIO, size: int) -> int:
    """Where the last top-level box that a decoder needs ends; a box is a 4-byte size, a name,
    perhaps a long size. Once index and pictures are whole, what follows is no loss: line ends and
    form boundaries of an upload, a box of metadata that was cut. In fragments more may be due."""
    at, seen = 0, set[bytes]()
    while at < size:
        file.seek(at)
        head = file.read(16)
        name, whole = head[4:8], {b"moov", b"mdat"} <= seen
        if whole and name not in _NEEDED and (b"moof" not in seen or head[0] != 0):
            return size
        if len(head) < 8:
            return at + 8
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:  # 0: to the end of the file; anything else below 8 is no box
            return size
        at += length
        seen.add(name)
    return at


def _mkv_end(file: BinaryIO, size: int) -> int:
    """Where the segment ends; 0 when its size is unknown (a live recording). What is cut behind the
    pictures is no loss."""
    file.seek(4)
    header, _ = _vint(file)
    file.seek(header, os.SEEK_CUR)
    if file.read(4) != _SEGMENT:
        return 0
    length, known = _vint(file)
    begin = file.tell()
    end = begin + length if known else 0
    pictures, beside = False, set[int]()
    while file.tell() < size < end:
        name = file.read(4)
        if name[0] in (0xEC, 0xBF):  # padding and checksums alone have a name of one byte
            file.seek(1 - len(name), os.SEEK_CUR)
        length, known = _vint(file)
        if not known or file.tell() + length > size:
            return size if pictures and name in _BESIDE else end
        pictures = pictures or name == _CLUSTER
        if name == _SEEK_HEAD and length < _FAR:
            beside |= {begin + at for at in _beside(file.read(length))}
        else:
            file.seek(length, os.SEEK_CUR)
    return size if pictures and size in beside else end


def _beside(seek_head: bytes) -> Iterator[int]:
    """Where, from the segment's begin, a decoder can do without what is said to be there: a cut
    just before it looks like one between two clusters."""
    for match in _SEEK.finditer(seek_head):
        if match[1] in _BESIDE:
            yield int.from_bytes(match[2][1:][: match[2][0] & 0x0F], "big")


def _avi_end(file: BinaryIO, size: int) -> int:
    """Where the last of the file's parts ends by its own size: one above a gigabyte has several
    (OpenDML), and the first says where all indexes are, so that a cut between two parts shows. What
    follows the parts is no loss."""
    at, indexed = 0, _avi_indexed(file)
    while at < size:
        file.seek(at)
        head = file.read(12)
        if at and head[:4] != b"RIFF":
            break
        end = at + 8 + int.from_bytes(head[4:8], "little")
        if end > size:
            return _riff_end(file, at + 12, size, end)
        at = end + (end & 1)
    return max(size, indexed)


def _avi_indexed(file: BinaryIO) -> int:
    """Behind where the last index of pictures begins, as the streams' indexes of indexes say, which
    are among the headers: entries of 16 bytes, first of each an offset. 0 where there is none."""
    file.seek(12)
    head, last = file.read(12), 0
    if head[:4] != b"LIST" or head[8:] != b"hdrl":
        return 0
    headers = file.read(min(int.from_bytes(head[4:8], "little"), _LARGEST_HEADERS))
    for match in _INDEXES.finditer(headers):
        count = int.from_bytes(match[1], "little")
        entries = headers[match.end() : match.end() + 16 * count]
        for k in range(0, len(entries) - 15, 16):
            last = max(last, int.from_bytes(entries[k : k + 8], "little") + 1)
    return last


def _riff_end(file: BinaryIO, at: int, size: int, end: int) -> int:
    """Where a part ends; once its list of pictures is whole, a cut in the index behind is no
    loss."""
    while at < size:
        file.seek(at)
        head = file.read(12)
        at += 8 + int.from_bytes(head[4:8], "little")
        if head[:4] == b"LIST" and head[8:] == b"movi":
            return end if at > size else size
        at += at & 1
    return end


def _vint(file: BinaryIO) -> tuple[int, bool]:
    """A Matroska variable-length number, and whether it is a number (all ones means unknown)."""
    first = file.read(1)
    if not first or not first[0]:
        return 0, False
    extra = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & ((1 << (7 - extra)) - 1)]) + file.read(extra), "big")
    return value, value != (1 << (7 * (extra + 1))) - 1
