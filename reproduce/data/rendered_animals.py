"""Rendered animals of ten kinds in AnimalFaces' place."""

from typing import ClassVar, Literal

import numpy as np

from reproduce.data.shared.rendered import RenderedSet
from reproduce.rendered.animals import KINDS, render_animals


class RenderedAnimals(RenderedSet):
    """See `reproduce.rendered.animals`."""

    name: Literal["rendered_animals"]

    label_names: ClassVar = KINDS

    def render(self, *, n: int, seed: int, start: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Animals and their kinds `[n]`."""
        return render_animals(n=n, seed=seed, start=start, size=size)
