"""README's example runs, and its table is the one that the committed results give."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from reproduce.config import load_pipeline
from reproduce.report.runs import load_runs
from reproduce.report.tables import inject, readme_table

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_for_ones_own_network_runs():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "torch.Size([8, 16])" in done.stdout


def test_every_path_that_readme_names_exists():
    for path in re.findall(r"\]\(([^)h#][^)]*)\)", README):
        assert (ROOT / path).exists(), path


def test_the_table_is_that_of_the_committed_results():
    runs = ROOT / "results" / "embedded" / "runs"
    if not runs.exists():
        pytest.skip("results/embedded is not there: make reproduce writes it")
    pipeline = load_pipeline()
    expected = [(experiment, variant) for experiment in pipeline.experiments for variant in pipeline.variants]
    expected += [(experiment, "density") for experiment in pipeline.unsupervised]
    assert inject(README, readme_table(load_runs(runs, expected))) == README
