"""Tables as files to paste: LaTeX with booktabs, and Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from .tables import Table
from .wording import Entry

_LATEX = str.maketrans({
    "\n": " ",
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "\u00a0": "~", "−": "$-$", "±": r"$\pm$", "×": r"$\times$", "–": "--", "—": "---", "→": r"$\to$", "…": r"\dots{}",
    "“": "``", "”": "''", "’": "'", "α": r"$\alpha$", "λ": r"$\lambda$", "ρ": r"$\rho$", "σ": r"$\sigma$",
    "²": r"\textsuperscript{2}", "≥": r"$\geq$", "≤": r"$\leq$",
})  # fmt: skip
_MARKDOWN = str.maketrans({"\n": " ", **{letter: f"\\{letter}" for letter in r"\`*_{}[]<>#|~&"}})


def latex(table: Table, label: str) -> str:
    r"""A table environment for ``\usepackage{booktabs}``; insignificant entries are in italics.

    >>> print(latex(Table("t", "A & B", ("method", "5 %"), ((Entry("a_b"), Entry("−1.0 ± 0.2")),)), "tab:t"))
    \begin{table}
      \centering
      \caption{A \& B}
      \label{tab:t}
      \begin{tabular}{lr}
        \toprule
        method & 5 \% \\
        \midrule
        a\_b & $-$1.0 $\pm$ 0.2 \\
        \bottomrule
      \end{tabular}
    \end{table}
    <BLANKLINE>
    """
    columns = len(table.header)
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escape_latex(table.caption)}}}",
        rf"  \label{{{label}}}",
        rf"  \begin{{tabular}}{{l{'r' * (columns - 1)}}}",
        r"    \toprule",
        "    " + " & ".join(map(escape_latex, table.header)) + r" \\",
        r"    \midrule",
    ]
    for place, row in enumerate(table.rows):
        if len(row) == 1:
            lines += [r"    \addlinespace"] if place else []
            lines.append(rf"    \multicolumn{{{columns}}}{{l}}{{\textbf{{{escape_latex(row[0].text)}}}}} \\")
        else:
            lines.append("    " + " & ".join(map(_latex_cell, row)) + r" \\")
    lines += [r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""]
    return "\n".join(lines)


def markdown(table: Table) -> str:
    r"""The caption in bold, and a table.

    >>> print(markdown(Table("t", "A | B", ("method", "5 %"), ((Entry("a_b"), Entry("1.0")),))))
    **A \| B**
    <BLANKLINE>
    | method | 5 % |
    |---|---:|
    | a\_b | 1.0 |
    <BLANKLINE>
    """
    lines = [f"**{escape_markdown(table.caption)}**", "", _markdown_line(table.header)]
    lines.append("|---|" + "---:|" * (len(table.header) - 1))
    for row in table.rows:
        if len(row) == 1:
            lines.append(f"| **{escape_markdown(row[0].text)}** |" + " |" * (len(table.header) - 1))
        else:
            lines.append(_markdown_line([cell.marked for cell in row]))
    return "\n".join([*lines, ""])


def escape_latex(text: str) -> str:
    """Escape text for LaTeX; line breaks become spaces."""
    return text.translate(_LATEX)


def escape_markdown(text: str) -> str:
    """Escape text for Markdown; line breaks become spaces."""
    return text.translate(_MARKDOWN)


def _latex_cell(cell: Entry) -> str:
    text = escape_latex(cell.text)
    return rf"\textit{{{text}}}" if cell.outcome == "not significant" else text


def _markdown_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(escape_markdown, cells)) + " |"
