"""Write the table of results into README.md, from `results/embedded/runs`: `python tools/readme.py [--check]`."""

import argparse
import sys
from collections.abc import Sequence
from textwrap import fill

import pandas as pd

from reproduce.errors import ReproduceError, UserError
from reproduce.files import write_text
from reproduce.paths import ROOT, results
from reproduce.pipeline import in_order
from reproduce.report.formats import Row, markdown_grid, show
from reproduce.report.runs import Run, concepts, load_runs, value

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def _lowest(run: Run, swapped: Sequence[str], side: str) -> str:
    """The lowest share over the swaps of the factors `swapped`.

    `side`: "source" for the swapped concept itself, "target" for the other concepts.
    """
    pairs = [(factor, concept) for factor in swapped for concept in concepts([run])]
    pairs = [(factor, concept) for factor, concept in pairs if (factor == concept) == (side == "source")]
    shares = [value(run, "metrics", "swap", factor, concept, side) for factor, concept in pairs]
    return show(min((share for share in shares if share is not None), default=None), "share")


_LEGEND = (
    "The dimensions are those of z̃ = T(z); the factor of each concept gets some of them, and the residual the rest. A "
    "swap replaces one factor of an image by the factor of another image, the source. The last three columns are "
    "shares of swaps. Where an experiment has several concepts, the table shows the lowest share. A dash means that "
    "there is no other concept. In `paper`, values other than 0 % and 100 % come from errors of the reconstruction and "
    "the judge."
)


def _alike(runs: Sequence[Run]) -> list[str]:
    """The sentence that says why `normalised` has no row, if it gives the sizes of `code` in every experiment."""
    sizes = {(run["experiment"], run["variant"]): run["dims"] for run in runs if run["seed"] == 0}
    pairs = [(dims, sizes.get((name, "code"))) for (name, variant), dims in sizes.items() if variant == "normalised"]
    if not pairs or any(one != other for one, other in pairs):
        return []
    return ["In all these experiments, `normalised` gives the same sizes as `code`, so the table leaves it out."]


def readme_table(runs: Sequence[Run]) -> str:
    """The paper's formula against the official code, in Markdown: a row per experiment with concepts and variant."""
    rows: list[Row] = []
    for run in runs:
        if run["variant"] in ("paper", "code") and run["seed"] == 0 and concepts([run]):
            *named, residual = run["dims"]
            row = {"experiment": run["experiment"], "variant": run["variant"], "data": run["dataset"]}
            row |= {"network": run["kind"], "dimensions": ", ".join(f"{key} {n}" for key, n in run["dims"].items())}
            row |= {"swapped concept takes the source's value": _lowest(run, named, "source")}
            row |= {"other concepts unchanged": _lowest(run, named, "target")}
            rows.append(row | {"all concepts unchanged after a residual swap": _lowest(run, [residual], "target")})
    frame = pd.DataFrame(rows, dtype=object)
    grid = markdown_grid(frame, [position > 4 for position in range(frame.shape[1])])
    return f"{grid}\n\n{fill(' '.join([_LEGEND, *_alike(runs)]), 120)}"


def inject(text: str, table: str) -> str:
    """`text` with `table` in place of what stands between the two markers."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise UserError(f"README.md needs one line {BEGIN!r} and after it one line {END!r}")
    return f"{text[: text.index(BEGIN)]}{BEGIN}\n{table}\n{text[text.index(END) :]}"


def main() -> None:
    """Rewrite README.md; with `--check`, only compare: exit code 1 where its table is not that of the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if README.md would change")
    check = parser.parse_args().check
    readme = ROOT / "README.md"
    try:
        old = readme.read_text(encoding="utf-8")
        runs = load_runs(results("embedded") / "runs")
        order = in_order({run["experiment"] for run in runs})
        new = inject(old, readme_table(sorted(runs, key=lambda run: order.index(run["experiment"]))))
    except ReproduceError as error:
        sys.exit(f"readme: {error}")
    if not check:
        write_text(readme, new)
    elif new != old:
        sys.exit("README.md: the table is not that of results/embedded/runs; `make readme` writes it")


if __name__ == "__main__":
    main()
