"""Animals, vehicles and what stands about. A sprite is drawn around `x` (its centre) with its feet
at `y`, and returns its extent (x0, y0, x1, y1) on the 320 x 180 stage.
"""

import math
from collections.abc import Callable

from videoespresso.theatre.style import INK, Extent, Pen, Rgb

CARGO: dict[str, Rgb] = {
    "logs": (140, 85, 40),
    "boxes": (215, 170, 110),
    "fruit": (240, 120, 30),
    "sand": (235, 220, 140),
}


def four_legged(
    pen: Pen, x: float, y: float, kind: str, running: bool, swing: float, left: bool = False
) -> Extent:
    """Dog (brown, long snout, hanging ears) or cat (orange-grey, pointed ears, long tail)."""
    s = -1 if left else 1
    fur = (140, 85, 40) if kind == "dog" else (235, 150, 60)
    w, top = (22, 26) if kind == "dog" else (19, 22)
    lift = 4 * math.sin(swing) if running else 0
    for k, leg in enumerate((-0.7, -0.35, 0.35, 0.7)):
        shift = lift if k % 2 else -lift
        pen.line((x + leg * w * 0.8, y - 10), (x + leg * w * 0.8 + shift, y), fill=fur, width=4)
    pen.rect(x - w * 0.8, y - 20, x + w * 0.8, y - 8, fur, 5)
    hx = x + s * w * 0.9
    pen.oval(hx - 8, y - top - 6, hx + 8, y - top + 10, fur)
    if kind == "dog":
        pen.oval(
            hx + s * 4 - 5,
            y - top,
            hx + s * 4 + 9 * s + (5 if s > 0 else -5),
            y - top + 8,
            (90, 50, 25),
        ) if s > 0 else pen.oval(hx - 14, y - top, hx + 1, y - top + 8, (90, 50, 25))
        pen.oval(hx - s * 9 - 3, y - top - 4, hx - s * 9 + 3, y - top + 9, (90, 50, 25))
        pen.line((x - s * w * 0.8, y - 18), (x - s * w * 1.2, y - 28), fill=fur, width=4)
    else:
        for e in (-5, 5):
            pen.poly(
                (hx + e - 4, y - top - 3),
                (hx + e + 4, y - top - 3),
                (hx + e, y - top - 12),
                fill=fur,
            )
        pen.line(
            (x - s * w * 0.8, y - 16),
            (x - s * w * 1.2, y - 24),
            (x - s * w * 1.0, y - 36),
            fill=fur,
            width=3,
        )
        for k in (-1, 0, 1):
            pen.line((x + k * 6, y - 20), (x + k * 6, y - 12), fill=(120, 70, 20), width=2)
    pen.oval(hx + s * 2 - 1.5, y - top - 1, hx + s * 2 + 1.5, y - top + 2, INK)
    return (
        (x - w * 1.25, y - top - 12, x + w * 1.35, y)
        if s > 0
        else (x - w * 1.35, y - top - 12, x + w * 1.25, y)
    )


def bird(pen: Pen, x: float, y: float, flying: bool, swing: float) -> Extent:
    body = (70, 150, 220)
    if flying:
        y -= 30
        up = 9 + 3 * math.sin(swing)
        pen.poly((x - 4, y - 8), (x - 18, y - 8 - up), (x + 4, y - 6), fill=(40, 100, 180))
        pen.poly((x - 4, y - 8), (x + 14, y - 10 - up), (x + 6, y - 6), fill=(40, 100, 180))
    pen.oval(x - 11, y - 13, x + 8, y - 3, body)
    pen.oval(x + 3, y - 20, x + 14, y - 9, body)
    pen.poly((x + 13, y - 16), (x + 20, y - 13), (x + 13, y - 12), fill=(250, 150, 0))
    if not flying:
        pen.line((x - 2, y - 4), (x - 2, y), fill=(250, 150, 0), width=2)
        pen.line((x + 2, y - 4), (x + 2, y), fill=(250, 150, 0), width=2)
        pen.poly((x - 10, y - 9), (x - 18, y - 13), (x - 16, y - 5), fill=(40, 100, 180))
    return (x - 18, y - (28 if flying else 20), x + 20, y - (2 if flying else 0))


def _cargo(pen: Pen, x0: float, x1: float, y: float, cargo: str) -> None:
    c = CARGO[cargo]
    if cargo == "logs":
        for k in range(3):
            pen.rect(x0, y - 7 * k - 7, x1, y - 7 * k - 1, c, 3)
            pen.oval(x0 - 3, y - 7 * k - 7, x0 + 3, y - 7 * k - 1, (225, 190, 140))
    elif cargo == "boxes":
        for k in range(3):
            a = x0 + k * (x1 - x0) / 3
            pen.rect(a, y - 14, a + 13, y - 1, c)
            pen.line((a + 6, y - 14), (a + 6, y - 1), fill=(150, 100, 50), width=2)
        pen.rect(x0 + 8, y - 26, x0 + 21, y - 14, c)
    elif cargo == "fruit":
        for k in range(9):
            a, b = x0 + 5 + (k % 5) * 8, y - 6 - (k // 5) * 8
            pen.oval(a - 5, b - 5, a + 5, b + 5, c if k % 2 else (215, 45, 45))
    else:
        pen.poly((x0, y), (x1, y), ((x0 + x1) / 2, y - 22), fill=c)


def vehicle(
    pen: Pen, x: float, y: float, kind: str, color: str, act: str, cargo: str, left: bool
) -> Extent:
    """Car, bus or truck. Driving leaves streaks behind; a stopped one lights its brake lamp."""
    paint = pen.style.color(color)
    half = {"car": 36, "bus": 52, "truck": 48}[kind]
    top = {"car": 34, "bus": 48, "truck": 46}[kind]
    s = -1 if left else 1
    glass = (190, 225, 240)

    def px(v: float) -> float:
        return x + s * v

    def block(a: float, b: float, y0: float, y1: float, c: Rgb, r: float = 3) -> None:
        pen.rect(min(px(a), px(b)), y0, max(px(a), px(b)), y1, c, r)

    if kind == "car":
        pen.poly(
            (px(-24), y - 18), (px(-14), y - 34), (px(12), y - 34), (px(24), y - 18), fill=paint
        )
        pen.poly(
            (px(-17), y - 19), (px(-11), y - 31), (px(-1), y - 31), (px(-1), y - 19), fill=glass
        )
        pen.poly((px(2), y - 19), (px(2), y - 31), (px(10), y - 31), (px(17), y - 19), fill=glass)
        block(-36, 36, y - 20, y - 5, paint, 5)
    elif kind == "bus":
        block(-52, 52, y - 48, y - 5, paint, 4)
        for k in range(5):
            block(-46 + k * 19, -32 + k * 19, y - 42, y - 26, glass)
    else:
        block(20, 48, y - 38, y - 5, paint, 4)
        block(28, 44, y - 34, y - 22, glass)
        block(-48, 18, y - 16, y - 5, (90, 90, 95), 1)
        _cargo(pen, min(px(-46), px(14)), max(px(-46), px(14)), y - 16, cargo)
    for wheel in (-0.6, 0.6):
        wx = px(wheel * half)
        pen.oval(wx - 8, y - 13, wx + 8, y + 3, INK)
        pen.oval(wx - 3, y - 8, wx + 3, y - 2, (190, 190, 190))
    if act == "stops":
        block(-half - 4, -half + 5, y - 20, y - 9, (255, 20, 20), 2)
    elif act.startswith("drives"):
        for k in range(3):
            pen.line(
                (px(-half - 6), y - 10 - 9 * k), (px(-half - 24 + 4 * k), y - 10 - 9 * k),
                fill=(250, 250, 250), width=2.5,
            )  # fmt: skip
    return (x - half - 2, y - top, x + half + 2, y + 3)


def _traffic_light(pen: Pen, x: float, y: float, state: str) -> Extent:
    pen.rect(x - 2.5, y - 55, x + 2.5, y, (70, 70, 75))
    pen.rect(x - 11, y - 98, x + 11, y - 52, INK, 3)
    on = state == "is red"
    pen.oval(x - 9, y - 96, x + 9, y - 77, (255, 30, 30) if on else (70, 20, 20))
    pen.oval(x - 9, y - 74, x + 9, y - 55, (20, 60, 25) if on else (40, 240, 90))
    return (x - 11, y - 98, x + 11, y)


def _lamp(pen: Pen, x: float, y: float, state: str) -> Extent:
    on = state == "is on"
    pen.line((x, 0), (x, 22), fill=INK, width=2)
    if on:
        pen.oval(x - 24, 14, x + 24, 62, (255, 245, 170))
    pen.poly(
        (x - 20, 42),
        (x + 20, 42),
        (x + 9, 20),
        (x - 9, 20),
        fill=(245, 190, 60) if on else (85, 85, 90),
    )
    pen.oval(x - 7, 38, x + 7, 51, (255, 255, 225) if on else (55, 55, 60))
    return (x - 20, 20, x + 20, 51)


def _vase(pen: Pen, x: float, y: float, state: str) -> Extent:
    c = (40, 160, 175)
    if state == "breaks":
        for k, (a, b) in enumerate(((-16, 0), (-5, -4), (6, 0), (15, -3))):
            pen.poly(
                (x + a - 6, y + b),
                (x + a + 5, y + b - 2),
                (x + a + (3 if k % 2 else -3), y + b - 13),
                fill=c,
            )
        pen.line((x - 12, y - 16), (x - 17, y - 24), fill=INK, width=2)
        pen.line((x + 12, y - 16), (x + 17, y - 24), fill=INK, width=2)
        return (x - 22, y - 25, x + 22, y)
    pen.oval(x - 11, y - 24, x + 11, y, c)
    pen.rect(x - 5, y - 34, x + 5, y - 20, c)
    pen.rect(x - 8, y - 37, x + 8, y - 33, c)
    return (x - 11, y - 37, x + 11, y)


def _flower(pen: Pen, x: float, y: float, state: str) -> Extent:
    if state == "wilts" or state == "breaks":
        pen.line(
            (x, y), (x, y - 16), (x + 9, y - 22), (x + 13, y - 12), fill=(125, 125, 50), width=3
        )
        pen.oval(x + 8, y - 16, x + 18, y - 6, (150, 110, 60))
        return (x - 3, y - 24, x + 18, y)
    pen.line((x, y), (x, y - 26), fill=(30, 130, 50), width=3)
    for k in range(5):
        a = k * math.tau / 5
        cx, cy = x + 7 * math.cos(a), y - 31 + 7 * math.sin(a)
        pen.oval(cx - 6, cy - 6, cx + 6, cy + 6, (240, 90, 170))
    pen.oval(x - 5, y - 36, x + 5, y - 26, (250, 220, 60))
    return (x - 13, y - 44, x + 13, y)


def _pan(pen: Pen, x: float, y: float, state: str) -> Extent:
    pen.rect(x - 17, y - 9, x + 17, y, (50, 50, 55), 3)
    pen.rect(x + 15, y - 8, x + 35, y - 4, INK)
    if state == "smokes":
        for k, r in enumerate((8, 11, 14)):
            pen.oval(
                x - r + 4 * (-1) ** k,
                y - 24 - 15 * k - r,
                x + r + 4 * (-1) ** k,
                y - 24 - 15 * k + r,
                (95, 95, 100),
            )
        return (x - 18, y - 68, x + 35, y)
    return (x - 17, y - 9, x + 35, y)


def _phone_on_table(pen: Pen, x: float, y: float, state: str) -> Extent:
    pen.rect(x - 8, y - 20, x + 8, y, (40, 40, 60), 3)
    pen.rect(x - 6, y - 17, x + 6, y - 5, (90, 220, 255) if state == "rings" else (60, 70, 90))
    if state == "rings":
        for r in (6, 11):
            pen.arc(x - 10 - r, y - 18 - r, x - 2 + r, y - 8 + r, 150, 240, (255, 90, 0), 2.5)
            pen.arc(x + 2 - r, y - 18 - r, x + 10 + r, y - 8 + r, 300, 30, (255, 90, 0), 2.5)
    return (x - 8, y - 20, x + 8, y)


THINGS: dict[str, Callable[[Pen, float, float, str], Extent]] = {
    "light": _traffic_light,
    "lamp": _lamp,
    "vase": _vase,
    "flower": _flower,
    "pan": _pan,
    "phone": _phone_on_table,
}
