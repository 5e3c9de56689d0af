"""evaluate: the numbers of one run, and the swapped images or predictions that its figures show."""

import time

import numpy as np
import torch
from torch import Tensor

from reproduce.config import Experiment, load_experiment, load_variant
from reproduce.data.access import open_dataset
from reproduce.data.colormnist import ColorMNIST
from reproduce.errors import UserError
from reproduce.evaluation.look import Look, look_at_images, look_at_logits
from reproduce.evaluation.metrics import (
    color_errors,
    different_pairs,
    factor_statistics,
    heldout_nll,
    probe_scores,
    reconstruction_rates,
    round_trip,
    swap_rates,
    swap_readings,
)
from reproduce.files import read_json, write_arrays, write_json
from reproduce.interpret import swap
from reproduce.latents import load_posterior
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.flow import Flow
from reproduce.models.weights import load_network
from reproduce.paths import Run
from reproduce.seeds import torch_generator

__all__ = ["run"]


def run(profile: str, experiment: str, variant: str) -> None:
    """Write the run's JSON, its machine file, and `grid.npz` for the figures."""
    started = time.monotonic()
    config = load_experiment(profile, experiment)
    site = Run(profile, experiment, variant)
    data = open_dataset(site.data, config.dataset)
    flow = load_network(site.flow / "flow.safetensors", Flow)
    estimate = read_json(site.dimensions)
    factors, dims = list(estimate["dims"]), list(estimate["dims"].values())
    heldout = dict(np.load(site.pairs / "heldout.npz"))
    pool = dict(np.load(site.pairs / "pool.npz"))
    network: Autoencoder | Classifier
    if config.first_stage.kind == "autoencoder":
        network = load_network(site.first_stage / "network.safetensors", Autoencoder)
        judge = load_network(site.first_stage / "judge.safetensors", Classifier)
        look = look_at_images(network, judge)
    else:
        network = judge = load_network(site.first_stage / "network.safetensors", Classifier)
        look = look_at_logits(network)

    def truth(table: dict[str, np.ndarray], n: int | None = None) -> dict[str, Tensor]:
        return {"digit": torch.from_numpy(table["values"][:n, 0]), "color": torch.from_numpy(table["color"][:n])}

    z = load_posterior(site.latents, "heldout").mean
    with torch.no_grad():
        z_tilde = flow(z)[0]
    metrics = {
        **_swap_metrics(config, flow, z, z_tilde, truth(heldout), dims=dims, factors=factors, look=look),
        "judge": {"digit": _judge_accuracy(judge, data, heldout)},
        "probe": _probes(site, flow, config.evaluation.n_probe, z_tilde, truth(pool), truth(heldout), dims, factors),
        **_likelihood(site, flow, config, heldout, dims=dims, factors=factors),
        "round_trip": round_trip(flow, z),
    }
    write_arrays(site.evaluation / "grid.npz", _grid(config, data, network, flow, z, heldout, dims))
    write_json(
        site.metrics,
        {
            "profile": profile,
            "experiment": experiment,
            "variant": variant,
            "seed": config.seed,
            "dataset": config.dataset.title,
            "kind": config.first_stage.kind,
            "dims": estimate["dims"],
            "scores": estimate["scores"],
            "metrics": metrics,
            "config": {**config.model_dump(mode="json"), "variant": load_variant(variant).model_dump(mode="json")},
        },
    )
    machine = read_json(site.flow / "machine.json")
    write_json(site.machine, {"evaluate_seconds": round(time.monotonic() - started, 1), **machine})


def _swap_metrics(
    config: Experiment,
    flow: Flow,
    z: Tensor,
    z_tilde: Tensor,
    truth: dict[str, Tensor],
    *,
    dims: list[int],
    factors: list[str],
    look: Look,
) -> dict[str, object]:
    n_pairs = config.evaluation.n_pairs
    target, source = different_pairs(len(z), n_pairs, torch_generator(config.seed, "evaluation pairs"))
    readings = swap_readings(flow, z_tilde, target, source, dims=dims, look=look)
    plain = look(z)
    return {
        "swap": swap_rates(readings, truth, target, source, factors=factors),
        "reconstruction": reconstruction_rates(plain, truth, target, source, concepts=factors[:-1]),
        "color_error": color_errors(plain, readings, truth, target, source, factors=factors),
        "pairs": n_pairs,
    }


@torch.no_grad()
def _judge_accuracy(judge: Classifier, data: ColorMNIST, heldout: dict[str, np.ndarray]) -> float:
    index, color = torch.from_numpy(heldout["index"]), torch.from_numpy(heldout["color"])
    labels = torch.from_numpy(heldout["values"][:, 0])
    right = [
        judge(data.render_heldout(i, c)).argmax(1) == y
        for i, c, y in zip(index.split(500), color.split(500), labels.split(500), strict=True)
    ]
    return torch.cat(right).double().mean().item()


def _probes(
    site: Run,
    flow: Flow,
    n: int,
    heldout: Tensor,
    train_truth: dict[str, Tensor],
    heldout_truth: dict[str, Tensor],
    dims: list[int],
    factors: list[str],
) -> dict[str, dict[str, float | None]]:
    with torch.no_grad():
        train = flow(load_posterior(site.latents, "train").mean[:n])[0]
    first = {concept: values[:n] for concept, values in train_truth.items()}
    return probe_scores(train, first, heldout, heldout_truth, dims=dims, factors=factors)


def _likelihood(
    site: Run, flow: Flow, config: Experiment, heldout: dict[str, np.ndarray], *, dims: list[int], factors: list[str]
) -> dict[str, object]:
    generator = torch_generator(config.seed, "heldout posterior")
    z_a, z_b = (load_posterior(site.latents, name).sample(generator) for name in ("heldout", "partner"))
    factor = torch.from_numpy(heldout["factor"])
    nll, zt_a, zt_b = heldout_nll(flow, z_a, z_b, factor, dims=dims, rho=config.training.rho)
    return {"factors": factor_statistics(zt_a, zt_b, factor, dims=dims, factors=factors), "nll": nll}


def _pick(digits: np.ndarray, wanted: tuple[int, ...], taken: set[int]) -> list[int]:
    """The first held-out images that show the wanted digits, none twice."""
    chosen = []
    for digit in wanted:
        free = [int(i) for i in np.flatnonzero(digits == digit) if int(i) not in taken]
        if not free:
            raise UserError(f"grid: there are not enough held-out images of digit {digit}; name another in the config")
        taken.add(free[0])
        chosen.append(free[0])
    return chosen


@torch.no_grad()
def _grid(
    config: Experiment,
    data: ColorMNIST,
    network: Autoencoder | Classifier,
    flow: Flow,
    z: Tensor,
    heldout: dict[str, np.ndarray],
    dims: list[int],
) -> dict[str, np.ndarray]:
    """Inputs of rows and columns (uint8), and for each factor the decoded cells or the predicted classes."""
    digits = heldout["values"][:, 0]
    taken: set[int] = set()
    rows, columns = (_pick(digits, wanted, taken) for wanted in (config.grid.targets, config.grid.sources))
    index, color = torch.from_numpy(heldout["index"]), torch.from_numpy(heldout["color"])
    arrays = {
        "targets": as_uint8(data.render_heldout(index[rows], color[rows])),
        "sources": as_uint8(data.render_heldout(index[columns], color[columns])),
    }
    target = torch.tensor(rows).repeat_interleave(len(columns))
    source = torch.tensor(columns).repeat(len(rows))
    for k in range(len(dims)):
        mixed = swap(flow, z[target], z[source], factor=k, dims=dims)
        if isinstance(network, Autoencoder):
            cells = as_uint8(network.decode(mixed))
        else:
            cells = network.classify(mixed).argmax(1).numpy()
        arrays[f"cells_{k}"] = cells.reshape(len(rows), len(columns), *cells.shape[1:])
    if isinstance(network, Classifier):
        arrays["target_classes"] = network.classify(z[rows]).argmax(1).numpy()
        arrays["source_classes"] = network.classify(z[columns]).argmax(1).numpy()
    return arrays


def as_uint8(images: Tensor) -> np.ndarray:
    """Images `[n, C, S, S]` in [-1, 1] to uint8 `[n, S, S, C]`, as they are shown."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
