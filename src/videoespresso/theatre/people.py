"""People, drawn around `x` (their centre) with their feet at `y`: faces, hats, poses."""

import math

from videoespresso.theatre.style import INK, Extent, Pen, Rgb


def _face(pen: Pen, x: float, y: float, r: float, mood: str, skin: Rgb) -> None:
    """Moods differ in mouth, brows, tint and one mark, so that 12 pixels are enough to tell."""
    tint = {"angry": (225, 90, 70), "sad": (170, 185, 225)}.get(mood, skin)
    pen.oval(x - r, y - r, x + r, y + r, tint)
    for side in (-1, 1):
        ex, ey = x + side * r * 0.42, y - r * 0.12
        pen.oval(ex - r * 0.14, ey - r * 0.18, ex + r * 0.14, ey + r * 0.18, INK)
        if mood == "angry":
            pen.line(
                (ex - side * r * 0.3, ey - r * 0.2), (ex + side * r * 0.3, ey - r * 0.55),
                fill=INK, width=r * 0.18,
            )  # fmt: skip
    mouth = (x - r * 0.5, y + r * 0.1, x + r * 0.5, y + r * 0.75)
    if mood == "happy":
        pen.draw.chord(
            pen._xy([(mouth[0], mouth[1] - r * 0.15), (mouth[2], mouth[3])]), 0, 180,
            fill=(255, 255, 255), outline=INK,
        )  # fmt: skip
    elif mood == "sad":
        pen.arc(x - r * 0.45, y + r * 0.35, x + r * 0.45, y + r * 0.95, 190, 350, INK, r * 0.16)
        pen.oval(x + r * 0.35, y + r * 0.1, x + r * 0.7, y + r * 0.75, (40, 120, 255))
    elif mood == "angry":
        pen.line((x - r * 0.4, y + r * 0.5), (x + r * 0.4, y + r * 0.5), fill=INK, width=r * 0.2)
    elif mood == "surprised":
        pen.oval(x - r * 0.22, y + r * 0.2, x + r * 0.22, y + r * 0.8, (120, 20, 20))
        pen.rect(x + r * 1.0, y - r * 1.5, x + r * 1.3, y - r * 0.4, (255, 120, 0))
        pen.oval(x + r * 0.98, y - r * 0.25, x + r * 1.32, y + r * 0.1, (255, 120, 0))
    else:
        pen.line((x - r * 0.3, y + r * 0.5), (x + r * 0.3, y + r * 0.5), fill=INK, width=r * 0.1)


def _hair_and_hat(pen: Pen, x: float, y: float, r: float, who: str) -> None:
    hair = {
        "man": (70, 45, 30),
        "woman": (110, 55, 25),
        "boy": (60, 40, 30),
        "girl": (200, 150, 50),
    }
    hat = who if who in ("cook", "officer", "builder") else ""
    if hat == "cook":
        pen.rect(x - r * 0.8, y - r * 1.5, x + r * 0.8, y - r * 0.6, (255, 255, 255))
        pen.oval(x - r * 1.05, y - r * 2.1, x + r * 1.05, y - r * 1.2, (255, 255, 255))
    elif hat == "officer":
        pen.rect(x - r * 1.05, y - r * 1.2, x + r * 1.05, y - r * 0.5, (25, 35, 95))
        pen.rect(x - r * 0.25, y - r * 1.1, x + r * 0.25, y - r * 0.7, (240, 205, 40))
        pen.rect(x - r * 1.2, y - r * 0.6, x + r * 1.2, y - r * 0.42, INK)
    elif hat == "builder":
        pen.draw.pieslice(
            pen._xy([(x - r * 1.1, y - r * 1.5), (x + r * 1.1, y + r * 0.3)]), 180, 360,
            fill=(250, 190, 0),
        )  # fmt: skip
        pen.rect(x - r * 1.3, y - r * 0.6, x + r * 1.3, y - r * 0.4, (250, 190, 0))
    else:
        pen.draw.pieslice(
            pen._xy([(x - r * 1.08, y - r * 1.2), (x + r * 1.08, y + r * 0.35)]), 180, 360,
            fill=hair[who],
        )  # fmt: skip
        if who == "girl":
            for side in (-1, 1):
                pen.oval(
                    x + side * r * 1.15 - r * 0.4, y - r * 0.7,
                    x + side * r * 1.15 + r * 0.4, y + r * 0.3, hair[who],
                )  # fmt: skip


def person(
    pen: Pen, x: float, y: float, who: str, color: str, mood: str, pose: str, swing: float, h: float
) -> tuple[Extent, tuple[float, float]]:
    """A person; returns the extent and where the acting hand is."""
    style = pen.style
    skin = style.skin(who + color)
    shirt = style.color({"cook": "white", "officer": "black", "builder": "yellow"}.get(who, color))
    r = h * 0.2
    head_y = y - h + r
    top, hip = head_y + r * 0.9, y - h * 0.26
    if who == "woman":
        pen.rect(
            x - r * 1.15, head_y - r * 0.5, x + r * 1.15, head_y + r * 1.5, (110, 55, 25), r * 0.6
        )
    stride = {"walk": 0.12, "run": 0.22, "kick": 0.05}.get(pose, 0.0) * h
    lift = stride * math.sin(swing)
    legs = (60, 60, 80)
    if pose == "sleep":
        pen.rect(x - h * 0.1, hip, x + h * 0.34, y, legs, 2)
    else:
        foot = h * 0.3 if pose == "kick" else h * 0.08 + lift
        raised = h * 0.12 if pose == "kick" else 0
        pen.line((x - h * 0.06, hip), (x - h * 0.08 - lift, y), fill=legs, width=h * 0.1)
        pen.line((x + h * 0.06, hip), (x + foot, y - raised), fill=legs, width=h * 0.1)
    pen.rect(x - h * 0.17, top, x + h * 0.17, hip + h * 0.04, shirt, h * 0.05)
    shoulder = top + h * 0.06
    hand = {
        "wave": (x + h * 0.36, head_y - r * 1.1),
        "stop": (x + h * 0.3, head_y - r * 1.5),
        "hold": (x + h * 0.36, top + h * 0.14),
        "up": (x + h * 0.26, head_y - r * 0.6),
        "phone": (x + r * 1.1, head_y + r * 0.3),
    }.get(pose, (x + h * 0.24, hip))
    pen.line((x - h * 0.15, shoulder), (x - h * 0.25, hip), fill=skin, width=h * 0.07)
    pen.line((x + h * 0.15, shoulder), hand, fill=skin, width=h * 0.07)
    if pose == "stop":
        pen.oval(hand[0] - 5, hand[1] - 5, hand[0] + 5, hand[1] + 5, (255, 255, 255))
    _face(pen, x, head_y, r, mood, skin)
    _hair_and_hat(pen, x, head_y, r, who)
    if pose == "sleep":
        for k in range(3):
            z, s = (x + r + 5 * k, head_y - r - 5 * k), 3 + k
            pen.line(z, (z[0] + s, z[1]), (z[0], z[1] + s), (z[0] + s, z[1] + s), fill=INK, width=1)
    hat_top = head_y - r * (2.1 if who == "cook" else 1.5 if who == "builder" else 1.2)
    return (x - h * 0.25, hat_top, x + h * 0.27, y), hand
