"""The figures in the page: each as a small copy, with how to read it, and our numbers beside the paper's."""

import base64
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image, ImageSequence

from reproduce.files import read_json
from reproduce.report.formats import kind_of, show
from reproduce.report.published import Published
from reproduce.report.runs import Run, concepts, factors, run_name, value

_QUALITY, _MIX_QUALITY = 75, 80  # an eighth of the PNG, which stands beside the page
_FRAMES, _FRAME_WIDTH, _FRAME_QUALITY = 16, 400, 50  # of an animation, which stands beside the page as a whole
_WIDE = 1000  # a picture of more pixels is legible only over the width of the whole column


@dataclass(frozen=True)
class Picture:
    """One figure of one run; `link` is the figure's own file, relative to the page."""

    name: str
    uri: str
    link: str
    size: tuple[int, int]
    alt: str
    caption: str
    moves: bool

    @property
    def wide(self) -> bool:
        """Whether it is shown over the width of the whole column."""
        return self.size[0] > _WIDE


@dataclass(frozen=True)
class Block:
    """The same figure of several runs, of which one is seen at a time; `shown` is the index of the first."""

    id: str
    title: str
    how: str
    paper: str
    pictures: Sequence[Picture]
    shown: int


def _encoded(image: Image.Image, *, quality: int = _QUALITY) -> tuple[str, tuple[int, int]]:
    """As WebP in a data URI, with its size; an animation has a few small frames at the pace that keeps its length."""
    small, count, size = io.BytesIO(), getattr(image, "n_frames", 1), image.size
    if count == 1:
        image.convert("RGB").save(small, "WEBP", quality=quality, method=6)
    else:
        step = math.ceil(count / _FRAMES)
        size = min(size, (_FRAME_WIDTH, round(image.height * _FRAME_WIDTH / image.width)))
        frames, milliseconds = [], 0
        for k, frame in enumerate(ImageSequence.Iterator(image)):
            if k % step == 0:
                frames.append(frame.convert("RGB").resize(size, Image.Resampling.LANCZOS))
            frame.load()  # the duration is known only after this
            milliseconds += frame.info["duration"]
        options = {"duration": round(milliseconds / len(frames)), "loop": 0, "quality": _FRAME_QUALITY, "method": 4}
        frames[0].save(small, "WEBP", save_all=True, append_images=frames[1:], **options)
    return f"data:image/webp;base64,{base64.b64encode(small.getvalue()).decode('ascii')}", size


_NAMES = {"z_tilde": "z̃", "inception": "FID, Inception features", "classifier": "features of our own classifier"}


def _numbers(run: Run, place: str) -> str:
    """The number at `place`, or those at every name that `*` stands for: `91.0 % (digit), 12.0 % (color)`."""
    before, *after = (part.strip(".").split(".") for part in place.split("*"))
    if not after:
        return show(value(run, *before), kind_of(place))
    parts = []
    for name in value(run, *before) or {}:
        number = value(run, *before, name, *filter(None, after[0]))
        if number is not None and not isinstance(number, dict):
            parts.append(f"{show(number, kind_of(place.replace('*', name)))} ({_NAMES.get(name, name)})")
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


def _directions(run: Run) -> str:
    parts = []
    for name, rates in (value(run, "metrics", "directions") or {}).items():
        low, high = (end(rates, key=float) for end in (min, max))
        first, last = (show(rates[amount], kind_of("metrics.directions")) for amount in (low, high))
        parts.append(f"from {first} at λ = {low.replace('-', '−')} to {last} at λ = {high} ({name})")
    return ", ".join(parts)


@dataclass(frozen=True)
class Figure:
    """A figure of the page: its file, heading, how it is read, our numbers in words, and what the paper's own shows.

    `{factor}` in the file and the heading stands for each factor in turn. In `numbers`, a place of the run's JSON in
    braces stands for the numbers there, `{outcome}` for those of the swap and `{directions}` for those of the
    directions; a sentence is left out where there are none.
    """

    file: str
    title: str
    how: str
    numbers: str
    paper: str = ""

    def caption(self, run: Run, factor: str) -> str:
        """Our numbers, in words."""
        said = []
        for sentence in re.split(r"(?<=\.) ", self.numbers):
            place = sentence.partition("{")[2].partition("}")[0]
            special = {"outcome": _outcome(run, factor or "class"), "directions": _directions(run)}
            found = special[place] if place in special else _numbers(run, place)
            said += [sentence.replace(f"{{{place}}}", found)] if found else []
        return " ".join(said).replace(" %", "\N{NO-BREAK SPACE}%")


_GRID = (
    "The left column holds the target images and the top row the source images. In each cell, one factor of the target "
    "is replaced by that of the source, and the"
)
FIGURES = (
    Figure(
        "swap_{factor}.png",
        "Swapping {factor}",
        f"{_GRID} decoder draws the result. The swapped factor should follow the column, all else the row.",
        "{outcome}",
    ),
    Figure(
        "predictions_{factor}.png",
        "Swapping {factor}",
        f"{_GRID} classifier predicts a class, tinted by whether it is the target's class, the source's or neither. "
        "Only the factor of the concept that the classes stand for should bring the source's class.",
        "{outcome}",
    ),
    Figure(
        "response.png",
        "The network's response",
        "One factor of one image is varied many times. The bars count the predicted classes on a logarithmic axis, and "
        "beside them stands the probability of the class that is predicted for the unchanged image. The factor of the "
        "concept that the classes stand for should spread the predictions over all classes; any other should leave one "
        "bar.",
        "The index of the predicted class has a standard deviation of {metrics.response.*.sigma}. "
        "The prediction changes in {metrics.response.*.flip_rate}. "
        "The entropy of the predictions, relative to its maximum, is {metrics.response.*.entropy}.",
        "In the paper's figure, on ColorMNIST, the digit's factor spreads the predictions almost evenly, and the other "
        "factors change hardly any.",
    ),
    Figure(
        "embedding.png",
        "Embeddings of the factors",
        "Each point is a held-out image, and each panel is about one concept. The vertical axis is the one-dimensional "
        "UMAP embedding of the concept's factor, the horizontal axis that of another factor, and the colour is the "
        "image's value of the concept. A factor that represents the concept sorts the colours from bottom to top, into "
        "bands if there are classes; a factor that doesn't, mixes them. The axes have no unit.",
        "In the embedding of a factor, leave-one-out k-nearest neighbours predict the class, or the factor's own "
        "attribute, with a class-balanced accuracy of {metrics.embedding.*}.",
        "The paper's figure, on ColorMNIST, shows ten horizontal bands, one for each digit.",
    ),
    Figure(
        "walk.png",
        "Random walk in one factor",
        "The points are the z of the held-out images, embedded by UMAP and coloured by class. The line is the path of "
        "one image while one factor follows a random walk (an Ornstein-Uhlenbeck process). A walk in the factor of the "
        "concept that the classes stand for should visit all clusters; any other should stay in one.",
        "The number of classes predicted along the walk is {metrics.walk.*.classes}. "
        "The first prediction is kept in {metrics.walk.*.stays} of the steps.",
        "In the paper's figure, on ColorMNIST, the walk in the digit's factor visits all ten clusters, and the walk in "
        "the colour's factor stays with the 7, except for a few jumps to the 9.",
    ),
    Figure(
        "linear.png",
        "Linear walks",
        "Each column leads in equal steps from the image at its top to the image at its bottom. The steps along a line "
        "in z̃, mapped back by T⁻¹, should look like the data; those along a line in z superimpose the two images.",
        "The judge gives some class a probability of at least 0.9 in {metrics.linear.*.softmax} of the midpoints. "
        "In random walks, it does so in {metrics.random_walk.*.softmax} of the steps.",
        "In the paper's figure, on MNIST, walks in z̃ pass through other digits, and those in z fade from one to the "
        "other.",
    ),
    Figure(
        "transfer.png",
        "Class transfer",
        "Each cell is decoded from the class factor of the image above its column and the residual of the image beside "
        "its row.",
        "{outcome}",
        "In the paper's figure, on AnimalFaces, the kind of animal follows the column and its pose the row.",
    ),
    Figure(
        "directions.png",
        "Directions of the attributes",
        "Each row shows one image, moved in z̃ along the mean difference between images with and without an attribute: "
        "from left to right, the attribute is removed, unchanged and added. Nothing else should change.",
        "The share of images that are judged to show the attribute changes {directions}.",
        "The paper's figure, on CelebA, shows two blocks of faces, and the lower one turns from serious to smiling.",
    ),
    Figure(
        "samples.png",
        "Interpolation and samples",
        "In the grid on the left, the corners are images, and the other cells are decoded from mixtures of their z̃. "
        "Each cell should look like the data and like its neighbours. The other grids show samples of N(0, 1): decoded "
        "directly, as from the autoencoder's prior, and decoded after T⁻¹, which should look like the data.",
        "The Fréchet distance of samples through T⁻¹ is {metrics.frechet.*}. "
        "For samples that are decoded directly, it is {metrics.frechet_prior.*}. "
        "For reconstructions, it is {metrics.frechet_reconstruction.*}.",
        "In the paper's figure, on CelebA, samples through T⁻¹ are whole faces, and samples decoded directly are not.",
    ),
    Figure(
        "factors_small.webp",
        "The factors in motion",
        "One factor after another moves from image to image, and the point moves with it in the factor's embedding.",
        "The numbers of dimensions are {dims.*}.",
        "The paper's project page has such videos of digits and of faces.",
    ),
    Figure(
        "training.png",
        "Training curve of T",
        "T is trained to minimise the negative log-likelihood (NLL).",
        "On held-out data, the mean NLL is {metrics.nll} nats at the end.",
    ),
)


def _paper(figure: Figure, experiment: str, published: Published) -> str:
    """What the paper's figure shows, with its printed numbers."""
    text = figure.paper
    printed = published[experiment].response if figure.file == "response.png" and experiment in published else ()
    for theirs in printed:
        sigmas = ", ".join(f"{sigma:g} ({name})" for name, sigma in theirs.sigma.items())
        differ = ", ".join(f"{count} ({name})" for name, count in theirs.differ.items())
        text += (
            f" The paper prints a standard deviation of {sigmas}; of {theirs.answers:,} predictions, {differ} change."
        )
    return text


def picture(run: Run, figures_dir: Path, figure: Figure, *, factor: str = "") -> Picture | None:
    """The figure of this run, None where it has no such file."""
    path = figures_dir / run["experiment"] / run_name(run) / figure.file.format(factor=factor)
    if not path.is_file():
        return None
    whole = path.with_name(path.name.replace("_small", ""))
    link = quote(f"figures/{(whole if whole.is_file() else path).relative_to(figures_dir).as_posix()}")
    caption = figure.caption(run, factor)
    alt = f"{figure.title.format(factor=factor)}, {run['experiment']}, variant {run_name(run)}. {caption}"
    with Image.open(path) as image:
        uri, size = _encoded(image)
    return Picture(run_name(run), uri, link, size, alt.strip(), caption, path.suffix == ".webp")


def _preferred(names: Sequence[str]) -> int:
    """The index of the run that is shown first: the official code's, or else the last."""
    return names.index("code") if "code" in names else len(names) - 1


def blocks(runs: Sequence[Run], figures_dir: Path, published: Published) -> list[Block]:
    """The figures of one experiment that are there."""
    found = []
    for figure in FIGURES:
        for factor in factors(runs) if "{factor}" in figure.file else [""]:
            pictures = [of for run in runs if (of := picture(run, figures_dir, figure, factor=factor))]
            if pictures:
                name = f"{runs[0]['experiment']}-{Path(figure.file.format(factor=factor)).stem}"
                title, paper = figure.title.format(factor=factor), _paper(figure, runs[0]["experiment"], published)
                found.append(Block(name, title, figure.how, paper, pictures, _preferred([of.name for of in pictures])))
    return found


def mix(runs: Sequence[Run], figures_dir: Path) -> dict[str, Any] | None:
    """Every mixture of a few images' factors in one picture (`mix.png` or `mix.webp`), None where no run has it.

    Adds to what `mix.json` says of it the picture itself, how many `rows` of tiles it has, and its data.
    """
    for run in [runs[_preferred([run_name(run) for run in runs])], *runs]:
        folder = figures_dir / run["experiment"] / run_name(run)
        for path in sorted(folder.glob("mix.[pw]*")):
            sheet = read_json(folder / "mix.json")
            with Image.open(path) as image:
                uri, (_, height) = _encoded(image, quality=_MIX_QUALITY)
            about = {"name": run["experiment"], "dataset": run["dataset"], "rows": height // sheet["tile"]}
            return {**sheet, **about, "uri": uri}
    return None
