"""Rendered animals of ten kinds: the stand-in for AnimalFaces.

All but the kind is chosen in the same way for every kind: the scene, the scarf, the animal's place in its kind's
palette, and its proportions (ears, muzzle, eyes, head, markings).
"""

from dataclasses import dataclass

import numpy as np

from reproduce.rendered.drawing import Canvas, Color, Draws, Scene, glaze, mix, palette, points, ramp, shade, symmetric
from reproduce.seeds import numpy_generator

_COATS: dict[str, tuple[Color, ...]] = {
    "cat": palette("54525c 9696a0 e2ceb4 e49e5c"),
    "dog": palette("7a4e36 b07c52 deb480 ecdec8"),
    "fox": palette("c6582c e27034 f08e4a"),
    "frog": palette("589648 78bc5c 96ce64 68be96"),
    "koala": palette("787c8a 9a9eac b6b2b4"),
    "lion": palette("dea458 ecba6c f4d08e"),
    "owl": palette("705446 967056 a0928c c4b2a0"),
    "panda": palette("e8e4dc f6f4f0 faf6ea"),
    "pig": palette("e89294 f6b0b0 faccc2"),
    "rabbit": palette("967e70 bab2b2 e2d0bc f8f4ee"),
}
KINDS = tuple(_COATS)
_WALLS = palette("a8d0e2 f8e0b0 bedcc4 f4c4be ccc4e8 548494 525e86 e2e4e0 7e6682 464e5a")
_SCARVES = palette("d04244 3468a8 f0b43e 3a9276 7e509c")
_EYES = palette("f0c442 8cc45a 6eb2d6 e88e38")
_DARK: Color = (44, 36, 42)
_PALE: Color = (252, 248, 240)
_PINK: Color = (240, 150, 156)
_NOSE: Color = (222, 110, 122)
_WHITE: Color = (255, 255, 255)


@dataclass(frozen=True)
class Animal:
    """All that an animal is drawn from: its kind, and what is independent of it.

    `coat` is the place in the kind's palette, in [0, 1]; `ears`, `muzzle`, `eye`, `wide` and `marking` are sizes in
    [-1, 1].
    """

    kind: str
    scene: Scene
    scarf: Color
    iris: Color
    coat: float
    ears: float
    muzzle: float
    eye: float
    wide: float
    marking: float


def sample_animal(generator: np.random.Generator) -> Animal:
    """A random animal. All kinds are equally likely, and everything else is independent of the kind."""
    kind, draws = KINDS[generator.integers(0, len(KINDS))], Draws(generator)
    wall = draws.color(_WALLS)
    return Animal(
        kind=kind,
        scene=draws.scene(wall, x=(0.465, 0.535), y=(0.56, 0.61), unit=(0.215, 0.26), tilt=0.2, yaw=0.28),
        scarf=draws.color(_SCARVES, avoid=(wall,), by=60),
        iris=draws.color(_EYES),
        coat=draws.unit(),
        **{part: draws.between(-1, 1) for part in ("ears", "muzzle", "eye", "wide", "marking")},
    )


def draw_animal(animal: Animal, *, size: int = 64) -> np.ndarray:
    """The animal as an image, uint8 `[size, size, 3]`."""
    canvas = Canvas(animal.scene, size=size)
    coat = ramp(_COATS[animal.kind], animal.coat)
    canvas.turned = False
    chest = _DARK if animal.kind == "panda" else shade(coat, -0.12)
    canvas.fill(symmetric("0,0.6 0.7,0.9 1.05,1.5 1.2,2.4 0,2.6"), chest)
    canvas.fill(symmetric("0,1 0.6,0.9 0.9,1.05 0.84,1.3 0.4,1.44 0,1.48"), animal.scarf)
    canvas.turned = True
    _DRAW[animal.kind](canvas, animal, coat)
    return canvas.finish()


def render_animal(number: int, *, seed: int, size: int = 64) -> tuple[np.ndarray, list[int]]:
    """Image uint8 `[size, size, 3]`, and the kind as an index into `KINDS`; `number` and `seed` alone decide both."""
    animal = sample_animal(numpy_generator(seed, "rendered animals", number))
    return draw_animal(animal, size=size), [KINDS.index(animal.kind)]


def _eyes(canvas: Canvas, a: Animal, *, x: float, y: float, size: float, iris: Color | None = None) -> None:
    """Two eyes at (±x, y): dark ones, or with an iris and a pupil."""
    r = size * (1 + 0.15 * a.eye)
    canvas.ellipse((x, y), (r, r * 1.1), _DARK, both=True)
    if iris is not None:
        canvas.ellipse((x, y), (0.82 * r, 0.92 * r), iris, both=True)
        canvas.ellipse((x, y), (0.42 * r, 0.66 * r), _DARK, both=True)
    for side in (-1, 1):
        canvas.ellipse((side * x - 0.3 * r, y - 0.4 * r), (0.3 * r, 0.3 * r), _WHITE)


def _mouth(canvas: Canvas, y: float, width: float, *, depth: float = 1.3) -> None:
    """A line down from the nose and a curve to each side."""
    curve = ((0, y - 0.12), (0.02, y), (0.55 * width, y + 0.1), (width, y))
    canvas.stroke(curve, 0.055, _DARK, depth=depth, both=True)


def _cat(canvas: Canvas, a: Animal, coat: Color) -> None:
    wide, tip, dark = 1 + 0.06 * a.wide, -1.42 - 0.12 * a.ears, shade(coat, -0.4)
    canvas.fill(points(f"0.12,-0.7 0.5,-1.1 0.84,{tip} 0.98,-0.95 1.02,-0.2"), coat, depth=0, both=True)
    canvas.fill(points(f"0.44,-0.75 0.6,-1 0.81,{tip + 0.24} 0.87,-0.9 0.86,-0.5"), _PINK, depth=0, both=True)
    canvas.fill(symmetric(f"0,-0.84 0.6,-0.76 {0.98 * wide},-0.2 {1.05 * wide},0.25 0.72,0.76 0,0.92"), coat)
    low = -0.45 + 0.08 * a.marking
    canvas.stroke(((0, -0.82), (0, low + 0.06)), 0.13, dark)
    canvas.stroke(((0.28, -0.78), (0.25, low)), 0.12, dark, both=True)
    canvas.stroke(((1.02 * wide, 0.12), (0.78, 0.16)), 0.11, dark, both=True)
    canvas.ellipse((0.2, 0.5), (0.27 + 0.03 * a.muzzle, 0.24), mix(coat, _PALE, 0.75), depth=1.2, both=True)
    for y in (0.42, 0.58):
        canvas.stroke(((0.4, y), (1.35, y + (y - 0.5) * 1.2)), 0.045, _PALE, both=True)
    canvas.fill(points("-0.14,0.27 0.14,0.27 0,0.44"), _NOSE, depth=1.35)
    _mouth(canvas, 0.54, 0.24)
    _eyes(canvas, a, x=0.46, y=-0.06, size=0.22, iris=a.iris)


def _dog(canvas: Canvas, a: Animal, coat: Color) -> None:
    wide, dark, light = 1 + 0.06 * a.wide, shade(coat, -0.42), mix(coat, _PALE, 0.7)
    canvas.fill(symmetric(f"0,-0.94 0.6,-0.86 {0.92 * wide},-0.3 {0.88 * wide},0.3 0.62,0.86 0,1.02"), coat)
    blaze, drop = 0.15 + 0.05 * a.marking, 0.5 + 0.14 * a.ears
    canvas.fill(symmetric(f"0,-0.9 {blaze},-0.7 {blaze * 0.8},0 0.3,0.4 0,0.6"), light)
    ear = points(f"0.5,-0.9 0.95,-0.92 1.25,-0.4 1.3,{drop - 0.2} 1.08,{drop} 0.84,0.1 0.74,-0.5")
    canvas.fill(ear, dark, depth=0.2, both=True)
    canvas.ellipse((0, 0.82), (0.15, 0.26), (232, 112, 122), depth=1.2)
    canvas.ellipse((0, 0.46), (0.5 + 0.04 * a.muzzle, 0.4), light, depth=1.2)
    canvas.ellipse((0, 0.26), (0.25, 0.17), _DARK, depth=1.5)
    canvas.ellipse((-0.07, 0.2), (0.08, 0.05), (150, 142, 150), depth=1.5)
    _mouth(canvas, 0.62, 0.32, depth=1.4)
    _eyes(canvas, a, x=0.42, y=-0.14, size=0.17)


def _fox(canvas: Canvas, a: Animal, coat: Color) -> None:
    wide, tip, cheek = 1 + 0.07 * a.wide, -1.5 - 0.13 * a.ears, 0.05 * a.marking
    canvas.fill(points(f"0.14,-0.6 0.42,-1.05 0.78,{tip} 1,-0.95 1.04,-0.2"), coat, depth=0, both=True)
    canvas.fill(points(f"0.5,-1.08 0.78,{tip - 0.01} 0.95,-1.1 0.74,-1.02"), _DARK, depth=0, both=True)
    inner = points("0.46,-0.7 0.6,-0.98 0.76,-1.14 0.86,-0.95 0.86,-0.5")
    canvas.fill(inner, (250, 222, 196), depth=0, both=True)
    canvas.fill(symmetric(f"0,-0.78 0.55,-0.74 0.95,-0.2 {1.18 * wide},0.3 0.62,0.68 0.2,1.02 0,1.06"), coat)
    white = f"0.02,1.04 0.05,0.6 0.36,{0.18 - cheek} 0.72,{0.2 - cheek} {1.15 * wide},0.31 0.6,0.67 0.19,1"
    canvas.fill(points(white), _PALE, both=True)
    canvas.ellipse((0, 0.88), (0.19 + 0.02 * a.muzzle, 0.15), _DARK, depth=1.4)
    _eyes(canvas, a, x=0.44, y=-0.06, size=0.17, iris=mix(a.iris, (200, 130, 50), 0.4))


def _frog(canvas: Canvas, a: Animal, coat: Color) -> None:
    wide, r, eye = 1 + 0.05 * a.wide, 0.4 + 0.03 * a.ears, 0.27 * (1 + 0.12 * a.eye)
    canvas.ellipse((0.62, -0.62), (r, r), coat, both=True)
    canvas.fill(symmetric(f"0,-0.52 0.6,-0.56 {1.08 * wide},-0.1 {1.24 * wide},0.35 0.85,0.78 0,0.92"), coat)
    canvas.fill(symmetric("0,0.4 0.7,0.42 1,0.44 0.7,0.74 0,0.86"), mix(coat, (250, 246, 190), 0.6))
    canvas.ellipse((0.62, -0.64), (eye, eye), mix(_PALE, a.iris, 0.35), both=True)
    canvas.ellipse((0.62, -0.64), (0.72 * eye, 0.42 * eye), _DARK, both=True)
    canvas.ellipse((0.16, 0.04), (0.06, 0.045), shade(coat, -0.5), depth=1.3, both=True)
    canvas.ellipse((0.86 + 0.04 * a.marking, 0.1), (0.17, 0.12), shade(coat, -0.2), both=True)
    curve = 0.12 + 0.05 * a.muzzle
    smile = f"-0.98,0.26 -0.5,{0.34 + curve} 0,{0.38 + curve} 0.5,{0.34 + curve} 0.98,0.26"
    canvas.stroke(points(smile), 0.08, _DARK)


def _koala(canvas: Canvas, a: Animal, coat: Color) -> None:
    wide, r = 1 + 0.05 * a.wide, 0.52 + 0.05 * a.ears
    canvas.ellipse((1.04, -0.5), (r, r), shade(coat, -0.1), depth=-0.2, both=True)
    canvas.ellipse((1.06, -0.46), (0.62 * r, 0.62 * r), mix(coat, (250, 226, 224), 0.75), depth=-0.2, both=True)
    canvas.fill(symmetric(f"0,-0.86 0.66,-0.74 {0.98 * wide},-0.1 {0.92 * wide},0.46 0.52,0.84 0,0.92"), coat)
    canvas.ellipse((0, 0.78), (0.36 + 0.06 * a.marking, 0.17), mix(coat, _PALE, 0.6))
    canvas.ellipse((0, 0.18), (0.23 + 0.02 * a.muzzle, 0.4), _DARK, depth=1.4)
    canvas.ellipse((-0.07, 0.0), (0.07, 0.14), (112, 104, 116), depth=1.4)
    canvas.stroke(points("-0.24,0.68 0,0.74 0.24,0.68"), 0.06, _DARK, depth=1.2)
    _eyes(canvas, a, x=0.52, y=-0.08, size=0.15)


def _lion(canvas: Canvas, a: Animal, coat: Color) -> None:
    wide, mane = 1 + 0.04 * a.wide, mix(shade(coat, -0.3), (150, 72, 34), 0.65)
    steps = np.arange(26) * (2 * np.pi / 26)
    radius = 1.4 + 0.06 * a.marking + 0.06 * (-1.0) ** np.arange(26)
    canvas.fill(list(zip(radius * np.sin(steps), 0.02 - radius * np.cos(steps), strict=True)), mane, depth=0)
    r, light = 0.27 + 0.03 * a.ears, mix(coat, _PALE, 0.7)
    canvas.ellipse((0.74, -0.76), (r, r), coat, depth=0.3, both=True)
    canvas.ellipse((0.74, -0.74), (0.55 * r, 0.55 * r), shade(coat, -0.4), depth=0.3, both=True)
    canvas.fill(symmetric(f"0,-0.78 0.56,-0.68 {0.86 * wide},-0.15 {0.84 * wide},0.3 0.56,0.72 0,0.9"), coat)
    canvas.fill(symmetric("0,-0.3 0.16,-0.2 0.2,0.2 0,0.4"), mix(coat, _PALE, 0.35), depth=1.2)
    canvas.ellipse((0, 0.82), (0.24, 0.2), light)
    canvas.ellipse((0.2, 0.52), (0.27 + 0.03 * a.muzzle, 0.22), light, depth=1.2, both=True)
    canvas.fill(points("-0.24,0.2 0,0.16 0.24,0.2 0.1,0.38 -0.1,0.38"), (124, 62, 54), depth=1.4)
    _mouth(canvas, 0.56, 0.28)
    _eyes(canvas, a, x=0.42, y=-0.1, size=0.15, iris=a.iris)


def _owl(canvas: Canvas, a: Animal, coat: Color) -> None:
    wide, tip, disc = 1 + 0.05 * a.wide, -1.1 - 0.12 * a.ears, mix(coat, (252, 238, 214), 0.75)
    r, eye, beak = 0.56 + 0.03 * a.marking, 0.34 * (1 + 0.1 * a.eye), 0.5 + 0.05 * a.muzzle
    canvas.fill(symmetric(f"0,-0.86 0.5,-0.84 1.04,{tip} {wide},-0.5 {1.1 * wide},0.3 0.8,0.84 0,1"), coat)
    canvas.ellipse((0.46, -0.02), (r, r * 1.05), disc, both=True)
    brow = symmetric(f"0,-0.66 0.4,-0.72 1.02,{tip + 0.04} 0.7,-0.54 0.36,-0.36 0.14,-0.16 0,0.1")
    canvas.fill(brow, shade(coat, -0.35))
    canvas.ellipse((0.48, 0.0), (eye, eye), mix(a.iris, (250, 200, 50), 0.5), both=True)
    canvas.ellipse((0.48, 0.0), (0.6 * eye, 0.6 * eye), _DARK, both=True)
    for side in (-1, 1):
        canvas.ellipse((side * 0.48 - 0.1, -0.12), (0.09, 0.09), _WHITE)
    canvas.fill(points(f"-0.17,0.14 0,0.06 0.17,0.14 0.03,{beak} -0.03,{beak}"), (240, 158, 52), depth=1.4)
    for x, y in points("-0.4,0.72 0,0.78 0.4,0.72"):
        canvas.ellipse((x, y), (0.13, 0.09), disc)


def _panda(canvas: Canvas, a: Animal, coat: Color) -> None:
    wide, r, eye = 1 + 0.05 * a.wide, 0.36 + 0.04 * a.ears, 0.13 * (1 + 0.15 * a.eye)
    canvas.ellipse((0.8, -0.76), (r, r), _DARK, depth=0, both=True)
    canvas.fill(symmetric(f"0,-0.9 0.64,-0.78 {1.02 * wide},-0.1 {1.02 * wide},0.38 0.62,0.84 0,0.94"), coat)
    canvas.ellipse((0.46, 0.0), (0.27, 0.35 + 0.03 * a.marking), _DARK, angle=0.5, both=True)
    canvas.ellipse((0.42, -0.04), (eye, eye), _PALE, both=True)
    canvas.ellipse((0.41, -0.03), (0.6 * eye, 0.6 * eye), (20, 16, 22), both=True)
    canvas.ellipse((0, 0.42), (0.2 + 0.03 * a.muzzle, 0.13), _DARK, depth=1.35)
    _mouth(canvas, 0.64, 0.24)


def _pig(canvas: Canvas, a: Animal, coat: Color) -> None:
    wide, dark, out = 1 + 0.06 * a.wide, mix(shade(coat, -0.2), (206, 84, 104), 0.4), 1.12 + 0.1 * a.ears
    canvas.fill(symmetric(f"0,-0.86 0.64,-0.74 {wide},-0.1 {1.02 * wide},0.36 0.66,0.8 0,0.92"), coat)
    canvas.fill(points(f"0.26,-0.82 0.62,-1.12 {out},-0.98 1,-0.52 0.78,-0.3 0.56,-0.6"), dark, depth=0.3, both=True)
    canvas.stroke(points("-0.34,0.66 0,0.78 0.34,0.66"), 0.06, shade(dark, -0.5))
    canvas.ellipse((0, 0.34), (0.44 + 0.04 * a.muzzle, 0.31), dark, depth=1.4)
    canvas.ellipse((0.17, 0.34), (0.08, 0.13), shade(dark, -0.6), depth=1.45, both=True)
    canvas.ellipse((0.7, 0.4), (0.18, 0.13), glaze((240, 110, 120), 0.25 + 0.15 * a.marking), both=True)
    _eyes(canvas, a, x=0.45, y=-0.12, size=0.15)


def _rabbit(canvas: Canvas, a: Animal, coat: Color) -> None:
    wide, long = 1 + 0.05 * a.wide, 0.72 + 0.08 * a.ears
    canvas.ellipse((0.45, -1.26), (0.27, long), coat, angle=0.16, depth=0, both=True)
    canvas.ellipse((0.45, -1.24), (0.14, 0.8 * long), _PINK, angle=0.16, depth=0, both=True)
    canvas.fill(symmetric(f"0,-0.78 0.54,-0.7 {0.86 * wide},-0.15 {0.98 * wide},0.34 0.6,0.84 0,0.92"), coat)
    canvas.fill(points("-0.13,0.62 0.13,0.62 0.12,0.86 -0.12,0.86"), _WHITE, depth=1.3, smooth=False)
    canvas.ellipse((0.2, 0.5), (0.26 + 0.03 * a.muzzle, 0.2), mix(coat, (255, 253, 250), 0.75), depth=1.2, both=True)
    canvas.ellipse((0.66, 0.3), (0.16, 0.12), glaze(_PINK, 0.4 + 0.2 * a.marking), both=True)
    canvas.fill(points("-0.13,0.32 0.13,0.32 0,0.46"), _NOSE, depth=1.35)
    _mouth(canvas, 0.56, 0.22)
    _eyes(canvas, a, x=0.46, y=-0.04, size=0.17)


_DRAW = dict(zip(KINDS, (_cat, _dog, _fox, _frog, _koala, _lion, _owl, _panda, _pig, _rabbit), strict=True))
