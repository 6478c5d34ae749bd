"""Small things that are held, given, cooked or rolling: drawn around their centre."""

from collections.abc import Callable

from videoespresso.theatre.style import GREY, INK, WOOD, Extent, Pen


def _ball(p: Pen, x: float, y: float) -> Extent:
    p.oval(x - 9, y - 9, x + 9, y + 9, (250, 250, 250))
    p.poly((x - 4, y - 3), (x + 4, y - 3), (x + 5, y + 4), (x, y + 7), (x - 5, y + 4), fill=INK)
    return (x - 9, y - 9, x + 9, y + 9)


def _balloon(p: Pen, x: float, y: float) -> Extent:
    p.line((x, y), (x, y - 20), fill=INK, width=1)
    p.oval(x - 11, y - 46, x + 11, y - 18, (230, 40, 140))
    return (x - 11, y - 46, x + 11, y)


def _umbrella(p: Pen, x: float, y: float) -> Extent:
    p.line((x, y), (x, y - 34), fill=INK, width=2)
    box = p._xy([(x - 30, y - 58), (x + 30, y - 14)])
    p.draw.pieslice(box, 180, 360, fill=(90, 40, 160))
    return (x - 30, y - 58, x + 30, y)


def _box(p: Pen, x: float, y: float) -> Extent:
    p.rect(x - 10, y - 9, x + 10, y + 9, (205, 155, 95))
    p.line((x - 10, y), (x + 10, y), fill=(140, 95, 45), width=3)
    return (x - 10, y - 9, x + 10, y + 9)


def _gift(p: Pen, x: float, y: float) -> Extent:
    p.rect(x - 10, y - 9, x + 10, y + 9, (60, 200, 190))
    p.line((x, y - 9), (x, y + 9), fill=(230, 30, 60), width=4)
    p.oval(x - 8, y - 15, x, y - 8, (230, 30, 60))
    p.oval(x, y - 15, x + 8, y - 8, (230, 30, 60))
    return (x - 10, y - 15, x + 10, y + 9)


def _book(p: Pen, x: float, y: float) -> Extent:
    p.poly((x, y - 6), (x - 13, y - 10), (x - 13, y + 6), (x, y + 9), fill=(250, 250, 240))
    p.poly((x, y - 6), (x + 13, y - 10), (x + 13, y + 6), (x, y + 9), fill=(225, 225, 215))
    p.line((x - 13, y + 7), (x, y + 10), (x + 13, y + 7), fill=(150, 20, 20), width=3)
    return (x - 13, y - 10, x + 13, y + 11)


def _phone(p: Pen, x: float, y: float) -> Extent:
    p.rect(x - 5, y - 9, x + 5, y + 9, (40, 40, 60), 2)
    p.rect(x - 3, y - 6, x + 3, y + 5, (90, 220, 255))
    return (x - 5, y - 9, x + 5, y + 9)


def _candle(p: Pen, x: float, y: float) -> Extent:
    p.rect(x - 4, y - 14, x + 4, y + 8, (250, 240, 210))
    p.oval(x - 7, y - 34, x + 7, y - 13, (255, 150, 20))
    p.oval(x - 3, y - 27, x + 3, y - 14, (255, 240, 120))
    return (x - 7, y - 34, x + 7, y + 8)


def _broom(p: Pen, x: float, y: float) -> Extent:
    p.line((x - 4, y - 30), (x + 6, y + 22), fill=WOOD, width=3)
    p.poly(
        (x + 1, y + 18), (x + 10, y + 18), (x + 18, y + 36), (x - 4, y + 36), fill=(240, 200, 70)
    )
    return (x - 5, y - 30, x + 18, y + 36)


def _can(p: Pen, x: float, y: float) -> Extent:
    p.rect(x - 9, y - 7, x + 9, y + 9, (60, 170, 90), 2)
    p.line((x + 8, y), (x + 20, y - 8), fill=(60, 170, 90), width=4)
    for k in range(3):
        p.line((x + 20 + 3 * k, y - 4), (x + 23 + 3 * k, y + 8), fill=(60, 150, 255), width=2)
    return (x - 9, y - 9, x + 30, y + 9)


def _bread(p: Pen, x: float, y: float) -> Extent:
    p.oval(x - 14, y - 7, x + 14, y + 7, (215, 160, 80))
    for k in (-6, 0, 6):
        p.line((x + k - 2, y + 3), (x + k + 2, y - 4), fill=(130, 80, 30), width=2)
    return (x - 14, y - 7, x + 14, y + 7)


def _carrot(p: Pen, x: float, y: float) -> Extent:
    p.poly((x - 13, y - 6), (x - 13, y + 6), (x + 15, y), fill=(250, 125, 20))
    p.line((x - 13, y), (x - 22, y - 5), fill=(40, 160, 50), width=4)
    p.line((x - 13, y), (x - 22, y + 4), fill=(40, 160, 50), width=4)
    return (x - 23, y - 7, x + 15, y + 6)


def _egg(p: Pen, x: float, y: float) -> Extent:
    p.oval(x - 12, y - 8, x + 12, y + 8, (255, 255, 250))
    p.oval(x - 5, y - 5, x + 5, y + 5, (255, 190, 0))
    return (x - 12, y - 8, x + 12, y + 8)


def _fish(p: Pen, x: float, y: float) -> Extent:
    p.oval(x - 14, y - 7, x + 10, y + 7, (110, 150, 200))
    p.poly((x + 8, y), (x + 19, y - 8), (x + 19, y + 8), fill=(110, 150, 200))
    p.oval(x - 10, y - 3, x - 6, y + 1, INK)
    return (x - 14, y - 8, x + 19, y + 8)


def _tomato(p: Pen, x: float, y: float) -> Extent:
    p.oval(x - 10, y - 9, x + 10, y + 9, (225, 30, 30))
    p.poly((x - 6, y - 8), (x, y - 3), (x + 6, y - 8), (x, y - 13), fill=(40, 150, 50))
    return (x - 10, y - 13, x + 10, y + 9)


def _onion(p: Pen, x: float, y: float) -> Extent:
    p.oval(x - 10, y - 8, x + 10, y + 9, (170, 60, 140))
    p.line((x, y - 8), (x, y - 16), fill=(120, 160, 60), width=3)
    p.arc(x - 5, y - 8, x + 5, y + 9, 90, 270, (235, 200, 225), 2)
    return (x - 10, y - 16, x + 10, y + 9)


def _cheese(p: Pen, x: float, y: float) -> Extent:
    p.poly((x - 14, y + 8), (x + 14, y + 8), (x + 14, y - 8), fill=(255, 215, 60))
    p.oval(x + 2, y - 1, x + 7, y + 4, (200, 150, 20))
    p.oval(x - 5, y + 3, x - 1, y + 7, (200, 150, 20))
    return (x - 14, y - 8, x + 14, y + 8)


def _bowl_of(color: tuple[int, int, int], dots: tuple[int, int, int]) -> Callable[..., Extent]:
    def draw(p: Pen, x: float, y: float) -> Extent:
        p.draw.chord(p._xy([(x - 18, y - 14), (x + 18, y + 14)]), 0, 180, fill=(240, 240, 250))
        p.oval(x - 18, y - 6, x + 18, y + 5, color)
        for k in (-9, 0, 9):
            p.oval(x + k - 3, y - 4, x + k + 3, y + 2, dots)
        return (x - 18, y - 6, x + 18, y + 14)

    return draw


def _pizza(p: Pen, x: float, y: float) -> Extent:
    p.oval(x - 19, y - 10, x + 19, y + 10, (220, 160, 70))
    p.oval(x - 15, y - 7, x + 15, y + 7, (250, 210, 80))
    for dx, dy in ((-7, -2), (5, -3), (0, 3), (9, 2)):
        p.oval(x + dx - 3, y + dy - 2, x + dx + 3, y + dy + 2, (210, 40, 30))
    return (x - 19, y - 10, x + 19, y + 10)


def _cake(p: Pen, x: float, y: float) -> Extent:
    p.rect(x - 16, y - 6, x + 16, y + 10, (120, 70, 45), 2)
    p.rect(x - 16, y - 10, x + 16, y - 3, (255, 190, 210), 2)
    p.oval(x - 4, y - 18, x + 4, y - 10, (220, 20, 40))
    return (x - 16, y - 18, x + 16, y + 10)


PROPS: dict[str, Callable[[Pen, float, float], Extent]] = {
    "ball": _ball,
    "balloon": _balloon,
    "umbrella": _umbrella,
    "box": _box,
    "gift": _gift,
    "book": _book,
    "phone": _phone,
    "candle": _candle,
    "broom": _broom,
    "can": _can,
    "bread": _bread,
    "carrot": _carrot,
    "egg": _egg,
    "fish": _fish,
    "tomato": _tomato,
    "onion": _onion,
    "cheese": _cheese,
    "soup": _bowl_of((205, 95, 35), (240, 180, 60)),
    "salad": _bowl_of((70, 170, 60), (225, 40, 40)),
    "pizza": _pizza,
    "cake": _cake,
}

TOOLS_AND_WARE = ("knife", "pot", "pan", "bowl")


def cooking(p: Pen, x: float, y: float, technique: str, ingredient: str) -> dict[str, Extent]:
    """A technique at work on the counter, the ingredient shown above it; {label: extent}."""
    seen: dict[str, Extent] = {}
    if technique == "chops":
        p.rect(x - 28, y - 5, x + 28, y, (200, 150, 95))
        p.poly(
            (x + 16, y - 34),
            (x + 24, y - 34),
            (x + 24, y - 7),
            (x + 16, y - 12),
            fill=(215, 220, 225),
        )
        p.rect(x + 17, y - 46, x + 23, y - 34, INK)
        seen["knife"] = (x + 16, y - 46, x + 24, y - 7)
        seen[ingredient] = PROPS[ingredient](p, x - 8, y - 14)
    elif technique == "boils":
        p.rect(x - 20, y - 26, x + 20, y, GREY, 3)
        p.rect(x - 27, y - 22, x - 20, y - 16, INK)
        p.rect(x + 20, y - 22, x + 27, y - 16, INK)
        for k in (-12, 0, 12):
            p.arc(x + k - 4, y - 66, x + k + 4, y - 54, 90, 270, (235, 240, 250), 2.5)
        seen["pot"] = (x - 27, y - 26, x + 27, y)
        seen[ingredient] = PROPS[ingredient](p, x, y - 36)
    elif technique == "fries":
        for k in (-10, 0, 10):
            p.poly((x + k - 5, y), (x + k + 5, y), (x + k, y - 11), fill=(255, 120, 20))
        p.rect(x - 20, y - 19, x + 20, y - 10, (50, 50, 55), 3)
        p.rect(x + 18, y - 18, x + 38, y - 14, INK)
        seen["pan"] = (x - 20, y - 19, x + 38, y - 10)
        seen[ingredient] = PROPS[ingredient](p, x, y - 28)
    else:
        p.draw.chord(p._xy([(x - 24, y - 36), (x + 24, y)]), 0, 180, fill=(90, 140, 220))
        p.line((x + 4, y - 20), (x + 22, y - 50), fill=WOOD, width=4)
        seen["bowl"] = (x - 24, y - 20, x + 24, y)
        seen[ingredient] = PROPS[ingredient](p, x - 8, y - 28)
    return seen
