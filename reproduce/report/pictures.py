"""The figures in the page: each as a small copy, with our numbers in words; and the sheet of mixtures."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from reproduce.files import read_json
from reproduce.report.formats import kind_of, show
from reproduce.report.numbers import Figure, declarations
from reproduce.report.published import NOTHING, Published
from reproduce.report.runs import Run, concepts, run_name, value

_QUALITY, _MIX_QUALITY = 65, 80  # an eighth of the PNG, which stands beside the page
_WIDE = 1000  # a picture of more pixels is legible only over the width of the whole column
_NAMES = {"z_tilde": "z̃", "inception": "FID, Inception features", "classifier": "features of the judge"}

Picture = dict[str, Any]
"""One figure of one run: the run's `name`, the `uri`, the `size`, `alt` and `caption`, the `link` to its own file, and
whether it `moves` and is `wide`, which is shown over the width of the whole column."""


def _encoded(path: Path, *, quality: int = _QUALITY) -> tuple[str, tuple[int, int]]:
    """A picture as WebP in a data URI, with its size; a file that is WebP already (an animation) as it is."""
    small = io.BytesIO(path.read_bytes())
    with Image.open(path) as image:
        if image.format != "WEBP":
            small = io.BytesIO()
            image.convert("RGB").save(small, "WEBP", quality=quality, method=6)
        return f"data:image/webp;base64,{base64.b64encode(small.getvalue()).decode('ascii')}", image.size


def _numbers(run: Run, place: str) -> str:
    """What stands at `place`, or at every name that `*` stands for: `0.5 (factor digit), 0.1 (residual)`; or ''."""
    before, *after = (part.strip(".").split(".") for part in place.split("*"))
    if not after:
        number = value(run, *before)
        return "" if number is None else show(number, kind_of(place))
    parts, names = [], {**{concept: f"factor {concept}" for concept in concepts([run])}, **_NAMES}
    for name in value(run, *before) or {}:
        number = value(run, *before, name, *filter(None, after[0]))
        if number is not None and not isinstance(number, dict):
            parts.append(f"{show(number, kind_of(place.replace('*', name)))} ({names.get(name, name)})")
    return ", ".join(parts)


def _outcome(run: Run, factor: str) -> str:
    """What the numbers say about the swap of this factor, in one or two sentences."""
    size, total = run["dims"].get(factor, 0), sum(run["dims"].values())
    if size == 0:
        return f"The factor {factor} has none of the {total} dimensions, so the swap leaves each target as it is."
    if size == total:
        return f"The factor {factor} has all {total} dimensions, so the swap replaces the target as a whole."
    swapped = {name: value(run, "metrics", "swap", factor, name) for name in concepts([run])}
    found = [(name, name == factor, shares) for name, shares in swapped.items() if shares]
    parts = [f"shows the source's {name} in {show(shares['source'], 'share')}" for name, own, shares in found if own]
    kept = ", ".join(f"{name} in {show(shares['target'], 'share')}" for name, own, shares in found if not own)
    parts += [f"keeps the target's {kept}"] if kept else []
    said = f" The result {' and '.join(parts)} of the swaps." if parts else ""
    return f"The factor {factor} has {size} of {total} dimensions.{said}"


def _neighbours(run: Run) -> str:
    """What is predicted from the embeddings, and how well: see `evaluation.embedding.factor_accuracy`."""
    found, of_residual = _numbers(run, "metrics.embedding.*"), value(run, "metrics", "embedding", [*run["dims"]][-1])
    predicted = "the attribute of the factor" if of_residual is None else f"the {concepts([run])[0]}"
    return f"{predicted} with a class-balanced accuracy of {found}" if found else ""


def _directions(run: Run) -> str:
    parts = []
    for name, rates in (value(run, "metrics", "directions") or {}).items():
        low, high = min(rates, key=float), max(rates, key=float)
        first, last = (show(rates[amount], kind_of("metrics.directions")) for amount in (low, high))
        parts.append(f"from {first} at λ = {low.replace('-', '−')} to {last} at λ = {high} ({name})")
    return ", ".join(parts)


def _retrieval(run: Run) -> str:
    """How often the nearest images agree in each concept: in its own factor, in another, and by chance."""
    parts = []
    for concept in concepts([run]):
        shares = {factor: value(run, "metrics", "retrieval", factor, concept) for factor in run["dims"]}
        own, others = shares.pop(concept), [share for share in shares.values() if share is not None]
        chance = value(run, "metrics", "retrieval_chance", concept)
        said = {"{} in its own factor": own, "at most {} in another": max(others, default=None), "{} by chance": chance}
        found = [words.format(show(share, "share")) for words, share in said.items() if share is not None]
        parts += [f"{', '.join(found)} ({concept})"] if found else []
    return "; ".join(parts)


def _layers(run: Run) -> str:
    layers = list(run.get("layers", {}).values()) or [{"shares": {}}]
    first, last = layers[0]["shares"], layers[-1]["shares"]
    return ", ".join(f"from {show(first[name], 'share')} to {show(last[name], 'share')} ({name})" for name in first)


def _caption(figure: Figure, run: Run, factor: str) -> str:
    """The sentences of `figure.numbers` for which the run has numbers; or why it has none."""
    said, special = [], {"outcome": _outcome(run, factor or "class")}
    special |= {"directions": _directions(run), "neighbours": _neighbours(run), "retrieval": _retrieval(run)}
    special |= {"layers": _layers(run)}
    for sentence in figure.sentences:
        place = sentence.partition("{")[2].partition("}")[0]
        found = special[place] if place in special else _numbers(run, place)
        said += [sentence.replace(f"{{{place}}}", found)] if found else []
    if not said and concepts([run]) and not any(run["dims"][name] for name in concepts([run])):
        return "No concept has a dimension, so there is nothing to show."
    return " ".join(said).replace(" %", "\N{NO-BREAK SPACE}%")


def picture(run: Run, figures_dir: Path, file: str, *, factor: str = "") -> Picture | None:
    """The figure that `numbers.yaml` declares under `file`, of this run; None where the run has no such file."""
    figure = declarations().figures[file]
    path = figures_dir / run["experiment"] / run_name(run) / file.format(factor=factor)
    if not path.is_file():
        return None
    whole, caption = path.with_name(path.name.replace("_small", "")), _caption(figure, run, factor)
    link = (whole if whole.is_file() else path).relative_to(figures_dir).as_posix()
    title = ", ".join(filter(None, [figure.title, factor, run["experiment"], f"variant {run_name(run)}"]))
    uri, size = _encoded(path)
    about = {"name": run_name(run), "uri": uri, "size": size, "alt": f"{title}. {caption}".strip(), "caption": caption}
    return {**about, "link": quote(f"figures/{link}"), "moves": path.suffix == ".webp", "wide": size[0] > _WIDE}


def _paper(file: str, experiment: str, published: Published) -> str:
    """What the paper's figure shows, with its printed numbers."""
    text = declarations().figures[file].paper
    for theirs in published.get(experiment, NOTHING).response if file == "response.png" else ():
        sigmas = ", ".join(f"{sigma:g} ({name})" for name, sigma in theirs.sigma.items())
        differ = " and ".join(f"{count} ({name})" for name, count in theirs.differ.items())
        text += f" It prints these standard deviations of the predicted class's index: {sigmas}. "
        text += f"Of {theirs.answers:,} predictions, {differ} change."
    return text


def _preferred(names: Sequence[str]) -> str:
    """The run that is shown first: the official code's, or else the last."""
    return "code" if "code" in names else names[-1]


def blocks(runs: Sequence[Run], figures_dir: Path, published: Published) -> list[dict[str, Any]]:
    """The figures of one experiment that are there: for each, the pictures of every run that has it.

    A figure of which each factor has its own has several pictures per run. The page shows one of the `groups` at a
    time, first that of the run `shown`.
    """
    found, experiment = [], runs[0]["experiment"]
    for file, figure in declarations().figures.items():
        names = list(runs[0]["dims"]) if "{factor}" in file else [""]
        groups: dict[str, list[Picture]] = {}
        for run in runs:
            pictures = [of for name in names if (of := picture(run, figures_dir, file, factor=name))]
            groups |= {run_name(run): pictures} if pictures else {}
        if groups:
            several = any(len(own) > 1 or own[0]["wide"] or own[0]["moves"] for own in groups.values())
            block = {"id": f"{experiment}-{Path(file).stem.removesuffix('_{factor}')}", "file": file, "wide": several}
            block |= {"title": figure.title, "how": figure.how, "paper": _paper(file, experiment, published)}
            found.append(block | {"groups": groups, "shown": _preferred(list(groups))})
    return found


def mix(runs: Sequence[Run], figures_dir: Path) -> dict[str, Any] | None:
    """Every mixture of a few images' factors in one picture (`mix.png`), None where no run has it.

    Adds to what `mix.json` says of it the picture itself, how many `rows` of tiles it has, its run and its data.
    """
    preferred = _preferred([run_name(run) for run in runs])
    for run in sorted(runs, key=lambda run: run_name(run) != preferred):
        path = figures_dir / run["experiment"] / run_name(run) / "mix.png"
        if path.is_file():
            sheet = read_json(path.with_suffix(".json"))
            uri, (_, height) = _encoded(path, quality=_MIX_QUALITY)
            about = {"name": run["experiment"], "run": run_name(run), "dataset": run["dataset"]}
            return {**sheet, **about, "rows": height // sheet["tile"], "uri": uri}
    return None
