"""Rendered faces with known attributes: the stand-in for CelebA.

Every face has its own skin, hair, shape, clothes and scene, and its own kind of glasses, beard and hat, whether it
wears them or not. So switching an attribute changes nothing else.
"""

import math
from dataclasses import dataclass

import numpy as np

from reproduce.rendered.drawing import (
    Canvas,
    Color,
    Draws,
    Points,
    Scene,
    glaze,
    luminance,
    mix,
    palette,
    points,
    ramp,
    shade,
    symmetric,
)
from reproduce.seeds import numpy_generator

ATTRIBUTES = ("Eyeglasses", "No_Beard", "Smiling", "Wearing_Hat")

_SKIN = palette("fce2ce f1caaa e2ae86 c28a64 9a6648 80553d")
_HAIR = palette("e8be70 a4a4ac ba5c30 7c4a2e 4e342a 2c262c 3a2a28")
_EYES = palette("5c3c28 4670a0 548254 606c78")
_WALLS = palette("aacee0 f6deb4 c4dab8 f2c4bc cec4e6 5a8692 526082 e2e2de 7c6880 424852")
_CLOTHES = palette("e86858 3e6c98 f0b850 52947c f0ece4 70548c 383e4e")
_HAT_COLORS = palette("ce4042 3060a0 eeb03e 3a8c74 eee6d6 7c4c96 343a4c")
_FRAMES = palette("221f28 8c1c30 1e3c82 faf6ec 12605c")
_LIPS: Color = (178, 54, 68)
_DARK: Color = (58, 38, 40)
_INK: Color = (34, 23, 24)

_BACK_HAIR: dict[str, Points] = {
    "crop": symmetric("0,-1.38 0.62,-1.28 1.06,-0.88 1.17,-0.35 1.1,0.15 0.7,0.4"),
    "parted": symmetric("0,-1.45 0.64,-1.34 1.08,-0.9 1.18,-0.35 1.1,0.2 0.7,0.4"),
    "bob": symmetric("0,-1.4 0.7,-1.28 1.16,-0.8 1.3,-0.1 1.34,0.6 1.1,0.92 0.5,0.85"),
    "long": symmetric("0,-1.38 0.7,-1.25 1.14,-0.75 1.26,0 1.36,0.9 1.42,1.7 0.9,2"),
    "curls": [
        ((1.4 + 0.1 * (k % 2)) * math.sin(math.pi * k / 12), -0.32 - (1.3 + 0.1 * (k % 2)) * math.cos(math.pi * k / 12))
        for k in range(-12, 12)
    ],
}
_FRONT_HAIR: dict[str, Points] = {
    "crop": symmetric("0,-1.34 0.62,-1.24 1.02,-0.86 1.09,-0.35 1.02,0.02 0.92,-0.3 0.74,-0.6 0.3,-0.68 0,-0.66"),
    "parted": points(
        "-1.02,0.02 -1.1,-0.35 -1.05,-0.88 -0.62,-1.34 0,-1.47 0.62,-1.36 1.05,-0.9 1.1,-0.35 1.02,0.02 0.93,-0.3 "
        "0.8,-0.48 0.4,-0.52 -0.1,-0.68 -0.5,-0.98 -0.72,-0.66 -0.92,-0.3"
    ),
    "bob": symmetric(
        "0,-1.38 0.7,-1.26 1.12,-0.8 1.24,-0.1 1.28,0.55 1.08,0.8 0.9,0.62 0.93,0.1 0.86,-0.38 0.42,-0.48 0,-0.46"
    ),
    "long": symmetric(
        "0,-1.36 0.7,-1.23 1.1,-0.75 1.22,0 1.34,0.9 1.38,1.6 1.12,1.75 0.96,1.1 0.94,0.3 0.84,-0.3 0.5,-0.72 0,-1"
    ),
    "curls": symmetric(
        "0,-1.34 0.7,-1.2 1.12,-0.8 1.24,-0.25 1.06,0.02 0.94,-0.22 0.84,-0.5 0.6,-0.52 0.44,-0.68 0.2,-0.58 0,-0.7"
    ),
}
_CROWNS = {
    "beanie": symmetric("0,-1.72 0.6,-1.58 1.05,-1.1 1.18,-0.55 0,-0.5"),
    "brim": symmetric("0,-1.62 0.4,-1.7 0.74,-1.58 0.86,-1.1 0.96,-0.62 0,-0.5"),
    "cap": symmetric("0,-1.62 0.62,-1.5 1.06,-1.05 1.16,-0.5 0.6,-0.5 0,-0.5"),
}
_BANDS = {  # or the visor
    "beanie": symmetric("0,-0.93 0.7,-0.9 1.2,-0.8 1.22,-0.5 0.7,-0.46 0,-0.44"),
    "brim": symmetric("0,-0.92 0.6,-0.94 0.92,-0.98 0.98,-0.64 0,-0.55"),
    "cap": symmetric("0,-0.8 0.6,-0.76 0.98,-0.58 0.9,-0.4 0.5,-0.42 0,-0.44"),
}
# half the width and height of a lens, and how round it is: 1 is an ellipse, 0 a rectangle
_LENSES = {"round": (0.35, 0.34, 1.0), "square": (0.36, 0.28, 0.5), "tinted": (0.37, 0.3, 0.65)}
_BEARDS = ("full", "round", "long")


@dataclass(frozen=True)
class Face:
    """All that a face is drawn from: the four attributes, and what is independent of them.

    `wide`, `jaw`, `chin`, `mouth` and `lids` are in [0, 1]; `part` is ±1.
    """

    eyeglasses: bool
    no_beard: bool
    smiling: bool
    wearing_hat: bool
    scene: Scene
    skin: Color
    hair: Color
    hair_style: str
    part: int
    wide: float
    jaw: float
    chin: float
    mouth: float
    lids: float
    eyes: Color
    clothes: Color
    glasses: str
    frame: Color
    beard: str
    hat: str
    hat_color: Color


def sample_face(generator: np.random.Generator) -> Face:
    """A random face. The attributes are independent of each other and of everything else, each true half the time."""
    eyeglasses, no_beard, smiling, wearing_hat = (generator.integers(0, 2, len(ATTRIBUTES)) == 1).tolist()
    draws = Draws(generator)
    skin = ramp(_SKIN, draws.unit())
    tone = draws.between(-0.12, 0.12)
    hair = draws.color([shade(color, tone) for color in _HAIR], avoid=(skin,), by=55)
    wall = draws.color(_WALLS, avoid=(skin, hair), by=70)
    return Face(
        eyeglasses=eyeglasses,
        no_beard=no_beard,
        smiling=smiling,
        wearing_hat=wearing_hat,
        scene=draws.scene(wall, x=(0.475, 0.525), y=(0.54, 0.57), unit=(0.225, 0.25), tilt=0.14, yaw=0.24),
        skin=skin,
        hair=hair,
        hair_style=draws.one_of(_BACK_HAIR),
        part=1 if draws.unit() < 0.5 else -1,
        **{size: draws.unit() for size in ("wide", "jaw", "chin", "mouth", "lids")},
        eyes=draws.color(_EYES),
        clothes=draws.color(_CLOTHES, avoid=(wall, skin), by=60),
        glasses=draws.one_of(_LENSES),
        frame=draws.color(_FRAMES, avoid=(skin,), by=105),
        beard=draws.one_of(_BEARDS),
        hat=draws.one_of(_CROWNS),
        hat_color=draws.color(_HAT_COLORS, avoid=(hair, wall, skin), by=80),
    )


def draw_face(face: Face, *, size: int = 64) -> np.ndarray:
    """The face as an image, uint8 `[size, size, 3]`."""
    canvas = Canvas(face.scene, size=size)
    canvas.fill(_under_hat(face, _BACK_HAIR[face.hair_style]), shade(face.hair, -0.16), depth=0)
    canvas.turned = False
    canvas.fill(symmetric("0,1.36 0.5,1.42 1.2,1.62 1.75,2.2 1.8,3 0,3"), face.clothes)
    canvas.fill(symmetric("0,0.7 0.42,0.8 0.44,1.4 0.3,1.62 0,1.7"), shade(face.skin, -0.16))
    canvas.turned = True
    _head(canvas, face)
    if not face.no_beard:
        _beard(canvas, face)
    _mouth(canvas, face)
    hair = [(face.part * x, y) for x, y in _FRONT_HAIR[face.hair_style]]
    canvas.fill(_under_hat(face, hair), face.hair, depth=0.6)
    if face.eyeglasses:
        _glasses(canvas, face)
    if face.wearing_hat:
        _hat(canvas, face)
    return canvas.finish()


def render_face(number: int, *, seed: int, size: int = 64) -> tuple[np.ndarray, list[int]]:
    """Image uint8 `[size, size, 3]`, and the `ATTRIBUTES`, 0 or 1; `number` and `seed` alone decide both."""
    face = sample_face(numpy_generator(seed, "rendered faces", number))
    attributes = (face.eyeglasses, face.no_beard, face.smiling, face.wearing_hat)
    return draw_face(face, size=size), [int(there) for there in attributes]


def _beard_color(hair: Color, skin: Color) -> Color:
    """The colour of beard and brows: the hair's, as much darker as it takes to stand out from the skin."""
    color, limit = mix(hair, _INK, 0.25), luminance(skin) - 58
    return mix(color, _INK, max(0.0, (luminance(color) - limit) / (luminance(color) - luminance(_INK))))


def _under_hat(face: Face, hair: Points) -> Points:
    """The outline of the hair, pressed down where a hat sits on it."""
    return [(x, max(y, -0.7 + 0.2 * (y + 0.7))) for x, y in hair] if face.wearing_hat else hair


def _head(canvas: Canvas, face: Face) -> None:
    skin, dark = face.skin, shade(face.skin, -0.2)
    w, jaw, chin = 0.95 + 0.1 * face.wide, 0.5 + 0.2 * face.jaw, 1.14 + 0.14 * face.chin
    canvas.ellipse((w, 0.12), (0.19, 0.27), skin, depth=0, both=True)
    canvas.ellipse((w + 0.02, 0.13), (0.09, 0.15), dark, depth=0, both=True)
    upper = f"0,-1.16 0.62,-1.02 {0.97 * w},-0.45 {w},0.1"
    canvas.fill(symmetric(f"{upper} {0.9 * w},0.55 {jaw},0.94 0.24,{chin - 0.02} 0,{chin}"), skin)
    canvas.ellipse((0.6, 0.42), (0.2, 0.15), glaze(mix(skin, (236, 92, 92), 0.5), 0.4), both=True)
    tall, brow = 0.13 + 0.06 * face.lids, _beard_color(face.hair, skin)
    canvas.ellipse((0.4, 0.05), (0.21, tall), (252, 250, 246), both=True)
    canvas.ellipse((0.4, 0.05), (0.125, min(0.14, tall)), face.eyes, both=True)
    canvas.ellipse((0.4, 0.05), (0.07, 0.08), (30, 24, 28), both=True)
    canvas.stroke(points(f"0.18,0.04 0.4,{0.03 - tall} 0.64,0.05"), 0.07, _DARK, both=True)
    canvas.stroke(points("0.18,-0.27 0.42,-0.35 0.66,-0.26"), 0.1, brow, both=True)
    canvas.ellipse((0, 0.34), (0.15, 0.1), dark, depth=1.25)
    canvas.ellipse((0, 0.29), (0.12, 0.11), mix(skin, dark, 0.15), depth=1.25)


def _beard(canvas: Canvas, face: Face) -> None:
    w, jaw, chin = 0.99 + 0.1 * face.wide, 0.56 + 0.2 * face.jaw, 1.14 + 0.14 * face.chin
    sides = f"0,0.48 0.34,0.5 0.6,0.6 0.8,0.35 {w - 0.05},0.1 {0.93 * w},0.55"
    halves = {
        "full": f"{sides} {jaw},1 0.28,{chin + 0.1} 0,{chin + 0.12}",
        "round": f"0,0.47 0.3,0.49 0.52,0.62 0.56,0.9 0.42,1.12 0.2,{chin + 0.08} 0,{chin + 0.1}",
        "long": f"{sides} {jaw},1.05 0.44,1.4 0.2,1.62 0,1.66",
    }
    canvas.fill(symmetric(halves[face.beard]), _beard_color(face.hair, face.skin))


def _mouth(canvas: Canvas, face: Face) -> None:
    if face.smiling:
        w = 0.38 + 0.07 * face.mouth
        canvas.fill(symmetric(f"0,0.675 0.2,0.66 {w},0.6 0.27,0.87 0,0.98"), (128, 36, 48))
        canvas.fill(symmetric(f"0,0.69 {w - 0.06},0.63 0.24,0.8 0,0.84"), (255, 253, 248))
    else:
        w = 0.24 + 0.06 * face.mouth
        canvas.ellipse((0, 0.76), (w, 0.085), _LIPS)
        canvas.stroke(points(f"{-w - 0.02},0.765 0,0.75 {w + 0.02},0.765"), 0.045, (112, 40, 48))


def _glasses(canvas: Canvas, face: Face) -> None:
    frame, width = face.frame, 0.145
    wide, tall, power = _LENSES[face.glasses]
    glass = glaze((44, 50, 66), 0.82) if face.glasses == "tinted" else glaze((240, 248, 255), 0.42)
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    x = wide * np.sign(np.cos(angles)) * np.abs(np.cos(angles)) ** power
    y = tall * np.sign(np.sin(angles)) * np.abs(np.sin(angles)) ** power + 0.07
    canvas.stroke(points("0.72,-0.02 0.98,0"), 0.8 * width, frame, both=True)
    for side in (-1, 1):  # one after the other: the second lens lies over the first one's rim
        rim = list(zip(side * 0.42 + x, y, strict=True))
        canvas.fill(rim, glass, depth=1.1)
        canvas.stroke([*rim, rim[0]], width, frame, depth=1.1)
    canvas.stroke(points("-0.1,0.02 0,-0.03 0.1,0.02"), width, frame, depth=1.1)


def _hat(canvas: Canvas, face: Face) -> None:
    color, dark = face.hat_color, shade(face.hat_color, -0.25)
    if face.hat == "beanie":
        canvas.ellipse((0, -1.78), (0.24, 0.23), shade(color, 0.22), depth=0.3)
    elif face.hat == "cap":
        canvas.ellipse((0, -1.62), (0.13, 0.09), dark, depth=0.3)
    canvas.fill(_CROWNS[face.hat], color, depth=0.3)
    canvas.fill(_BANDS[face.hat], dark, depth=1.2 if face.hat == "cap" else 0.3)  # a visor sticks out
    if face.hat == "brim":
        canvas.ellipse((0, -0.6), (1.55, 0.2), color, depth=0.3)
