"""encode: E over the images that T learns from, and over the held-out ones; once for all variants."""

from functools import partial

import torch
from torch import Tensor

from reproduce.config import load_experiment
from reproduce.data.shared.base import rows
from reproduce.device import pick_device
from reproduce.files import read_arrays, read_json, write_json
from reproduce.latents import encode_images, save_posterior
from reproduce.layers import encoder_outputs, measure_layers
from reproduce.own_network import load_interpreted
from reproduce.paths import ROOT, ExperimentPlaces
from reproduce.seeds import torch_generator


def run(profile: str, experiment: str) -> None:
    """Write `{train,heldout}_{mean,logvar}.npy`, float32, of the pool's and of the held-out images.

    They are `[n, N]`, or `[n, C, H, W]` where a feature map is interpreted. A classifier has no log-variance.
    `layer.json` says which layer that is; `layers.json` has the scores of the concepts, if any, at each layer.
    """
    config = load_experiment(profile, experiment)
    places = ExperimentPlaces(profile, experiment)
    data = config.dataset.open(places.data)
    network = load_interpreted(config.first_stage, weights=places.network, data=data, folder=ROOT)
    pool, heldout = (read_arrays(places.pairs / f"{name}.npz") for name in ("pool", "heldout"))

    def of_pool(part: slice) -> Tensor:
        return data.render_train(rows(pool, part), torch_generator(config.seed, "pool images", part.start))

    def of_heldout(part: slice) -> Tensor:
        return data.render_heldout(rows(heldout, part))

    place = {"layer": getattr(config.first_stage, "layer", None)}
    write_json(
        places.latents / "layer.json", place | {"layout": getattr(config.first_stage, "layout", "channels_first")}
    )
    for name, images, table in (("train", of_pool, pool), ("heldout", of_heldout, heldout)):
        n = len(table["values"])
        posterior = encode_images(network, images, n, device=pick_device(config.device), title=f"encode {name}")
        save_posterior(posterior, places.latents, name)

    def at(index: Tensor, generator: torch.Generator) -> Tensor:
        return data.render_train(rows(pool, index.numpy()), generator)

    layers = places.latents / "layers.json"
    layers.unlink(missing_ok=True)  # an experiment may have lost its concepts since an earlier call
    if concepts := read_json(places.pairs / "concepts.json"):
        outputs, values = partial(encoder_outputs, network), torch.from_numpy(pool["values"])
        write_json(layers, measure_layers(outputs, at, values=values, concepts=concepts, seed=config.seed))
