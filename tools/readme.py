"""Write the table of results into README.md, from `results/embedded/runs`: `python tools/readme.py [--check]`."""

import argparse
import sys

from reproduce.errors import ReproduceError, UserError
from reproduce.paths import ROOT, results
from reproduce.pipeline import load_pipeline
from reproduce.report.runs import load_runs
from reproduce.report.tables import readme_table

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


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
        expected = [run for run in load_pipeline().runs_of("embedded") if run[1] in ("paper", "code")]
        old = readme.read_text(encoding="utf-8")
        new = inject(old, readme_table(load_runs(results("embedded") / "runs", expected)))
    except ReproduceError as error:
        sys.exit(f"readme: {error}")
    if not check:
        readme.write_text(new, encoding="utf-8")
    elif new != old:
        sys.exit("README.md: the table is not that of results/embedded/runs; `make readme` writes it")


if __name__ == "__main__":
    main()
