"""evaluate: the numbers of one run, and the swapped images or predictions that its figures show."""

import time

import numpy as np
import torch
from torch import Tensor

from reproduce.config import Experiment, load_experiment, load_variant
from reproduce.data.access import open_dataset
from reproduce.data.colormnist import ColorMNIST
from reproduce.evaluation.grid import as_uint8, pick_images, swap_cells
from reproduce.evaluation.look import Look, look_at_images, look_at_logits
from reproduce.evaluation.metrics import (
    accuracy,
    color_errors,
    different_pairs,
    factor_statistics,
    headline,
    heldout_nll,
    probe_scores,
    reconstruction_rates,
    round_trip,
    swap_rates,
    swap_readings,
)
from reproduce.files import read_arrays, read_json, write_arrays, write_json
from reproduce.latents import load_posterior
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.flow import Flow
from reproduce.models.weights import load_network
from reproduce.paths import Run
from reproduce.seeds import torch_generator

__all__ = ["run"]


def run(profile: str, experiment: str, variant: str) -> None:
    """Write the run's JSON, its headline and machine files, and `grid.npz` for the figures."""
    started = time.monotonic()
    config, choice = load_experiment(profile, experiment), load_variant(variant)
    site = Run(profile, experiment, variant)
    data = open_dataset(site.data, config.dataset)
    flow = load_network(site.flow / "flow.safetensors", Flow)
    estimate = read_json(site.dimensions)
    factors, dims = list(estimate["dims"]), list(estimate["dims"].values())
    pool, heldout = (read_arrays(site.pairs / f"{name}.npz") for name in ("pool", "heldout"))
    network, judge, look = _networks(site, config)
    z = load_posterior(site.latents, "heldout").mean
    with torch.no_grad():
        z_tilde = flow(z)[0]
        n_probe = config.evaluation.n_probe
        train_z_tilde = flow(load_posterior(site.latents, "train").mean[:n_probe])[0]
    truth, train_truth = data.truth(heldout), {name: value[:n_probe] for name, value in data.truth(pool).items()}

    target, source = different_pairs(
        len(z), config.evaluation.n_pairs, torch_generator(config.seed, "evaluation pairs")
    )
    plain, readings = look(z), swap_readings(flow, z_tilde, target, source, dims=dims, look=look)
    generator = torch_generator(config.seed, "heldout posterior")
    z_a, z_b = (load_posterior(site.latents, name).sample(generator) for name in ("heldout", "partner"))
    factor = torch.from_numpy(heldout["factor"])
    nll, zt_a, zt_b = heldout_nll(flow, z_a, z_b, factor, dims=dims, rho=config.training.rho)
    metrics = {
        "swap": swap_rates(readings, truth, target, source, factors=factors),
        "reconstruction": reconstruction_rates(plain, truth, target, source, concepts=factors[:-1]),
        "color_error": color_errors(plain, readings, truth, target, source, factors=factors),
        "judge": {"digit": accuracy(judge, _heldout_images(data, heldout), truth["digit"])},
        "probe": probe_scores(train_z_tilde, train_truth, z_tilde, truth, dims=dims, factors=factors),
        "factors": factor_statistics(zt_a, zt_b, factor, dims=dims, factors=factors),
        "pairs": config.evaluation.n_pairs,
        "nll": nll,
        "round_trip": round_trip(flow, z),
    }

    rows, columns = pick_images(heldout["values"][:, 0], config.grid.targets, config.grid.sources)
    write_arrays(site.evaluation / "grid.npz", _grid(data, network, flow, z, heldout, rows, columns, dims))
    write_json(site.headline, headline(metrics, estimate["dims"]))
    settings = {**config.model_dump(mode="json"), "variant": choice.model_dump(mode="json", exclude={"description"})}
    write_json(
        site.metrics,
        {
            "profile": profile,
            "experiment": experiment,
            "variant": variant.partition("-seed")[0],
            "seed": choice.seed,
            "dataset": config.title,
            "kind": config.first_stage.kind,
            "description": choice.description,
            "dims": estimate["dims"],
            "scores": estimate["scores"],
            "metrics": metrics,
            "config": settings,
        },
    )
    seconds = round(time.monotonic() - started, 1)
    write_json(site.machine, {**read_json(site.train_machine), "evaluate_seconds": seconds})


def _networks(site: Run, config: Experiment) -> tuple[Autoencoder | Classifier, Classifier, Look]:
    """The interpreted network, who judges (a classifier itself), and how a latent is looked at."""
    path = site.first_stage / "network.safetensors"
    if config.first_stage.kind == "classifier":
        classifier = load_network(path, Classifier)
        return classifier, classifier, look_at_logits(classifier)
    autoencoder = load_network(path, Autoencoder)
    judge = load_network(site.first_stage / "judge.safetensors", Classifier)
    return autoencoder, judge, look_at_images(autoencoder, judge)


def _heldout_images(data: ColorMNIST, heldout: dict[str, np.ndarray]) -> Tensor:
    return data.render_heldout(torch.from_numpy(heldout["index"]), torch.from_numpy(heldout["color"]))


def _grid(
    data: ColorMNIST,
    network: Autoencoder | Classifier,
    flow: Flow,
    z: Tensor,
    heldout: dict[str, np.ndarray],
    rows: list[int],
    columns: list[int],
    dims: list[int],
) -> dict[str, np.ndarray]:
    images = _heldout_images(data, heldout)
    arrays = {"targets": as_uint8(images[rows]), "sources": as_uint8(images[columns])}
    cells = swap_cells(network, flow, z[rows], z[columns], dims=dims)
    arrays |= {f"cells_{k}": grid for k, grid in enumerate(cells)}
    if isinstance(network, Classifier):
        with torch.no_grad():
            arrays["target_classes"] = network.classify(z[rows]).argmax(1).numpy()
            arrays["source_classes"] = network.classify(z[columns]).argmax(1).numpy()
    return arrays
