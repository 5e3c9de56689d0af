"""How much the layers of the interpreted network hold of each concept, by every estimator of `dimensions`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from reproduce.dimensions import METHODS, PairMoments
from reproduce.latents import IMAGES_AT_A_TIME
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.own_network import InterpretedLayer
from reproduce.pairs import ConceptPairs
from reproduce.seeds import torch_generator
from reproduce.splitting import layer_outputs

N_PAIRS = 4000  # ours; another draw of as many moves a share by up to 0.005 or so
_PAIRS_AT_A_TIME = IMAGES_AT_A_TIME // 2


def encoder_outputs(network: Autoencoder | Classifier | InterpretedLayer, x: Tensor) -> dict[str, Tensor]:
    """The output of each layer of the encoder for images `x` `[B, C, S, S]`, from the first layer to z.

    The names are those of `network.named_modules()`, `encoder.layers.0` and so on, with outputs `[B, C, H, W]`. The
    last layer is called `z`, `[B, N, 1, 1]`: an autoencoder's also gives the log-variance, which is left out. Of a
    network of the user's own, the layers are those that the config lists.
    """
    if isinstance(network, InterpretedLayer):
        inner = network.divided.network
        if not isinstance(inner, Classifier):
            return network.layer_outputs(x)
        network = inner
    names = [f"encoder.layers.{k}" for k in range(len(network.encoder.layers))]
    x = x.to(memory_format=torch.channels_last)
    *before, last = layer_outputs(network, [*names, "encoder.dense"], x, forward=network.encode)
    return {**dict(zip(names, before, strict=True)), "z": last[:, : network.latent_dim]}


def measure_layers(
    outputs: Callable[[Tensor], Mapping[str, Tensor]],
    images: Callable[[Tensor, torch.Generator], Tensor],
    *,
    values: Tensor,
    concepts: Sequence[str],
    seed: int,
) -> list[dict[str, Any]]:
    """The scores of the concepts at each layer, from pairs in which each concept is shared equally often.

    Arguments:
        outputs: gives each layer's output, `[B, N]` or `[B, C, H, W]`, for a batch of images by the layer's name.
        images: gives the images of a set at indices `[B]`; what is random in them comes from the generator.
        values: the concepts' values in the set, int64 `[n, K]`, see `ConceptPairs`.

    Returned are `name`, `shape` (C, H, W) and `scores` of each layer, in the order of `outputs`; the scores are K+1
    numbers by method, the residual last.
    """
    index_a, index_b, factor = ConceptPairs(values=values, concepts=concepts).draw(
        N_PAIRS, torch_generator(seed, "layer pairs")
    )
    moments: dict[str, PairMoments] = {}
    shapes: dict[str, list[int]] = {}
    for start in range(0, N_PAIRS, _PAIRS_AT_A_TIME):
        part = slice(start, start + _PAIRS_AT_A_TIME)
        batch = images(torch.cat([index_a[part], index_b[part]]), torch_generator(seed, "layer images", start))
        for name, output in outputs(batch).items():
            own = moments.setdefault(name, PairMoments(n_concepts=len(concepts)))
            a, b = output.chunk(2)
            own.update(a, b, factor[part])
            shapes[name] = [*output.shape[1:], 1, 1][:3]
    return [
        {"name": name, "shape": shapes[name], "scores": {method: list(own.scores(method)) for method in METHODS}}
        for name, own in moments.items()
    ]
