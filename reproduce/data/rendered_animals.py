"""Rendered animals of ten kinds in AnimalFaces' place."""

from typing import ClassVar, Literal

import numpy as np

from reproduce.data.shared.rendered import SEED, RenderedSet
from reproduce.rendered.animals import KINDS, render_animal


class RenderedAnimals(RenderedSet):
    """See `reproduce.rendered.animals`."""

    name: Literal["rendered_animals"]

    label_names: ClassVar = KINDS

    def render(self, number: int) -> tuple[np.ndarray, list[int]]:
        return render_animal(number, seed=SEED, size=self.image_size)
