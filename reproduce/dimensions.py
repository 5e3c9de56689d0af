r"""How many dimensions each concept gets: the estimators of N_F.

Every method scores each concept by how much the members of its pairs have in common. A concept then gets
:math:`N_F = \lfloor N\,\mathrm{softmax}(s)_F\rfloor` dimensions, where s holds the concepts' scores and the residual's
fixed one, and the residual gets the rest. The methods differ in the score:

paper
    :math:`s_F = \sum_i \mathrm{Corr}(z^a_i, z^b_i)`, and N for the residual: the paper's formula, read literally.
    These scores grow with N, so that softmax gives every concept 0 unless almost every correlation is 1.
normalised
    The same divided by N, and 1 for the residual.
code
    :math:`\sum_i \mathrm{Cov}_i / \sum_i \mathrm{Var}_i`, and 1 for the residual. The covariance is taken about the
    pooled mean of the concept's pairs, the variance about the mean of all pairs, and both divide by n (official
    `iin/models/iin.py`, `dim_callback`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from reproduce.errors import UserError
from reproduce.factors import check_factor, check_finite
from reproduce.seeds import torch_generator

Method = Literal["paper", "normalised", "code"]
METHODS: tuple[Method, ...] = ("paper", "normalised", "code")
_BATCH = 5000
_TILE = 2**16  # values whose products are in memory at a time; they fit into a processor's cache


@dataclass(frozen=True)
class DimensionEstimate:
    """`scores` (K+1 floats) and `dims` (K+1 ints that sum to N, or to C), the residual last.

    `unshared`: the concepts whose pairs have nothing in common that can be told from chance; see `PairMoments`. The
    softmax gives these a size too.
    """

    scores: tuple[float, ...]
    dims: tuple[int, ...]
    unshared: tuple[int, ...] = ()


class PairMoments:
    """First and second moments of latent pairs for each concept, from which every score is computed.

    The pairs are read once, in batches of any size; the memory, `[K, N]` float64 sums for each moment, doesn't depend
    on their number. The sums are taken about the first batch's mean, so that a large offset of z costs no digits. In
    feature maps `[B, C, H, W]`, each channel at each position is a component, N = C·H·W; the concepts get channels.
    """

    def __init__(self, *, n_concepts: int) -> None:
        if n_concepts < 1:
            raise UserError(f"n_concepts={n_concepts}: at least one concept is needed")
        self.n_concepts = n_concepts
        self.count = torch.zeros(n_concepts, dtype=torch.float64)
        self._shape = torch.Size()  # of one latent
        self._products = torch.zeros(2, n_concepts, dtype=torch.float64)  # sums of a·b and of its square over pairs
        self._origin = torch.empty(0)
        self._sums = torch.empty(0)  # [5, K, N], of a, b, aa, bb and ab

    def update(self, z_a: Tensor, z_b: Tensor, factor: Tensor) -> None:
        """Add pairs: `z_a`, `z_b` `[B, N]` or `[B, C, H, W]`; `factor` `[B]` int64, the concept that each shares."""
        if z_a.ndim not in (2, 4) or z_a.shape != z_b.shape or factor.shape != z_a.shape[:1]:
            shapes = ", ".join(str(list(x.shape)) for x in (z_a, z_b, factor))
            raise UserError(f"pairs must be z_a, z_b [B, N] or [B, C, H, W], and factor [B]; they are {shapes}")
        if not len(z_a):
            return
        check_factor(factor, self.n_concepts)
        if self._shape and z_a.shape[1:] != self._shape:
            raise UserError(f"these latents have the shape {[*z_a.shape[1:]]}, the ones before {[*self._shape]}")
        a, b = (z.detach().cpu().flatten(1) for z in (z_a, z_b))
        shared = F.one_hot(factor.cpu(), self.n_concepts).double().T
        origin = self._origin if self._shape else (a.mean(0, dtype=torch.float64) + b.mean(0, dtype=torch.float64)) / 2
        sums, products = _sums(a, b, shared=shared, origin=origin)
        check_finite(sums)
        self.count += shared.sum(1)
        self._products += torch.stack([shared @ products, shared @ products.square()])
        self._sums = self._sums + sums if self._shape else sums
        self._shape, self._origin = z_a.shape[1:], origin

    def scores(self, method: Method) -> tuple[float, ...]:
        """The K concept scores and the residual's, as `method` defines them."""
        if method not in METHODS:
            raise UserError(f"method={method!r}: choose one of {', '.join(METHODS)}")
        if few := [k for k in range(self.n_concepts) if self.count[k] < 2]:
            raise UserError(
                f"concept {few[0]} has {int(self.count[few[0]])} pair(s): its dimension cannot be "
                "estimated from fewer than 2; draw more pairs or drop the concept"
            )
        n = self.count[:, None]
        a, b, aa, bb, ab = self._sums
        mean_a, mean_b = a / n, b / n
        if method == "code":
            pooled = (mean_a + mean_b) / 2
            covariance = ab / n - pooled.square()
            mean = (a + b).sum(0) / (2 * n.sum())
            variance = (aa + bb).sum(0) / (2 * n.sum()) - mean.square()
            if float(variance.sum()) <= 0:
                raise UserError("all latents are equal: there is no variance to divide among the concepts")
            return (*(covariance.sum(1) / variance.sum()).tolist(), 1.0)
        covariance = ab / n - mean_a * mean_b
        variance_a, variance_b = aa / n - mean_a.square(), bb / n - mean_b.square()
        # a component that never moves is constant up to the sums' rounding, and its 0/0 counts as 0
        rounding = 1e-15 * n
        moves = (variance_a > rounding * mean_a.square()) & (variance_b > rounding * mean_b.square())
        scale = torch.where(moves, variance_a * variance_b, 1.0).sqrt()
        score = torch.where(moves, covariance / scale, 0.0).sum(1)
        size = covariance.shape[1]
        return (*(score / size).tolist(), 1.0) if method == "normalised" else (*score.tolist(), float(size))

    def estimate(self, method: Method) -> DimensionEstimate:
        """Scores and dims by `method`, and which concepts are not shared."""
        scores = self.scores(method)
        return DimensionEstimate(scores, allocate(scores, self._shape[0]), self._unshared())

    def _unshared(self) -> tuple[int, ...]:
        """The concepts whose covariance, summed over the components, lies within three standard errors of 0."""
        mean, square = self._products / self.count
        centre = (self._sums[0] + self._sums[1]).div(2 * self.count[:, None]).square().sum(1)
        error = ((square - mean.square()).clamp(min=0) / self.count).sqrt()
        return tuple((mean - centre < 3 * error).nonzero()[:, 0].tolist())


def _sums(a: Tensor, b: Tensor, *, shared: Tensor, origin: Tensor) -> tuple[Tensor, Tensor]:
    """The sums of a, b, aa, bb and ab about `origin` `[N]`, float64 `[5, K, N]`, over the pairs that share a concept.

    `a`, `b` are `[B, N]`; `shared` `[K, B]` has a 1 for each pair at the concept that it shares. Also returned is the
    sum of ab over the components, `[B]`.
    """
    n = a.shape[1]
    width = min(n, 1024)
    height = _TILE // width
    buffer, sums = torch.empty(5 * _TILE, dtype=torch.float64), torch.zeros(5, len(shared), n, dtype=torch.float64)
    inner = torch.zeros(len(a), dtype=torch.float64)
    for top in range(0, len(a), height):
        members = shared[:, top : top + height].contiguous()
        for left in range(0, n, width):
            tile = (slice(top, top + height), slice(left, left + width))
            x, y = a[tile], b[tile]
            products = buffer[: 5 * x.numel()].view(5, *x.shape)
            torch.sub(x, origin[tile[1]], out=products[0])
            torch.sub(y, origin[tile[1]], out=products[1])
            torch.mul(products[:2], products[:2], out=products[2:4])
            torch.mul(products[0], products[1], out=products[4])
            sums[:, :, tile[1]] += members @ products
            inner[tile[0]] += products[4].sum(1)
    return sums, inner


def allocate(scores: Sequence[float], dim: int) -> tuple[int, ...]:
    """⌊dim·softmax(scores)⌋ for each concept; the residual, the last entry, takes what is left.

    Without concepts the residual takes all: `allocate([1.0], N) == (N,)`.
    """
    concepts = np.floor(divided(scores, dim))[:-1].astype(int)
    return (*concepts.tolist(), dim - int(concepts.sum()))


def divided(scores: Sequence[float], whole: float = 1.0) -> np.ndarray:
    """`whole` · softmax(scores), float64 `[K+1]`: what `allocate` rounds down."""
    s = np.asarray(scores, dtype=np.float64)
    share = np.exp(s - s.max())
    return whole * share / share.sum()


def equal_chunks(n_factors: int, dim: int) -> tuple[int, ...]:
    """The sizes that `torch.chunk(z, n_factors)` gives: those of the official `cmnist_diin.yaml`, which names none."""
    sizes = [len(chunk) for chunk in torch.arange(dim).chunk(n_factors)]
    return (*sizes, *[0] * (n_factors - len(sizes)))


def stream_estimate(
    draw_pairs: Callable[[int, torch.Generator], tuple[Tensor, Tensor, Tensor]],
    *,
    n_pairs: int,
    n_concepts: int,
    method: Method,
    seed: int,
) -> DimensionEstimate:
    """`estimate_dimensions` from `n_pairs` pairs; `draw_pairs(n, generator)` draws some thousands at a time."""
    moments = PairMoments(n_concepts=n_concepts)
    for start in range(0, n_pairs, _BATCH):
        moments.update(*draw_pairs(min(_BATCH, n_pairs - start), torch_generator(seed, "dimension pairs", start)))
    return moments.estimate(method)


def estimate_dimensions(
    z_a: Tensor, z_b: Tensor, factor: Tensor, *, n_concepts: int, method: Method = "code"
) -> DimensionEstimate:
    """Scores and sizes of the K concepts and the residual, from pairs of latents.

    Arguments:
        z_a, z_b: the members of each pair, `[P, N]` or `[P, C, H, W]`.
        factor: `[P]` int64, the concept 0 … K-1 that each pair shares.
        n_concepts: K.
        method: "paper", "normalised" or "code"; see the module.

    Raises UserError for an index out of range, NaN, and a concept with fewer than two pairs. A `PairMoments` takes
    pairs that don't fit in memory.
    """
    moments = PairMoments(n_concepts=n_concepts)
    moments.update(z_a, z_b, factor)
    return moments.estimate(method)
