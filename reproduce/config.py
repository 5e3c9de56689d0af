"""The schema of `paper_configs/`: every file is read strictly, every value checked, unknown keys refused.

What belongs to one data set, to T, to a training or to a measurement is defined where it is used; here it is composed.
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from reproduce.data.registry import AnyDataSet
from reproduce.data.shared.base import Count
from reproduce.dimensions import METHODS, Method
from reproduce.errors import UserError
from reproduce.evaluation.measurements import Evaluation
from reproduce.files import shown
from reproduce.intake.download import Downloads
from reproduce.intake.sources import Sources
from reproduce.likelihood import Variance
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.flow import FlowSize
from reproduce.own_network import OwnSettings
from reproduce.paths import CONFIGS, DOWNLOADS, MIRROR, experiment_config
from reproduce.schema import Strict, WordOrSection, read_yaml, validated
from reproduce.training.objective import AutoencoderObjective
from reproduce.training.optimisation import FlowTraining, NetworkTraining

Role = Literal["autoencoder", "classifier"]  # what the interpreted network answers with: images, or classes
DENSITY = "density"  # the variant of an experiment without concepts
_VARIANTS = CONFIGS / "variants.yaml"


class OfficialWeights(Strict):
    """The authors' own network: `checkpoint` names a member of an archive in `sources.yaml`."""

    checkpoint: str


class Network(Strict):
    """A network on images; its weights are shipped (in `pretrained/`), trained, or the authors'."""

    source: WordOrSection[Literal["shipped", "train"], OfficialWeights]
    width: PositiveInt
    precision: Literal["float16", "float32"]
    training: NetworkTraining
    network_type: ClassVar[type[Autoencoder | Classifier]] = Classifier


class Judge(Network):
    """A classifier that is trained only to judge decoded images; `balanced`: see `train_classifier`'s `frequencies`."""

    source: Literal["shipped", "train"]
    balanced: bool


class AutoencoderStage(Network):
    """An autoencoder as the interpreted network, and the judge of the images that it decodes."""

    kind: Literal["autoencoder"]
    role: ClassVar[Role] = "autoencoder"
    layer: ClassVar[None] = None
    latent_dim: Count
    objective: AutoencoderObjective
    judge: Judge
    network_type: ClassVar[type[Autoencoder | Classifier]] = Autoencoder

    @model_validator(mode="after")
    def _reached(self) -> "AutoencoderStage":
        adversarial = self.objective.adversarial
        if adversarial is not None and adversarial.start >= self.training.steps:
            raise ValueError(
                f"objective.adversarial.start={adversarial.start} lies beyond training.steps={self.training.steps}: "
                "the discriminator would never be used"
            )
        return self


class ClassifierStage(Network):
    """A classifier as the interpreted network; swaps are measured on its own prediction.

    `layer`: the submodule whose output is z; without it, that is the vector of `latent_dim` before the logits.
    """

    kind: Literal["classifier"]
    role: ClassVar[Role] = "classifier"
    latent_dim: Count
    layer: str | None = None


class ModuleStage(OwnSettings):
    """A network of the user's own as the interpreted one; swaps are measured on its predictions."""

    kind: Literal["module"]
    source: Literal["module"]
    role: ClassVar[Role] = "classifier"


AnyNetwork = AutoencoderStage | ClassifierStage | Judge


class Pool(Strict):
    """How many training images T learns from; `all` takes each of them once, and with `flip` its mirror image."""

    size: Count | Literal["all"]


class Pairs(Strict):
    """How often each concept is the shared one, and whether its values are shared equally often (`ConceptPairs`)."""

    balanced: bool
    weights: tuple[NonNegativeFloat, ...]


class Experiment(Strict):
    """A file of `paper_configs/<profile>/`: a data set, a network on it, and T; `pairs: none` means no concepts."""

    title: str
    seed: NonNegativeInt
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:(0|[1-9]\d?))?)$")]
    dataset: AnyDataSet
    first_stage: Annotated[AutoencoderStage | ClassifierStage | ModuleStage, Field(discriminator="kind")]
    pool: Pool
    pairs: WordOrSection[Literal["none"], Pairs]
    flow: FlowSize
    training: FlowTraining
    evaluation: Evaluation

    @property
    def concepts(self) -> tuple[str, ...]:
        """The names of the concepts; none where T learns the density of the latents alone."""
        return () if self.pairs == "none" else self.dataset.concepts

    @model_validator(mode="after")
    def _fits(self) -> "Experiment":
        n, name = len(self.dataset.concepts), self.dataset.name
        if isinstance(self.pairs, Pairs) and (len(self.pairs.weights) != n or not any(self.pairs.weights)):
            raise ValueError(f"pairs.weights: {name} has {n} concept(s): give one number for each, not all 0")
        if self.first_stage.kind == "classifier" and not self.dataset.has_classes:
            raise ValueError(f"a classifier needs classes, {name} has attributes: set first_stage.kind: autoencoder")
        if isinstance(self.first_stage, ModuleStage) and self.first_stage.concept not in self.dataset.concepts:
            known = ", ".join(self.dataset.concepts)
            raise ValueError(f"first_stage.concept: {self.first_stage.concept} is no concept of {name}; it has {known}")
        self.dataset.check(whole_pool=self.pool.size == "all", paired=self.pairs != "none")
        self.evaluation.check(
            kind=self.first_stage.role,
            concepts=len(self.concepts),
            classes=self.dataset.n_classes,
            attributes=self.dataset.has_attributes,
            has_classes=self.dataset.has_classes,
        )
        return self


def _dims(value: Any) -> Any:
    if isinstance(value, list | tuple) and value and all(type(size) is int and size >= 0 for size in value):
        return tuple(value)
    if value in (*METHODS, "equal"):
        return value
    raise ValueError(f"one of {', '.join(METHODS)}, equal, or a list of sizes with the residual last is needed")


class Variant(Strict):
    """One bundle of the choices in which the paper and the official code differ (`paper_configs/variants.yaml`)."""

    description: str
    dims: Annotated[Method | Literal["equal"] | tuple[int, ...], BeforeValidator(_dims)]
    n_pairs: Count
    variance: Variance
    half: bool


class NamedVariant(Variant):
    """A variant as a run has it: by name, with the seed of T."""

    name: str
    seed: NonNegativeInt


def load_experiment(profile: str, experiment: str) -> Experiment:
    """`paper_configs/<profile>/<experiment>.yaml`."""
    path = experiment_config(profile, experiment)
    if not path.exists():
        known = ", ".join(sorted(f"{file.parent.name}/{file.stem}" for file in CONFIGS.glob("*/*.yaml")))
        raise UserError(f"there is no {shown(path)}; known are {known}")
    config = validated(Experiment, read_yaml(path), path)
    if isinstance(source := config.first_stage.source, OfficialWeights):
        sources = all_sources()
        kind = sources.sources[sources.archive_of(source.checkpoint)].members[source.checkpoint].kind
        if kind != config.first_stage.kind:
            raise UserError(
                f"{shown(path)}: first_stage.source.checkpoint: {source.checkpoint} is of the kind {kind}, "
                f"first_stage.kind is {config.first_stage.kind}"
            )
    return config


def all_sources() -> Sources:
    """`paper_configs/sources.yaml`."""
    path = CONFIGS / "sources.yaml"
    return validated(Sources, read_yaml(path), path)


def all_downloads() -> Downloads:
    """The files of `paper_configs/sources.yaml`, below `downloads/`."""
    return Downloads(sources=all_sources().sources, folder=DOWNLOADS, mirror=MIRROR)


def obtain(name: str) -> Path:
    """The file of the source `name`; it is fetched, and announced before, if it is not there."""
    downloads = all_downloads()
    downloads.announce([name])
    return downloads.obtain(name)


def load_variant(name: str) -> NamedVariant:
    """The entry of `paper_configs/variants.yaml` that `name` asks for; `code-seed1` is `code` with seed 1."""
    base, _, seed = name.partition("-seed")
    variants = read_yaml(_VARIANTS)
    if not isinstance(variants, dict) or base not in variants:
        raise UserError(f"{shown(_VARIANTS)} has no variant {base!r}; it has {', '.join(map(str, variants or ()))}")
    if name != base and (not seed.isdecimal() or seed != str(int(seed)) or seed == "0"):
        raise UserError(f"variant {name!r}: a further seed is a number from 1 on, as in {base}-seed1")
    variant = validated(Variant, variants[base], _VARIANTS, prefix=base)
    return NamedVariant(**dict(variant), name=base, seed=int(seed or 0))


def load_run(profile: str, experiment: str, variant: str) -> tuple[Experiment, NamedVariant]:
    """The experiment and the variant of one run; UserError where one of them does not exist or they do not fit."""
    config, choice = load_experiment(profile, experiment), load_variant(variant)
    if bool(config.concepts) == (variant.partition("-seed")[0] == DENSITY):
        has = "has concepts" if config.concepts else "has no concepts"
        raise UserError(
            f"{shown(experiment_config(profile, experiment))} {has}: the variant {DENSITY}, and no other, is for "
            "experiments without concepts"
        )
    return config, choice
