"""The page in a real browser, at the width of a phone and of a desk."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_results import make_density, make_run, png
from PIL import Image

from reproduce.report.claims import load_claims
from reproduce.report.page import render_page
from reproduce.report.published import load_published
from reproduce.report.tables import build_tables

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "paper_configs"
COMMITTED = ROOT / "results" / "embedded" / "index.html"
FIGURES = ("swap_digit", "swap_color", "swap_residual", "training", "response", "embedding", "walk", "transfer")
PHONE, DESK = 390, 1400


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The machine's own Chromium, driven over its DevTools protocol."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[test]'")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"no browser on the PATH ({', '.join(names)}): apt-get install chromium")
    with playwright.sync_playwright() as driver:
        # root, as in a container, can't have Chromium's sandbox
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = driver.chromium.launch(executable_path=path, args=arguments)
        yield started
        started.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with every kind of figure and table, and with names that no line breaks."""
    folder = tmp_path_factory.mktemp("page")
    sizes = {"paper": (0, 0, 64), "normalised": (15, 14, 35), "code": (14, 18, 32)}
    runs = [
        make_run("colormnist_ae", variant, dict(zip(("digit", "color", "residual"), of, strict=True)))
        for variant, of in sizes.items()
    ]
    runs += [make_density("mnist"), make_run("a" * 40, "code", {"C" * 60: 30, "residual": 34})]
    for run in runs[:3]:
        own = folder / "figures" / run["experiment"] / run["variant"]
        own.mkdir(parents=True)
        for name in FIGURES:
            (own / f"{name}.png").write_bytes(png(1500 if name == "walk" else 900, 700))
    frames = [Image.new("RGB", (200, 100), (40 * k, 0, 0)) for k in range(4)]
    frames[0].save(own / "factors_small.webp", save_all=True, append_images=frames[1:], duration=50)
    # every mixture of two images' digit and three images' rest: a tile of 10 pixels each, and the inputs after them
    Image.new("RGB", (4 * 10, 3 * 10)).save(own / "mix.png")
    axes = [
        {"factor": "digit", "options": [{"label": label, "tile": 6 + k} for k, label in enumerate("27")]},
        {"factor": "residual", "options": [{"label": label, "tile": 6 + k} for k, label in enumerate("123")]},
    ]
    (own / "mix.json").write_text(json.dumps({"tile": 10, "columns": 4, "axes": axes, "first": 0}))
    published = load_published(CONFIGS / "published.yaml")
    tables = build_tables(runs, published, load_claims(CONFIGS / "claims.yaml"))
    machines = [{"platform": "x" * 90, "packages": {"torch": "2.14.1"}}] * len(runs)
    path = folder / "index.html"
    text = render_page(
        profile="embedded",
        runs=runs,
        machines=machines,
        tables=tables,
        figures_dir=folder / "figures",
        published=published,
    )
    path.write_text(text, encoding="utf-8")
    return path


def committed() -> Path:
    if not COMMITTED.exists():
        pytest.skip("results/embedded/index.html is not there: make reproduce writes it")
    return COMMITTED


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("which", ["made", "committed"])
def test_the_page_is_quiet_loads_nothing_and_fits(
    browser: Any, made: Path, which: str, width: int, scheme: str
) -> None:
    path = made if which == "made" else committed()
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    told: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    page.evaluate("document.querySelectorAll('input.all').forEach(each => { each.checked = true })")
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(overflow) == 0
    broken = "[...document.images].filter(image => !image.complete || !image.naturalWidth || !image.alt).length"
    assert page.evaluate("document.images.length") > 0
    assert page.evaluate(broken) == 0
    light = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(253, 253, 252)"
    assert light == (scheme == "light")
    page.close()
    assert told == []
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]


def test_how_wide_the_figures_are(browser: Any, made: Path) -> None:
    page = browser.new_page(viewport={"width": DESK, "height": 800})
    page.goto(made.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    widths = {
        name: page.locator(f"#{name}")
        .locator("xpath=ancestor::fieldset")
        .locator("img:visible")
        .bounding_box()["width"]
        for name in ("colormnist_ae-walk-1", "colormnist_ae-transfer-1")
    }
    column = page.locator("main").bounding_box()["width"]
    assert widths == {"colormnist_ae-walk-1": column, "colormnist_ae-transfer-1": 38 * 16}
    swaps = page.locator("fieldset.flip").first.locator("img:visible")
    tops = {swaps.nth(k).bounding_box()["y"] for k in range(swaps.count())}
    assert (swaps.count(), len(tops)) == (3, 1)  # the three factors beside each other
    assert page.locator("details .flip img").first.bounding_box()["width"] == 2 * 200
    assert page.locator("figure.wide > a").first.get_attribute("href") == "figures/colormnist_ae/paper/walk.png"
    page.close()


def test_the_variants_are_chosen_by_keyboard(browser: Any, made: Path) -> None:
    page = browser.new_page(viewport={"width": DESK, "height": 800})
    page.goto(made.as_uri())
    block = page.locator("fieldset.flip").first

    def seen() -> list[str]:
        images = block.locator("img:visible")
        names = [images.nth(k).get_attribute("alt").split("variant ")[1].split(".")[0] for k in range(images.count())]
        return list(dict.fromkeys(names))

    assert seen() == ["code"]
    block.locator("input:checked").focus()
    shown = []
    for key in ("ArrowLeft", "ArrowLeft", "ArrowRight", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
        shown.append(seen())
    assert shown == [["normalised"], ["paper"], ["normalised"], ["code"], ["paper", "normalised", "code"]]
    assert block.locator(".of:visible").all_inner_texts() == shown[-1]
    assert page.locator("fieldset.flip").nth(1).locator("img:visible").count() == 1  # the others stay as they are
    page.close()


@pytest.mark.parametrize(("width", "height"), [(DESK, 900), (PHONE, 844)])
def test_the_first_screen_has_the_two_swaps(browser: Any, made: Path, width: int, height: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(made.as_uri())
    boxes = [page.locator(".hero img").nth(k).bounding_box() for k in range(2)]
    assert boxes[0]["y"] == boxes[1]["y"]
    assert boxes[0]["x"] < boxes[1]["x"]
    assert boxes[0]["y"] + boxes[0]["height"] <= height
    page.close()


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_mixture_follows_the_choice_by_keyboard(browser: Any, made: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844})
    page.goto(made.as_uri())
    form = page.locator("form.mix")
    result = form.locator(".result")

    def shown() -> tuple[str, str]:
        return result.get_attribute("aria-label"), result.get_attribute("style")

    # first each factor comes from another image
    assert shown() == ("Mixture: digit from 2, residual from 2", "--x: 1; --y: 0;")
    form.locator("input[name=digit]:checked").focus()
    page.keyboard.press("ArrowRight")
    assert shown() == ("Mixture: digit from 7, residual from 2", "--x: 0; --y: 1;")
    inputs = [form.locator(".chosen .tile").nth(k).get_attribute("style").rstrip(";") for k in range(2)]
    assert inputs == ["--x: 3; --y: 1", "--x: 3; --y: 1"]
    form.locator("input[name=residual]:checked").focus()
    page.keyboard.press("ArrowRight")
    assert shown() == ("Mixture: digit from 7, residual from 3", "--x: 1; --y: 1;")
    assert result.bounding_box()["y"] < 844  # in sight while one chooses
    page.close()


def test_the_page_is_not_too_large() -> None:
    assert committed().stat().st_size < 9_000_000
