"""The share of each layer that a concept gets: from pairs of images to the run, the table, the figure and the page."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_results import make_run, png, save, with_layers
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from torch import Tensor

from reproduce import layers
from reproduce.dimensions import METHODS, PairMoments, divided
from reproduce.errors import UserError
from reproduce.figures.layers import layers_figure
from reproduce.figures.style import styled
from reproduce.files import read_json, write_arrays, write_json
from reproduce.latents import save_posterior
from reproduce.layers import encoder_outputs, measure_layers
from reproduce.models.convolutional import Autoencoder, Classifier, Posterior
from reproduce.pairs import ConceptPairs
from reproduce.paths import RunPlaces
from reproduce.report.check import main_check
from reproduce.report.diff import diff_runs, main_diff
from reproduce.report.page import render_page
from reproduce.report.runs import load_run
from reproduce.report.tables import build_tables, table_files
from reproduce.seeds import torch_generator
from reproduce.stages import dimensions

DIMS = {"digit": 14, "color": 18, "residual": 32}
NORMALISED = {"encoder.layers.0": [0.2, 0.275, 0.525], "encoder.layers.1": [0.25, 0.25, 0.5], "z": [0.35, 0.15, 0.5]}
CODE = {"encoder.layers.0": [0.225, 0.215, 0.56], "encoder.layers.1": [0.25, 0.21, 0.54], "z": [0.357, 0.146, 0.497]}


def softmax(scores: list[float]) -> list[float]:
    powers = [math.exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize("whole", [1.0, 64])
@pytest.mark.parametrize("scores", [[0.1, 0.7, 1.0], [3000.0, 3010.0, 3020.0], [1.0]])
def test_shares_are_softmax_of_the_scores(scores: list[float], whole: float) -> None:
    assert divided(scores, whole) == pytest.approx([whole * share for share in softmax(scores)], rel=1e-12)


@pytest.mark.parametrize("n_pairs", [600, 250])
def test_the_scores_of_a_layer_are_those_of_its_pairs(monkeypatch: pytest.MonkeyPatch, n_pairs: int) -> None:
    """The pairs are read in several batches; here they are put together by hand, and added at once."""
    monkeypatch.setattr(layers, "N_PAIRS", n_pairs)
    generator = torch_generator(0, "test")
    values, pictures = torch.randint(3, (90, 2), generator=generator), torch.randn(90, 4, 2, 3, generator=generator)
    pictures[:, 0] += values[:, :1, None]
    noise: list[Tensor] = []

    def images(index: Tensor, generator: torch.Generator) -> Tensor:
        noise.append(torch.rand(len(index), 1, 1, 1, generator=generator))
        return pictures[index] + noise[-1]

    def outputs(x: Tensor) -> dict[str, Tensor]:
        return {"b": x, "a": x.square().sum((2, 3))}

    found = measure_layers(outputs, images, values=values, concepts=["x", "y"], seed=5)
    assert [(layer["name"], layer["shape"]) for layer in found] == [("b", [4, 2, 3]), ("a", [4, 1, 1])]
    drawn = ConceptPairs(values=values, concepts=["x", "y"]).draw(n_pairs, torch_generator(5, "layer pairs"))
    members = [torch.cat([part.chunk(2)[k] for part in noise]) + pictures[drawn[k]] for k in (0, 1)]
    assert len(set(torch.cat(noise).flatten().tolist())) == 2 * n_pairs
    for layer in found:
        moments = PairMoments(n_concepts=2)
        moments.update(*(outputs(x)[layer["name"]] for x in members), drawn[2])
        assert list(layer["scores"]) == list(METHODS)
        for method in METHODS:
            assert layer["scores"][method] == pytest.approx(moments.scores(method), abs=1e-9)
    again = measure_layers(outputs, images, values=values, concepts=["x", "y"], seed=6)
    assert again[0]["scores"]["code"] != found[0]["scores"]["code"]


@pytest.mark.parametrize("network_type", [Autoencoder, Classifier])
def test_the_layers_of_our_networks_are_named_as_modules_and_the_last_is_z(network_type: Any) -> None:
    network = network_type(width=4, latent_dim=6)
    x = torch.rand(5, 3, 32, 32, generator=torch_generator(0, "test")) * 2 - 1
    network.initialize(x)
    found = encoder_outputs(network, x)
    assert [list(output.shape[1:]) for output in found.values()] == [
        [4, 16, 16], [8, 8, 8], [16, 4, 4], [32, 2, 2], [6, 1, 1]
    ]  # fmt: skip
    *names, last = found
    assert last == "z"
    assert set(names) <= set(dict(network.named_modules()))
    code = network.encode(x)
    z = code.mean if isinstance(code, Posterior) else code
    torch.testing.assert_close(found["z"].flatten(1), z)
    for name, expected in zip(names, network.encoder.features(x), strict=False):
        torch.testing.assert_close(found[name], expected)
        assert found[name].is_contiguous()


SCORES = {"paper": [10.0, 20.0, 64.0], "normalised": [0.1, 0.5, 1.0], "code": [0.3, 0.2, 1.0]}


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPlaces:
    """What the stage `dimensions` reads of colormnist_classifier, in a folder of its own."""
    monkeypatch.setattr("reproduce.paths.ROOT", tmp_path)
    places = RunPlaces("embedded", "colormnist_classifier", "code")
    write_json(places.pairs / "concepts.json", ["digit", "color"])
    values = np.arange(80).reshape(40, 2) % 4
    write_arrays(places.pairs / "pool.npz", {"values": values})
    z = torch.randn(40, 6, generator=torch_generator(0, "test"))
    save_posterior(Posterior(z, torch.full_like(z, -torch.inf)), places.latents, "train")
    deeper = {method: scores[::-1] for method, scores in SCORES.items()}
    write_json(
        places.latents / "layers.json",
        [
            {"name": "encoder.0", "shape": [4, 3, 2], "scores": SCORES},
            {"name": "z", "shape": [6, 1, 1], "scores": deeper},
        ],
    )
    return places


@pytest.mark.parametrize("method", METHODS)
def test_a_run_has_the_shares_that_its_own_estimator_gives(places: RunPlaces, method: str) -> None:
    dimensions.run("embedded", "colormnist_classifier", method)
    found = read_json(RunPlaces("embedded", "colormnist_classifier", method).dimensions)
    assert list(found) == ["dims", "scores", "layers"]
    assert {name: layer["shape"] for name, layer in found["layers"].items()} == {"encoder.0": [4, 3, 2], "z": [6, 1, 1]}
    for layer, scores in zip(found["layers"].values(), (SCORES[method], SCORES[method][::-1]), strict=True):
        assert list(layer["shares"]) == ["digit", "color", "residual"]
        assert list(layer["shares"].values()) == pytest.approx(softmax(scores), rel=1e-12)


@pytest.mark.parametrize("sizes", ["equal", (2, 3, 1)])
def test_a_run_without_an_estimate_has_no_layers(
    places: RunPlaces, sizes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, choice = dimensions.load_run("embedded", "colormnist_classifier", "code")
    monkeypatch.setattr(dimensions, "load_run", lambda *names: (config, choice.model_copy(update={"dims": sizes})))
    dimensions.run("embedded", "colormnist_classifier", "code")
    assert list(read_json(places.dimensions)) == ["dims", "scores"]
    write_json(places.pairs / "concepts.json", [])
    (places.latents / "layers.json").unlink()
    monkeypatch.undo()
    monkeypatch.setattr("reproduce.paths.ROOT", places.folder.parents[2])
    dimensions.run("embedded", "colormnist_classifier", "code")
    assert read_json(places.dimensions) == {"dims": {"residual": 6}, "scores": {"residual": None}}


def made(variant: str, layers: dict[str, list[float]]) -> dict[str, Any]:
    return with_layers(make_run("colormnist_ae", variant, dict(DIMS)), layers)


def test_a_figure_has_a_line_for_each_factor_through_its_shares() -> None:
    run = {**made("normalised", NORMALISED), "dataset": "Rendered things", "name": "normalised"}
    with styled():
        figure = layers_figure(run)
        figure.canvas.draw()
    (ax,) = figure.axes
    for k, (line, text) in enumerate(zip(ax.lines, ax.texts, strict=True)):
        shares = [100 * layer[k] for layer in NORMALISED.values()]
        assert np.asarray(line.get_ydata()).tolist() == pytest.approx(shares)
        assert text.get_text() == f"{list(DIMS)[k]} {shares[-1]:.1f} %"
        assert to_hex(text.get_color()) == to_hex(line.get_color())
    assert len(ax.lines) == 3
    assert len({to_hex(line.get_color()) for line in ax.lines}) == 3
    names = ["encoder.\nlayers.0", "encoder.\nlayers.1", "z"]
    assert [label.get_text() for label in ax.get_xticklabels()] == [f"{name}\n8 × 4 × 2" for name in names]
    words = " ".join(text.get_text() for text in figure.texts)
    assert "Dimensions by layer, normalised" in words
    assert "Rendered things" in words
    plt.close(figure)


@pytest.mark.parametrize("shares", [[0, 0, 0, 0, 1], [0.15, 0.151, 0.149, 0.15, 0.4]])
def test_labels_of_lines_that_lie_upon_each_other_can_be_read(shares: list[float]) -> None:
    dims = dict.fromkeys(("Eyeglasses", "No_Beard", "Smiling", "Wearing_Hat"), 0) | {"residual": 64}
    run = with_layers(make_run("celeba_ae", "paper", dims), {"a": [0.2] * 5, "z": shares})
    with styled():
        figure = layers_figure({**run, "name": "paper"})
        figure.canvas.draw()
    (ax,) = figure.axes
    ends = [line.get_ydata()[-1] for line in ax.lines]
    heights = [text.xy[1] for text in ax.texts]
    assert all(heights[a] <= heights[b] for a in range(5) for b in range(5) if ends[a] < ends[b])
    assert min(heights) >= 0
    boxes = [text.get_window_extent() for text in ax.texts]
    ticks = [label.get_window_extent() for label in ax.get_xticklabels()]
    for k, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in [*boxes[k + 1 :], *ticks])
        assert box.x1 <= figure.bbox.x1
    plt.close(figure)


def test_the_table_has_a_column_for_each_factor_and_a_row_for_each_layer() -> None:
    runs = [made("normalised", NORMALISED), made("code", CODE), make_run("new_ae", "equal", dict(DIMS))]
    table = build_tables(runs, {})["layers"]
    assert len(table.frame) == 2 * 3 * 3
    (part,) = table.parts()
    shown = part.display()
    assert list(shown) == ["variant", "seed", "layer", "shape", "share: digit", "share: color", "share: residual"]
    row = shown[(shown["variant"] == "code") & (shown["layer"] == "z")].iloc[0]
    assert row.tolist()[2:] == ["z", "8 × 4 × 2", "35.7 %", "14.6 %", "49.7 %"]
    files = dict(table_files({"layers": table}))
    assert r"8 $\times$ 4 $\times$ 2" in files["layers.tex"]
    assert "encoder.layers.1,8 × 4 × 2,color,0.21" in files["layers.csv"]
    assert "layers" not in build_tables(runs[2:], {})


def page(folder: Path, runs: list[dict[str, Any]]) -> str:
    tables = build_tables(runs, {})
    about: Any = {"machines": [None] * len(runs), "figures_dir": folder / "figures", "published": {}}
    return render_page(profile="embedded", runs=runs, tables=tables, **about).replace("\N{NO-BREAK SPACE}", " ")


def test_the_page_says_where_the_formulas_of_paper_and_code_can_be_told_apart(tmp_path: Path) -> None:
    runs = [made("normalised", NORMALISED), made("code", CODE)]
    for run in runs:
        folder = tmp_path / "figures" / "colormnist_ae" / run["variant"]
        folder.mkdir(parents=True)
        (folder / "layers.png").write_bytes(png(7, 5))
    text = page(tmp_path, runs)
    section = text[text.index('<h2 id="colormnist_ae"') : text.index('<h2 id="dimensions"')]
    said = (
        "The formulas of normalised and code can best be told apart at encoder.layers.0, where they give color 27.5 % "
        "and 21.5 % (6.0 percentage points apart); at z, their largest difference is 0.7 percentage points."
    )
    order = ["<h3>Sizes of the factors</h3>", '<h3 id="colormnist_ae-layers">', "In a feature map", said]
    places = [section.index(words) for words in order]
    assert places == sorted(places)
    assert section.count('id="colormnist_ae-layers"') == 1
    assert "the share changes from 20.0 % to 35.0 % (digit), from 27.5 % to 15.0 % (color)" in section
    assert text.count(said) == 1
    assert text.index('<h2 id="dimensions"') < text.index('<h2 id="layers"') < text.index('<h2 id="unswapped"')
    assert '<a href="tables/layers.csv">' in text
    alike, apart = [0.5, 0.2, 0.3], ([0.1, 0.4, 0.5], [0.3, 0.3, 0.4])
    pair = [made(name, {"a": alike, "z": of}) for name, of in zip(("normalised", "code"), apart, strict=True)]
    at_z = page(tmp_path, pair)
    assert "apart at z, where they give digit 10.0 % and 30.0 % (20.0 percentage points apart).</p>" in at_z
    for alone in (runs[:1], runs[1:], [make_run("colormnist_ae", "code", dict(DIMS))]):
        assert "can best be told apart" not in page(tmp_path, alone)


def test_diff_and_check_know_the_shares(tmp_path: Path) -> None:
    place = "layers.encoder.layers.1.shares.color"
    rows = diff_runs(made("normalised", NORMALISED), made("code", CODE)).set_index("quantity")
    assert rows.loc[place, ["a", "b", "difference"]].tolist() == [0.25, 0.21, -0.04]
    root, earlier = tmp_path / "root", tmp_path / "earlier"
    results = root / "results" / "embedded"
    save(earlier, made("code", CODE))
    for moved, within in ((0.004, True), (0.006, False)):
        save(results, made("code", {**CODE, "encoder.layers.1": [0.25, 0.21 + moved, 0.54]}))
        text, good = main_check(root=root, profile="embedded", revision="HEAD", against=earlier)
        assert good == within
        assert (f"{place}: 21.0 % → {100 * (0.21 + moved):.1f} % (+{100 * moved:.1f} pp; allowed: 0.5 pp)") in text
    save(results, made("normalised", NORMALISED))
    text = " ".join(main_diff(results, "normalised", "code").split())
    assert f"{place} 25.0 % 21.6 % −3.4 pp" in text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda layer: layer.update(shape=[8, 4]), "layers.z.shape.2"),
        (lambda layer: layer["shares"].update(digit=None), "layers.z.shares.digit"),
        (lambda layer: layer.update(share={}), "layers.z.share"),
    ],
)
def test_a_run_with_damaged_layers_is_refused(tmp_path: Path, change: Any, says: str) -> None:
    run = made("code", CODE)
    path = save(tmp_path, run)
    assert load_run(path) == run
    change(run["layers"]["z"])
    path.write_text(json.dumps(run))
    with pytest.raises(UserError, match=says):
        load_run(path)
