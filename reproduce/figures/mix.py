"""All mixtures of a few images' factors in one picture, from which the page shows one at a time."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from reproduce.figures.style import Arrays, Titles

_COLUMNS = 24


def mix_sheet(arrays: Arrays, run: Mapping[str, Any], titles: Titles) -> dict[str, Any]:
    """`mix.png` has the tiles row by row, `_COLUMNS` in a row; `mix.json` says which tile is what.

    `arrays`: see `evaluation.grid.measure_mix`. Of the mixtures, which begin at tile `first`, the last of the `axes`
    changes fastest; an option's `tile` is the input image that its factor is taken from. Nothing of `run` is shown.
    """
    tiles = arrays["tiles"]
    n, side, _, channels = tiles.shape
    sheet = np.full((-(-n // _COLUMNS), _COLUMNS, side, side, channels), 255, np.uint8)
    sheet.reshape(-1, side, side, channels)[:n] = tiles
    pixels = np.concatenate(np.concatenate(sheet, 1), 1)
    axes = [
        {
            "factor": factor,
            "options": [
                {"label": label, "tile": tile}
                for label, tile in zip(arrays[f"labels_{k}"].tolist(), arrays[f"inputs_{k}"].tolist(), strict=True)
            ],
        }
        for k, factor in enumerate(arrays["factors"].tolist())
    ]
    return {
        "mix.png": Image.fromarray(pixels.squeeze()),
        "mix.json": {"tile": side, "columns": _COLUMNS, "axes": axes, "first": 0},
    }
