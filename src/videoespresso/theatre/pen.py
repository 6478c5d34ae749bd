"""The pen everything is drawn with. Coordinates are logical: the stage is 320 x 180 at any size."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import ImageDraw

from videoespresso.theatre.style import Rgb, Style

STAGE_W, STAGE_H = 320, 180
Extent = tuple[float, float, float, float]
INK: Rgb = (30, 30, 35)
WOOD: Rgb = (150, 100, 60)
GREY: Rgb = (120, 125, 130)


@dataclass
class Pen:
    """ImageDraw in logical coordinates, with the style's outline."""

    draw: ImageDraw.ImageDraw
    scale: float
    style: Style

    def _xy(self, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(x * self.scale, y * self.scale) for x, y in points]

    def _line(self) -> tuple[Rgb | None, int]:
        width = round(self.style.outline * self.scale / 2)
        return ((25, 25, 30), width) if width else (None, 0)

    def rect(self, x0: float, y0: float, x1: float, y1: float, fill: Rgb, r: float = 0) -> None:
        line, width = self._line()
        box = self._xy([(x0, y0), (x1, y1)])
        self.draw.rounded_rectangle(box, r * self.scale, fill=fill, outline=line, width=width)

    def oval(self, x0: float, y0: float, x1: float, y1: float, fill: Rgb) -> None:
        line, width = self._line()
        self.draw.ellipse(self._xy([(x0, y0), (x1, y1)]), fill=fill, outline=line, width=width)

    def poly(self, *points: tuple[float, float], fill: Rgb) -> None:
        self.draw.polygon(self._xy(points), fill=fill)

    def line(self, *points: tuple[float, float], fill: Rgb, width: float = 2) -> None:
        self.draw.line(
            self._xy(points), fill=fill, width=max(1, round(width * self.scale)), joint="curve"
        )

    def arc(
        self, x0: float, y0: float, x1: float, y1: float, a: int, b: int, fill: Rgb, w: float = 2
    ) -> None:
        box = self._xy([(x0, y0), (x1, y1)])
        self.draw.arc(box, a, b, fill=fill, width=max(1, round(w * self.scale)))
