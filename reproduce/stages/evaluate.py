"""evaluate: the numbers of one run, and the swapped images or predictions that its figures show."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reproduce.config import Experiment, load_experiment, load_variant
from reproduce.data.access import open_dataset
from reproduce.data.shared.base import ImageData, Table, heldout_batches, rows
from reproduce.evaluation.embedding import Embedding, embed_factors, factor_accuracy
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
from reproduce.evaluation.response import mean_response, respond, response_numbers
from reproduce.evaluation.tour import factor_tour
from reproduce.evaluation.walk import factor_walks, walk_numbers
from reproduce.factors import factor_slices
from reproduce.files import read_arrays, read_json, write_array, write_arrays, write_json
from reproduce.latents import load_posterior
from reproduce.models.convolutional import Autoencoder, Classifier, Posterior
from reproduce.models.flow import Flow
from reproduce.models.weights import load_network
from reproduce.paths import Run
from reproduce.seeds import numpy_generator, torch_generator

_STEPS = 8  # from one image to the next


def run(profile: str, experiment: str, variant: str) -> None:
    """Write the run's JSON, its headline and machine files, and an .npz for each of the figures."""
    started = time.monotonic()
    config, choice = load_experiment(profile, experiment), load_variant(variant)
    site = Run(profile, experiment, variant)
    data = open_dataset(site.data, config.dataset)
    flow = load_network(site.flow / "flow.safetensors", Flow)
    estimate = read_json(site.dimensions)
    factors, dims = list(estimate["dims"]), list(estimate["dims"].values())
    pool, table, pairs = (read_arrays(site.pairs / f"{name}.npz") for name in ("pool", "heldout", "heldout_pairs"))
    heldout = rows(table, slice(data.n_heldout))
    targets, sources = pick_images(
        heldout["values"], {"grid.targets": config.grid.targets, "grid.sources": config.grid.sources}
    )
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
    nll, zt_a, zt_b = heldout_nll(flow, z_a, z_b, factor, dims=dims, rho=config.training.rho)
    metrics: dict[str, Any] = {
        "swap": swap_rates(readings, truth, drawn, factors=factors),
        "reconstruction": reconstruction_rates(plain, truth, drawn, concepts=factors[:-1]),
        **measurement_errors(plain, readings, truth, drawn, factors=factors),
        "judge": judge_rates(judge, heldout_batches(data, heldout), truth, read=data.read),
        "probe": probe_scores(train_z_tilde, train_truth, z_tilde, truth, dims=dims, factors=factors),
        "chance": chance_levels(train_truth, truth),
        "factors": factor_statistics(zt_a, zt_b, factor, dims=dims, factors=factors),
        "pairs": config.evaluation.n_pairs,
        "nll": nll,
        "round_trip": round_trip_error,
        "round_trip_relative": round_trip_error / z.std().item(),
    }

    write_arrays(site.evaluation / "grid.npz", _grid(data, network, flow, z, heldout, targets, sources, dims))
    chosen = numpy_generator(config.seed, "embedded images").permutation(len(z))[: config.evaluation.n_embedded]
    seen = {concept: value[chosen].numpy() for concept, value in truth.items()}
    names = np.array(data.classes or [str(k) for k in range(data.n_outputs)])
    embeddings = embed_factors(z_tilde[chosen].numpy(), dims=dims, factors=factors, seed=config.seed)
    write_arrays(site.evaluation / "embedding.npz", {**_embedded(embeddings, seen), "class_names": names})
    metrics["embedding"] = factor_accuracy(embeddings, seen)
    if isinstance(network, Classifier):
        response = config.evaluation.response
        assert response is not None  # a classifier has one
        ((shown,),) = pick_images(heldout["values"], {"evaluation.response.shown": [response.shown]})
        metrics |= _respond(site, config, data, network, flow, heldout, z_tilde, shown, estimate["dims"], names)
        metrics["walk"] = _walk(
            site, config, network, flow, z, z_tilde, shown, chosen, heldout, estimate["dims"], names
        )
    else:
        _tour(site, network, flow, z_tilde, embeddings, targets[0], sources[1::2], dims)
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


def _embedded(embeddings: Mapping[str, Embedding | None], truth: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`factor_<name>`: where its embedding puts each image, empty without one; `concept_<name>`: the image's value."""
    places = {name: np.empty(0) if found is None else found.places[:, 0] for name, found in embeddings.items()}
    return {
        **{f"factor_{name}": array for name, array in places.items()},
        **{f"concept_{name}": array for name, array in truth.items()},
    }


def _respond(
    site: Run,
    config: Experiment,
    data: ImageData,
    classifier: Classifier,
    flow: Flow,
    heldout: Table,
    z_tilde: Tensor,
    shown: int,
    dims: Mapping[str, int],
    names: np.ndarray,
) -> dict[str, Any]:
    """Write `response.npz`; the numbers of the image shown, and their means."""
    settings, walk = config.evaluation.response, config.evaluation.walk
    assert settings is not None  # a classifier has both
    assert walk is not None
    how: dict[str, Any] = {"how": settings.vary, "rho": walk.rho, "seed": config.seed, "dims": list(dims.values())}
    found = respond(classifier, flow, z_tilde, shown, n=settings.n_variants, **how)
    write_arrays(
        site.evaluation / "response.npz",
        {
            "image": as_uint8(data.render_heldout(rows(heldout, np.array([shown]))))[0],
            "own": np.array(found.own),
            "classes": found.classes,
            "log_softmax": found.log_softmax,
            "class_names": names,
            "averaged": np.array(min(settings.n_inputs, len(z_tilde))),
        },
    )
    others = numpy_generator(config.seed, "varied images").permutation(len(z_tilde))[: settings.n_inputs].tolist()
    numbers = [response_numbers(classes, found.own, n_classes=classifier.n_classes) for classes in found.classes]
    return {
        "response": dict(zip(dims, numbers, strict=True)),
        "response_mean": mean_response(
            classifier, flow, z_tilde, others, factors=list(dims), n=settings.n_variants_each, **how
        ),
    }


@torch.no_grad()
def _walk(
    site: Run,
    config: Experiment,
    classifier: Classifier,
    flow: Flow,
    z: Tensor,
    z_tilde: Tensor,
    start: int,
    chosen: np.ndarray,
    heldout: Table,
    dims: Mapping[str, int],
    names: np.ndarray,
) -> dict[str, dict[str, float] | None]:
    """Write `walk.npz`; how the classifier's answer changes on the way."""
    walk = config.evaluation.walk
    assert walk is not None  # a classifier has one
    embedding = Embedding(z[chosen].numpy(), dimensions=2, seed=config.seed)
    arrays = {"places": embedding.places, "classes": heldout["values"][chosen, 0], "class_names": names}
    numbers: dict[str, dict[str, float] | None] = dict.fromkeys(dims)
    walks = factor_walks(
        flow, z_tilde, start, dims=list(dims.values()), steps=walk.steps, rho=walk.rho, seed=config.seed
    )
    for factor, path in zip(dims, walks, strict=True):
        arrays[f"walk_{factor}"] = np.empty((0, 2)) if path is None else embedding.place(path.numpy())
        if path is not None:
            numbers[factor] = walk_numbers(classifier.classify(path).argmax(1).numpy())
    arrays["start"] = classifier.classify(z[start : start + 1]).argmax(1).numpy()
    write_arrays(site.evaluation / "walk.npz", arrays)
    return numbers


@torch.no_grad()
def _tour(
    site: Run,
    autoencoder: Autoencoder,
    flow: Flow,
    z_tilde: Tensor,
    embeddings: Mapping[str, Embedding | None],
    start: int,
    others: list[int],
    dims: list[int],
) -> None:
    """Write `factors.npz` (which factor moves, and where to) and `factors_images.npy`."""
    tour = factor_tour(z_tilde, start, others, dims=dims, steps=_STEPS)
    arrays = {"moving": tour.moving}
    for k, (factor, part) in enumerate(zip(embeddings, factor_slices(dims), strict=True)):
        embedding, own = embeddings[factor], tour.moving == k
        path = np.empty(0)
        if embedding is not None:  # the last place of a factor is its first one again, where it also waits
            placed = embedding.place(tour.z_tilde[own][:, part].numpy())[:, 0]
            path = np.full(len(own), placed[-1])
            path[own] = placed
        arrays[f"path_{factor}"] = path
    write_arrays(site.evaluation / "factors.npz", arrays)
    images = as_uint8(autoencoder.decode(flow.inverse(tour.z_tilde)[0]))
    write_array(site.evaluation / "factors_images.npy", images)


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
