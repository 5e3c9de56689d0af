"""The figures in the page: each as a small copy, with what it shows in words, and its numbers beside the paper's."""

import base64
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from PIL import Image, ImageSequence

from reproduce.report.formats import kind_of, show
from reproduce.report.published import Published
from reproduce.report.runs import Run, concepts, factors, run_name, value

_QUALITY = 75  # an eighth of the PNG, which stands beside the page
# of an animation, whose whole stands beside the page
_FRAMES, _FRAME_WIDTH, _FRAME_QUALITY = 16, 400, 50
# what is wider, in itself or in pixels, has words and panels that need the whole column
_WIDE_SHAPE, _WIDE_PIXELS = 1.6, 1000


@dataclass(frozen=True)
class Picture:
    """A figure in the page, with what it shows said in words; `link`: the whole, a file beside the page."""

    title: str
    uri: str
    link: str
    width: int
    height: int
    alt: str
    caption: str

    @property
    def wide(self) -> bool:
        """Whether it needs the width of the column."""
        return self.width > _WIDE_SHAPE * self.height or self.width > _WIDE_PIXELS


@dataclass(frozen=True)
class Block:
    """The same figure of several runs, to be seen one after the other in one place; `shown` is the first to be seen.

    `how`: how to read it. `paper`: what the paper's own shows; empty where there is nothing to tell.
    """

    id: str
    title: str
    how: str
    paper: str
    pictures: Sequence[Picture]
    shown: int
    moves: bool = False


def _encoded(image: Image.Image) -> tuple[bytes, tuple[int, int]]:
    """As WebP; of an animation a few frames, small, at the pace that keeps its length."""
    small, count = io.BytesIO(), getattr(image, "n_frames", 1)
    if count == 1:
        image.convert("RGB").save(small, "WEBP", quality=_QUALITY, method=6)
        return small.getvalue(), image.size
    step = math.ceil(count / _FRAMES)
    size = min(image.size, (_FRAME_WIDTH, round(image.height * _FRAME_WIDTH / image.width)))
    frames, milliseconds = [], 0
    for k, frame in enumerate(ImageSequence.Iterator(image)):
        if k % step == 0:
            frames.append(frame.convert("RGB").resize(size, Image.Resampling.LANCZOS))
        frame.load()  # which is what reads its duration
        milliseconds += frame.info["duration"]
    pace = round(milliseconds / len(frames))
    frames[0].save(
        small, "WEBP", save_all=True, append_images=frames[1:], duration=pace, loop=0, quality=_FRAME_QUALITY, method=4
    )
    return small.getvalue(), size


def _picture(path: Path, link: str, title: str, alt: str, caption: str) -> Picture | None:
    if not path.is_file():
        return None
    with Image.open(path) as image:
        data, (width, height) = _encoded(image)
    uri = f"data:image/webp;base64,{base64.b64encode(data).decode('ascii')}"
    return Picture(title, uri, link, width, height, alt, caption)


def _block(
    runs: Sequence[Run],
    figures_dir: Path,
    file: str,
    *,
    title: str,
    how: str,
    paper: str,
    alt: Callable[[Run], str],
    caption: Callable[[Run], str],
    whole: str | None = None,
) -> list[Block]:
    """One block with the pictures of all runs that have the file, or none; `whole`: what `file` is a small copy of."""
    found = {}
    for run in runs:
        path = figures_dir / run["experiment"] / run_name(run) / file
        linked = path.with_name(whole) if whole and path.with_name(whole).is_file() else path
        link = quote(f"figures/{linked.relative_to(figures_dir).as_posix()}")
        described = f"{title}, {run['experiment']}, variant {run_name(run)}: {alt(run)}".rstrip(": ")
        if picture := _picture(path, link, run_name(run), described, caption(run)):
            found[run_name(run)] = picture
    names, stem = list(found), Path(file).stem
    if not names:
        return []
    shown = names.index("code") if "code" in names else len(names) - 1
    identity = f"{runs[0]['experiment']}-{stem}"
    return [Block(identity, title, how, paper, list(found.values()), shown, file.endswith(".webp"))]


def _outcome(run: Run, swapped: str) -> str:
    """What the numbers say about swapping this factor, in words."""
    size, total = run["dims"].get(swapped, 0), sum(run["dims"].values())
    parts = []
    for name in concepts([run]):
        side, verb = ("source", "follows the source") if name == swapped else ("target", "stays with the target")
        share = value(run, "metrics", "swap", swapped, name, side)
        if share is not None:
            parts.append(f"{name} {verb} in {show(share, 'share')}".replace(" %", "\N{NO-BREAK SPACE}%"))
    text = f"{size} of {total} dimensions{': ' if parts else ''}{', '.join(parts)}."
    if size == 0:
        return f"{text} With no dimensions there is nothing to swap: every row repeats its target."
    if size == total:
        return f"{text} It holds everything, so swapping it replaces the target as a whole."
    return text


def swap_blocks(runs: Sequence[Run], figures_dir: Path) -> list[Block]:
    """`swap_<factor>.png` and `predictions_<factor>.png`, the factors in their order."""
    blocks: list[Block] = []
    for swapped in factors(runs):
        for kind, what in (("swap", "Swap grid"), ("predictions", "Predicted classes under the swap")):
            blocks += _block(
                [run for run in runs if swapped in run["dims"]],
                figures_dir,
                f"{kind}_{swapped}.png",
                title=f"Swapping {swapped}",
                how="",
                paper="",
                alt=lambda run, swapped=swapped, what=what: (  # type: ignore[misc]
                    f"{what}. The factor {swapped} of the target (left column) is replaced by that of the source (top "
                    f"row). {_outcome(run, swapped)}"
                ),
                caption=lambda run, swapped=swapped: _outcome(run, swapped),  # type: ignore[misc]
            )
    return blocks


def training_block(runs: Sequence[Run], figures_dir: Path) -> list[Block]:
    """`training.png`."""
    return _block(
        runs,
        figures_dir,
        "training.png",
        title="Training curve of T",
        how="",
        paper="",
        alt=lambda run: "",
        caption=lambda run: (
            f"Ends at {'a held-out pair NLL' if concepts([run]) else 'an NLL of single held-out latents'} of "
            f"{show(value(run, 'metrics', 'nll'), 'number')} nats."
        ),
    )


_WORDS = {"z_tilde": "z̃", "z": "z"}


def _told(run: Run, key: str, *, under: str = "") -> str:
    """The numbers below `metrics.<key>`, in words: `digit 91.0 %, color 12.0 %`; with `under`, that one of each."""
    found = value(run, "metrics", key)
    parts = []
    for name, inner in found.items() if isinstance(found, dict) else ():
        number = inner.get(under) if isinstance(inner, dict) else None if under else inner
        if number is not None and not isinstance(number, dict):
            kind = kind_of(f"metrics.{key}.{name}" + (f".{under}" if under else ""))
            parts.append(f"{_WORDS.get(name, name)} {show(number, kind)}")
    return ", ".join(parts).replace(" %", "\N{NO-BREAK SPACE}%")


def _labelled(*parts: tuple[str, str]) -> str:
    return " ".join(f"{label}: {text}." for label, text in parts if text)


def _response(run: Run) -> str:
    columns = (
        ("σ of the class index", "sigma"),
        ("Answers that differ", "flip_rate"),
        ("Entropy, of an even spread's", "entropy"),
    )
    return _labelled(*((label, _told(run, "response", under=key)) for label, key in columns))


def _samples(run: Run) -> str:
    return _labelled(
        ("Fréchet distance through T⁻¹", _told(run, "frechet")),
        ("Of decoded samples of the prior", _told(run, "frechet_prior")),
        ("Of reconstructions", _told(run, "frechet_reconstruction")),
    )


def _embedding(run: Run) -> str:
    # the residual has no attribute of its own
    *_, residual = run["dims"]
    own = value(run, "metrics", "embedding", residual) is None
    label = "An attribute told from its own factor" if own else "The class told from the factor"
    return _labelled((f"{label}, by the nearest neighbours in its embedding", _told(run, "embedding")))


def _walk(run: Run) -> str:
    columns = (("Classes visited by a walk in", "classes"), ("Steps that keep the first answer", "stays"))
    return _labelled(*((label, _told(run, "walk", under=key)) for label, key in columns))


def _linear(run: Run) -> str:
    columns = (("Midpoints that the judge is sure of", "linear"), ("Steps of random walks", "random_walk"))
    return _labelled(*((label, _told(run, key, under="softmax")) for label, key in columns))


def _directions(run: Run) -> str:
    parts = []
    for name, rates in (value(run, "metrics", "directions") or {}).items():
        low, high = (end(rates, key=float) for end in (min, max))
        first, last = (show(rates[amount], kind_of("metrics.directions")) for amount in (low, high))
        parts.append(f"{name} from {first} at λ = {low.replace('-', '−')} to {last} at {high}")
    told = _labelled(("Judged to show the attribute", ", ".join(parts)))
    return told.replace(" %", "\N{NO-BREAK SPACE}%")


def _sizes(run: Run) -> str:
    return _labelled(("Dimensions", ", ".join(f"{name} {size}" for name, size in run["dims"].items())))


@dataclass(frozen=True)
class _Kind:
    """A figure by its file: its heading, how it is read, what the paper's shows, and our numbers for it.

    `whole`: the file of which this one is a small copy for the page.
    """

    file: str
    title: str
    how: str
    paper: str
    numbers: Callable[[Run], str]
    whole: str | None = None


_KINDS = (
    _Kind(
        "response.png",
        "The network's response",
        "One input, and many variants of it in which a single factor was changed. For each factor: how often the "
        "classifier gives which answer, on a logarithmic axis, and how likely it still finds its first one. The factor "
        "of what the classes stand for should spread the answers over all classes, any other should leave a single "
        "bar.",
        "In the paper, on ColorMNIST: the digit's factor spreads the answers nearly evenly, and hardly any changes "
        "under the colour's factor or the residual.",
        _response,
    ),
    _Kind(
        "embedding.png",
        "Embeddings of the factors",
        "Each point is a held-out image. A panel is about one concept: the one-dimensional embedding (UMAP) of its "
        "factor goes upward, that of another factor to the right. The points are coloured by the concept: by class, "
        "with or without the attribute, or in the colour itself. A factor that holds the concept sorts these colours "
        "upward, into bands where there are classes; one that knows nothing of it mixes them. The axes have no unit.",
        "In the paper, on ColorMNIST: ten horizontal bands, one a digit, across all values of the colour.",
        _embedding,
    ),
    _Kind(
        "walk.png",
        "A random walk in one factor",
        "All held-out z as points in two dimensions (UMAP), coloured by class, and over them the way of one image "
        "while a single factor wanders (an Ornstein-Uhlenbeck process). A walk in the concept that the classes stand "
        "for should visit their clusters, a walk in another factor should stay in its own.",
        "In the paper, on ColorMNIST: the walk in the digit's factor visits all ten clusters; that in the colour's "
        "stays with the 7, with a few jumps to the 9.",
        _walk,
    ),
    _Kind(
        "linear.png",
        "Linear walks",
        "Each column goes in equal steps from one image (top) to another (bottom). Along a straight line in z̃, mapped "
        "back by T⁻¹, every step should be an image of the data; along a straight line in z the two ends show through "
        "each other.",
        "In the paper, on MNIST: walks in z̃ turn one digit into the other by way of digits; walks in z fade one into "
        "the other.",
        _linear,
    ),
    _Kind(
        "transfer.png",
        "Class transfer",
        "The top row gives the class, the left column everything else. A cell is decoded from the class's factor of "
        "its column and the residual of its row.",
        "In the paper, on AnimalFaces: a three by three grid; the animal's kind follows the column, its pose the row.",
        lambda run: _outcome(run, "class"),
    ),
    _Kind(
        "directions.png",
        "Directions of the attributes",
        "Each row is one image, moved in z̃ along the mean difference between images with and without an attribute; the "
        "columns go from the attribute taken away, over the image itself, to the attribute added. Nothing else should "
        "change.",
        "In the paper, on CelebA: two blocks of faces in seven columns; the lower one goes from serious to smiling.",
        _directions,
    ),
    _Kind(
        "samples.png",
        "Interpolation and samples",
        "Left, the corners are images, and what lies between is decoded from the mixtures of their z̃: every cell "
        "should be as good an image as the corners, and neighbours should be alike. Then samples of N(0, 1): decoded "
        "directly, as the autoencoder's prior would have it, and right, through T⁻¹ first, which should look like the "
        "data.",
        "In the paper, on CelebA: a grid of faces between four; samples that are broken when decoded directly, and "
        "whole through T⁻¹.",
        _samples,
    ),
    _Kind(
        "factors_small.webp",
        "The factors in motion",
        "One factor at a time goes from image to image while the others rest; the point in the embeddings shows where "
        "it is.",
        "The paper's project page has such videos, of digits and of faces.",
        _sizes,
        "factors.webp",
    ),
)


def _paper(kind: _Kind, experiment: str, published: Published) -> str:
    """What the paper's figure shows, with its printed numbers."""
    text = kind.paper
    if kind.file == "response.png" and experiment in published:
        for theirs in published[experiment].response:
            sigmas = ", ".join(f"{name} {sigma:g}" for name, sigma in theirs.sigma.items())
            differ = ", ".join(f"{name} {count}" for name, count in theirs.differ.items())
            text += f" σ as printed ({theirs.source}): {sigmas}."
            text += f" Answers that differ, of {theirs.answers:,} as printed: {differ}."
    return text


def figure_blocks(runs: Sequence[Run], figures_dir: Path, published: Published) -> list[Block]:
    """The paper's other figures of one experiment, those that are there."""
    blocks: list[Block] = []
    for kind in _KINDS:
        blocks += _block(
            runs,
            figures_dir,
            kind.file,
            title=kind.title,
            how=kind.how,
            paper=_paper(kind, runs[0]["experiment"], published),
            alt=kind.numbers,
            caption=kind.numbers,
            whole=kind.whole,
        )
    return blocks
