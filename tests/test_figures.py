"""What stands where in a figure is what was computed for it; equal figures are equal files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from PIL import Image

from reproduce.errors import UserError
from reproduce.figures.curves import training_curve
from reproduce.figures.density import directions_figure, linear_figure, samples_figure
from reproduce.figures.embedding import embedding_figure, walk_figure
from reproduce.figures.mix import mix_sheet
from reproduce.figures.registry import save_as
from reproduce.figures.response import response_figure
from reproduce.figures.retrieval import retrieval_figure
from reproduce.figures.style import mosaic, save, styled
from reproduce.figures.swap_grid import grid_figures
from reproduce.files import read_json, write_arrays, write_json
from reproduce.paths import RunPlaces
from reproduce.stages import figures

ROWS, COLUMNS, SIZE = 2, 3, 4
DATASET = "Drawn things (rendered stand-in)"
TITLES = {"dataset": DATASET, "name": "code"}
PAIRS = {**TITLES, "dims": {"digit": 14, "residual": 50}}


@pytest.fixture(autouse=True)
def drawn() -> Iterator[None]:
    with styled():
        yield
    plt.close("all")


def plain(*colors: tuple[int, int, int]) -> np.ndarray:
    """One-coloured images uint8 `[n, S, S, 3]`."""
    return np.array(colors, np.uint8)[:, None, None].repeat(SIZE, 1).repeat(SIZE, 2)


TARGETS = plain((250, 0, 0), (200, 0, 0))
SOURCES = plain((0, 250, 0), (0, 200, 0), (0, 150, 0))
CELLS = plain(*((10 * r, 20 * c, 255) for r in range(ROWS) for c in range(COLUMNS))).reshape(
    ROWS, COLUMNS, SIZE, SIZE, 3
)


GRID = {"targets": TARGETS, "sources": SOURCES}


def swaps(arrays: dict[str, np.ndarray], dataset: str = DATASET, factor: str = "digit", size: int = 14) -> Figure:
    run = {**TITLES, "dataset": dataset, "kind": "autoencoder", "dims": {factor: size}}
    return grid_figures({**GRID, "cells_0": CELLS, **arrays}, run)[f"swap_{factor}.png"]


def by_place(figure: Figure) -> np.ndarray:
    """The visible axes `[rows, columns]` as they lie on the page, from the top left."""
    visible = [ax for ax in figure.axes if ax.get_visible()]
    boxes = [ax.get_position(original=True) for ax in visible]
    places = [(round(-box.y0, 4), round(box.x0, 4)) for box in boxes]
    ys, xs = (sorted(set(values)) for values in zip(*places, strict=True))
    assert len(visible) == len(set(places)) == len(ys) * len(xs)
    grid = np.empty((len(ys), len(xs)), object)
    for ax, (y, x) in zip(visible, places, strict=True):
        grid[ys.index(y), xs.index(x)] = ax
    return grid


def data_in(ax: Axes) -> np.ndarray:
    (image,) = ax.images
    return np.asarray(image.get_array())


def written(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.texts)


def inputs_stand_at_the_borders(axes: np.ndarray) -> None:
    assert axes.shape == (ROWS + 1, COLUMNS + 1)
    for r in range(ROWS):
        np.testing.assert_array_equal(data_in(axes[r + 1, 0]), TARGETS[r])
    for c in range(COLUMNS):
        np.testing.assert_array_equal(data_in(axes[0, c + 1]), SOURCES[c])
    assert not axes[0, 0].images
    assert [text.get_text() for text in axes[0, 0].texts] == ["source →", "target ↓"]


def test_a_swap_grid_shows_each_cell_in_its_row_and_column() -> None:
    axes = by_place(swaps({}))
    inputs_stand_at_the_borders(axes)
    for r in range(ROWS):
        for c in range(COLUMNS):
            np.testing.assert_array_equal(data_in(axes[r + 1, c + 1]), CELLS[r, c])


def test_a_reader_sees_the_images_where_they_belong() -> None:
    figure = swaps({})
    figure.canvas.draw()
    page = np.asarray(figure.canvas.buffer_rgba())[::-1]  # type: ignore[attr-defined]
    axes = by_place(figure)
    whole = np.empty((ROWS + 1, COLUMNS + 1, 3), int)
    for place, ax in np.ndenumerate(axes):
        box = ax.get_window_extent()
        whole[place] = page[round((box.y0 + box.y1) / 2), round((box.x0 + box.x1) / 2), :3]
    np.testing.assert_array_equal(whole[1:, 0], TARGETS[:, 0, 0])
    np.testing.assert_array_equal(whole[0, 1:], SOURCES[:, 0, 0])
    np.testing.assert_array_equal(whole[1:, 1:], CELLS[:, :, 0, 0])


def test_grey_images_keep_their_grey_levels() -> None:
    targets, sources, cells = TARGETS[..., :1], SOURCES[..., 1:2], CELLS[..., :1]
    axes = by_place(swaps({"targets": targets, "sources": sources, "cells_0": cells}))
    for r in range(ROWS):
        for c in range(COLUMNS):
            np.testing.assert_array_equal(data_in(axes[r + 1, c + 1]), cells[r, c, :, :, 0])
    for ax in axes.flat:
        for image in ax.images:
            assert image.get_clim() == (0, 255)


TARGET_CLASSES, SOURCE_CLASSES = np.array([3, 5]), np.array([7, 8, 5])
PREDICTED = np.array([[7, 3, 9], [5, 8, 5]])
KINDS = [["source's", "target's", "neither"], ["target's", "source's", "both"]]


def predictions(names: list[str] | None = None, size: int = 14) -> Figure:
    arrays = {**GRID, "target_classes": TARGET_CLASSES, "source_classes": SOURCE_CLASSES, "cells_0": PREDICTED}
    named = {} if names is None else {"class_names": np.array(names)}
    run = {**TITLES, "kind": "classifier", "dims": {"digit": size}}
    return grid_figures({**arrays, **named}, run)["predictions_digit.png"]


def test_a_prediction_grid_writes_each_class_in_its_row_and_column() -> None:
    axes = by_place(predictions())
    inputs_stand_at_the_borders(axes)
    found = [[[text.get_text() for text in ax.texts] for ax in row] for row in axes[1:, 1:]]
    assert found == [[[str(predicted)] for predicted in row] for row in PREDICTED]
    assert not any(ax.images for ax in axes[1:, 1:].flat)


def test_a_prediction_is_written_by_name_and_fits_its_cell() -> None:
    names = [f"kind {k}" for k in range(9)] + ["bat-eared fox of the north"]
    figure = predictions(names)
    figure.canvas.draw()
    for place, ax in np.ndenumerate(by_place(figure)[1:, 1:]):
        (text,) = ax.texts
        assert text.get_text().split() == names[PREDICTED[place[0]][place[1]]].split()
        box, cell = text.get_window_extent(), ax.get_window_extent()
        assert cell.x0 < box.x0 < box.x1 < cell.x1
        assert cell.y0 < box.y0 < box.y1 < cell.y1


def test_the_tint_of_a_prediction_is_what_the_legend_says() -> None:
    figure = predictions()
    (legend,) = figure.legends
    colors = {
        text.get_text().split()[0]: patch.get_facecolor()
        for text, patch in zip(legend.get_texts(), legend.get_patches(), strict=True)
    }
    assert sorted(colors) == ["both", "neither", "source's", "target's"]
    assert len(set(colors.values())) == 4
    for place, ax in np.ndenumerate(by_place(figure)[1:, 1:]):
        assert to_rgba(ax.get_facecolor()) == colors[KINDS[place[0]][place[1]]], place


@pytest.mark.parametrize("size", [0, 14])
@pytest.mark.parametrize("kind", ["swap", "predictions"])
def test_a_grid_names_factor_size_variant_and_dataset(kind: str, size: int) -> None:
    figure = predictions(size=size) if kind == "predictions" else swaps({}, size=size)
    text = written(figure)
    assert "digit from the top row" in text
    assert f"variant code: {size} dimensions" in text
    assert DATASET in text
    assert ("nothing is swapped" in text) == (size == 0)


@pytest.mark.parametrize("dataset", [DATASET, "Rendered faces, a stand-in for CelebA " * 4])
def test_words_of_a_grid_overlap_neither_each_other_nor_an_image(dataset: str) -> None:
    figure = swaps({}, dataset, factor="Wearing_Necklace", size=0)
    figure.canvas.draw()
    assert " ".join(dataset.split()) in written(figure)
    boxes = [text.get_window_extent() for text in figure.texts]
    assert all(figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1 for box in boxes)
    assert all(box.y1 <= figure.bbox.y1 for box in boxes)
    boxes += [ax.get_window_extent() for ax in figure.axes if ax.get_visible()]
    for i, one in enumerate(boxes[: len(figure.texts)]):
        for other in boxes[i + 1 :]:
            assert not one.overlaps(other)


def test_larger_images_get_larger_cells() -> None:
    large = {**GRID, "cells_0": CELLS}
    large = {name: images.repeat(16, -2).repeat(16, -3) for name, images in large.items()}
    wide, narrow = swaps(large), swaps({})
    assert wide.get_figwidth() > narrow.get_figwidth()
    np.testing.assert_array_equal(data_in(by_place(wide)[2, 3]), large["cells_0"][1, 2])


QUERIES = plain((250, 250, 0), (0, 250, 250))


def retrieved(**dims: int) -> Figure:
    """Of each of two queries two images in the factor digit, others in the residual, none in the factor color."""
    arrays = {"queries": QUERIES, "nearest_digit": CELLS[:, :2], "nearest_color": np.empty(0)}
    arrays["nearest_residual"] = CELLS[:, 1:] + 1
    return retrieval_figure(arrays, {**TITLES, "dims": {"digit": 14, "color": 0, "residual": 50} | dims})


def blocks(figure: Figure) -> list[tuple[Axes, Axes]]:
    """The axes of each query and of its nearest images, from the top."""
    pairs = list(zip(figure.axes[::2], figure.axes[1::2], strict=True))
    assert pairs == sorted(pairs, key=lambda pair: -pair[1].get_position().y0)
    return pairs


def test_each_query_has_a_block_with_the_nearest_images_of_each_factor_in_a_row() -> None:
    pairs = blocks(retrieved())
    assert len(pairs) == len(QUERIES)
    for k, (own, block) in enumerate(pairs):
        np.testing.assert_array_equal(data_in(own), QUERIES[k])
        grey = np.full_like(CELLS[k, :2], 244)
        np.testing.assert_array_equal(data_in(block), mosaic(np.stack([CELLS[k, :2], grey, CELLS[k, 1:] + 1])))
        labels = dict(zip([text.get_text() for text in block.get_yticklabels()], block.get_yticks(), strict=True))
        assert list(labels) == ["digit\n14 dimensions", "color\n0 dimensions", "residual\n50 dimensions"]
        for row, y in enumerate(labels.values()):
            assert row * (SIZE + 1) - 0.5 < y < row * (SIZE + 1) + SIZE - 0.5
        (empty,) = block.texts
        assert empty.get_text() == "0 dimensions: all images are equally near"
        assert empty.get_position()[1] == labels["color\n0 dimensions"]
    words = " ".join(text.get_text() for text in retrieved().texts[::-1])  # the lowest line is written first
    assert words.startswith("Nearest images, variant code left: a query;")
    assert words.endswith(DATASET)


def test_a_factors_name_does_not_reach_the_query_and_blocks_do_not_touch() -> None:
    arrays = {"queries": QUERIES, "nearest_Wearing_Necklace_and_Tie": CELLS, "nearest_residual": CELLS}
    figure = retrieval_figure(arrays, {**TITLES, "dims": {"Wearing_Necklace_and_Tie": 14, "residual": 50}})
    figure.canvas.draw()
    pairs = blocks(figure)
    for own, block in pairs:
        box, image = own.get_window_extent(), block.get_window_extent()
        labels = [text.get_window_extent() for text in block.get_yticklabels()]
        assert all(box.x1 < label.x0 < label.x1 < image.x0 for label in labels)
        assert (box.y0 + box.y1) / 2 == pytest.approx((image.y0 + image.y1) / 2)
    upper, lower = (block.get_window_extent() for _, block in pairs)
    assert lower.y1 < upper.y0


def log(n: int = 40) -> pd.DataFrame:
    steps = np.arange(n) * 25
    loss = 3.0 + np.cos(steps / 100)
    loss[:3] = [5000.0, 900.0, 70.0][:n]
    return pd.DataFrame({"step": steps, "loss": loss, "rate": np.linspace(0, 1, n)})


def test_a_training_curve_is_the_log() -> None:
    (ax,) = training_curve(log(), PAIRS).axes
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xdata(), log()["step"])
    np.testing.assert_array_equal(line.get_ydata(), log()["loss"])
    low, high = ax.get_ylim()
    later = log()["loss"][4:]
    assert low < later.min()
    assert later.max() < high < 70
    words = " ".join([ax.get_title(), ax.get_xlabel(), ax.get_ylabel(), *(text.get_text() for text in ax.texts)])
    assert all(word in words for word in ("code", "step", "nats", DATASET))


def test_a_step_that_went_astray_does_not_flatten_a_training_curve() -> None:
    astray = log()
    astray.loc[len(astray) // 2, "loss"] = 4000.0
    (ax,) = training_curve(astray, {**TITLES, "dims": {"residual": 64}}).axes
    assert ax.get_ylim()[1] < 70
    assert "training latents" in ax.get_ylabel()


def test_a_long_title_of_a_training_curve_stays_inside() -> None:
    dataset = "Rendered faces, a stand-in for CelebA, drawn by this package " * 3
    figure = training_curve(log(), {**PAIRS, "dataset": dataset, "name": "normalised"})
    figure.canvas.draw()
    (ax,) = figure.axes
    (below,) = ax.texts
    assert below.get_text().split() == dataset.split()
    box, title = below.get_window_extent(), ax.title.get_window_extent()
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    # the title's own box includes the empty lines that the data set stands in
    line = ax.title.get_fontsize() * figure.dpi / 72
    assert ax.get_window_extent().y1 <= box.y0
    assert box.y1 <= title.y1 - line


def test_a_training_curve_of_a_single_step_is_drawn() -> None:
    figure = training_curve(log(1), PAIRS)
    figure.canvas.draw()
    assert len(figure.axes[0].lines[0].get_xdata()) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: swaps({}),
        predictions,
        lambda: training_curve(log(), PAIRS),
    ],
    ids=["swap", "predictions", "training"],
)
def test_equal_figures_are_equal_files(tmp_path: Path, draw: Any) -> None:
    for name in ("a", "b"):
        save(draw(), tmp_path / name / "figure.png")
    content = (tmp_path / "a/figure.png").read_bytes()
    assert content == (tmp_path / "b/figure.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert b"tEXt" not in content
    assert plt.get_fignums() == []


def test_another_cell_makes_another_file(tmp_path: Path) -> None:
    changed = CELLS.copy()
    changed[1, 2] = 0
    for name, cells in (("a", CELLS), ("b", changed)):
        save(swaps({"cells_0": cells}), tmp_path / name)
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("embedded", "nowhere", "code"), "there is no paper_configs/embedded/nowhere.yaml"),
        (("tiny", "colormnist_ae", "code"), "there is no paper_configs/tiny/colormnist_ae.yaml"),
        (("embedded", "colormnist_ae", "cod"), "has no variant 'cod'"),
    ],
)
def test_figures_of_the_unknown_are_a_users_mistake(names: tuple[str, str, str], says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        figures.run(*names)
    assert "\n" not in str(caught.value)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPlaces:
    """The inputs of the figures of one run, in a folder of its own."""
    monkeypatch.setattr("reproduce.paths.ROOT", tmp_path)
    places = RunPlaces("embedded", "colormnist_classifier", "code")
    places.flow.mkdir(parents=True)
    log().to_csv(places.flow / "training.csv")
    dims = {"class": 14, "residual": 50}
    write_json(places.evaluation / "run.json", {"kind": "classifier", "dims": dims, "dataset": "Rendered animals"})
    write_json(places.evaluation / "main.json", {"follows": 0.9})
    return places


@pytest.mark.parametrize("named", [True, False])
def test_the_stage_draws_a_classifier_with_and_without_names(
    places: RunPlaces, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = {"targets": TARGETS, "sources": SOURCES, "cells_0": PREDICTED, "cells_1": PREDICTED}
    arrays |= {"target_classes": TARGET_CLASSES, "source_classes": SOURCE_CLASSES}
    write_arrays(
        places.evaluation / "grid.npz", arrays | ({"class_names": np.array(list("abcdefghij"))} if named else {})
    )
    drawn: dict[str, Figure] = {}
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.update({path.name: figure}))
    monkeypatch.setattr(figures, "save_as", lambda path, figure: drawn.update({path.name: figure}))
    figures.run("embedded", "colormnist_classifier", "code")
    assert list(drawn) == ["training.png", "predictions_class.png", "predictions_residual.png"]
    found = [[ax.texts[0].get_text() for ax in row] for row in by_place(drawn["predictions_class.png"])[1:, 1:]]
    assert found == ([["h", "d", "j"], ["f", "i", "f"]] if named else PREDICTED.astype(str).tolist())


@pytest.mark.parametrize(("dims", "of"), [({"residual": 64}, "latents"), ({"class": 14, "residual": 50}, "pairs")])
def test_the_stage_says_whose_likelihood_the_curve_is(
    places: RunPlaces, dims: dict[str, int], of: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(places.evaluation / "run.json", {"kind": "classifier", "dims": dims, "dataset": "d"})
    drawn: dict[str, Figure] = {}
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.update({path.name: figure}))
    figures.run("embedded", "colormnist_classifier", "code")
    assert f"training {of} (nats)" in drawn["training.png"].axes[0].get_ylabel()


def test_the_stage_draws_the_layers_of_a_run_that_has_them(places: RunPlaces) -> None:
    run = read_json(places.evaluation / "run.json")
    run["layers"] = {"z": {"shape": [64, 1, 1], "shares": {"class": 0.25, "residual": 0.75}}}
    write_json(places.evaluation / "run.json", run)
    figures.run("embedded", "colormnist_classifier", "code")
    assert (places.figures / "layers.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("timed", [True, False])
def test_the_stage_publishes_numbers_and_the_arrays_of_figures(places: RunPlaces, timed: bool) -> None:
    samples = dict.fromkeys(("corners", "direct", "mapped"), CELLS)
    write_arrays(places.evaluation / "samples.npz", samples)
    write_arrays(places.evaluation / "mix.npz", mixed())
    if timed:
        write_json(places.machine_notes, {"evaluate_seconds": 3.5})
    figures.run("embedded", "colormnist_classifier", "code")
    assert places.metrics.read_bytes() == (places.evaluation / "run.json").read_bytes()
    assert read_json(places.headline) == {"follows": 0.9}
    assert places.machine.exists() == timed
    assert sorted(path.name for path in places.figures.iterdir()) == [
        *("mix.json", "mix.png", "samples.npz", "samples.png", "training.png"),
    ]
    assert (places.figures / "samples.npz").read_bytes() == (places.evaluation / "samples.npz").read_bytes()


def mixed(n: int = 30) -> dict[str, np.ndarray]:
    """Tiles of which each has its number for its level; two factors."""
    tiles = np.arange(n, dtype=np.uint8)[:, None, None, None].repeat(SIZE, 1).repeat(SIZE, 2).repeat(3, 3)
    labels = {"labels_0": np.array(["without", "with"]), "labels_1": np.array(["1", "2", "3"])}
    inputs = {"inputs_0": np.array([6, 7]), "inputs_1": np.array([8, 6, 9])}
    return {"tiles": tiles, "factors": np.array(["hat", "residual"]), **labels, **inputs}


def test_the_sheet_of_mixtures_has_each_tile_where_the_json_says(tmp_path: Path) -> None:
    for name, drawn in mix_sheet(mixed(), {}).items():
        save_as(tmp_path / name, drawn)
    known = read_json(tmp_path / "mix.json")
    with Image.open(tmp_path / "mix.png") as sheet:
        pixels = np.asarray(sheet)
    side, columns = known["tile"], known["columns"]
    assert (side, known["first"]) == (SIZE, 0)
    for tile in range(30):
        y, x = side * (tile // columns), side * (tile % columns)
        assert (pixels[y : y + side, x : x + side] == tile).all()
    assert known["axes"] == [
        {"factor": "hat", "options": [{"label": "without", "tile": 6}, {"label": "with", "tile": 7}]},
        {
            "factor": "residual",
            "options": [{"label": "1", "tile": 8}, {"label": "2", "tile": 6}, {"label": "3", "tile": 9}],
        },
    ]


def test_the_bars_are_the_counts_of_the_predictions() -> None:
    classes = np.array([[0, 1, 1, 2, 2, 2], [1] * 6, [1, 1, 1, 1, 1, 0]])
    log_softmax = np.array([[-9.0, -1, -1, -9, -9, -9], [-0.1] * 6, [-0.1] * 5 + [-4.0]], np.float32)
    numbers = {name: {"sigma": k + 0.5, "flip_rate": 0.25, "entropy": 0.5} for k, name in enumerate("abc")}
    arrays = {"image": TARGETS[0], "own": np.array(1), "classes": classes, "log_softmax": log_softmax}
    arrays |= {"averaged": np.array(7), "class_names": np.array(["ant", "bee", "cat"])}
    run = {**TITLES, "dims": {"a": 3, "b": 0, "c": 5}, "metrics": {"response": numbers, "response_mean": numbers}}
    figure = response_figure(arrays, run)
    _, *panels = figure.axes
    heights = [[bar.get_height() for bar in ax.patches] for ax in panels]
    assert heights[0] == [1, 2, 3]
    assert heights[4] == [1, 5, 0]
    assert sum(heights[1]) == sum(heights[5]) == 6
    assert heights[1][0] == 4  # the lowest log-softmax is the left end
    assert not heights[2]
    assert not heights[3]
    assert [text.get_text() for text in panels[2].texts] == ["0 dimensions: nothing to vary"]
    words = "σ 2.50 · changed 25.0 % · entropy 50.0 %"
    assert panels[4].get_title() == f"this input: {words}\nmean of 7 inputs: {words}"


def embedded(
    places: dict[str, np.ndarray],
    truth: dict[str, np.ndarray],
    accuracy: dict[str, float | None],
    names: list[str] | None = None,
) -> Figure:
    arrays = {f"factor_{name}": array for name, array in places.items()}
    arrays |= {f"concept_{name}": array for name, array in truth.items()}
    arrays |= {"class_names": np.array(names or []), "neighbours": np.array(7)}
    return embedding_figure(arrays, {**TITLES, "metrics": {"embedding": accuracy}})


def test_an_embedded_image_stands_at_its_factors_places() -> None:
    rng = np.random.default_rng(0)
    places = {"digit": rng.normal(size=20), "color": rng.normal(size=20), "rest": np.empty(0)}
    truth = {"digit": np.arange(20) % 4, "color": rng.random((20, 3))}
    accuracy = {"digit": 0.9, "color": 0.2, "rest": None}
    figure = embedded(places, truth, accuracy, list("wxyz"))
    for ax, own, other in zip(figure.axes, ("digit", "color"), ("color", "digit"), strict=True):
        points = np.asarray(ax.collections[0].get_offsets())
        np.testing.assert_allclose(points, np.stack([places[other], places[own]], 1))
        assert own in ax.get_ylabel()
        assert other in ax.get_xlabel()
    np.testing.assert_allclose(np.asarray(figure.axes[1].collections[0].get_facecolors())[:, :3], truth["color"])
    names = {text.get_text(): text.xy[1] for text in figure.axes[0].texts}  # type: ignore[attr-defined]
    middles = {name: np.median(places["digit"][truth["digit"] == k]) for k, name in enumerate("wxyz")}
    assert sorted(names, key=names.__getitem__) == sorted(middles, key=middles.__getitem__)
    told = "the digit from each factor's 1-D embedding with accuracy 90.0 % (factor digit), 20.0 % (factor color)"
    assert told in " ".join(written(figure).split())


def test_four_attributes_stand_two_by_two_and_each_is_told_from_its_own_factor() -> None:
    names = ("hat", "smile", "beard", "glasses")
    places = {name: np.arange(6.0) for name in (*names, "rest")}
    truth = {name: np.arange(6) < 3 for name in names}
    accuracy = {**dict.fromkeys(names, 0.75), "rest": None}
    figure = embedded(places, truth, accuracy)
    assert {ax.get_subplotspec().get_geometry()[:2] for ax in figure.axes} == {(2, 2)}  # type: ignore[union-attr]
    assert "predicts each attribute from its factor's 1-D embedding" in " ".join(written(figure).split())


def test_an_image_without_a_value_is_not_drawn_and_each_concept_has_its_own_names() -> None:
    places = {"coat": np.arange(6.0), "hat": np.arange(6.0) ** 2, "rest": np.empty(0)}
    truth = {"coat": np.array([0, -(2**63), 1, 1, 2, 2]), "hat": np.array([0, 1, -1, 1, 0, 0], np.int8)}
    arrays = {f"factor_{name}": array for name, array in places.items()}
    arrays |= {f"concept_{name}": array for name, array in truth.items()} | {"neighbours": np.array(7)}
    arrays |= {"class_names": np.array(["0"]), "names_coat": np.array(["long", "none", "short"])}
    accuracy = {"coat": 0.5, "hat": 0.25, "rest": None}
    figure = embedding_figure(arrays, {**TITLES, "metrics": {"embedding": accuracy}})
    coat, hat = figure.axes
    assert np.asarray(coat.collections[0].get_offsets())[:, 1].tolist() == [0, 2, 3, 4, 5]
    assert [text.get_text() for text in coat.texts] == ["long", "none", "short"]
    without, having = (np.asarray(points.get_offsets())[:, 1].tolist() for points in hat.collections)
    assert (without, having) == ([0, 16, 25], [1, 9])
    assert "each concept from its factor's 1-D embedding with accuracy 50.0 % (factor coat)" in " ".join(
        written(figure).split()
    )


def test_an_attribute_is_told_in_its_own_panel_and_an_empty_factor_says_so() -> None:
    places = {"hat": np.arange(6.0), "smile": np.empty(0), "rest": np.arange(6.0)}
    truth = {"hat": np.arange(6) < 2, "smile": np.arange(6) < 3}
    known = {"hat": places["hat"], "rest": places["rest"]}
    alone = embedded(known, {"hat": truth["hat"]}, {"hat": None, "rest": None})
    without, having = (np.asarray(points.get_offsets())[:, 1].tolist() for points in alone.axes[0].collections)
    assert (without, having) == ([2, 3, 4, 5], [0, 1])
    both = embedded(places, truth, dict.fromkeys(places))
    assert ["smile: 0 dimensions" in ax.texts[0].get_text() for ax in both.axes] == [True, True]
    assert not any(ax.collections for ax in both.axes)


def test_a_walk_is_drawn_from_its_start_on() -> None:
    rng = np.random.default_rng(0)
    places, path = rng.normal(size=(10, 2)), rng.normal(size=(5, 2))
    arrays = {"places": places, "classes": np.arange(10) % 2, "walk_a": path, "walk_b": np.empty((0, 2))}
    arrays |= {"start": np.array([1]), "class_names": np.array(["even", "odd"])}
    run = {**TITLES, "dims": {"a": 4, "b": 0}, "metrics": {"walk": {"a": {"stays": 0.25, "classes": 2}, "b": None}}}
    figure = walk_figure(arrays, run)
    first, second = figure.axes
    np.testing.assert_array_equal(first.lines[0].get_xydata(), path)
    data, _, start = first.collections
    np.testing.assert_array_equal(np.asarray(data.get_offsets()), places)
    np.testing.assert_array_equal(np.asarray(start.get_offsets()), path[:1])
    assert first.get_xlabel() == "class odd is predicted in 25 % of the steps;\n2 classes occur"
    assert second.texts[0].get_text() == "0 dimensions: nothing to vary"


def test_a_mosaic_has_each_image_in_its_row_and_column() -> None:
    page = mosaic(CELLS)
    step = SIZE + 1
    assert page.shape == (ROWS * step - 1, COLUMNS * step - 1, 3)
    for r in range(ROWS):
        for c in range(COLUMNS):
            np.testing.assert_array_equal(page[r * step : r * step + SIZE, c * step : c * step + SIZE], CELLS[r, c])
    assert (page[SIZE] == 255).all()
    assert (page[:, SIZE] == 255).all()


def test_the_samples_stand_under_their_own_titles() -> None:
    arrays = {name: CELLS + k for k, name in enumerate(("corners", "direct", "mapped"))}
    titles = ["between", "G(z)", "G(T⁻¹"]
    for ax, name, title in zip(samples_figure(arrays, TITLES).axes, arrays, titles, strict=True):
        np.testing.assert_array_equal(data_in(ax), mosaic(arrays[name]))
        assert ax.get_title().startswith(title)


def test_a_direction_shows_the_strength_and_the_rate_below_each_column() -> None:
    arrays = {"attribute_hat": CELLS, "attribute_smile": CELLS[::-1]}
    arrays |= {"strengths": np.array([-1.5, 0.0, 1.5]), "judged": np.array(1234)}
    rates = {"hat": [0.0, 0.5, 1.0], "smile": [0.1, 0.2, 0.3]}
    metrics = {name: dict(zip(["-1.5", "0", "1.5"], shares, strict=True)) for name, shares in rates.items()}
    figure = directions_figure(arrays, {**TITLES, "metrics": {"directions": metrics}})
    assert "mean z̃ of images with the attribute minus that of images without it" in " ".join(written(figure).split())
    assert "share of 1,234 held-out images" in written(figure)
    first, second = figure.axes
    np.testing.assert_array_equal(data_in(first), mosaic(CELLS))
    np.testing.assert_array_equal(data_in(second), mosaic(CELLS[::-1]))
    assert [text.get_text() for text in second.get_xticklabels()] == ["-1.5\n10 %", "0\n20 %", "1.5\n30 %"]
    step = SIZE + 1
    for k, x in enumerate(first.get_xticks()):
        assert k * step - 0.5 < x < k * step + SIZE - 0.5


def test_walks_in_both_spaces_stand_side_by_side() -> None:
    rng = np.random.default_rng(0)
    arrays = {"plane_data": rng.normal(size=(30, 2)), "threshold": np.array(0.75)}
    for k, name in enumerate(("z_tilde", "z")):
        arrays |= {f"straight_{name}": CELLS + k, f"random_{name}": CELLS[0] + k}
        arrays |= {f"plane_{name}": rng.normal(size=(6, 2)), f"sure_{name}": rng.random(4)}
    confidence = {"z_tilde": {"softmax": 0.91, "sigmoid": 0.8}, "z": {"softmax": 0.52, "sigmoid": 0.4}}
    figure = linear_figure(arrays, {**TITLES, "metrics": {"linear": confidence}})
    mapped, mapped_random, plain, plain_random, plane, sureness = figure.axes
    for ax, images in (
        (mapped, arrays["straight_z_tilde"]),
        (mapped_random, arrays["random_z_tilde"][None]),
        (plain, arrays["straight_z"]),
        (plain_random, arrays["random_z"][None]),
    ):
        np.testing.assert_array_equal(data_in(ax), mosaic(images))
    assert "sure at 91 %" in mapped.get_title()
    assert "sure at 52 %" in plain.get_title()
    assert "largest softmax is at least 0.75" in " ".join(written(figure).split())
    assert 0.75 in [line.get_xdata()[0] for line in sureness.lines]  # type: ignore[index]
    drawn = {line.get_label(): line.get_xydata() for line in plane.lines}
    np.testing.assert_array_equal(drawn["walk in z"], arrays["plane_z"])
    np.testing.assert_array_equal(drawn["walk in z̃"], arrays["plane_z_tilde"])
    reached = next(line.get_xydata() for line in sureness.lines if line.get_label() == "walks in z")
    assert [x for x, _ in reached] == sorted(arrays["sure_z"])
    assert [y for _, y in reached] == pytest.approx([100 * np.mean(arrays["sure_z"] >= x) for x, _ in reached])
