"""README's example runs, and its table is the one that the committed results give."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    """README.md in a folder of its own, with what `tools/readme.py` reads beside it."""
    if not (ROOT / "results" / "embedded" / "runs").exists():
        pytest.skip("results/embedded is not there: make reproduce writes it")
    for name in ("results", "paper_configs", "dvc.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "README.md").write_text(README, encoding="utf-8")
    return tmp_path / "README.md"


def rewrite(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tools" / "readme.py", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_table_is_that_of_the_committed_results(readme):
    done = rewrite(readme.parent, "--check")
    assert done.returncode == 0, done.stderr


def test_the_table_is_written_between_its_markers(readme):
    begin, end = "<!-- results:begin -->", "<!-- results:end -->"
    readme.write_text(f"before\n{begin}\nold\n{end}\nafter\n", encoding="utf-8")
    done = rewrite(readme.parent, "--check")
    assert (done.returncode, "make readme" in done.stderr) == (1, True)
    assert "old" in readme.read_text(encoding="utf-8")
    assert rewrite(readme.parent).returncode == 0
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{begin}\n| experiment ")
    assert text.endswith(f"\n{end}\nafter\n")
    assert rewrite(readme.parent, "--check").returncode == 0
    for broken in ("no markers", f"{end} {begin}", text + text):
        readme.write_text(broken, encoding="utf-8")
        done = rewrite(readme.parent)
        assert (done.returncode, done.stderr.count("\n"), "results:begin" in done.stderr) == (1, 1, True)
