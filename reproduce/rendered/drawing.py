"""Smooth anti-aliased shapes, from which the rendered data sets are drawn, and what all the drawings have in common.

A head has its own coordinates: x to the right, y down, and half its width is 1. Its pose places it in the image.
Everything is drawn four times as large as the image, and then averaged.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageColor, ImageDraw

Color = tuple[int, ...]  # red, green, blue, and perhaps the opacity: 0 … 255
Point = tuple[float, float]
Points = Sequence[Point]
Range = tuple[float, float]

_SUPERSAMPLING = 4
_SAMPLES = 6
_ANGLES = np.linspace(0, 2 * np.pi, 36, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1)
_SIDES = {False: (1,), True: (-1, 1)}
_CAP = np.linspace(0, np.pi, 7)[1:-1, None]


def palette(colors: str) -> tuple[Color, ...]:
    """Colours from their hexadecimal names, `"rrggbb rrggbb …"`."""
    return tuple(ImageColor.getrgb(f"#{name}") for name in colors.split())


def mix(a: Color, b: Color, t: float) -> Color:
    """From `a` (t = 0) to `b` (t = 1), without their opacities."""
    return tuple(round(p + t * (q - p)) for p, q in zip(a[:3], b[:3], strict=True))


def shade(color: Color, t: float) -> Color:
    """Darker for t < 0 (black at -1), lighter for t > 0 (white at 1)."""
    return mix(color, (0, 0, 0), -t) if t < 0 else mix(color, (255, 255, 255), t)


def glaze(color: Color, alpha: float) -> Color:
    """A translucent colour, of opacity `alpha` in [0, 1]."""
    return (*color[:3], round(255 * alpha))


def ramp(colors: Sequence[Color], t: float) -> Color:
    """The colour at `t` in [0, 1] of a piecewise linear ramp."""
    place = t * (len(colors) - 1)
    first = min(int(place), len(colors) - 2)
    return mix(colors[first], colors[first + 1], place - first)


def luminance(color: Color) -> float:
    """0 … 255, after ITU-R BT.601."""
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]


def points(text: str) -> Points:
    """Points in SVG's notation: `"x,y x,y …"`. A float is read as it was written, so an f-string loses nothing."""
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split())]


def symmetric(text: str) -> Points:
    """A symmetric outline from its right half in SVG's notation, given from top to bottom."""
    half = points(text)
    return [*half, *((-x, y) for x, y in reversed(half) if x != 0)]


@dataclass(frozen=True)
class Scene:
    """What is independent of the head: its pose, the light, and the wall behind it.

    The head's centre `x`, `y` and half its width, `unit`, are fractions of the image's side. `tilt` is its rotation in
    the image plane, in radians; its front is turned sideways by `yaw` units. The whole image is multiplied by
    `brightness`, and by a linear factor of strength `gradient` that grows towards `angle`, in radians. The wall's
    colour changes from `wall` to `wall_end`, downwards for `slant` 0, sideways for ±1.
    """

    x: float
    y: float
    unit: float
    tilt: float
    yaw: float
    brightness: float
    gradient: float
    angle: float
    wall: Color
    wall_end: Color
    slant: float


class Draws:
    """Random choices, each from one number of the generator."""

    def __init__(self, generator: np.random.Generator) -> None:
        self.unit: Callable[[], float] = generator.random  # a number in [0, 1)

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + self.unit() * (high - low)

    def one_of(self, names: Collection[str]) -> str:
        """One of the names."""
        return tuple(names)[int(self.unit() * len(names))]

    def color(self, colors: Sequence[Color], *, avoid: Sequence[Color] = (), by: float = 0.0) -> Color:
        """A colour of a palette; the next one that is `by` grey levels or more from all of `avoid`, or the farthest."""
        first = int(self.unit() * len(colors))
        turned = [*colors[first:], *colors[:first]]
        margins = [min((math.dist(color, other) for other in avoid), default=math.inf) for color in turned]
        enough = [i for i, margin in enumerate(margins) if margin >= by]
        return turned[enough[0] if enough else margins.index(max(margins))]

    def scene(self, wall: Color, *, x: Range, y: Range, unit: Range, tilt: float, yaw: float) -> Scene:
        """A scene in front of `wall`, with the pose's numbers in these ranges; `tilt` and `yaw` up to these sizes."""
        return Scene(
            x=self.between(*x),
            y=self.between(*y),
            unit=self.between(*unit),
            tilt=self.between(-tilt, tilt),
            yaw=self.between(-yaw, yaw),
            brightness=self.between(0.82, 1.0),
            gradient=self.between(0.0, 0.14),
            angle=self.between(-np.pi, 0.0),
            wall=wall,
            wall_end=shade(wall, self.between(-0.25, 0.25)),
            slant=self.between(-0.6, 0.6),
        )


@cache
def _spline(n: int, closed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Catmull-Rom matrices `[samples, n]` from n control points to points on the curve, and to its tangents."""
    t = np.linspace(0, 1, _SAMPLES, endpoint=False)[:, None]
    corner = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
    value = np.concatenate([t**0, t, t**2, t**3], 1) @ corner
    slope = np.concatenate([0 * t, t**0, 2 * t, 3 * t**2], 1) @ corner
    neighbours = np.arange(n if closed else n - 1)[:, None] + np.arange(-1, 3)
    weights = np.eye(n)[neighbours % n if closed else neighbours.clip(0, n - 1)]  # [segments, 4, n]
    values, slopes = (value @ weights).reshape(-1, n), (slope @ weights).reshape(-1, n)
    if not closed:
        before, end = np.eye(n)[-2:]
        values, slopes = np.vstack([values, end]), np.vstack([slopes, end - before])
    return values, slopes


class Canvas:
    """An image of a scene that is being drawn.

    `depth` says how far in front of the head a shape lies: when the head turns, what is at 0 stays, what is at 1 (the
    default) moves with the face, and what is beyond sticks out. `both` draws a shape's mirror image too. While `turned`
    is false, shapes are drawn as if the head weren't turned: the body.
    """

    def __init__(self, scene: Scene, *, size: int) -> None:
        self.turned = True
        self._scene, self._size = scene, size
        shares = [[(1 + y * (1 - abs(scene.slant)) + x * scene.slant) / 2 for x in (-1, 1)] for y in (-1, 1)]
        corners = [[mix(scene.wall, scene.wall_end, share) for share in row] for row in shares]
        small = Image.fromarray(np.array(corners, np.uint8))
        side = size * _SUPERSAMPLING
        # from the centre of one of the four pixels to that of the next
        self._image = small.resize((side, side), Image.Resampling.BILINEAR, box=(0.5, 0.5, 1.5, 1.5))
        self._draw = ImageDraw.Draw(self._image, "RGBA")

    def fill(self, outline: Points, color: Color, *, depth: float = 1, smooth: bool = True, both: bool = False) -> None:
        """The inside of the closed curve (or polygon) through the points of `outline`."""
        for side in _SIDES[both]:
            corners = np.array(outline, dtype=float) * (side, 1)
            self._polygon(_spline(len(corners), True)[0] @ corners if smooth else corners, color, depth)

    def ellipse(
        self, centre: Point, radii: Point, color: Color, *, angle: float = 0, depth: float = 1, both: bool = False
    ) -> None:
        """An ellipse, turned by `angle` radians."""
        (x, y), (rx, ry) = centre, radii
        for side in _SIDES[both]:
            c, s = math.cos(side * angle), math.sin(side * angle)
            axes = np.array([[rx * c, rx * s], [-ry * s, ry * c]])
            self._polygon(_CIRCLE @ axes + (side * x, y), color, depth)

    def stroke(self, line: Points, width: float, color: Color, *, depth: float = 1, both: bool = False) -> None:
        """A line of `width` with round ends along the open curve through the points of `line`."""
        value, slope = _spline(len(line), False)
        for side in _SIDES[both]:
            control = np.array(line, dtype=float) * (side, 1)
            middle, tangent = value @ control, slope @ control
            normal = tangent[:, ::-1] * (-1, 1) * (width / 2 / np.sqrt((tangent**2).sum(1, keepdims=True)))
            caps = []
            for end, sign in ((-1, 1), (0, -1)):
                along = normal[end][::-1] * (1, -1)
                caps.append(middle[end] + sign * (np.cos(_CAP) * normal[end] + np.sin(_CAP) * along))
            outline = np.concatenate([middle + normal, caps[0], (middle - normal)[::-1], caps[1]])
            self._polygon(outline, color, depth)

    def finish(self) -> np.ndarray:
        """The image in its light, uint8 `[S, S, 3]`."""
        scene, image = self._scene, np.asarray(self._image.reduce(_SUPERSAMPLING), np.float32)
        place = np.linspace(-1, 1, self._size, dtype=np.float32)
        x, y = scene.gradient * math.cos(scene.angle), scene.gradient * math.sin(scene.angle)
        gain = scene.brightness * (1 + x * place[None, :, None] + y * place[:, None, None])
        return np.minimum(image * gain.astype(np.float32) + 0.5, 255).astype(np.uint8)

    def _polygon(self, points: np.ndarray, color: Color, depth: float) -> None:
        scene, side = self._scene, self._size * _SUPERSAMPLING
        tilt, yaw = (scene.tilt, scene.yaw) if self.turned else (0.0, 0.0)
        x, y = points[:, 0], points[:, 1]
        # the front bulges between the cheeks, less so above the brow
        front = np.maximum(1 - x * x, 0) * np.minimum(np.maximum(1 + 0.6 * y, 0), 1)
        x = x + (yaw * depth) * front
        c, s = scene.unit * math.cos(tilt), scene.unit * math.sin(tilt)
        corners = np.stack([(scene.x + c * x - s * y) * side, (scene.y + s * x + c * y) * side], 1)
        # Pillow truncates; a quarter of a pixel is fine enough, and rounding hides the last bits of libm
        self._draw.polygon(np.rint(corners).astype(int).ravel().tolist(), fill=color)
