"""The source files that decide a stage's result: those that its module imports, directly or not.

`dvc.yaml` names them as dependencies (a test compares the two), and an interrupted training continues only under the
same ones. Modules that only decide where files lie and how they are read are left out; so are the configs' schemas,
since the configs themselves are compared.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parent
_NEUTRAL = {"errors", "files", "paths", "config", "schema", "machine", "device", "code", "pipeline"}
_ROOMS_OF_FETCH = {"intake", "official", "rendered"}  # they decide the fetched files, which are compared by hash


def _file(module: str) -> Path:
    return _PACKAGE.parent / (module.replace(".", "/") + ".py")


@cache
def _imports(path: Path) -> set[Path]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return {file for name in names if name.startswith(f"{_PACKAGE.name}.") and (file := _file(name)).is_file()}


def sources(stage: str, *, data: str | None = None) -> list[Path]:
    """The package's files that `reproduce.stages.<stage>` imports, itself among them, in alphabetical order.

    `data`: the module in `reproduce.data` of the data set that the stage opens.
    """
    skipped = {_PACKAGE / f"{name}.py" for name in _NEUTRAL}
    rooms = set() if stage == "fetch" else {_PACKAGE / name for name in _ROOMS_OF_FETCH}
    seen: set[Path] = set()
    todo = [_PACKAGE / f"stages/{stage}.py", *([_PACKAGE / f"data/{data}.py"] if data else [])]
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
