"""What can happen to a file's bytes, by accident or on purpose; the same seed gives the same."""

import random
from collections.abc import Callable

HEAD = 512
"""Bytes at the beginning that hold most of what a demuxer believes."""


def flips(data: bytearray, draw: random.Random) -> bytearray:
    """Single bits, anywhere."""
    for _ in range(draw.choice((1, 4, 16, 64, 256))):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return data


def header(data: bytearray, draw: random.Random) -> bytearray:
    """Bytes of the head, or of the tail where many indexes are."""
    base = 0 if draw.random() < 0.7 else max(0, len(data) - HEAD)
    for _ in range(draw.choice((1, 2, 8, 32))):
        data[base + draw.randrange(min(HEAD, len(data)))] = draw.choice((0, 1, 127, 128, 254, 255))
    return data


def truncation(data: bytearray, draw: random.Random) -> bytearray:
    """The first part only."""
    return data[: draw.randrange(1, len(data))]


def beheading(data: bytearray, draw: random.Random) -> bytearray:
    """The last part only."""
    return data[draw.randrange(1, len(data)) :]


def garbage(data: bytearray, draw: random.Random) -> bytearray:
    """Bytes of nothing put in between."""
    at = draw.randrange(len(data))
    return data[:at] + draw.randbytes(draw.choice((1, 3, 64, 4096))) + data[at:]


def overwritten(data: bytearray, draw: random.Random) -> bytearray:
    """A stretch of noise, of zeros or of ones."""
    at, length = draw.randrange(len(data)), draw.choice((4, 32, 512, 4096))
    length = min(length, len(data) - at)
    data[at : at + length] = draw.choice((bytes(length), b"\xff" * length, draw.randbytes(length)))
    return data


def swapped(data: bytearray, draw: random.Random) -> bytearray:
    """Two stretches of the file in each other's place."""
    length = max(1, min(draw.choice((8, 64, 1024)), len(data) // 2))
    first = draw.randrange(0, len(data) // 2 - length + 1)
    second = draw.randrange(len(data) // 2, len(data) - length + 1)
    one, other = data[first : first + length], data[second : second + length]
    data[first : first + length], data[second : second + length] = other, one
    return data


def repeated(data: bytearray, draw: random.Random) -> bytearray:
    """A stretch several times."""
    at, length = draw.randrange(len(data)), draw.choice((16, 256, 4096))
    return data[:at] + data[at : at + length] * draw.choice((2, 20, 200)) + data[at:]


def numbers(data: bytearray, draw: random.Random) -> bytearray:
    """Sizes, counts and times: four bytes that become extreme, in either order of bytes."""
    for _ in range(draw.choice((1, 2, 6))):
        at = draw.randrange(max(1, min(len(data), 4096) - 4))
        value = draw.choice((0, 1, 7, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, draw.getrandbits(32)))
        data[at : at + 4] = value.to_bytes(4, draw.choice(("big", "little")))
    return data


def atoms(data: bytearray, draw: random.Random) -> bytearray:
    """Top-level boxes of an mp4 in another order, one left out or twice; other files: as chunks."""
    parts = _boxes(data)
    if len(parts) < 2:
        size = max(1, len(data) // 8)
        parts = [data[k : k + size] for k in range(0, len(data), size)]
    way = draw.randrange(3)
    if way == 0:
        draw.shuffle(parts)
    elif way == 1:
        parts.pop(draw.randrange(len(parts)))
    else:
        parts.insert(draw.randrange(len(parts)), draw.choice(parts))
    return bytearray().join(parts)


def _boxes(data: bytearray) -> list[bytearray]:
    parts, at = [], 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if length < 8 or at + length > len(data):
            return []
        parts.append(data[at : at + length])
        at += length
    return parts if at == len(data) else []


def names(data: bytearray, draw: random.Random) -> bytearray:
    """A code of four letters (an atom's, a codec's) becomes another that the file has, or none."""
    places = [k for k in range(min(len(data), 65536) - 4) if data[k : k + 4].isalnum()]
    if places:
        at, other = draw.choice(places), draw.choice(places)
        data[at : at + 4] = draw.choice((bytes(data[other : other + 4]), b"zzzz"))
    return data


MUTATIONS: tuple[Callable[[bytearray, random.Random], bytearray], ...] = (
    flips, header, truncation, beheading, garbage, overwritten, swapped, repeated, numbers, atoms,
    names,
)  # fmt: skip


def mutated(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    """The bytes after one to three of the mutations, and their names."""
    changed, done = bytearray(data), []
    for _ in range(draw.choice((1, 1, 2, 3))):
        mutate = draw.choice(MUTATIONS)
        if len(changed) > 16:
            changed = mutate(changed, draw)
            done.append(mutate.__name__)
    return bytes(changed), "+".join(done)
