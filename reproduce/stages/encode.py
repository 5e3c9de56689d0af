"""encode: E over the images that T learns from, and over the held-out ones; once for all variants."""

from torch import Tensor

from reproduce.config import Unsupervised, load_network_config
from reproduce.data.access import open_dataset
from reproduce.data.base import rows
from reproduce.device import pick_device
from reproduce.files import read_arrays
from reproduce.latents import encode_images, save_posterior
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.weights import load_network
from reproduce.paths import Site
from reproduce.seeds import torch_generator


def run(profile: str, experiment: str) -> None:
    """Write `{train,heldout}_{mean,logvar}.npy`, float32 `[n, N]`: of the pool's and the held-out images.

    A classifier has no logvar.
    """
    config = load_network_config(profile, experiment)
    site = Site(profile, experiment)
    data = open_dataset(site.data, config.dataset)
    kind: type[Autoencoder | Classifier] = Autoencoder if config.first_stage.kind == "autoencoder" else Classifier
    network = load_network(site.first_stage / "network.safetensors", kind)
    if isinstance(config, Unsupervised):
        pool, heldout = data.pool(size=config.images.pool_size, n_colors=None, seed=config.seed), data.heldout()
    else:
        pool, heldout = (read_arrays(site.pairs / f"{name}.npz") for name in ("pool", "heldout"))

    def of_pool(part: slice) -> Tensor:
        return data.render_train(rows(pool, part), torch_generator(config.seed, "pool images", part.start))

    def of_heldout(part: slice) -> Tensor:
        return data.render_heldout(rows(heldout, part))

    for name, images, table in (("train", of_pool, pool), ("heldout", of_heldout, heldout)):
        n = len(table["values"])
        posterior = encode_images(network, images, n, device=pick_device(config.device), title=f"encode {name}")
        save_posterior(posterior, site.latents, name)
