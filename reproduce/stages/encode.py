"""encode: E over the pool and the held-out images, once for all variants."""

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from reproduce.config import load_experiment
from reproduce.data.access import open_dataset
from reproduce.errors import ReproduceError
from reproduce.files import write_array
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.weights import load_network
from reproduce.paths import Site
from reproduce.seeds import torch_generator

__all__ = ["run"]

_BATCH = 500


def run(profile: str, experiment: str) -> None:
    """Write `{train,heldout,partner}_{mean,logvar}.npy`, float32 `[n, N]`; a classifier has no logvar.

    `heldout` are the held-out images in pool order, `partner` the second members of the held-out pairs.
    """
    config = load_experiment(profile, experiment)
    site = Site(profile, experiment)
    data = open_dataset(site.data, config.dataset)
    path = site.first_stage / "network.safetensors"
    kind: type[Autoencoder | Classifier] = Autoencoder if config.first_stage.kind == "autoencoder" else Classifier
    network = load_network(path, kind)
    pool, heldout = (dict(np.load(site.pairs / f"{name}.npz")) for name in ("pool", "heldout"))

    def train_images(start: int, index: Tensor, color: Tensor) -> Tensor:
        return data.render_train(index, color, torch_generator(config.seed, "pool images", start))

    def heldout_images(_: int, index: Tensor, color: Tensor) -> Tensor:
        return data.render_heldout(index, color)

    for name, index, color, render in (
        ("train", pool["index"], pool["color"], train_images),
        ("heldout", heldout["index"], heldout["color"], heldout_images),
        ("partner", heldout["index_b"], heldout["color_b"], heldout_images),
    ):
        means, logvars = [], []
        for start in tqdm(range(0, len(index), _BATCH), desc=f"encode {name}", disable=None):
            part = slice(start, start + _BATCH)
            images = render(start, torch.from_numpy(index[part]), torch.from_numpy(color[part]))
            with torch.no_grad():
                code = network.encode(images.contiguous(memory_format=torch.channels_last))
            means.append(code if isinstance(code, Tensor) else code.mean)
            if not isinstance(code, Tensor):
                logvars.append(code.logvar)
        for moment, parts in (("mean", means), ("logvar", logvars)):
            if parts:
                latents = torch.cat(parts)
                if not torch.isfinite(latents).all():
                    raise ReproduceError(f"{path} gives NaN or infinite latents: retrain or restore it")
                write_array(site.latents / f"{name}_{moment}.npy", latents.numpy())
