"""Every figure of a run: the arrays that it needs, the function that draws it, and the files that it becomes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from reproduce.figures.animation import Animation, animations
from reproduce.figures.density import directions_figure, linear_figure, samples_figure
from reproduce.figures.embedding import embedding_figure, walk_figure
from reproduce.figures.mix import mix_sheet
from reproduce.figures.response import response_figure
from reproduce.figures.style import Arrays, Titles, save
from reproduce.figures.swap_grid import grid_figures
from reproduce.files import atomic_path, read_arrays, write_arrays, write_json


@dataclass(frozen=True)
class Drawing:
    """How some arrays of the evaluation are drawn.

    Attributes:
        draw: takes the arrays, the run's JSON and what titles name; returns a figure, which is `<needs[0]>.png`, or
            several things to be saved by the names of their files.
        needs: the names of the .npz files whose arrays `draw` takes; without one of them nothing is drawn.
        published: whether the first of these files is copied beside the figure.
    """

    draw: Callable[[Arrays, Mapping[str, Any], Titles], Any]
    needs: tuple[str, ...]
    published: bool = True


DRAWINGS = (
    Drawing(grid_figures, ("grid",), published=False),
    Drawing(embedding_figure, ("embedding",)),
    Drawing(response_figure, ("response",)),
    Drawing(linear_figure, ("linear",)),
    Drawing(samples_figure, ("samples",)),
    Drawing(directions_figure, ("directions",)),
    Drawing(walk_figure, ("walk",)),
    Drawing(mix_sheet, ("mix",), published=False),
    Drawing(animations, ("factors", "factors_images", "embedding")),
)


def draw_all(evaluation: Path, run: Mapping[str, Any], titles: Titles) -> Iterator[tuple[str, Any]]:
    """What can be drawn of the .npz files in the folder `evaluation`, each thing with the name of its file."""
    for drawing in DRAWINGS:
        files = [evaluation / f"{name}.npz" for name in drawing.needs]
        if all(file.exists() for file in files):
            several = [read_arrays(file) for file in files]
            arrays = {key: array for one in several for key, array in one.items()}
            drawn = drawing.draw(arrays, run, titles)
            yield from (drawn if isinstance(drawn, dict) else {f"{drawing.needs[0]}.png": drawn}).items()
            if drawing.published:
                yield files[0].name, several[0]


def save_as(path: Path, drawn: Any) -> None:
    """Write what `draw_all` gives: a figure, an animation, a picture without loss, arrays, or JSON."""
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
