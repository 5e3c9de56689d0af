"""`paper_configs/pipeline.yaml`: what `dvc repro` runs; and how it is written."""

from collections.abc import Iterable, Sequence

from pydantic import model_validator

from reproduce.config import DENSITY, load_experiment, load_run
from reproduce.errors import UserError
from reproduce.files import shown, write_text
from reproduce.paths import CONFIGS, PIPELINE
from reproduce.schema import Strict, read_yaml, validated

VARIANTS = ("paper", "normalised", "code")
# the paper's order, in which the page shows them
_ORDER = (
    *("colormnist_ae", "colormnist_classifier", "celeba_ae", "animalfaces_ae", "animalfaces_classifier"),
    *("mnist", "fashionmnist", "cifar10", "celeba"),
)

_HEADER = """\
# What `dvc repro` runs. `reproduce select` writes this file; it may also be edited by hand.
#   reproduce select embedded                         every experiment, in paper, normalised and code (or in density)
#   reproduce select full celeba_ae --variants code --seeds 0 1 2
#   reproduce select embedded colormnist_ae --variants code --seeds 1 --add       beside what is there already
"""


class ExperimentEntry(Strict):
    """The file `paper_configs/<profile>/<experiment>.yaml`; `data` is the module of its data set."""

    profile: str
    experiment: str
    data: str

    @property
    def key(self) -> str:
        return f"{self.profile}-{self.experiment}"


class RunEntry(ExperimentEntry):
    """One run: an entry of variants.yaml (`variant`), and its `name` in results/, as in `code-seed1`."""

    variant: str
    name: str

    @property
    def key(self) -> str:
        return f"{super().key}-{self.name}"


class Pipeline(Strict):
    """The whole file; the keys of `experiments` and `runs` are what DVC's stages are called by."""

    profiles: tuple[str, ...]
    experiments: dict[str, ExperimentEntry]
    runs: dict[str, RunEntry]

    @model_validator(mode="after")
    def _consistent(self) -> "Pipeline":
        for key, entry in (*self.experiments.items(), *self.runs.items()):
            if key != entry.key:
                raise ValueError(f"{key}: this entry describes {entry.key}; both must be the same")
        for key, run in self.runs.items():
            if f"{run.profile}-{run.experiment}" not in self.experiments:
                raise ValueError(f"{key}: its experiment is not among `experiments`")
            if run.name.partition("-seed")[0] != run.variant:
                raise ValueError(f"{key}: the name {run.name} is not one of the variant {run.variant}")
        if set(self.profiles) != {run.profile for run in self.runs.values()}:
            raise ValueError(
                "profiles: they are not those of the runs; `reproduce select PROFILE` writes the file anew"
            )
        return self

    def runs_of(self, profile: str) -> list[tuple[str, str]]:
        """Experiment and run name of every run of a profile, in the order of the file."""
        return [(run.experiment, run.name) for run in self.runs.values() if run.profile == profile]


def load_pipeline() -> Pipeline:
    """The file; UserError where it is missing or broken."""
    return validated(Pipeline, read_yaml(PIPELINE), PIPELINE)


def in_order(experiments: Iterable[str]) -> list[str]:
    """The names in the paper's order; others follow by name."""
    return sorted(experiments, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))


def select(
    profile: str,
    experiments: Sequence[str] = (),
    *,
    variants: Sequence[str] = (),
    seeds: Sequence[int] = (0,),
    add: bool = False,
) -> str:
    """Write pipeline.yaml, and return a sentence that says what it holds.

    Without `experiments` all of the profile are selected; without `variants` the paper's three. An experiment without
    concepts always has the one variant `density`. `add` keeps the entries that the file has.

    Raises UserError for a profile, an experiment or a variant that does not exist, before anything is written.
    """
    if not (CONFIGS / profile).is_dir():
        profiles = ", ".join(sorted(path.name for path in CONFIGS.iterdir() if path.is_dir()))
        raise UserError(f"there is no profile {profile!r} in {shown(CONFIGS)}; there are {profiles}")
    there = [path.stem for path in (CONFIGS / profile).glob("*.yaml")]
    before = load_pipeline() if add else Pipeline(profiles=(), experiments={}, runs={})
    entries, runs = dict(before.experiments), dict(before.runs)
    for name in experiments or in_order(there):
        config = load_experiment(profile, name)
        entry = {"profile": profile, "experiment": name, "data": config.dataset.name}
        entries[f"{profile}-{name}"] = ExperimentEntry(**entry)
        for variant in (variants or VARIANTS) if config.concepts else (DENSITY,):
            for seed in seeds:
                run = variant if seed == 0 else f"{variant}-seed{seed}"
                load_run(profile, name, run)
                runs[f"{profile}-{name}-{run}"] = RunEntry(**entry, variant=variant, name=run)
    lines = [_HEADER, "profiles:", *(f"- {name}" for name in dict.fromkeys([*before.profiles, profile]))]
    for section, content in (("experiments", entries), ("runs", runs)):  # with one line for each entry, as a table
        lines += ["", f"{section}:"]
        for key, chosen in content.items():
            fields = ", ".join(f"{name}: {value}" for name, value in chosen.model_dump().items())
            lines.append(f"  {key}: {{{fields}}}")
    write_text(PIPELINE, "\n".join(lines) + "\n")
    return f"{shown(PIPELINE)}: {len(entries)} experiment(s) in {len(runs)} run(s); `dvc repro` runs them"
