"""Animated pictures, and pictures one after the other, as films."""

import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageOps
from tests.contract.test_video_kinds import FULL, PLAIN
from tests.helpers.videos import CORNERS, card, encode, read_number

from videoespresso.errors import VideoError
from videoespresso.tools.decode.picture import orientation, picture
from videoespresso.tools.video import open_video


def test_animated_webp(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    images = [Image.fromarray(card(i, 128, 72)) for i in range(20)]
    images[0].save(
        path, save_all=True, append_images=images[1:], duration=100, loop=0, lossless=True
    )
    with open_video(path) as reader:
        assert reader.video.duration_s == pytest.approx(2.0)
        assert (reader.video.width, reader.video.height, reader.video.fps) == (128, 72, 10)
        seen = [(p.time_s, read_number(p.rgb)) for p in reader.at([0.0, 0.55, 9.0], FULL)]
        assert seen == [(0.0, 0), (0.5, 5), (1.9, 19)]
        assert len(list(reader.keyframes(64, min_gap_s=0.5))) == 4
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(VideoError), open_video(path):
        pass


def test_of_a_sequence_with_a_still_beside_it_the_sequence_is_shown(tmp_path: Path) -> None:
    """As AVIF and HEIC have them."""
    options = {"preset": "12", "crf": "20"}
    recipe = replace(PLAIN, codec="libsvtav1", options=options, fps=Fraction(25))
    path = encode(tmp_path / "a.avif", recipe)
    with open_video(path) as reader:
        assert reader.video.duration_s == pytest.approx(len(PLAIN.pts) / 25)
        assert [read_number(p.rgb) for p in reader.at([0.0, 0.4, 9.0], FULL)] == [0, 10, 29]


@pytest.mark.parametrize("exif", [1, 3, 6, 8])
def test_pictures_that_carry_exif_are_decoded_and_upright(tmp_path: Path, exif: int) -> None:
    """PyAV has no name for what lies beside such a frame."""
    still = Image.new("RGB", (64, 32))
    for corner, colour in zip(((0, 0), (32, 0), (0, 16), (32, 16)), CORNERS, strict=True):
        still.paste(colour, (*corner, corner[0] + 32, corner[1] + 16))
    notes = Image.Exif()
    notes[0x0112] = exif  # how it is to be turned
    jpeg = io.BytesIO()
    still.save(jpeg, "JPEG", exif=notes, quality=95, subsampling=0)
    path = tmp_path / "film.mjpeg"
    path.write_bytes(jpeg.getvalue() * 5)
    upright = ImageOps.exif_transpose(Image.open(jpeg))
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        shown = picture(frame, 64, Fraction(1), orientation(frame), "")
    assert shown.shape == (upright.height, upright.width, 3)
    assert abs(shown.astype(int) - np.asarray(upright).astype(int)).mean() < 6
