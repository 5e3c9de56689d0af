"""Values as text, and a table as CSV, Markdown and LaTeX."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

NULL = "–"

Kind = Literal["text", "count", "offset", "share", "number", "deviation", "quantity", "difference"]
"""`offset`, `deviation`: a count and a number with their sign. `quantity`, `difference`: see the column `quantity`."""

_DTYPES = {"count": "Int64", "offset": "Int64", "share": "Float64", "number": "Float64", "deviation": "Float64"}

_LATEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "−": "$-$",
    "±": r"$\pm$",
    "–": "--",
    "√": r"$\sqrt{}$",
    "²": "$^2$",
    "⁻": "$^-$",
    "¹": "$^1$",
    "̃": "",
    "→": r"$\to$",
}

_LATEX_ROWS = 40  # of a page
_LATEX_FIT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{"


def kind_of(quantity: str) -> Kind:
    """How a quantity of a run, by its dotted path, is written."""
    top, _, rest = quantity.partition(".")
    if top == "config":
        return "text"
    if top == "dims" or rest in ("pairs", "samples", "heldout") or rest.endswith(".classes"):
        return "count"
    shares = ("swap", "reconstruction", "judge", "linear", "random_walk", "embedding", "directions")
    return "share" if rest.split(".")[0] in shares or rest.endswith((".flip_rate", ".entropy", ".stays")) else "number"


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


@dataclass(frozen=True)
class Spread:
    """How a long table is read: what stands in `column` heads the columns `values`, which `column` is followed by.

    `digit: judge, digit: reconstruction, color: judge, …`, or with `by_value` `judge: digit, judge: color, …`.
    """

    column: str
    values: tuple[str, ...]
    by_value: bool = False

    def apply(
        self, rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, Kind]
    ) -> tuple[list[dict[str, Any]], dict[str, Kind]]:
        """The wide rows, one for all long ones that are otherwise alike, and the kinds of their columns."""
        keys = list(dict.fromkeys(row[self.column] for row in rows))
        if self.by_value:
            headings = {f"{value}: {key}": (key, value) for value in self.values for key in keys}
        else:
            headings = {f"{key}: {value}": (key, value) for key in keys for value in self.values}
        fixed = [column for column in kinds if column not in (self.column, *self.values)]
        wide: dict[tuple[str, ...], dict[str, Any]] = {}
        for row in rows:
            own = wide.setdefault(tuple(show(row[name]) for name in fixed), {name: row[name] for name in fixed})
            own |= {name: row[value] for name, (key, value) in headings.items() if key == row[self.column]}
        spread: dict[str, Kind] = {}
        for column, kind in kinds.items():
            if column in fixed:
                spread[column] = kind
            elif column == self.column:
                spread |= {name: kinds[value] for name, (_, value) in headings.items()}
        return list(wide.values()), spread


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
    csv_only: tuple[str, ...] = ()
    split: bool = False
    spread: Spread | None = None

    @classmethod
    def of(
        cls,
        name: str,
        title: str,
        note: str,
        data: str,
        rows: list[dict[str, Any]],
        kinds: Mapping[str, Kind],
        *csv_only: str,
        split: bool = False,
        spread: Spread | None = None,
    ) -> "Table":
        """From rows, each a value for a column or none; `kinds` gives the columns and their order."""
        frame = pd.DataFrame([[row.get(column) for column in kinds] for row in rows], columns=list(kinds), dtype=object)
        frame = frame.astype({column: _DTYPES[kind] for column, kind in kinds.items() if kind in _DTYPES})
        return cls(name, title, note, data, frame, kinds, csv_only, split, spread)

    def parts(self) -> list["Table"]:
        """The tables to read: itself, or one an experiment, spread, without the columns that are empty there."""
        if not self.split:
            return [self]
        names = dict.fromkeys(self.frame["experiment"])
        return [self._part(name, self.frame[self.frame["experiment"] == name]) for name in names]

    def _part(self, experiment: str, frame: pd.DataFrame) -> "Table":
        rows = [dict(zip(self.kinds, cells, strict=True)) for cells in frame.itertuples(index=False, name=None)]
        kinds = {column: kind for column, kind in self.kinds.items() if column not in self.csv_only}
        if self.spread:
            rows, kinds = self.spread.apply(rows, kinds)
        kinds = {
            column: kind
            for column, kind in kinds.items()
            if column != "experiment" and any(show(row.get(column)) != NULL for row in rows)
        }
        return Table.of(
            f"{self.name}-{experiment}",
            f"{self.title}: {experiment}",
            self.note,
            f"Data: {frame['dataset'].iloc[0]}.",
            rows,
            kinds,
        )

    def display(self) -> pd.DataFrame:
        """Every value as text for reading."""
        kinds = {column: kind for column, kind in self.kinds.items() if column not in self.csv_only}
        rows = []
        for row in self.frame.to_dict("records"):
            own = kind_of(row["quantity"]) if "quantity" in row else "text"
            rows.append(
                [
                    show(
                        row[column],
                        own if kind in ("quantity", "difference") else kind,
                        signed=kind in ("offset", "deviation", "difference"),
                    )
                    for column, kind in kinds.items()
                ]
            )
        return pd.DataFrame(rows, columns=list(kinds), dtype=object)

    def numeric(self) -> list[bool]:
        """Which of the displayed columns hold numbers, and so stand to the right."""
        return [kind != "text" for column, kind in self.kinds.items() if column not in self.csv_only]

    def csv(self) -> str:
        """Raw values, an empty field for null, a plain hyphen for the minus sign."""
        return self.frame.to_csv(index=False, lineterminator="\n").replace("−", "-")

    def markdown(self) -> str:
        """The title, each part and the notes in GitHub's Markdown."""
        blocks = [f"**{escape_markdown(self.title)}**"]
        for part in self.parts():
            if self.split:
                blocks.append(escape_markdown(f"{part.title}. {part.data}"))
            frame = part.display()
            blocks.append(markdown_grid(list(frame.columns), frame.to_numpy().tolist(), part.numeric()))
        blocks.append(escape_markdown(self.note if self.split else f"{self.note} {self.data}"))
        return "\n\n".join(blocks) + "\n"

    def latex(self) -> str:
        """For each part one `table` a page, with grouped headings; needs booktabs and graphicx."""
        return "\n".join(text for part in self.parts() for text in part._latex())

    def _latex(self) -> Iterator[str]:
        frame = self.display().map(escape_latex)
        headings = [tuple(escape_latex(part) for part in split_heading(column)) for column in frame.columns]
        frame.columns = pd.MultiIndex.from_tuples(headings)
        pages = max(1, math.ceil(len(frame) / _LATEX_ROWS))
        for page in range(pages):
            of = f" ({page + 1} of {pages})" if pages > 1 else ""
            text = frame[page * _LATEX_ROWS : (page + 1) * _LATEX_ROWS].to_latex(
                index=False,
                escape=False,
                multicolumn_format="c",
                caption=escape_latex(
                    f"{self.title}{of}. {self.note} {self.data}" if page == 0 else f"{self.title}{of}."
                ),
                label=f"tab:{self.name}" + (f"-{page + 1}" if page else ""),
                column_format="".join("r" if numeric else "l" for numeric in self.numeric()),
            )
            # what is wider than the page is shrunk to it
            text = text.replace(r"\begin{tabular}", _LATEX_FIT + r"\begin{tabular}")
            yield text.replace(r"\end{tabular}", r"\end{tabular}}")


def split_heading(column: str) -> tuple[str, str]:
    """The group of a column and its own heading: `digit: judge` is the column `judge` of the group `digit`."""
    group, _, own = column.rpartition(": ")
    return group, own


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(_LATEX.get(character, character) for character in text)


def escape_markdown(text: str) -> str:
    """Text that Markdown prints as it is; an underscore inside a word needs no escape there."""
    return re.sub(r"([\\|*`\[\]])", r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;")


def markdown_grid(columns: list[str], rows: list[list[str]], numeric: list[bool]) -> str:
    """A pipe table with numbers to the right."""
    frame = pd.DataFrame(rows, columns=columns, dtype=object).map(escape_markdown)
    return frame.rename(columns=escape_markdown).to_markdown(
        index=False, disable_numparse=True, colalign=["right" if right else "left" for right in numeric]
    )
