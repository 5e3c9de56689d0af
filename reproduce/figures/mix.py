"""All mixtures of a few images' factors in one picture, of which the page shows one at a time."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from reproduce.figures.style import Arrays

_COLUMNS = 24


def mix_sheet(arrays: Arrays, run: Mapping[str, Any]) -> dict[str, Any]:
    """`mix.png`, the tiles row by row, `_COLUMNS` in a row; and `mix.json`, which says what each tile is.

    The mixtures begin at tile `first`; the option of the last of the `axes` changes fastest. An option's `tile` is the
    input image that its factor is taken from. `arrays`: see `evaluation.grid.measure_mix`.
    """
    tiles = arrays["tiles"]
    n, side, _, channels = tiles.shape
    sheet = np.full((-(-n // _COLUMNS), _COLUMNS, side, side, channels), 255, np.uint8)
    sheet.reshape(-1, side, side, channels)[:n] = tiles
    pixels = np.concatenate(np.concatenate(sheet, 1), 1)
    axes = []
    for k, factor in enumerate(arrays["factors"].tolist()):
        options = zip(arrays[f"labels_{k}"].tolist(), arrays[f"inputs_{k}"].tolist(), strict=True)
        axes.append({"factor": factor, "options": [{"label": label, "tile": tile} for label, tile in options]})
    return {
        "mix.png": Image.fromarray(pixels.squeeze()),
        "mix.json": {"tile": side, "columns": _COLUMNS, "axes": axes, "first": 0},
    }
