"""What is behind and in front of the actors: places, weather, and the film's own look."""

import math
import random
from functools import lru_cache
from statistics import NormalDist

from PIL import Image, ImageFilter

from videoespresso.theatre.style import STAGE_H, STAGE_W, Pen, Rgb, Style

_LEFT, _RIGHT, _BOTTOM = -30, STAGE_W + 30, STAGE_H + 4
"""Grounds reach beyond the stage, so that a pan never shows their end."""


def _dark(color: Rgb, by: float) -> Rgb:
    return int(color[0] * by), int(color[1] * by), int(color[2] * by)


def background(pen: Pen, setting: str, weather: str, shift: float) -> None:
    """The place in its weather, moved by `shift` stage units when the camera pans."""
    light = 0.5 if weather == "night" else 0.85 if weather == "rain" else 1.0
    far, near = _dark(pen.style.far, light), _dark(pen.style.near, light)
    if setting in ("street", "park"):
        _sky(pen, weather, shift)
    if setting == "street":
        _street(pen, far, near, light, weather == "night", shift)
    elif setting == "park":
        _park(pen, far, near, light, shift)
    elif setting == "kitchen":
        _kitchen(pen, far, near, shift)
    else:
        _room(pen, far, near, shift)


def _sky(pen: Pen, weather: str, shift: float) -> None:
    blue = {"sun": (135, 205, 250), "rain": (130, 140, 150), "snow": (205, 215, 228)}
    sky = blue.get(weather, (20, 25, 60))
    pen.rect(_LEFT, 0, _RIGHT, 100, sky)
    if weather == "sun":
        pen.oval(268 + shift / 2, 6, 298 + shift / 2, 36, (255, 225, 60))
    elif weather == "night":
        pen.oval(268 + shift / 2, 6, 294 + shift / 2, 32, (245, 245, 220))
        pen.oval(276 + shift / 2, 3, 300 + shift / 2, 27, sky)


def _street(pen: Pen, far: Rgb, near: Rgb, light: float, night: bool, shift: float) -> None:
    rng = random.Random(pen.style.seed)
    window = (235, 225, 160) if night else _dark(far, 0.6)
    x = _LEFT + shift
    while x < _RIGHT:
        w, h = rng.randint(38, 70), rng.randint(34, 70)
        pen.rect(x, 104 - h, x + w - 3, 106, _dark(far, rng.uniform(0.8, 1.05)))
        for k in range(int(w / 14) - 1):
            pen.rect(x + 7 + 14 * k, 112 - h, x + 13 + 14 * k, 121 - h, window)
        x += w
    pen.rect(_LEFT, 104, _RIGHT, 122, _dark((190, 185, 175), light))
    pen.rect(_LEFT, 122, _RIGHT, _BOTTOM, near)
    for k in range(9):
        pen.rect(-20 + 45 * k + shift, 148, 5 + 45 * k + shift, 151, (235, 235, 225))


def _park(pen: Pen, far: Rgb, near: Rgb, light: float, shift: float) -> None:
    rng = random.Random(pen.style.seed)
    for k in range(5):
        x, y = 10 + 76 * k + rng.randint(-16, 16) + shift, 74 + rng.randint(-6, 6)
        pen.rect(x - 4, y, x + 4, y + 34, _dark((110, 75, 45), light))
        pen.oval(x - 22, y - 40, x + 22, y + 8, _dark(far, 0.75))
    pen.rect(_LEFT, 100, _RIGHT, _BOTTOM, near)


def _kitchen(pen: Pen, far: Rgb, near: Rgb, shift: float) -> None:
    pen.rect(_LEFT, 0, _RIGHT, _BOTTOM, far)
    joint = _dark(far, 0.93)
    for k in range(12):
        pen.line((k * 30 - 10 + shift, 0), (k * 30 - 10 + shift, 120), fill=joint, width=1)
        pen.line((_LEFT, k * 20), (_RIGHT, k * 20), fill=joint, width=1)
    pen.rect(18 + shift, 8, 92 + shift, 34, _dark(near, 0.85))
    pen.rect(215 + shift, 8, 300 + shift, 34, _dark(near, 0.85))


def _room(pen: Pen, far: Rgb, near: Rgb, shift: float) -> None:
    pen.rect(_LEFT, 0, _RIGHT, 122, far)
    pen.rect(30 + shift, 18, 92 + shift, 68, (250, 250, 250))
    pen.rect(34 + shift, 22, 88 + shift, 64, (150, 200, 235))
    pen.line((61 + shift, 22), (61 + shift, 64), fill=(250, 250, 250), width=3)
    pen.rect(_LEFT, 122, _RIGHT, _BOTTOM, near)
    pen.oval(60 + shift, 146, 260 + shift, 176, _dark(near, 0.8))


def weather_on_top(pen: Pen, weather: str, t: float, seed: int) -> None:
    """Rain or snow in front of everybody, at `t` seconds of its fall."""
    if weather not in ("rain", "snow"):
        return
    rng = random.Random(seed)
    fall = t * (160 if weather == "rain" else 40)
    for _ in range(60 if weather == "rain" else 70):
        x, y = rng.uniform(0, STAGE_W), (rng.uniform(0, STAGE_H) + fall) % STAGE_H
        if weather == "rain":
            pen.line((x, y), (x - 3, y + 10), fill=(185, 210, 240), width=1)
        else:
            pen.draw.ellipse(
                pen._xy([(x - 1.8, y - 1.8), (x + 1.8, y + 1.8)]), fill=(255, 255, 255)
            )


def develop(image: Image.Image, style: Style, t: float) -> Image.Image:
    """Tint, blur and grain, as the style asks; grain is the same at the same instant."""
    if style.tint != (1.0, 1.0, 1.0):
        r, g, b = style.tint
        image = image.convert("RGB", (r, 0, 0, 0, 0, g, 0, 0, 0, 0, b, 0))
    if style.blur:
        image = image.filter(ImageFilter.GaussianBlur(style.blur))
    if style.grain:
        noise = _noise(image.size, style.grain * 8, f"{style.seed}grain{t}")
        image = Image.blend(image, Image.merge("RGB", (noise,) * 3), 0.03 * math.sqrt(style.grain))
    return image


def _noise(size: tuple[int, int], sigma: float, seed: str) -> Image.Image:
    """Grey Gaussian noise around 128. Pillow's `effect_noise` cannot be seeded."""
    even = Image.frombytes("L", size, random.Random(seed).randbytes(size[0] * size[1]))
    return even.point(_bell(sigma))


@lru_cache
def _bell(sigma: float) -> list[int]:
    """Turns evenly spread bytes into normally spread ones: quantile k of 256."""
    normal = NormalDist(128, sigma)
    return [min(255, max(0, round(normal.inv_cdf((k + 0.5) / 256)))) for k in range(256)]
