"""Smooth anti-aliased shapes, from which the rendered data sets are drawn.

A head is drawn in units of its own: x to the right, y down, half its width is 1. Its pose places it in the image.
Everything is drawn four times larger than asked for and averaged.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

Color = tuple[int, int, int]
Points = Sequence[tuple[float, float]]

_SUPERSAMPLING = 4
_SAMPLES = 6
_ANGLES = np.linspace(0, 2 * np.pi, 36, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1)
_CAP = np.linspace(0, np.pi, 7)[1:-1, None]


def palette(colors: str) -> tuple[Color, ...]:
    """Colours from their hexadecimal names, `"rrggbb rrggbb …"`."""
    return tuple((int(name[:2], 16), int(name[2:4], 16), int(name[4:], 16)) for name in colors.split())


def mix(a: Color, b: Color, t: float) -> Color:
    """From `a` (t = 0) to `b` (t = 1)."""
    return (round(a[0] + t * (b[0] - a[0])), round(a[1] + t * (b[1] - a[1])), round(a[2] + t * (b[2] - a[2])))


def shade(color: Color, t: float) -> Color:
    """Darker for t < 0 (black at -1), lighter for t > 0 (white at 1)."""
    return mix(color, (0, 0, 0), -t) if t < 0 else mix(color, (255, 255, 255), t)


def ramp(colors: Sequence[Color], t: float) -> Color:
    """The colour at `t` in [0, 1] of a piecewise linear ramp."""
    place = t * (len(colors) - 1)
    first = min(int(place), len(colors) - 2)
    return mix(colors[first], colors[first + 1], place - first)


def luminance(color: Color) -> float:
    """0 … 255, after ITU-R BT.601."""
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]


def choose(colors: Sequence[Color], t: float, *, avoid: Sequence[Color] = (), by: float = 0.0) -> Color:
    """The colour at `t` in [0, 1) of a palette, or the next one that is at least `by` grey levels from all of `avoid`.

    If none does, the one that differs most.
    """
    first = int(t * len(colors))
    turned = [*colors[first:], *colors[:first]]
    margins = [min((math.dist(color, other) for other in avoid), default=math.inf) for color in turned]
    enough = [i for i, margin in enumerate(margins) if margin >= by]
    return turned[enough[0] if enough else margins.index(max(margins))]


def mirrored(half: Points) -> Points:
    """A symmetric outline from its right half, given from top to bottom."""
    return [*half, *((-x, y) for x, y in reversed(half) if x != 0)]


@dataclass(frozen=True)
class Pose:
    """Where a head is and how it is turned.

    Arguments:
        x, y: its centre, as a fraction of the image's side.
        unit: half its width, likewise.
        tilt: rotation in the image plane, in radians.
        yaw: how far the front moves sideways, in units.
    """

    x: float
    y: float
    unit: float
    tilt: float = 0.0
    yaw: float = 0.0


@dataclass(frozen=True)
class Light:
    """A factor on the whole image: `brightness`, and a linear part of `strength` that grows towards `angle`."""

    brightness: float
    strength: float
    angle: float


@cache
def _spline(n: int, closed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Catmull-Rom matrices `[samples, n]` from n control points to points on the curve, and to its tangents."""
    t = np.linspace(0, 1, _SAMPLES, endpoint=False)[:, None]
    corner = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
    value = np.concatenate([t**0, t, t**2, t**3], 1) @ corner
    slope = np.concatenate([0 * t, t**0, 2 * t, 3 * t**2], 1) @ corner
    segments = n if closed else n - 1
    values, slopes = np.zeros((segments * _SAMPLES, n)), np.zeros((segments * _SAMPLES, n))
    for i in range(segments):
        for k, j in enumerate(range(i - 1, i + 3)):
            column = j % n if closed else min(max(j, 0), n - 1)
            values[i * _SAMPLES : (i + 1) * _SAMPLES, column] += value[:, k]
            slopes[i * _SAMPLES : (i + 1) * _SAMPLES, column] += slope[:, k]
    if not closed:
        end = np.zeros((1, n))
        end[0, -1] = 1
        step = end.copy()
        step[0, -2] = -1
        values, slopes = np.concatenate([values, end]), np.concatenate([slopes, step])
    return values, slopes


class Canvas:
    """An image that is being drawn.

    `depth` says how far in front of the head a shape lies: when the head turns, what is at 0 stays, what is at 1 (the
    default) moves with the face, and what is beyond sticks out.

    Arguments:
        size: side S of the image.
        top, bottom: colours of the background, which changes from one to the other.
        slant: 0 for a vertical gradient, ±1 for a horizontal one.
        pose: of what is drawn; it may be set anew in between.
    """

    def __init__(self, *, size: int, top: Color, bottom: Color, slant: float, pose: Pose) -> None:
        self.size, self.pose = size, pose
        corners = [[mix(top, bottom, (1 + y * (1 - abs(slant)) + x * slant) / 2) for x in (-1, 1)] for y in (-1, 1)]
        small = Image.fromarray(np.array(corners, np.uint8))
        side = size * _SUPERSAMPLING
        # from the centre of one of the four pixels to that of the next
        self._image = small.resize((side, side), Image.Resampling.BILINEAR, box=(0.5, 0.5, 1.5, 1.5))
        self._draw = ImageDraw.Draw(self._image, "RGBA")

    def fill(
        self, points: Points, color: Color, *, alpha: float = 1.0, depth: float = 1.0, smooth: bool = True
    ) -> None:
        """The inside of the closed curve (or polygon) through `points`."""
        outline = np.array(points, dtype=float)
        self._polygon(_spline(len(outline), True)[0] @ outline if smooth else outline, color, alpha, depth)

    def ellipse(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        color: Color,
        *,
        angle: float = 0.0,
        alpha: float = 1.0,
        depth: float = 1.0,
    ) -> None:
        """An ellipse about (x, y), turned by `angle` radians."""
        c, s = math.cos(angle), math.sin(angle)
        axes = np.array([[rx * c, rx * s], [-ry * s, ry * c]])
        self._polygon(_CIRCLE @ axes + (x, y), color, alpha, depth)

    def stroke(self, points: Points, width: float, color: Color, *, alpha: float = 1.0, depth: float = 1.0) -> None:
        """A line of `width` with round ends along the open curve through `points`."""
        control = np.array(points, dtype=float)
        value, slope = _spline(len(control), False)
        line, tangent = value @ control, slope @ control
        normal = tangent[:, ::-1] * (-1, 1) * (width / 2 / np.sqrt((tangent**2).sum(1, keepdims=True)))
        caps = []
        for end, sign in ((-1, 1), (0, -1)):
            along = normal[end][::-1] * (1, -1)
            caps.append(line[end] + sign * (np.cos(_CAP) * normal[end] + np.sin(_CAP) * along))
        outline = np.concatenate([line + normal, caps[0], (line - normal)[::-1], caps[1]])
        self._polygon(outline, color, alpha, depth)

    def finish(self, light: Light) -> np.ndarray:
        """The image, uint8 `[S, S, 3]`."""
        image = np.asarray(self._image.reduce(_SUPERSAMPLING), np.float32)
        place = np.linspace(-1, 1, self.size, dtype=np.float32)
        x, y = light.strength * math.cos(light.angle), light.strength * math.sin(light.angle)
        gain = light.brightness * (1 + x * place[None, :, None] + y * place[:, None, None])
        return np.minimum(image * gain.astype(np.float32) + 0.5, 255).astype(np.uint8)

    def _polygon(self, points: np.ndarray, color: Color, alpha: float, depth: float) -> None:
        pose, side = self.pose, self.size * _SUPERSAMPLING
        x, y = points[:, 0], points[:, 1]
        # the front bulges between the cheeks, less so above the brow
        front = np.maximum(1 - x * x, 0) * np.minimum(np.maximum(1 + 0.6 * y, 0), 1)
        x = x + (pose.yaw * depth) * front
        c, s = pose.unit * math.cos(pose.tilt), pose.unit * math.sin(pose.tilt)
        corners = np.empty_like(points)
        corners[:, 0] = (pose.x + c * x - s * y) * side
        corners[:, 1] = (pose.y + s * x + c * y) * side
        # Pillow truncates; a quarter of a pixel is fine enough, and rounding hides the last bits of libm
        self._draw.polygon(np.rint(corners).astype(int).ravel().tolist(), fill=(*color, round(255 * alpha)))
