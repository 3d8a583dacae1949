"""``Sheet``: a table ready to be read, as Markdown, LaTeX or CSV."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from kgrl.files import whole_file

MISSING = "missing"
"""What stands where a cell has not been run."""
FORMATS = {"md": "markdown", "tex": "latex", "csv": "comma_separated"}
_LATEX = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "^": r"\^{}", "±": r"$\pm$", "−": "$-$",
          "η": r"$\eta$", "α": r"$\alpha$", "–": "--", "×": r"$\times$", "≤": r"$\le$", "²": "$^2$", "⁶": "$^6$",
          "<": "$<$", ">": "$>$"}


@dataclass(frozen=True)
class Sheet:
    """A table.

    Args:
        title: what it shows.
        columns: their names.
        rows: cells of text, one for each column; an empty row is a rule.
        notes: lines below it.
        figure: where the figure beside it is, seen from the page; "" for none.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default=())
    figure: str = ""

    def markdown(self) -> str:
        """A heading, the table, its notes as a list, its figure. A rule, which Markdown has none of, is left out."""
        lines = [f"### {self.title}", "", _row(self.columns), "|" + "---|" * len(self.columns)]
        lines += [_row(row) for row in self.rows if row]
        lines += [*([""] if self.notes else []), *(f"- {note}" for note in self.notes)]
        lines += ["", f"![{self.title}]({self.figure})"] if self.figure else []
        return "\n".join(lines) + "\n"

    def latex(self) -> str:
        """A ``table`` with the rules of the package booktabs."""
        body = [r"\midrule" if not row else f"{' & '.join(_escaped(cell) for cell in row)} " + r"\\"
                for row in self.rows]
        notes = [rf"\\[2pt] {{\footnotesize {_escaped(note)}}}" for note in self.notes]
        return "\n".join([
            r"\begin{table}", r"\centering", rf"\caption{{{_escaped(self.title)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(self.columns) - 1)}}}", r"\toprule",
            f"{' & '.join(_escaped(name) for name in self.columns)} " + r"\\", r"\midrule", *body, r"\bottomrule",
            r"\end{tabular}", *notes, r"\end{table}"]) + "\n"

    def comma_separated(self) -> str:
        """Columns and rows; title and notes are left out."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(row for row in self.rows if row)
        return text.getvalue()


def write_sheet(sheet: Sheet, stem: str | os.PathLike[str]) -> None:
    """A file a format: ``stem.md``, ``stem.tex`` and ``stem.csv``."""
    for ending, form in FORMATS.items():
        with whole_file(f"{os.fspath(stem)}.{ending}") as temporary:
            temporary.write_text(getattr(sheet, form)(), encoding="utf-8")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text.replace("`", ""))
