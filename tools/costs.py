"""What the paper's scale costs, derived and not measured: `python -m reproduce.report.costs` prints README's table.

One step of each training is run by the training's own code, on one batch, with every operation counted; those that cost
(products, convolutions: whatever `torch.utils.flop_counter` has a formula for) are only counted and give zeros. An
operation takes as long as the slowest of three: starting it, its arithmetic, and moving what it reads and writes.
"""

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import flop_registry

from reproduce.config import (
    AnimalFacesConfig,
    CelebAConfig,
    ColorMNISTConfig,
    Experiment,
    FirstStage,
    FlowSize,
    Judge,
    Optimisation,
    SmallSetConfig,
    Unsupervised,
    load_network_config,
)
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.flow import Flow
from reproduce.paths import CONFIGS
from reproduce.training.first_stage import train_autoencoder, train_classifier
from reproduce.training.flow import train_density, train_flow
from reproduce.training.perceptual import Perceptual

__all__ = ["MACHINES", "Counts", "Machine", "costs_table", "counted", "full_profile", "main"]

_BATCH = 500  # of encode and evaluate
_CPU = "2 CPU cores"


@dataclass(frozen=True)
class Machine:
    """Operations a second in float32, bytes a second, and seconds to start one operation from Python."""

    flops: float
    bandwidth: float
    start: float


MACHINES = {
    # NVIDIA's data sheet of the H100 SXM: float32 without tensor cores, HBM3; PyTorch starts an operation in about 6 µs
    "H100": Machine(flops=67e12, bandwidth=3.35e12, start=6e-6),
    # a matrix product and a copy on two cores of a server reach about this
    _CPU: Machine(flops=150e9, bandwidth=20e9, start=3e-6),
}


class Counts(TorchDispatchMode):
    """Inside it, operations are counted; those with a formula for their arithmetic give zeros instead of results."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[int, int]] = []  # arithmetic operations, and bytes moved, of each

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        formula = flop_registry.get(function.overloadpacket)
        if formula is None:
            result = function(*args, **kwargs)
            arithmetic = 0
        else:
            shapes = function(*tree_map(_on_meta, args), **tree_map(_on_meta, kwargs))
            device = next(x.device for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor))
            result = tree_map(lambda x: torch.zeros_like(x, device=device) if isinstance(x, Tensor) else x, shapes)
            arithmetic = formula(*args, **kwargs, out_val=result)
        if not function.is_view:
            changed = [
                value
                for value, argument in zip(args, function._schema.arguments, strict=False)
                if argument.alias_info is not None and argument.alias_info.is_write
            ]
            written = changed or result
            self.operations.append((int(arithmetic), _bytes((args, kwargs)) + _bytes(written)))
        return result

    def seconds(self, machine: Machine) -> float:
        """Each operation's longest part, summed."""
        return sum(max(machine.start, f / machine.flops, b / machine.bandwidth) for f, b in self.operations)

    @property
    def arithmetic(self) -> int:
        return sum(f for f, _ in self.operations)


def _on_meta(value: Any) -> Any:
    return value.to("meta") if isinstance(value, Tensor) else value


def _bytes(values: Any) -> int:
    return sum(x.numel() * x.element_size() for x in tree_leaves(values) if isinstance(x, Tensor))


@contextmanager
def _saved_bytes() -> Iterator[dict[int, int]]:
    """Storages that are kept for the backward pass, by address, with their bytes."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        whole = tensor if tensor._base is None else tensor._base
        if not (whole.is_leaf and whole.requires_grad):  # a weight is there anyway
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield kept


Config = Experiment | Unsupervised


class _Enough(Exception):
    pass


Draw = Callable[[int, torch.Generator], Any]


def counted(train: Callable[[Draw], object], draw: Draw) -> tuple[Counts, int]:
    """The first step of `train(draw)`, counted, and the bytes that it keeps for its backward pass, weights aside.

    `train` draws once to initialise, once for each step; the draws are not counted. It is left after the step.
    """
    counts, calls = Counts(), 0
    with _saved_bytes() as kept:

        def watched(n: int, generator: torch.Generator) -> Any:
            nonlocal calls
            calls += 1
            if calls == 3:
                raise _Enough
            batch = draw(n, generator)
            if calls == 2:
                kept.clear()
                counts.operations.clear()
            return batch

        try:
            with counts:
                train(watched)
        except _Enough:
            return counts, sum(kept.values())
    raise AssertionError("a training of two steps or more is needed")


def _forward(compute: Callable[[], object]) -> Counts:
    with torch.no_grad(), Counts() as counts:
        compute()
    return counts


@dataclass(frozen=True)
class _Row:
    experiment: str
    stage: str
    amount: str
    gflop: float
    memory: float  # bytes
    seconds: Mapping[str, float]

    def cells(self) -> list[str]:
        times = [_duration(self.seconds[name]) if name in self.seconds else "–" for name in MACHINES]
        return [self.experiment, self.stage, self.amount, f"{self.gflop:.2g}", f"{self.memory / 1e9:.2g}", *times]


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.2g} {unit}"
    return "< 1 min"


def _data(config: Config) -> tuple[int, int, int]:
    """Training and held-out images, and outputs of a classifier on them."""
    dataset = config.dataset
    if isinstance(dataset, ColorMNISTConfig):
        return dataset.n_train, dataset.n_heldout, 10
    if isinstance(dataset, SmallSetConfig):
        n_train = 50_000 if dataset.name == "cifar10" else 60_000
        return dataset.n_train or n_train, dataset.n_heldout or 10_000, 10
    if isinstance(dataset, CelebAConfig):  # list_eval_partition.txt has 162,770 and 19,962
        return dataset.n_train or 162_770, dataset.n_heldout or 19_962, len(dataset.attributes)
    assert isinstance(dataset, AnimalFacesConfig)  # FUNIT: 117,574 images of 149 classes
    heldout = round(117_574 * dataset.heldout_fraction)
    return 117_574 - heldout, heldout, 149


def _weights(*networks: nn.Module) -> int:
    return sum(p.numel() * p.element_size() for network in networks for p in network.parameters())


@dataclass(frozen=True)
class _Step:
    """One step of a training; `memory` holds weights, gradients, Adam's two means and what the backward pass needs."""

    counts: Counts
    memory: int

    def row(self, experiment: str, stage: str, training: Optimisation, resident: int = 0) -> _Row:
        return _Row(
            experiment=experiment,
            stage=stage,
            amount=f"{training.steps:,} steps of {training.batch_size}",
            gflop=self.counts.arithmetic / 1e9,
            memory=self.memory + resident,
            seconds={name: training.steps * self.counts.seconds(machine) for name, machine in MACHINES.items()},
        )


@cache
def _network_step(network: Autoencoder | Classifier, n_outputs: int, stage: FirstStage | Judge) -> _Step:
    training, size, channels = stage.training, network.config["image_size"], network.config["in_channels"]

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return torch.zeros(n, channels, size, size), torch.zeros(n, n_outputs)

    def train(draw: Draw) -> object:
        if isinstance(network, Classifier):
            return train_classifier(network, draw, training=training, seed=0)
        assert isinstance(stage, FirstStage)
        assert stage.objective is not None
        objective = stage.objective
        if objective.adversarial is not None:  # as it costs once the discriminator plays
            now = objective.adversarial.model_copy(update={"start": 0})
            objective = objective.model_copy(update={"adversarial": now})
        looks = _vgg_distance() if objective.perceptual is not None else None
        return train_autoencoder(network, draw, objective=objective, training=training, seed=0, perceptual=looks)

    counts, kept = counted(train, draw)
    return _Step(counts, 4 * _weights(network) + kept)


@cache
def _vgg_distance() -> Perceptual:
    """LPIPS on an untrained VGG16, which costs what a trained one does."""
    import lpips

    with warnings.catch_warnings():  # of torchvision, about an argument that the package passes
        warnings.simplefilter("ignore")
        network = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False).requires_grad_(False)
    return lambda images, others: network(images, others).flatten()


@cache
def _density_step(dim: int, size: FlowSize, batch_size: int) -> _Step:
    def draw(n: int, generator: torch.Generator) -> Tensor:
        return torch.ones(n, dim)

    def train(draw: Draw) -> object:
        return train_density(draw, steps=2, batch_size=batch_size, **size.model_dump())

    counts, kept = counted(train, draw)
    return _Step(counts, 4 * _weights(Flow(dim=dim, **size.model_dump())) + kept)


@cache
def _flow_step(dim: int, size: FlowSize, batch_size: int) -> _Step:
    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        return torch.ones(n, dim), torch.ones(n, dim), torch.zeros(n, dtype=torch.int64)

    def train(draw: Draw) -> object:
        # how z is divided changes no count
        return train_flow(draw, dims=(dim // 2, dim - dim // 2), steps=2, batch_size=batch_size, **size.model_dump())

    counts, kept = counted(train, draw)
    return _Step(counts, 4 * _weights(Flow(dim=dim, **size.model_dump())) + kept)


@cache
def _classifier(n_classes: int, channels: int, image_size: int, width: int, latent_dim: int = 64) -> Classifier:
    return Classifier(
        n_classes=n_classes, in_channels=channels, image_size=image_size, width=width, latent_dim=latent_dim
    )


@cache
def _autoencoder(channels: int, image_size: int, width: int, latent_dim: int) -> Autoencoder:
    return Autoencoder(in_channels=channels, image_size=image_size, width=width, latent_dim=latent_dim)


def _rows(name: str, config: Config) -> Iterator[_Row]:
    stage, size, dim = config.first_stage, config.dataset.image_size, config.first_stage.latent_dim
    n_train, n_heldout, n_outputs = _data(config)
    n_pool = (config.images if isinstance(config, Unsupervised) else config.pairs).pool_size or n_train
    channels = 1 if config.dataset.name in ("mnist", "fashionmnist") else 3
    n_encoded = n_pool + n_heldout
    latent = 2 * 4 * dim  # bytes: mean and log-variance

    network: Autoencoder | Classifier
    if config.judge is None:
        network = judge = _classifier(n_outputs, channels, size, stage.width, dim)
        yield _network_step(network, n_outputs, stage).row(name, "first_stage", stage.training)
    else:
        network, judge = (
            _autoencoder(channels, size, stage.width, dim),
            _classifier(n_outputs, channels, size, config.judge.width),
        )
        yield _network_step(network, n_outputs, stage).row(name, "first_stage", stage.training)
        judged = _network_step(judge, n_outputs, config.judge)
        yield judged.row(name, "first_stage, judge", config.judge.training)

    with torch.device("meta"):  # shapes alone are needed
        images, latents = torch.zeros(_BATCH, channels, size, size), torch.zeros(_BATCH, dim)
    network, judge = copy.deepcopy(network).to("meta"), copy.deepcopy(judge).to("meta")
    counts = _forward(lambda: network.encode(images))
    yield _Row(
        experiment=name,
        stage="encode",
        amount=f"{n_encoded:,} images",
        gflop=counts.arithmetic / 1e9,
        memory=_weights(network) + latent * n_encoded,
        seconds={place: n_encoded / _BATCH * counts.seconds(machine) for place, machine in MACHINES.items()},
    )

    if isinstance(config, Unsupervised):
        step = _density_step(dim, config.flow, config.training.batch_size)
        yield step.row(name, "train", config.training, resident=latent * n_pool)
        return
    step = _flow_step(dim, config.flow, config.training.batch_size)
    yield step.row(name, "train, each variant", config.training, resident=latent * n_pool)

    flow = Flow(dim=dim, **config.flow.model_dump()).to("meta")

    def swapped() -> object:
        z, _ = flow.inverse(latents)
        return network.classify(z) if isinstance(network, Classifier) else judge(network.decode(z))

    counts, n_swaps = _forward(swapped), config.evaluation.n_pairs * (len(config.pairs.weights) + 1)
    yield _Row(
        experiment=name,
        stage="evaluate, each variant",
        amount=f"{n_swaps:,} swaps",
        gflop=counts.arithmetic / 1e9,
        memory=_weights(flow, network, judge) + latent * n_encoded,
        seconds={_CPU: n_swaps / _BATCH * counts.seconds(MACHINES[_CPU])},  # it uses no GPU
    )


def full_profile() -> dict[str, Config]:
    """The experiments of `paper_configs/full/` by name, those with concepts first."""
    names = sorted(path.stem for path in (CONFIGS / "full").glob("*.yaml"))
    loaded = {name: load_network_config("full", name) for name in names}
    return dict(sorted(loaded.items(), key=lambda item: isinstance(item[1], Unsupervised)))


def costs_table(experiments: Mapping[str, Config]) -> str:
    """The Markdown table, and below it what its times rest on."""
    rows = [row.cells() for name, config in experiments.items() for row in _rows(name, config)]
    columns = ["experiment", "stage", "work", "GFLOP a batch", "GB", *MACHINES]
    table = pd.DataFrame(rows, columns=columns).to_markdown(index=False, colalign=["left"] * 3 + ["right"] * 4)
    machines = "; ".join(
        f"{name}: {m.flops / 1e12:g} TFLOP/s in float32, {m.bandwidth / 1e9:g} GB/s, {m.start * 1e6:g} µs"
        for name, m in MACHINES.items()
    )
    return (
        f"{table}\n\nDerived, not measured: every operation takes as long as its arithmetic, its memory traffic or its "
        f"start, whichever is longest ({machines}). An autoencoder's step is one with LPIPS and the discriminator. "
        "Without reading and drawing images; memory without the program's own and CUDA's. "
        f"A batch is {_BATCH} where no steps are given. `python -m reproduce.report.costs` prints this."
    )


def main() -> None:
    """Print the table for the profile `full`."""
    print(costs_table(full_profile()))


if __name__ == "__main__":
    main()
