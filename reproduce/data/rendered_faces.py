"""Rendered faces in CelebA's place, with four attributes that are independent of each other."""

from typing import ClassVar, Literal

import numpy as np

from reproduce.data.shared.rendered import SEED, RenderedSet
from reproduce.rendered.faces import ATTRIBUTES, render_face


class RenderedFaces(RenderedSet):
    """See `reproduce.rendered.faces`."""

    name: Literal["rendered_faces"]

    has_attributes: ClassVar = True
    label_names: ClassVar = ATTRIBUTES

    @property
    def concepts(self) -> tuple[str, ...]:
        return ATTRIBUTES

    def render(self, number: int) -> tuple[np.ndarray, list[int]]:
        return render_face(number, seed=SEED, size=self.image_size)
