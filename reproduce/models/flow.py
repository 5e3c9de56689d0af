r"""T, the invertible network: blocks of [ActNorm, double affine coupling, fixed shuffle].

Each layer's `forward` maps x `[R, C]` to y `[R, C]` and log |det| `[R]`; its `inverse` maps y to x and the inverse's
log |det|. A row is one latent, or one position of a feature map. Source: the paper's block diagram; official
`iin/models/iin.py` for widths, activations and parametrisation.
"""

import math
import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from reproduce.errors import UserError
from reproduce.factors import Dims, check_dims, check_finite, check_shape, sizes_of
from reproduce.models.weights import save_network
from reproduce.schema import Strict, validated
from reproduce.seeds import torch_generator

_LARGE = 2 * 10**8  # weights; the official T has a tenth


class FlowSize(Strict):
    """The sizes of T; see `Flow`."""

    n_blocks: PositiveInt = 12
    hidden_dim: PositiveInt = 512
    hidden_depth: NonNegativeInt = 2

    def weights(self, dim: int) -> int:
        """The number of weights of a T of `dim` components."""
        hidden = self.hidden_dim
        coupling = 4 * (dim * hidden + hidden + self.hidden_depth * (hidden * hidden + hidden)) + 2 * dim
        return self.n_blocks * (2 * dim + coupling)


class ActNorm(nn.Module):
    r"""An affine map of each component, :math:`y = s \odot (x + b)`, whose :math:`s` may be negative.

    It is the identity until `initialize` is called.
    """

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(dim))
        self.scale = nn.Parameter(torch.ones(dim))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Choose b and s so that `x` `[R, C]` is mapped to mean 0 and standard deviation 1.

        The official code adds the 1e-6 to the deviation; it keeps a constant component finite.
        """
        self.loc.copy_(-x.mean(0))
        self.scale.copy_(1 / (x.std(0) + 1e-6))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.scale * (x + self.loc), self.scale.abs().log().sum().expand(len(x))

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return y / self.scale - self.loc, -self.scale.abs().log().sum().expand(len(y))


class _ScaleAndShift(nn.Module):
    """The networks s and t of one coupling, stacked so that each layer is one batched product.

    Index 0 of every parameter's first axis is s, which ends in tanh; index 1 is t.
    """

    def __init__(self, *, n_in: int, n_out: int, hidden_dim: int, hidden_depth: int, generator: torch.Generator):
        super().__init__()
        widths = [n_in, *[hidden_dim] * (hidden_depth + 1), n_out]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for fan_in, fan_out in pairwise(widths):
            bound = 1 / math.sqrt(fan_in)  # nn.Linear's default for weight and bias, as the official code has it
            self.weights.append(torch.empty(2, fan_in, fan_out).uniform_(-bound, bound, generator=generator))
            self.biases.append(torch.empty(2, 1, fan_out).uniform_(-bound, bound, generator=generator))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        layers = zip(self.weights, self.biases, strict=True)
        weight, bias = next(layers)
        h = torch.baddbmm(bias, x.expand(2, *x.shape), weight)
        for weight, bias in layers:
            h = torch.baddbmm(bias, F.leaky_relu(h, 0.01), weight)
        return h[0].tanh(), h[1]


class DoubleCoupling(nn.Module):
    r"""Two affine couplings: the first half conditions the second, and then the second conditions the first.

    Each is :math:`y_2 = x_2 \odot \exp(s(x_1)) + t(x_1)` with :math:`s \in (-1, 1)`.
    """

    def __init__(self, *, dim: int, hidden_dim: int, hidden_depth: int, generator: torch.Generator) -> None:
        super().__init__()
        self.split = dim // 2
        self.rest = dim - self.split
        network = partial(_ScaleAndShift, hidden_dim=hidden_dim, hidden_depth=hidden_depth, generator=generator)
        self.first = network(n_in=self.split, n_out=self.rest)
        self.second = network(n_in=self.rest, n_out=self.split)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        left, right = x[:, : self.split], x[:, self.split :]
        scale_1, shift = self.first(left)
        right = right * scale_1.exp() + shift
        scale_2, shift = self.second(right)
        left = left * scale_2.exp() + shift
        return torch.cat([right, left], 1), scale_1.sum(1) + scale_2.sum(1)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        right, left = y[:, : self.rest], y[:, self.rest :]
        scale_2, shift = self.second(right)
        left = (left - shift) * (-scale_2).exp()
        scale_1, shift = self.first(left)
        right = (right - shift) * (-scale_1).exp()
        return torch.cat([left, right], 1), -scale_1.sum(1) - scale_2.sum(1)


class Shuffle(nn.Module):
    """A fixed permutation of the components, drawn once and stored with the weights."""

    permutation: Tensor
    restoring: Tensor

    def __init__(self, *, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        permutation = torch.randperm(dim, generator=generator)
        self.register_buffer("permutation", permutation)
        self.register_buffer("restoring", permutation.argsort())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[:, self.permutation], x.new_zeros(len(x))

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return y[:, self.restoring], y.new_zeros(len(y))


class Flow(nn.Module):
    r"""T: z to z̃ of the same shape and back, each way with log |det| of its Jacobian `[B]` in nats.

    z is a vector `[B, N]` or a feature map `[B, C, H, W]`, at each position of which T does the same to the channels;
    its log |det| is summed over the positions.

    Arguments:
        dim: N, the size of z, or C, the number of channels; at least 2.
        n_blocks: the number of blocks of ActNorm, double coupling and shuffle (official: 12).
        hidden_dim: the width of the coupling networks (official: 512).
        hidden_depth: the number of hidden layers beyond the first (official: 2).
        seed: decides the initial weights and the permutations.

    The factors lie in z̃ in the official code's order: concept 1 … K, then the residual. A factor of a feature map is a
    group of channels, at all positions.
    """

    def __init__(
        self, *, dim: int, n_blocks: int = 12, hidden_dim: int = 512, hidden_depth: int = 2, seed: int = 0
    ) -> None:
        super().__init__()
        if dim < 2:
            raise UserError(f"dim={dim}: a flow needs at least 2 dimensions, so that a coupling has two halves")
        size = {"n_blocks": n_blocks, "hidden_dim": hidden_dim, "hidden_depth": hidden_depth}
        _warn_of_size(validated(FlowSize, size, "Flow").weights(dim), dim)
        self.dim = dim
        self.config = {"dim": dim, **size}  # the arguments that rebuild the architecture
        generator = torch_generator(seed, "flow weights")
        coupling = partial(DoubleCoupling, hidden_dim=hidden_dim, hidden_depth=hidden_depth, generator=generator)
        self.layers = nn.ModuleList()
        for _ in range(n_blocks):
            self.layers.extend([ActNorm(dim=dim), coupling(dim=dim), Shuffle(dim=dim, generator=generator)])

    def save(
        self,
        path: str | Path,
        *,
        dims: Dims,
        concepts: Sequence[str],
        layer: str | None = None,
        layout: str = "channels_first",
    ) -> None:
        """Write T to `path`, a .safetensors file, with all that `reproduce.load_flow` needs to use it.

        Arguments:
            dims: the K+1 factor sizes, the residual last.
            concepts: the names of the K concepts.
            layer, layout: the layer that T interprets, as `reproduce.split` takes them; None where an encoder gives z.
        """
        check_dims(dims, self.dim)
        names, sizes = [*concepts, "residual"], sizes_of(dims)
        if len(set(names)) < len(names) or len(sizes) != len(names):
            raise UserError(f"{len(sizes)} sizes need {len(sizes) - 1} different concepts; they are {names[:-1]}")
        place = {} if layer is None else {"layer": layer, "layout": layout}
        save_network(Path(path), self, notes={"dims": dict(zip(names, sizes, strict=True)), **place})

    def as_latents(self, z: Any) -> Tensor:
        """`z`, a tensor, an array or a list, in the floating-point type and on the device of T's weights."""
        weight = next(self.parameters())
        try:
            return torch.as_tensor(z).to(weight)
        except (TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"latents must be numbers [B, {self.dim}]: {error}") from None

    @torch.no_grad()
    def initialize(self, z: Tensor) -> None:
        """Set each ActNorm by `z`, B at least 2, so that each component's mean becomes 0, its standard deviation 1.

        Call it once, before training, with a batch of training latents.
        """
        rows = self._rows(z)
        if len(rows) < 2:
            raise UserError(f"initialize needs at least 2 latents to measure their spread; it got {len(rows)}")
        check_finite(rows)
        for layer in self.layers:
            if isinstance(layer, ActNorm):
                layer.initialize(rows)
            rows, _ = layer(rows)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """T: z to z̃ and log |det dT/dz| `[B]`."""
        return self._cascade(z, self.layers)

    def inverse(self, z_tilde: Tensor) -> tuple[Tensor, Tensor]:
        """T⁻¹: z̃ to z and log |det dT⁻¹/dz̃| `[B]`."""
        return self._cascade(z_tilde, (layer.inverse for layer in reversed(self.layers)))

    def _cascade(self, x: Tensor, maps: Iterable) -> tuple[Tensor, Tensor]:
        rows = self._rows(x)
        log_det = rows.new_zeros(len(rows))
        for apply in maps:
            rows, change = apply(rows)
            log_det = log_det + change
        y = rows.view(len(x), *x.shape[2:], self.dim).movedim(-1, 1).contiguous()
        return y, log_det.view(len(x), x.shape[2:].numel()).sum(1)

    def _rows(self, x: Tensor) -> Tensor:
        """`x` as `[B, N]`, or as `[B·H·W, C]`."""
        check_shape(x, self.dim, network="flow", maps=True)
        weight = next(self.parameters())
        if (x.dtype, x.device) != (weight.dtype, weight.device):
            raise UserError(f"z is {x.dtype} on {x.device}, T {weight.dtype} on {weight.device}: use T.as_latents(z)")
        return x.movedim(1, -1).reshape(-1, self.dim)


def _warn_of_size(weights: int, dim: int) -> None:
    """Say how large a T is before its memory is taken; training holds weights, gradients and Adam's two moments."""
    if weights > _LARGE:
        warnings.warn(
            f"a T of {dim} components has {weights / 1e9:.2f} billion weights, and training it takes about "
            f"{16 * weights / 2**30:.0f} GiB: give feature maps as [B, C, H, W] instead of flattening them, or choose "
            "a smaller hidden_dim",
            stacklevel=3,
        )
