"""encode: E over the pool and the held-out images, once for all variants."""

import torch
from torch import Tensor

from reproduce.config import load_experiment
from reproduce.data.access import open_dataset
from reproduce.device import pick_device
from reproduce.files import read_arrays
from reproduce.latents import encode_images, save_posterior
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.weights import load_network
from reproduce.paths import Site
from reproduce.seeds import torch_generator

__all__ = ["run"]


def run(profile: str, experiment: str) -> None:
    """Write `{train,heldout,partner}_{mean,logvar}.npy`, float32 `[n, N]`; a classifier has no logvar.

    `train` is the pool, `heldout` the held-out images, `partner` the second members of the held-out pairs.
    """
    config = load_experiment(profile, experiment)
    site = Site(profile, experiment)
    data = open_dataset(site.data, config.dataset)
    kind: type[Autoencoder | Classifier] = Autoencoder if config.first_stage.kind == "autoencoder" else Classifier
    network = load_network(site.first_stage / "network.safetensors", kind)
    pool, heldout = (
        {key: torch.from_numpy(array) for key, array in read_arrays(site.pairs / f"{name}.npz").items()}
        for name in ("pool", "heldout")
    )

    def of_pool(part: slice) -> Tensor:
        generator = torch_generator(config.seed, "pool images", part.start)
        return data.render_train(pool["index"][part], pool["color"][part], generator)

    def of_heldout(part: slice) -> Tensor:
        return data.render_heldout(heldout["index"][part], heldout["color"][part])

    def of_partners(part: slice) -> Tensor:
        return data.render_heldout(heldout["index_b"][part], heldout["color_b"][part])

    for name, images, n in (
        ("train", of_pool, len(pool["index"])),
        ("heldout", of_heldout, len(heldout["index"])),
        ("partner", of_partners, len(heldout["index"])),
    ):
        posterior = encode_images(network, images, n, device=pick_device(config.device), title=f"encode {name}")
        save_posterior(posterior, site.latents, name)
