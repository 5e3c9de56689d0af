"""evaluate: the numbers of one run, and the swapped images or predictions that its figures show."""

import time

import numpy as np
import torch
from torch import Tensor

from reproduce.config import Experiment, load_experiment, load_variant
from reproduce.data.access import open_dataset
from reproduce.data.base import IMAGES_AT_A_TIME, ImageData, Table, rows
from reproduce.evaluation.grid import as_uint8, pick_images, swap_cells
from reproduce.evaluation.look import Look, look_at_images, look_at_logits
from reproduce.evaluation.metrics import (
    chance_levels,
    evaluation_pairs,
    factor_statistics,
    headline,
    heldout_nll,
    judge_rates,
    measurement_errors,
    probe_scores,
    reconstruction_rates,
    round_trip,
    swap_rates,
    swap_readings,
)
from reproduce.files import read_arrays, read_json, write_arrays, write_json
from reproduce.latents import load_posterior
from reproduce.models.convolutional import Autoencoder, Classifier, Posterior
from reproduce.models.flow import Flow
from reproduce.models.weights import load_network
from reproduce.paths import Run
from reproduce.seeds import numpy_generator, torch_generator

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
    pool, table, pairs = (read_arrays(site.pairs / f"{name}.npz") for name in ("pool", "heldout", "heldout_pairs"))
    heldout = rows(table, slice(data.n_heldout))
    targets, sources = pick_images(heldout["values"], targets=config.grid.targets, sources=config.grid.sources)
    network, judge, look = _networks(site, config, data)
    posterior = load_posterior(site.latents, "heldout")
    z = posterior.mean[: data.n_heldout]
    round_trip_error = round_trip(flow, z)
    # at random: a pool may be in the order of its classes
    shuffled = numpy_generator(config.seed, "probed images").permutation(len(pool["values"]))
    probed = np.sort(shuffled[: config.evaluation.n_probe])
    with torch.no_grad():
        z_tilde = flow(z)[0]
        train_z_tilde = flow(load_posterior(site.latents, "train").mean[probed])[0]
    truth, train_truth = data.truth(heldout), data.truth(rows(pool, probed))

    drawn = evaluation_pairs(truth, config.evaluation.n_pairs, torch_generator(config.seed, "evaluation pairs"))
    plain, readings = look(z), swap_readings(flow, z_tilde, drawn, dims=dims, look=look)
    generator = torch_generator(config.seed, "heldout posterior")
    z_a, z_b = (
        Posterior(posterior.mean[pairs[member]], posterior.logvar[pairs[member]]).sample(generator)
        for member in ("first", "second")
    )
    factor = torch.from_numpy(pairs["factor"])
    images = (
        data.render_heldout(rows(heldout, slice(i, i + IMAGES_AT_A_TIME))) for i in range(0, len(z), IMAGES_AT_A_TIME)
    )
    nll, zt_a, zt_b = heldout_nll(flow, z_a, z_b, factor, dims=dims, rho=config.training.rho)
    metrics = {
        "swap": swap_rates(readings, truth, drawn, factors=factors),
        "reconstruction": reconstruction_rates(plain, truth, drawn, concepts=factors[:-1]),
        **measurement_errors(plain, readings, truth, drawn, factors=factors),
        "judge": judge_rates(judge, images, truth, read=data.read),
        "probe": probe_scores(train_z_tilde, train_truth, z_tilde, truth, dims=dims, factors=factors),
        "chance": chance_levels(train_truth, truth),
        "factors": factor_statistics(zt_a, zt_b, factor, dims=dims, factors=factors),
        "pairs": config.evaluation.n_pairs,
        "nll": nll,
        "round_trip": round_trip_error,
        "round_trip_relative": round_trip_error / z.std().item(),
    }

    write_arrays(site.evaluation / "grid.npz", _grid(data, network, flow, z, heldout, targets, sources, dims))
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


def _networks(site: Run, config: Experiment, data: ImageData) -> tuple[Autoencoder | Classifier, Classifier, Look]:
    """The interpreted network, who judges (a classifier itself), and how a latent is looked at."""
    path = site.first_stage / "network.safetensors"
    if config.first_stage.kind == "classifier":
        classifier = load_network(path, Classifier)
        return classifier, classifier, look_at_logits(classifier, data.read)
    autoencoder = load_network(path, Autoencoder)
    judge = load_network(site.first_stage / "judge.safetensors", Classifier)
    return autoencoder, judge, look_at_images(autoencoder, judge, data.read)


def _grid(
    data: ImageData,
    network: Autoencoder | Classifier,
    flow: Flow,
    z: Tensor,
    heldout: Table,
    targets: list[int],
    sources: list[int],
    dims: list[int],
) -> dict[str, np.ndarray]:
    arrays = {
        name: as_uint8(data.render_heldout(rows(heldout, np.array(chosen))))
        for name, chosen in (("targets", targets), ("sources", sources))
    }
    cells = swap_cells(network, flow, z[targets], z[sources], dims=dims)
    arrays |= {f"cells_{k}": grid for k, grid in enumerate(cells)}
    if isinstance(network, Classifier):
        with torch.no_grad():
            arrays["target_classes"] = network.classify(z[targets]).argmax(1).numpy()
            arrays["source_classes"] = network.classify(z[sources]).argmax(1).numpy()
        if data.classes is not None:
            arrays["class_names"] = np.array(data.classes)
    return arrays
