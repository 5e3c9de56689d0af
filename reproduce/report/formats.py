"""Values as text, and a table as CSV, Markdown and LaTeX."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from reproduce.report.numbers import declared

NULL = "–"

Kind = Literal["text", "count", "offset", "share", "number", "deviation", "quantity", "difference"]
"""`offset`, `deviation`: a count and a number with their sign. `quantity`: written as the number that the row's column
`quantity` names; `difference`: the same with its sign."""

Row = dict[str, Any]

_DTYPES = {"count": "Int64", "offset": "Int64", "share": "Float64", "number": "Float64", "deviation": "Float64"}

_NAMED = {"\\": "backslash", "~": "asciitilde", "^": "asciicircum", "<": "less", ">": "greater", "|": "bar"}
_LATEX = {sign: f"\\{sign}" for sign in "&%$#_{}"} | {sign: rf"\text{name}{{}}" for sign, name in _NAMED.items()}
_LATEX |= {"−": "$-$", "±": r"$\pm$", "–": "--", "√": r"$\sqrt{}$", "²": "$^2$", "⁻": "$^-$", "¹": "$^1$"}
_ESCAPES = str.maketrans({**_LATEX, "ρ": r"$\rho$", "×": r"$\times$", "→": r"$\to$"})
_LATEX_ROWS = 40  # of a page
_LATEX_FIT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{"


def kind_of(quantity: str) -> Kind:
    """How the number at this place in a run's JSON is written; a setting of the config is text."""
    return "text" if quantity.startswith("config.") else declared(quantity).kind


def show(value: Any, kind: Kind = "text", *, signed: bool = False) -> str:
    """A value for reading: shares in percent, their differences in percentage points (pp), null as a dash."""
    if value is None or value is pd.NA or value != value:
        return NULL
    if isinstance(value, bool):
        return "yes" if value else "no"
    if kind == "text" or isinstance(value, str):
        return str(value)
    if kind in ("count", "offset"):
        text = f"{value:,.0f}"  # a bound from a YAML file is a float
    elif kind == "share":
        text = f"{100 * value:.1f} {'pp' if signed else '%'}"
    elif value != 0 and abs(value) < 1e-3:
        text = re.sub(r"e-0?", "e-", f"{value:.1e}")
    else:
        text = f"{value:.{3 if abs(value) < 10 else 2 if abs(value) < 100 else 1}f}"
    if not re.search("[1-9]", text):
        return text.lstrip("-")
    return ("+" if signed and value > 0 else "") + re.sub(r"^-", "−", text)


def framed(rows: Sequence[Row], kinds: Mapping[str, Kind]) -> pd.DataFrame:
    """A frame of raw values, null where a row lacks the column; `kinds` gives the columns in their order."""
    cells = [[row.get(column) for column in kinds] for row in rows]
    frame = pd.DataFrame(cells, columns=list(kinds), dtype=object)
    return frame.astype({column: _DTYPES[kind] for column, kind in kinds.items() if kind in _DTYPES})


@dataclass(frozen=True)
class Spread:
    """How a long table becomes a wide one.

    Each value of `column` gets a group of the columns `values`, at the place of `column`:
    `digit: follows source, digit: stays with target, color: …`; with `by_value`: `score: digit, score: color`.
    """

    column: str
    values: Sequence[str]
    by_value: bool = False

    def apply(self, frame: pd.DataFrame, kinds: Mapping[str, Kind]) -> tuple[pd.DataFrame, dict[str, Kind]]:
        """The wide frame, a row for all long ones that are otherwise alike, and the kinds of its columns."""
        fixed = [column for column in kinds if column not in (self.column, *self.values)]
        row = frame.groupby(fixed, dropna=False, sort=False).ngroup()
        wide = frame.set_index([row, frame[self.column]])[list(self.values)].unstack(sort=False)
        keys = list(dict.fromkeys(frame[self.column]))
        if self.by_value:
            names = {f"{value}: {key}": (value, key) for value in self.values for key in keys}
        else:
            names = {f"{key}: {value}": (value, key) for key in keys for value in self.values}
        spread: dict[str, Kind] = {}
        for column, kind in kinds.items():
            if column in fixed:
                spread[column] = kind
            elif column == self.column:
                spread |= {name: kinds[value] for name, (value, _) in names.items()}
        joined = frame[fixed].groupby(row).head(1).reset_index(drop=True)
        return joined.assign(**{name: wide[pair] for name, pair in names.items()})[list(spread)], spread


@dataclass(frozen=True)
class Table:
    """A frame of raw values, and what a reader must know to read it.

    `kinds` says how each column is written; `data` names the data set of each experiment, and so stands in for the
    column `dataset` where `csv_only` leaves it to the CSV file. The CSV file is the frame; for reading, a table that
    is `split` has a part for each experiment, since they share few columns.
    """

    name: str
    title: str
    note: str
    data: str
    frame: pd.DataFrame
    kinds: Mapping[str, Kind]
    csv_only: Sequence[str] = ("dataset",)
    split: bool = False
    spread: Spread | None = None

    @property
    def _read(self) -> dict[str, Kind]:
        return {column: kind for column, kind in self.kinds.items() if column not in self.csv_only}

    def parts(self) -> list["Table"]:
        """The tables to read: itself, or one per experiment, spread, without the columns that are empty there."""
        if not self.split:
            return [self]
        return [self._part(str(name), own) for name, own in self.frame.groupby("experiment", sort=False)]

    def _part(self, experiment: str, frame: pd.DataFrame) -> "Table":
        data, kinds = f"Data: {frame['dataset'].dropna().iloc[0]}.", self._read
        if self.spread:
            frame, kinds = self.spread.apply(frame, kinds)
        kinds = {name: kind for name, kind in kinds.items() if name != "experiment" and frame[name].notna().any()}
        name, title = f"{self.name}-{experiment}", f"{self.title}: {experiment}"
        return Table(name, title, self.note, data, frame[list(kinds)], kinds)

    def display(self) -> pd.DataFrame:
        """Every value as text for reading."""
        rows = []
        for row in self.frame.to_dict("records"):
            own = kind_of(row["quantity"]) if "quantity" in row else "text"
            cells = []
            for column, kind in self._read.items():
                written = own if kind in ("quantity", "difference") else kind
                cells.append(show(row[column], written, signed=kind in ("offset", "deviation", "difference")))
            rows.append(cells)
        return pd.DataFrame(rows, columns=list(self._read), dtype=object)

    def csv(self) -> str:
        """Raw values, an empty field for null, a plain hyphen for the minus sign."""
        return self.frame.to_csv(index=False, lineterminator="\n").replace("−", "-")

    def markdown(self) -> str:
        """The title, each part and the notes in GitHub's Markdown."""
        blocks = [f"**{escape_markdown(self.title)}**"]
        for part in self.parts():
            if self.split:
                blocks.append(escape_markdown(f"{part.title}. {part.data}"))
            blocks.append(markdown_grid(part.display(), [kind != "text" for kind in part._read.values()]))
        blocks.append(escape_markdown(self.note if self.split else f"{self.note} {self.data}"))
        return "\n\n".join(blocks) + "\n"

    def latex(self) -> str:
        """For each part one `table` per page, with grouped headings; needs booktabs and graphicx."""
        return "\n".join(text for part in self.parts() for text in part._latex())

    def _latex(self) -> Iterator[str]:
        frame = self.display().map(escape_latex)
        headings = [tuple(map(escape_latex, split_heading(column))) for column in frame.columns]
        grouped = any(group for group, _ in headings)
        frame.columns = pd.MultiIndex.from_tuples(headings) if grouped else pd.Index([own for _, own in headings])
        pages = max(1, math.ceil(len(frame) / _LATEX_ROWS))
        for page in range(pages):
            title = f"{self.title} ({page + 1} of {pages})." if pages > 1 else f"{self.title}."
            text = frame[page * _LATEX_ROWS : (page + 1) * _LATEX_ROWS].to_latex(
                index=False,
                escape=False,
                multicolumn_format="c",
                caption=escape_latex(title if page else f"{title} {self.note} {self.data}"),
                label=f"tab:{self.name}" + (f"-{page + 1}" if page else ""),
                column_format="".join("l" if kind == "text" else "r" for kind in self._read.values()),
            )
            # pandas can break a table over pages (longtable), but then nothing shrinks it to the width of the page
            text = text.replace(r"\begin{tabular}", _LATEX_FIT + r"\begin{tabular}")
            yield text.replace(r"\end{tabular}", r"\end{tabular}}")


def split_heading(column: str) -> tuple[str, str]:
    """The group of a column and its own heading: `digit: judge` is the column `judge` of the group `digit`."""
    group, _, own = column.rpartition(": ")
    return group, own


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it is; pandas escapes neither captions nor signs such as the minus."""
    return text.translate(_ESCAPES).replace("z̃", r"$\tilde{z}$")


def escape_markdown(text: str) -> str:
    """Text that Markdown prints as it is; tabulate escapes nothing. An underscore inside a word needs no escape."""
    return re.sub(r"([\\|*`\[\]])", r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;")


def markdown_grid(frame: pd.DataFrame, right: Sequence[bool]) -> str:
    """A pipe table of texts; `right` says for each column whether it stands to the right, as numbers do."""
    escaped = frame.map(escape_markdown).rename(columns=escape_markdown)
    alignment = ["right" if own else "left" for own in right]
    return escaped.to_markdown(index=False, disable_numparse=True, colalign=alignment)
