"""A decoded frame as a picture: upright, square pixels, reduced, SDR; in the decoding process."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import ColorTrc, Interpolation
from numpy.typing import NDArray

REFERENCE_NITS = 203.0
"""What white paper has in HDR (ITU-R BT.2408); 1.0 below."""
KNEE = 0.6
"""Linear light up to which nothing is changed; what is brighter is rolled off towards 1.0."""
HLG_PEAK_NITS, HLG_GAMMA = 1000.0, 1.2
"""The display for which HLG is made (ITU-R BT.2100)."""
TRANSFERS = {int(ColorTrc.SMPTE2084): "PQ", int(ColorTrc.ARIB_STD_B67): "HLG"}
"""By H.273's number: the curves of HDR."""
_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593], np.float32)
_BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
"""ITU-R BT.2087."""


@dataclass(frozen=True)
class Orientation:
    """How stored pixels are displayed: rows become columns first, then the picture is turned upside
    down, then left and right change places."""

    swapped: bool = False
    upside_down: bool = False
    mirrored: bool = False

    @property
    def a_rotation(self) -> bool:
        """Whether a turn alone does it, without a mirror."""
        return not (self.swapped ^ self.upside_down ^ self.mirrored)

    def upright(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(height, width, 3), as displayed."""
        if self.swapped:
            rgb = rgb.swapaxes(0, 1)
        rgb = rgb[:: -1 if self.upside_down else 1, :: -1 if self.mirrored else 1]
        return np.ascontiguousarray(rgb, dtype=np.uint8)


_TURNED = {
    1: Orientation(True, True, False), 2: Orientation(False, True, True),
    3: Orientation(True, False, True),
}  # fmt: skip
"""By quarter turns against the clock."""


_WHOLE_TURN = 360


def quarters(frame: VideoFrame) -> int:
    """Quarter turns with the clock. A matrix of zeros says none: of it FFmpeg makes no number, and
    PyAV the least that there is."""
    return round(-frame.rotation / 90) % 4 if abs(frame.rotation) <= _WHOLE_TURN else 0


def orientation(frame: VideoFrame) -> Orientation:
    """From the frame's display matrix (ISO 14496-12): x' = a x + c y, y' = b x + d y; one that is
    neither a quarter turn nor a mirror counts as the nearest."""
    try:
        beside: Any = frame.side_data  # its stubs know names as keys only
        matrix = beside.get(Type.DISPLAYMATRIX)
    except ValueError:  # beside it is something that PyAV has no name for, such as EXIF
        return _TURNED.get(-quarters(frame) % 4, Orientation())
    if matrix is None:
        return Orientation()
    a, b, _, c, d = (int(v) for v in np.frombuffer(bytes(matrix), np.int32)[:5])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(True, b < 0, c < 0)
    return Orientation(False, d < 0, a < 0)


def displayed(frame: VideoFrame, aspect: Fraction, way: Orientation) -> tuple[int, int]:
    """(width, height) as displayed, of this very frame: a stream may change its size. A pixel that
    is not square is stretched, never shrunk. aspect: a stored pixel's width over its height."""
    width, height = frame.width, frame.height
    if aspect > 1:
        width = round(width * aspect)
    else:
        height = round(height / aspect)
    return (height, width) if way.swapped else (width, height)


def reduced(width: int, height: int, max_side: int) -> tuple[int, int]:
    """The size with the longer side at most `max_side`; never enlarged, never below one pixel."""
    scale = min(1.0, max_side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def picture(
    frame: VideoFrame, max_side: int, aspect: Fraction, way: Orientation, transfer: str
) -> NDArray[np.uint8]:
    """(height, width, 3): upright, square pixels, the longer side at most `max_side`.

    transfer: "PQ" or "HLG" is mapped to SDR. An interlaced frame shows its first field: the second
    is a moment later, and both together are a comb.
    """
    width, height = reduced(*displayed(frame, aspect, way), max_side)
    size = (height, width) if way.swapped else (width, height)
    form, matrix = ("rgb48le", frame.colorspace) if transfer else ("rgb24", None)
    if frame.interlaced_frame:
        both: Any = frame.to_ndarray(format=form, src_colorspace=matrix)
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(both[0::2]), form)
        matrix = None  # it is RGB now
    small = frame.reformat(
        *size,
        format=form,
        src_colorspace=matrix,
        interpolation=Interpolation.AREA,  # means over the pixels it replaces: no aliasing
    ).to_ndarray()
    if transfer:
        return way.upright(tone_mapped(small.astype(np.uint16, copy=False), transfer))
    return way.upright(small.astype(np.uint8, copy=False))


def tone_mapped(signal: NDArray[np.uint16], transfer: str) -> NDArray[np.uint8]:
    """HDR (PQ or HLG, BT.2020) as 8-bit sRGB: light relative to reference white, a knee, BT.709's
    primaries, sRGB's curve. White paper comes out at 237 of 255."""
    light = _light(transfer)[signal]
    if transfer == "HLG":  # the curve gives the scene's light, and the display adds its own
        luma = np.maximum(light @ _LUMA_2020, 0)[..., None]
        light = light * luma ** (HLG_GAMMA - 1) * (HLG_PEAK_NITS / REFERENCE_NITS)
    light = np.maximum(light @ _BT2020_TO_BT709.T, 0)
    over = 1 - np.exp(-np.maximum(light - KNEE, 0) / (1 - KNEE))
    light = np.where(light <= KNEE, light, KNEE + (1 - KNEE) * over)
    low, high = 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055
    coded: NDArray[np.uint8] = np.round(255 * np.where(light <= 0.0031308, low, high)).astype(
        np.uint8
    )
    return coded


@cache
def _light(transfer: str) -> NDArray[np.float32]:
    """(65536,): linear light of a 16-bit signal; of PQ relative to reference white, of HLG to the
    scene's peak (ITU-R BT.2100)."""
    signal = np.arange(1 << 16) / ((1 << 16) - 1)
    if transfer == "HLG":
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
        return scene.astype(np.float32)
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = signal ** (1 / m2)
    nits = 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    return (nits / REFERENCE_NITS).astype(np.float32)
