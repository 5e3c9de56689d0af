"""Frozen, strict settings: what a file of `paper_configs/` holds and what the library takes are the same objects."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from reproduce.errors import UserError
from reproduce.files import shown

M = TypeVar("M", bound=BaseModel)
UnitInterval = Annotated[float, Field(gt=0, lt=1)]
W = TypeVar("W")
S = TypeVar("S")
_TAG = Discriminator(lambda value: "section" if isinstance(value, Mapping | BaseModel) else "word")
# the tags make an error say what is wrong with the form that was meant
WordOrSection: TypeAlias = Annotated[Annotated[W, Tag("word")] | Annotated[S, Tag("section")], _TAG]


class Strict(BaseModel):
    """Frozen; no coercion, except that an integer is a float; no unknown keys, NaN or infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def read_yaml(path: Path) -> Any:
    """The content of a YAML 1.2 file, which is what DVC reads; UserError names the line where it is broken."""
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{shown(path)} does not exist") from None
    except UnicodeDecodeError:
        raise UserError(f"{shown(path)} is not a UTF-8 text file") from None
    except (YAMLError, ValueError) as error:  # ValueError: a date that does not exist
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        raise UserError(f"{shown(path)}{line}: {getattr(error, 'problem', None) or 'not valid YAML'}") from None


def validated(schema: type[M], value: Any, where: Path | str, *, prefix: str = "") -> M:
    """`value` as a `schema`; UserError names the file (or whatever `where` says) and the first wrong key."""
    named = shown(where) if isinstance(where, Path) else where
    try:
        # as JSON, so that a strict schema takes YAML's lists as tuples
        return schema.model_validate_json(json.dumps(value, default=_plain))
    except ValidationError as error:
        found = error.errors()
        # a misspelt key is also reported as missing under its right name; the unknown one tells the user what to do
        first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
        missing = [str(first["loc"][-1])] if first["type"] == "missing" else []
        key = ".".join([*([prefix] if prefix else []), *_keys(value, first["loc"]), *missing])
        reason = {
            "extra_forbidden": "unknown key; remove it or correct its spelling",
            "missing": "missing; add it",
            "union_tag_not_found": "the key that says which kind it is is missing; add it",
        }.get(first["type"], first["msg"].removeprefix("Value error, "))
        if not isinstance(first["input"], dict):
            reason += f" (it is {first['input']!r:.80})"
        if not key and first["type"] != "value_error":  # a check of the whole file names its key itself
            key = "the whole file"
        raise UserError(": ".join([named, *([key] if key else []), reason])) from None
    except (TypeError, ValueError) as error:  # JSON has no such value or key
        raise UserError(f"{named}: {error}") from None


def _plain(value: Any) -> Any:
    """A number or an array of NumPy or torch as Python's own; TypeError for what no setting can be, such as a date."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{value!r:.80} is not a number, a text, a list or a section; put a text in quotes")


def _keys(value: Any, location: tuple[int | str, ...]) -> list[str]:
    """The file's own keys on the way to an error: pydantic also names the member of a union that it tried."""
    keys = []
    for part in location:
        own = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list | tuple) else ()
        if part in own:
            value = value[part]
            keys.append(str(part))
    return keys
