"""Every figure of a run: the arrays that it needs, the function that draws it, and the files that it becomes."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from reproduce.figures.animation import Animation, animations
from reproduce.figures.density import directions_figure, linear_figure, samples_figure
from reproduce.figures.embedding import embedding_figure, walk_figure
from reproduce.figures.mix import mix_sheet
from reproduce.figures.response import response_figure
from reproduce.figures.retrieval import retrieval_figure
from reproduce.figures.style import save
from reproduce.figures.swap_grid import grid_figures
from reproduce.files import atomic_path, read_arrays, write_arrays, write_json

# the .npz files whose arrays a function draws; it returns a figure, named as the first of them, or several by file name
DRAWINGS = (
    (("grid",), grid_figures),
    (("retrieval",), retrieval_figure),
    (("embedding",), embedding_figure),
    (("response",), response_figure),
    (("linear",), linear_figure),
    (("samples",), samples_figure),
    (("directions",), directions_figure),
    (("walk",), walk_figure),
    (("mix",), mix_sheet),
    (("factors", "factors_images", "embedding"), animations),
)
_UNPUBLISHED = ("grid", "retrieval", "mix")  # the figure holds all that the arrays hold


def draw_all(evaluation: Path, run: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each figure that has its .npz files in the folder `evaluation`, and its first file's arrays, by file name."""
    for needs, draw in DRAWINGS:
        files = [evaluation / f"{name}.npz" for name in needs]
        if all(file.exists() for file in files):
            several = [read_arrays(file) for file in files]
            drawn = draw({key: array for arrays in several for key, array in arrays.items()}, run)
            yield from (drawn if isinstance(drawn, dict) else {f"{needs[0]}.png": drawn}).items()
            if needs[0] not in _UNPUBLISHED:
                yield files[0].name, several[0]


def save_as(path: Path, drawn: Any) -> None:
    """Write what `draw_all` gives: a figure, an animation, a lossless picture, arrays, or JSON."""
    if isinstance(drawn, Figure):
        save(drawn, path)
    elif isinstance(drawn, Animation):
        drawn.save(path)
    elif isinstance(drawn, Image.Image):
        with atomic_path(path) as temporary:
            drawn.save(temporary, format="PNG", optimize=True)
    elif path.suffix == ".npz":
        write_arrays(path, drawn)
    else:
        write_json(path, drawn)
