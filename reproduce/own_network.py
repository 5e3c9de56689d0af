"""A network of the user's own as the interpreted one: how it is made, fed and read, and its division at a layer."""

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol

import torch
from pydantic import Field, JsonValue, NonNegativeInt, PositiveFloat
from torch import Tensor, nn

from reproduce.data.shared.base import ATTRIBUTE, ImageData
from reproduce.errors import ReproduceError, UserError
from reproduce.files import sha256, shown
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.weights import load_network, load_state, save_state
from reproduce.schema import Strict, WordOrSection
from reproduce.splitting import Layout, Split, layer_outputs, split

_VALUES_AT_A_TIME = 2**22  # of images: a deep network's activations take some fifty times their memory
_LATENTS_AT_A_TIME = 100


class OurStage(Protocol):
    """What is asked of the config of an autoencoder or classifier of this package."""

    network_type: ClassVar[type[Autoencoder | Classifier]]

    @property
    def layer(self) -> str | None: ...


class Preprocessing(Strict):
    """What the network subtracts from and divides each channel by, of pixels from 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[PositiveFloat, ...]


class OwnSettings(Strict):
    """Where the network comes from, and which of its layers is interpreted.

    `factory`: a function, as package.module:function, that returns the network for `arguments`. `weights`: a file with
    its state dict (.safetensors, or what torch.save wrote), or "factory" where the function loads them. `layer`,
    `layout`: see `reproduce.split`. `layers`: those whose dimensions are shown. `concept`: what the network predicts.
    `outputs`: for each value of the concept the numbers of the outputs that mean it; "own" where none do: swaps are
    then compared with the network's own predictions.
    """

    factory: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")]
    arguments: dict[str, JsonValue]
    weights: str
    preprocessing: Preprocessing
    layer: str
    layout: Layout = "channels_first"
    layers: tuple[str, ...]
    concept: str
    outputs: WordOrSection[Literal["own"], dict[str, Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]]]


class InterpretedLayer(nn.Module):
    """E and G of a classifier at one of its layers, for images in [-1, 1].

    Arguments:
        divided: the network, divided at the layer.
        prepare: images `[B, C, S, S]` in [-1, 1] to the network's input.
        summarise: the network's outputs `[B, n]` to the logits `[B, m]` that are read.
        n_outputs: m.
        own: whether a prediction can only be compared with the network's own.
        concept: what it predicts, where that is not for the data set to say.
        layers: the names of the layers that `layer_outputs` gives.
    """

    def __init__(
        self,
        divided: Split,
        *,
        prepare: Callable[[Tensor], Tensor] = lambda images: images,
        summarise: Callable[[Tensor], Tensor] = lambda outputs: outputs,
        n_outputs: int = 0,
        own: bool = False,
        concept: str | None = None,
        layers: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.network = divided.network
        self.divided, self.n_outputs, self.own, self.concept = divided, n_outputs, own, concept
        self._prepare, self._summarise, self._layers = prepare, summarise, layers

    def encode(self, x: Tensor) -> Tensor:
        """E: images `[B, C, S, S]` to the layer's output, `[B, N]` or `[B, C, H, W]`."""
        size = max(1, _VALUES_AT_A_TIME // x[:1].numel())
        return torch.cat([self.divided.encode(self._prepare(part)).float() for part in x.split(size)])

    def layer_outputs(self, x: Tensor) -> dict[str, Tensor]:
        """The outputs of several layers for images `[B, C, S, S]`, `[B, N]` or `[B, C, H, W]`, by the layers' names."""
        size = max(1, _VALUES_AT_A_TIME // x[:1].numel())
        batches = (self._prepare(part) for part in x.split(size))
        parts = [layer_outputs(self.network, self._layers, part, layout=self.divided.layout) for part in batches]
        return {name: torch.cat(outputs) for name, *outputs in zip(self._layers, *parts, strict=True)}

    def classify(self, z: Tensor) -> Tensor:
        """G: the layer's output to logits `[B, m]`."""
        return torch.cat([self._summarise(self.divided.decode(part)) for part in z.split(_LATENTS_AT_A_TIME)])

    def read(self, logits: Tensor, *, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The concept's value `[B]` that has the highest logit; bool where `like` has an attribute's values for it."""
        assert self.concept is not None
        value = logits.argmax(1)
        return {self.concept: value == 1 if not self.own and like[self.concept].dtype != torch.int64 else value}

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits `[B, m]`."""
        return self.classify(self.encode(x))


def build(settings: OwnSettings, *, folder: Path) -> nn.Module:
    """The network, which the factory makes; modules are also looked for in `folder`. UserError where it makes none.

    PyTorch's random numbers are seeded for the factory, so that random weights are the same in each stage.
    """
    sys.path.insert(0, str(folder))
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = _factory(settings)(**settings.arguments)
    except Exception as error:
        raise UserError(
            f"first_stage.factory: {settings.factory} cannot be used ({type(error).__name__}: {error}): it must be an "
            "importable function that takes first_stage.arguments"
        ) from error
    finally:
        sys.path.remove(str(folder))
    if not isinstance(network, nn.Module):
        raise UserError(f"first_stage.factory: {settings.factory} returns a {type(network).__name__}, not a Module")
    return network.eval()


def _factory(settings: OwnSettings) -> Any:
    name, _, function = settings.factory.partition(":")
    return attrgetter(function)(importlib.import_module(name))


def provide(settings: OwnSettings, *, folder: Path, out: Path) -> None:
    """Write the network's weights to `out`, so that all that follows sees the same network.

    The header of the file has a hash of the factory's source file: another file makes the later stages run again.
    """
    network = build(settings, folder=folder)
    load_weights(network, settings, folder=folder)
    source = Path(inspect.getfile(_factory(settings)))
    header = {"kind": "module", "config": settings.model_dump(mode="json"), "code": sha256(source)}
    save_state(out, network.state_dict(), header=header)


def load_weights(network: nn.Module, settings: OwnSettings, *, folder: Path) -> None:
    """Load the file of weights that the settings name, relative to `folder`; UserError where it does not fit."""
    if settings.weights == "factory":
        return
    path = folder / os.path.expanduser(settings.weights)
    try:
        network.load_state_dict(load_state(path))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"first_stage.weights: {shown(path)} does not fit {settings.factory}: {reason:.200}") from None


def load_interpreted(
    stage: OwnSettings | OurStage, *, weights: Path, data: ImageData, folder: Path
) -> Autoencoder | Classifier | InterpretedLayer:
    """The network of the section first_stage with the `weights` that the stage of that name wrote.

    Arguments:
        data: its images check the division at a layer.
        folder: see `build`.

    Raises UserError where the layer, the preprocessing or the outputs do not fit the network.
    """
    if isinstance(stage, OwnSettings):
        values = data.value_names.get(stage.concept, ATTRIBUTE)
        return _own(stage, folder=folder, weights=weights, values=values, example=data.examples())
    network = load_network(weights, stage.network_type)
    return network if stage.layer is None else InterpretedLayer(split(network, stage.layer, data.examples()))


def _own(
    settings: OwnSettings, *, folder: Path, weights: Path, values: Sequence[str], example: Tensor
) -> InterpretedLayer:
    network = build(settings, folder=folder)
    try:
        network.load_state_dict(load_state(weights))
    except RuntimeError:
        raise ReproduceError(
            f"{shown(weights)} does not fit {settings.factory}: run the stage first_stage again"
        ) from None
    prepare = preparation(settings.preprocessing, channels=example.shape[1])
    divided, n_outputs = divided_at(network, settings, prepare(example))
    own = settings.outputs == "own"
    groups = {} if isinstance(settings.outputs, str) else settings.outputs
    return InterpretedLayer(
        divided,
        prepare=prepare,
        summarise=(lambda outputs: outputs) if own else _grouped(groups, values, n=n_outputs),
        n_outputs=n_outputs if own else len(groups),
        own=own,
        concept=settings.concept,
        layers=settings.layers,
    )


def preparation(preprocessing: Preprocessing, *, channels: int) -> Callable[[Tensor], Tensor]:
    """Images `[B, C, S, S]` in [-1, 1] to the network's input; UserError where it is for another number of channels."""
    mean, std = (torch.tensor(part)[:, None, None] for part in (preprocessing.mean, preprocessing.std))
    if {len(mean), len(std)} - {1, channels}:
        raise UserError(f"first_stage.preprocessing: the images have {channels} channels; give one number for each")

    def prepare(images: Tensor) -> Tensor:
        # networks that call view() need the usual order in memory
        return (((images + 1) / 2 - mean.to(images)) / std.to(images)).contiguous()

    return prepare


def divided_at(network: nn.Module, settings: OwnSettings, x: Tensor) -> tuple[Split, int]:
    """The network divided at its layer, and the number of its outputs; `x` is an input `[B, C, S, S]`.

    Raises UserError where the network does not take `x`, gives no logits, or cannot be interpreted at a layer.
    """
    try:
        divided = split(network, settings.layer, x, layout=settings.layout)
        answer = divided.answer(x)
        layer_outputs(network, settings.layers, x, layout=settings.layout)
    except UserError as error:
        raise UserError(f"first_stage: {error}") from None
    except Exception as error:  # the network is the user's
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(
            f"first_stage: {settings.factory} fails for images {[*x.shape[1:]]} ({reason:.200}): correct the network, "
            "or dataset.image_size (--image-size)"
        ) from error
    if divided.bypassed:
        raise UserError(
            f"first_stage.layer: paths around {settings.layer} lead to the network's answer, so it alone does not "
            "decide the answer: name a layer that all paths go through, or use reproduce.split in Python"
        )
    if answer.ndim != 2 or answer.shape[1] < 2:
        raise UserError(
            f"first_stage.factory: the network answers with {[*answer.shape]}: logits [B, n] of at least 2 classes "
            "are needed"
        )
    return divided, answer.shape[1]


def _grouped(groups: Mapping[str, Sequence[int]], values: Sequence[str], *, n: int) -> Callable[[Tensor], Tensor]:
    """Outputs `[B, n]` to one logit for each value: the log of the summed probabilities of the outputs that mean it."""
    if set(groups) != set(values):
        raise UserError(f"first_stage.outputs: the values are {', '.join(values)}; the keys are {', '.join(groups)}")
    if wrong := [index for group in groups.values() for index in group if index >= n]:
        raise UserError(f"first_stage.outputs: {wrong[0]}: the network has {n} outputs, numbered from 0")

    def summarise(outputs: Tensor) -> Tensor:
        return torch.stack([outputs[:, list(groups[value])].logsumexp(1) for value in values], 1)

    return summarise
