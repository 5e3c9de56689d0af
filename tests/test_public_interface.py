"""`import reproduce` is light, and every name that it promises is there."""

import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import reproduce

HEAVY = ("torch", "torchvision", "numpy", "pandas", "matplotlib", "sklearn", "dvc", "pydantic", "jinja2")


def test_import_is_light() -> None:
    code = f"import sys, reproduce; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", reproduce.__all__)
def test_every_public_name_resolves(name: str) -> None:
    value = getattr(reproduce, name)
    assert value.__name__ == name
    assert value.__doc__


def test_names_have_one_home_each_and_type_checkers_see_the_same() -> None:
    homes = {name: home for home, names in reproduce._HOMES.items() for name in names}
    assert list(reproduce.__all__) == sorted(homes)
    imported = re.findall(r"from reproduce\.(\S+) import (\w+) as \2\n", Path(reproduce.__file__).read_text())
    assert {name: home for home, name in imported} == homes


def test_no_public_name_is_a_module_of_the_package() -> None:
    """Importing the module would put it in the place of what the name promises."""
    modules = {module.name for module in pkgutil.iter_modules(reproduce.__path__)}
    assert not modules & set(reproduce.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'reproduce' has no attribute 'Flows'"):
        reproduce.Flows  # noqa: B018


def test_a_user_error_is_a_value_error_with_an_exit_code_of_its_own() -> None:
    assert issubclass(reproduce.UserError, ValueError)
    assert issubclass(reproduce.UserError, reproduce.ReproduceError)
    assert (reproduce.ReproduceError.exit_code, reproduce.UserError.exit_code) == (1, 2)
