"""Which source files decide a stage's result: those that its module imports, directly or not.

`dvc.yaml` names them as dependencies (a test compares the two), and an interrupted training continues only under the
same ones. What only decides where files lie and how they are read is left out; the values of configs are compared
themselves.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parent
_NEUTRAL = {"errors", "files", "paths", "config", "schema", "machine", "device", "code", "pipeline"}
_ROOMS_OF_FETCH = {"intake", "official", "rendered"}  # what they do is in the fetched files, compared by their hashes


@cache
def _imports(path: Path) -> frozenset[Path]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == _PACKAGE.name:
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.split(".")[0] == _PACKAGE.name]
        else:
            continue
        found |= {file for name in names if (file := _file(name)).is_file()}
    return frozenset(found)


def _file(module: str) -> Path:
    return _PACKAGE.parent / (module.replace(".", "/") + ".py")


def sources(stage: str, *, data: str | None = None) -> list[Path]:
    """The package's files that `reproduce.stages.<stage>` imports, itself among them, in alphabetical order.

    `data`: the module in `reproduce.data` of the data set that the stage opens.
    """
    skipped = {_PACKAGE / f"{name}.py" for name in _NEUTRAL}
    rooms = set() if stage == "fetch" else {_PACKAGE / name for name in _ROOMS_OF_FETCH}
    seen: set[Path] = set()
    todo = [_file(f"{_PACKAGE.name}.stages.{stage}"), *([_file(f"{_PACKAGE.name}.data.{data}")] if data else [])]
    while todo:
        path = todo.pop()
        if path not in seen and path not in skipped and path.parent not in rooms:
            seen.add(path)
            todo += _imports(path)
    return sorted(seen)


def digest(stage: str, *, data: str | None = None) -> str:
    """SHA-256 over the contents of `sources(stage, data=data)`, in hexadecimal."""
    found = hashlib.sha256()
    for path in sources(stage, data=data):
        found.update(path.relative_to(_PACKAGE).as_posix().encode() + path.read_bytes())
    return found.hexdigest()
