"""The data sets: every other module of this room has a subclass of `DataSet` whose `name` is the module's own."""

import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field

from reproduce.data.shared.base import DataSet


def _data_sets() -> list[type[DataSet]]:
    names = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]) if not module.ispkg]
    modules = [importlib.import_module(f"reproduce.data.{name}") for name in names if name != "registry"]
    return [
        found
        for module in modules
        for found in vars(module).values()
        if isinstance(found, type) and issubclass(found, DataSet) and found.__module__ == module.__name__
    ]


if TYPE_CHECKING:
    AnyDataSet = DataSet
else:  # a union that the key `name` decides, so that an error names the keys of the one data set
    AnyDataSet = Annotated[Union[tuple(_data_sets())], Field(discriminator="name")]  # noqa: UP007  (made at run time)
