"""evaluate_density: how near samples through an unsupervised T come to held-out images."""

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reproduce.config import Unsupervised, load_sources, load_unsupervised
from reproduce.data.access import open_dataset
from reproduce.data.shared.base import IMAGES_AT_A_TIME, ImageData, Table, heldout_batches, rows
from reproduce.device import pick_device
from reproduce.errors import ReproduceError
from reproduce.evaluation.directions import attribute_directions, direction_pictures, direction_rates
from reproduce.evaluation.frechet import Extract, classifier_features, features_of, frechet_distance, inception_features
from reproduce.evaluation.grid import pick_images
from reproduce.evaluation.linear import (
    confident,
    midpoint_confidence,
    random_walk_logits,
    random_walks,
    shares,
    walk_pictures,
)
from reproduce.evaluation.look import look_at_images
from reproduce.evaluation.metrics import density_statistics, judge_rates, round_trip
from reproduce.evaluation.samples import sample_pictures
from reproduce.files import read_json, write_arrays, write_json
from reproduce.intake.download import Downloads
from reproduce.latents import load_posterior
from reproduce.likelihood import density_nll
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.flow import Flow
from reproduce.models.weights import load_network
from reproduce.paths import DOWNLOADS, MIRROR, Run
from reproduce.seeds import torch_generator

_PICTURED, _JUDGED = 2000, 300  # held-out images: for figures, and moved along directions


@torch.no_grad()
def run(profile: str, experiment: str, variant: str) -> None:
    """Write the run's JSON, its headline and machine files, and what the figures show."""
    started = time.monotonic()
    config = load_unsupervised(profile, experiment)
    site, device = Run(profile, experiment, variant), pick_device(config.device)
    data = open_dataset(site.data, config.dataset)
    autoencoder = load_network(site.first_stage / "network.safetensors", Autoencoder).to(device)
    judge = load_network(site.first_stage / "judge.safetensors", Classifier).to(device)
    flow = load_network(site.flow / "flow.safetensors", Flow)
    heldout, posterior = data.heldout(), load_posterior(site.latents, "heldout")
    n = min(config.evaluation.n_samples, data.n_heldout)  # as many as there are to compare with: a few look farther
    table = rows(heldout, slice(n))
    noise = torch.randn(n, flow.dim, generator=torch_generator(config.seed, "samples"))
    samples = flow.inverse(noise)[0]

    def decoded(z: Tensor) -> Iterator[Tensor]:
        return (autoencoder.decode(part.to(device)) for part in z.split(IMAGES_AT_A_TIME))

    def real() -> Iterator[Tensor]:
        return (images.to(device) for images in heldout_batches(data, table))

    made: dict[str, Callable[[], Iterator[Tensor]]] = {
        "frechet": lambda: decoded(samples),
        "frechet_prior": lambda: decoded(noise),
        "frechet_reconstruction": lambda: decoded(posterior.mean[:n]),
    }
    distances: dict[str, dict[str, float | None]] = {name: {} for name in made}
    for extractor, extract in _extractors(config.evaluation.inception, judge, device).items():
        wanted = None if extract is None else features_of(real(), extract)
        for name, images in made.items():
            distances[name][extractor] = (
                None if extract is None or wanted is None else frechet_distance(features_of(images(), extract), wanted)
            )

    z = posterior.sample(torch_generator(config.seed, "heldout posterior"))
    z_tilde, log_det = flow(z)
    error = round_trip(flow, posterior.mean)
    metrics: dict[str, Any] = {
        **distances,
        "samples": n,
        "judge": judge_rates(judge, real(), data.truth(table), read=data.read),
        "factors": {"residual": density_statistics(z_tilde)},
        "nll": float(np.mean(density_nll(z_tilde, log_det).double().numpy())),
        "round_trip": error,
        "round_trip_relative": error / posterior.mean.std().item(),
    }
    metrics |= _pictured(
        site, config, data, autoencoder.cpu(), judge.cpu(), flow, posterior.mean, rows(heldout, slice(data.n_heldout))
    )
    write_json(
        site.headline,
        {name: {key: value for key, value in distances[name].items() if value is not None} for name in distances},
    )
    write_json(
        site.metrics,
        {
            "profile": profile,
            "experiment": experiment,
            "variant": variant,
            "seed": config.seed,
            "dataset": config.title,
            "kind": config.first_stage.kind,
            "description": "No concepts: T is trained for the likelihood of single latents.",
            "dims": {"residual": flow.dim},
            "scores": {"residual": None},
            "metrics": metrics,
            "config": config.model_dump(mode="json"),
        },
    )
    seconds = round(time.monotonic() - started, 1)
    write_json(site.machine, {**read_json(site.train_machine), "evaluate_seconds": seconds})


def _pictured(
    site: Run,
    config: Unsupervised,
    data: ImageData,
    autoencoder: Autoencoder,
    judge: Classifier,
    flow: Flow,
    z: Tensor,
    heldout: Table,
) -> dict[str, Any]:
    """Write an .npz for each of the figures, from the first held-out images; the numbers that they show."""
    settings, seed = config.evaluation, config.seed
    table = rows(heldout, slice(_PICTURED))
    z = z[: len(table["values"])]
    pictures = sample_pictures(autoencoder, flow, z[:4], side=settings.side, seed=seed)
    write_arrays(site.evaluation / "samples.npz", pictures)
    metrics: dict[str, Any] = {}
    if settings.linear is not None:
        walks, classes = settings.linear, table["values"][:, 0]
        wanted = {"evaluation.linear.start": [walks.start], "evaluation.linear.ends": walks.ends}
        (start,), ends = pick_images(table["values"], wanted)
        walked = random_walks(flow, z[[start, *ends]], steps=walks.steps, rho=walks.rho, seed=seed)
        shown = walk_pictures(autoencoder, flow, z, start, ends, walked, steps=walks.rows)
        metrics["linear"] = midpoint_confidence(autoencoder, judge, flow, z, classes, n_pairs=walks.n_pairs, seed=seed)
        said = random_walk_logits(autoencoder, judge, walked)
        metrics["random_walk"] = {name: shares(confident(logits)) for name, logits in said.items()}
        sure = {f"sure_{name}": logits.softmax(1).amax(1).numpy() for name, logits in said.items()}
        write_arrays(site.evaluation / "linear.npz", shown | sure)
    if settings.directions is not None:
        pool = data.pool(size=config.images.pool_size, n_colors=None, seed=seed)
        train = load_posterior(site.latents, "train").mean
        directions = attribute_directions(flow(train)[0], data.truth(pool))
        strengths, z_tilde = settings.directions.strengths, flow(z)[0]
        moved = direction_pictures(
            autoencoder, flow, z_tilde[: settings.directions.n_images], directions, strengths=strengths
        )
        arrays = {f"attribute_{name}": images for name, images in moved.items()}
        judged = z_tilde[:_JUDGED]
        arrays |= {"strengths": np.array(strengths), "judged": np.array(len(judged))}
        write_arrays(site.evaluation / "directions.npz", arrays)
        metrics["directions"] = direction_rates(
            flow,
            judged,
            directions,
            strengths=strengths,
            look=look_at_images(autoencoder, judge, data.read),
        )
    return metrics


def _extractors(inception: bool, judge: Classifier, device: torch.device) -> dict[str, Extract | None]:
    """Whose features are compared; None for an Inception that isn't wanted or can't be had."""
    found: dict[str, Extract | None] = {"inception": None, "classifier": classifier_features(judge)}
    if inception:
        downloads = Downloads(sources=load_sources().sources, folder=DOWNLOADS, mirror=MIRROR)
        downloads.announce(["inception"])
        try:
            found["inception"] = inception_features(downloads.obtain("inception"), device)
        except ReproduceError as error:
            print(
                f"reproduce: warning: no FID, since its network can't be had: {error}. "
                "Once it is there, run this stage again with dvc repro -f -s",
                file=sys.stderr,
            )
    return found
