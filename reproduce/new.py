"""`reproduce new`: the config of an experiment on images and a network of one's own."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from ruamel.yaml import YAML

from reproduce.config import Experiment
from reproduce.data.folder import ClassFolders
from reproduce.data.shared.class_folders import read_class_folders
from reproduce.data.shared.concept_table import ConceptTable, read_table
from reproduce.data.shared.photos import Photos, located
from reproduce.errors import UserError
from reproduce.factors import MISSING
from reproduce.files import shown, write_text
from reproduce.own_network import OwnSettings, build, divided_at, load_weights, preparation
from reproduce.paths import ROOT, experiment_config
from reproduce.pipeline import load_pipeline, select
from reproduce.schema import validated

PROFILE = "own"
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_LARGE = 4096  # T on more values per latent trains on fewer pairs in a step
_SHOWN = 6


def new(
    name: str,
    *,
    network: str,
    layer: str,
    images: str,
    labels: str | None,
    image_size: int,
    weights: str,
    **options: Any,
) -> str:
    """Write `paper_configs/own/<name>.yaml` and select it, and return a sentence that says what to do next.

    Arguments:
        network: the factory, as package.module:function.
        images: the folder of the images; with `labels`, a CSV file in it, or else with a folder for each class.
        options: `argument` (key=value for the factory), `layout`, `layers`, `mean` and `std`, as the command line has
            them.

    Experiments of one's own that are selected stay selected; others do not.

    Raises UserError, before anything is written, where the images, the network or the layer cannot be used.
    """
    target = experiment_config(PROFILE, name)
    if target.exists():
        raise UserError(f"{shown(target)} exists already: delete it, or choose another name")
    if not name.isidentifier():
        raise UserError(f"the name {name!r} must consist of letters, digits and _, and begin with a letter")
    photos = _photos(images, labels)
    assert isinstance(photos.names, Mapping)
    values = {concept: tuple(of) for concept, of in photos.names.items()}
    settings = _network_settings(network, layer, weights=weights, concept=next(iter(values)), **options)
    shape, n_outputs = _tried(settings, image_size)
    predicted = values[settings.concept]
    text = _template().render(
        name=name,
        path=images,
        labels=labels,
        concepts=list(values),
        image_size=image_size,
        imagenet=(settings.preprocessing.mean, settings.preprocessing.std) == _IMAGENET,
        mean=settings.preprocessing.mean,
        std=settings.preprocessing.std,
        outputs={value: [k] for k, value in enumerate(predicted)} if n_outputs == len(predicted) else {},
        pool=_pool(photos, shape.numel()),
        batch=64 if shape.numel() <= _LARGE else 16,
        shown=_shown(photos),
        **settings.model_dump(include={"factory", "arguments", "weights", "layer", "layout", "layers", "concept"}),
    )
    validated(Experiment, YAML(typ="safe", pure=True).load(text), target)
    write_text(target, text)
    own_only = set(load_pipeline().profiles) == {PROFILE}
    chosen = select(PROFILE, [name], add=own_only)
    return f"{shown(target)}: T at {layer}, where z is {[*shape]}, for {', '.join(values)}\n{chosen}"


def _network_settings(
    network: str,
    layer: str,
    *,
    weights: str,
    concept: str,
    argument: Sequence[str],
    layers: Sequence[str] | None,
    **options: Any,
) -> OwnSettings:
    """The settings of the network; swaps are compared with its own predictions until its outputs are known."""
    mean, std = (
        _channels(options.pop(key), of, option=key) for key, of in zip(("mean", "std"), _IMAGENET, strict=True)
    )
    settings = {
        "factory": network,
        "arguments": dict(_argument(text) for text in argument),
        "weights": weights,
        "preprocessing": {"mean": mean, "std": std},
        "layer": layer,
        "layers": layers or [layer],
        "concept": concept,
        "outputs": "own",
        **options,
    }
    return validated(OwnSettings, settings, "reproduce new")


def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("reproduce", "."), undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template("new.yaml.j2")


def _photos(images: str, labels: str | None) -> Photos:
    root = located(images)
    if labels is None:
        photos = read_class_folders(root, heldout_fraction=0.2)
        return Photos({ClassFolders(kind="folders").concept: tuple(photos.names)}, photos.train, photos.heldout)
    return read_table(root, ConceptTable(kind="csv", file=labels, concepts="all"), heldout_fraction=0.2)


def _pool(photos: Photos, size: int) -> int:
    """How many deformed training images T learns from: their latents take about 2 GB at most."""
    return max(1000, min(20 * len(photos.train), 20_000, 2**29 // size))


def _channels(given: Sequence[float] | None, default: Sequence[float], *, option: str) -> list[float]:
    if given is not None and len(given) not in (1, 3):
        raise UserError(f"--{option}: give one number, or one for each of the three channels; these are {len(given)}")
    return [*default] if given is None else [*given] * (3 // len(given))


def _argument(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--argument {text}: give a name and a value, as in num_classes=3")
    return key, YAML(typ="safe", pure=True).load(value)


def _tried(settings: OwnSettings, image_size: int) -> tuple[torch.Size, int]:
    """The shape of one latent, and the number of the network's outputs, for random images."""
    if settings.weights != "factory" and not located(settings.weights).exists():
        raise UserError(f"--weights: {settings.weights} does not exist in the project's folder")
    network = build(settings, folder=ROOT)
    load_weights(network, settings, folder=ROOT)
    x = torch.rand(2, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))
    divided, n_outputs = divided_at(network, settings, preparation(settings.preprocessing, channels=3)(2 * x - 1))
    return divided.encode(x).shape[1:], n_outputs


def _shown(photos: Photos) -> list[int]:
    """The first values that two held-out images have: one is shown in the rows of the grid, one in its columns."""
    counts = Counter(source.labels[0] for source in photos.heldout if source.labels[0] != MISSING)
    found = sorted(value for value, count in counts.items() if count >= 2)[:_SHOWN]
    if not found:
        raise UserError("no two held-out images show the same value of the first concept: add images")
    return found
