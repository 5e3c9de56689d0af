r"""Pairs that share one concept: :math:`(x^a, x^b) \sim p(x^a, x^b \mid F)`.

Source: official `iin/data.py`. F is drawn first; x^a is any image; x^b is any image with the same value of concept F,
which may be x^a itself. No pair is drawn to share the residual.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from reproduce.errors import UserError
from reproduce.factors import MISSING


class ConceptPairs:
    """Draws pairs of indices into a set of images by the images' concept values.

    Arguments:
        values: int64 `[n, K]`, the value of each concept for each image; an image whose value is
            `reproduce.factors.MISSING` is a member of no pair of that concept.
        concepts: the K concepts' names, for messages.
        weights: the relative frequency of each concept as F; None is uniform (official).
        balanced: draw x^a so that all values of the shared concept are equally frequent. Otherwise (official) they are
            as frequent as among the images, and pairs rarely share a rare attribute's presence.
    """

    def __init__(
        self, *, values: Tensor, concepts: Sequence[str], weights: Sequence[float] | None = None, balanced: bool = False
    ) -> None:
        if values.ndim != 2 or values.shape[1] != len(concepts):
            expected = f"[n, {len(concepts)}] for the concepts {', '.join(concepts)}"
            raise UserError(f"values must be {expected}; they are {list(values.shape)}")
        weights = [1.0] * len(concepts) if weights is None else list(weights)
        if not concepts or len(weights) != len(concepts) or min(weights) < 0 or sum(weights) <= 0:
            needed = f"one for each of {', '.join(concepts)}, none negative, not all 0"
            raise UserError(f"concept weights {weights}: {needed}")
        if len(values) < 2:
            raise UserError(f"{len(values)} image(s) make no pairs: the set needs at least 2")
        self.concepts = tuple(concepts)
        self._weights, self._balanced = torch.tensor(weights, dtype=torch.float64), balanced
        self._order, self._start, self._size, self._group = [], [], [], []
        for k, concept in enumerate(concepts):
            known = (values[:, k].long() != MISSING).nonzero()[:, 0]  # a narrower type has no such value
            group = torch.full_like(values[:, k], -1, dtype=torch.int64)
            group[known] = values[known, k].unique(return_inverse=True)[1]
            size = group[known].bincount()
            if not len(known) or int(size.max()) < 2:
                raise UserError(f"concept {concept!r}: no two images share a value, so it has no pair")
            self._order.append(known[group[known].argsort(stable=True)])
            self._size.append(size)
            self._start.append(size.cumsum(0) - size)
            self._group.append(group)

    def of(self, z: Tensor) -> Callable[[int, torch.Generator], tuple[Tensor, Tensor, Tensor]]:
        """`train_flow`'s `draw_pairs`: it takes the latents of each pair from `z` `[n, …]`, one for each image."""

        def draw_pairs(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
            index_a, index_b, factor = self.draw(n, generator)
            return z[index_a], z[index_b], factor

        return draw_pairs

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw `n` pairs: `index_a`, `index_b` and `factor`, int64 `[n]` each."""
        factor = torch.multinomial(self._weights, n, replacement=True, generator=generator)
        index_a = torch.randint(len(self._group[0]), (n,), generator=generator)
        uniform = torch.rand(n, generator=generator, dtype=torch.float64)
        index_b = torch.empty_like(index_a)
        for k in range(len(self.concepts)):
            mine = factor == k
            if self._balanced:
                group = torch.randint(len(self._size[k]), (int(mine.sum()),), generator=generator)
                within = torch.rand(len(group), generator=generator, dtype=torch.float64)
                index_a[mine] = self._member(k, group, within)
            elif (unknown := mine & (self._group[k][index_a] < 0)).any():  # nothing more is drawn where all is known
                known = torch.randint(len(self._order[k]), (int(unknown.sum()),), generator=generator)
                index_a[unknown] = self._order[k][known]
            group = self._group[k][index_a[mine]]
            index_b[mine] = self._member(k, group, uniform[mine])
        return index_a, index_b, factor

    def _member(self, k: int, group: Tensor, uniform: Tensor) -> Tensor:
        """The index of an image with the `group`-th value of concept k; `uniform` in [0, 1) chooses among them."""
        return self._order[k][self._start[k][group] + (uniform * self._size[k][group]).long()]
