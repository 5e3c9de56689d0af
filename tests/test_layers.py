"""Who may import whom (docs: CONTRIBUTING.md): a module imports its own layer or one below, never one above."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "reproduce"
MODULES = sorted(path.relative_to(PACKAGE).with_suffix("").as_posix() for path in PACKAGE.rglob("*.py"))
# from top to bottom; an entry is a room or a module
LAYERS = (
    ("cli",),
    ("stages",),
    ("report", "config", "pipeline", "paths", "launch", "code", "new"),
    ("evaluation", "figures"),
    ("training", "data", "latents", "layers", "saved", "own_network"),
    ("intake", "rendered", "official", "interpret", "splitting"),
    ("models",),
    ("likelihood", "dimensions", "pairs"),
    ("factors", "schema", "files", "device", "seeds", "machine", "errors"),
)
RANKS = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
LONGEST = 60


def imports(module: str) -> set[str]:
    """The package's modules that `module` imports, at its top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "reproduce":
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("reproduce.")]
        else:
            continue
        found |= {name.removeprefix("reproduce.").replace(".", "/") for name in names}
    return found & set(MODULES)


def room(module: str) -> str:
    return module.split("/")[0]


@pytest.mark.parametrize("module", [module for module in MODULES if module != "__init__"])
def test_a_module_imports_nothing_from_a_layer_above(module):
    above = [other for other in imports(module) if RANKS[room(other)] < RANKS[room(module)]]
    assert not above, f"{module} imports {', '.join(above)}"


def test_no_module_imports_itself_by_way_of_others():
    graph = {module: imports(module) for module in MODULES}
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join([*way, module])
        if module not in done:
            for other in graph[module]:
                visit(other, (*way, module))
            done.add(module)

    for module in MODULES:
        if module != "__init__":
            visit(module, ())


def test_the_library_knows_no_paths_and_no_config_files():
    library = {name for layer in LAYERS[3:] for name in layer}
    for module in MODULES:
        if room(module) in library:
            assert not imports(module) & {"paths", "config", "pipeline", "code"}, module


@pytest.mark.parametrize("module", MODULES)
def test_no_function_is_longer_than_a_screen(module):
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < LONGEST, f"{module}: {node.name}"


@pytest.mark.parametrize("room", ["report", "figures"])
def test_what_only_shows_results_imports_no_torch(room):
    for module in MODULES:
        if module.startswith(f"{room}/"):
            source = (PACKAGE / f"{module}.py").read_text(encoding="utf-8")
            assert "import torch" not in source, module
