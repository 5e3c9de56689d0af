"""Rendered faces in CelebA's place, with four attributes that are independent of each other."""

from typing import ClassVar, Literal

import numpy as np

from reproduce.data.shared.rendered import RenderedSet
from reproduce.rendered.faces import ATTRIBUTES, render_faces


class RenderedFaces(RenderedSet):
    """See `reproduce.rendered.faces`."""

    name: Literal["rendered_faces"]

    label_names: ClassVar = ATTRIBUTES

    @property
    def concepts(self) -> tuple[str, ...]:
        """The attributes."""
        return ATTRIBUTES

    @property
    def has_attributes(self) -> bool:
        """Yes."""
        return True

    def render(self, *, n: int, seed: int, start: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Faces and their attributes `[n, 4]`."""
        return render_faces(n=n, seed=seed, start=start, size=size)
