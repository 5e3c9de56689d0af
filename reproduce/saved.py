"""A T that was saved with the names and sizes of its factors, and what it shows of images."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import NonNegativeInt
from torch import Tensor, nn

from reproduce.errors import UserError
from reproduce.factors import check_dims, factor_index, factor_slices
from reproduce.interpret import exchange
from reproduce.latents import IMAGES_AT_A_TIME
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.flow import Flow
from reproduce.models.weights import load_with_header
from reproduce.schema import Strict, validated
from reproduce.splitting import Layout, Split, split


class _Notes(Strict):
    """What `Flow.save` adds to the header of the file."""

    dims: dict[str, NonNegativeInt]
    layer: str | None = None
    layout: Layout | None = None


@dataclass(frozen=True)
class SavedFlow:
    """What `Flow.save` wrote; `load_flow` reads it.

    The methods take images `[B, …]` and `network`, the one that T was trained for: a `Split` of it, the module itself,
    or an `Autoencoder` or `Classifier` of this package. `factor` is a name in `dims` or its index.

    Attributes:
        flow: T.
        dims: the size of each factor by its name, the residual last.
        layer, layout: of the network that T interprets, see `split`; None where its encoder gives z.
    """

    flow: Flow
    dims: dict[str, int]
    layer: str | None
    layout: Layout | None

    @property
    def concepts(self) -> tuple[str, ...]:
        """The names of the concepts."""
        return tuple(self.dims)[:-1]

    def swap(self, network: nn.Module | Split, target: Tensor, source: Tensor, *, factor: int | str) -> Tensor:
        """The network's answers to `target` with one factor taken from `source`, as many images or one."""
        return self.interpolate(network, target, source, factor=factor, fraction=1.0)

    def interpolate(
        self, network: nn.Module | Split, target: Tensor, source: Tensor, *, factor: int | str, fraction: float
    ) -> Tensor:
        """As `swap`, with the factor moved from the target's value (`fraction` 0) to the source's (1)."""
        if len(source) not in (1, len(target)) or not len(target):
            raise UserError(f"{len(target)} targets and {len(source)} sources: give one source for each target, or one")
        encode, decode = self._halves(network)
        sources = self.factors(network, source)
        answers = []
        for start in range(0, len(target), IMAGES_AT_A_TIME):
            part = slice(start, start + IMAGES_AT_A_TIME)
            zt_source = sources if len(sources) == 1 else sources[part]
            zt = exchange(encode(target[part]), zt_source, factor=factor, dims=self.dims, fraction=fraction)
            with torch.no_grad():
                answers.append(decode(self.flow.inverse(zt)[0], target[part]))
        return torch.cat(answers)

    def factors(self, network: nn.Module | Split, images: Tensor) -> Tensor:
        """z̃ of the images, `[B, N]` or `[B, C, H, W]`."""
        encode, _ = self._halves(network)
        return torch.cat([encode(part) for part in images.split(IMAGES_AT_A_TIME)])

    def retrieve(
        self, network: nn.Module | Split, queries: Tensor, images: Tensor, *, factor: int | str, n: int = 5
    ) -> Tensor:
        """The indices `[len(queries), n]` of the `images` that are nearest to each query in `factor`, nearest first."""
        part = factor_slices(self.dims)[factor_index(factor, self.dims)]
        if part.start == part.stop:
            raise UserError(f"the factor {factor!r} has 0 dimensions, so no image is nearer in it than another")
        if n > len(images):
            raise UserError(f"n={n}: there are {len(images)} images to retrieve from")
        ours, theirs = (self.factors(network, x)[:, part].flatten(1) for x in (queries, images))
        return torch.cdist(ours, theirs).topk(n, largest=False).indices

    def _halves(self, network: nn.Module | Split) -> tuple[Callable[[Tensor], Tensor], Callable[..., Tensor]]:
        """Images to z̃; and z, with the images whose other paths are used, to the network's answer."""
        z_of: Callable[[Tensor], Tensor]
        decode: Callable[..., Tensor]
        if isinstance(network, Autoencoder):
            z_of, decode = (lambda x: network.encode(x).mean), (lambda z, x: network.decode(z.to(x.device)))
        elif isinstance(network, Classifier) and self.layer is None:
            z_of, decode = network.encode, lambda z, x: network.classify(z.to(x.device))
        else:
            divided = network if isinstance(network, Split) else self._divided(network)
            z_of, decode = divided.encode, divided.decode

        @torch.no_grad()
        def encode(x: Tensor) -> Tensor:
            return self.flow(self.flow.as_latents(z_of(x)))[0]

        return encode, decode

    def _divided(self, network: nn.Module) -> Split:
        if self.layer is None or self.layout is None:
            raise UserError("this T was saved without a layer: pass reproduce.split(network, layer), or save it anew")
        return split(network, self.layer, layout=self.layout)


def load_flow(path: str | Path) -> SavedFlow:
    """The T in the file at `path`, with the names and sizes of its factors; UserError where it has none."""
    flow, header = load_with_header(Path(path), Flow)
    if "dims" not in header:
        raise UserError(f"{path} holds a T without factor sizes: save it by flow.save(path, dims=…, concepts=…)")
    notes = validated(_Notes, {key: header[key] for key in _Notes.model_fields if key in header}, Path(path))
    check_dims(notes.dims, flow.dim)
    return SavedFlow(flow, notes.dims, notes.layer, notes.layout)
