"""LaTeX and Markdown: what is typeset is what the table says, whatever its text holds."""

from __future__ import annotations

import re

import pytest

from noisymodel.study.report.export_tables import escape_latex, escape_markdown, latex, markdown
from noisymodel.study.report.tables import Table
from noisymodel.study.report.wording import Entry

TABLE = Table(
    "differences",
    "Differences (points, 95 % interval)",
    ("difference", "in-domain", "p"),
    (
        (Entry("NMTune & co."),),
        (Entry("− MLP_1"), Entry("+1.0 [−0.1,\u00a0+2.1]", "not significant"), Entry("< .001")),
        (Entry("− other"), Entry("+1.0 ± 0.1", "gain"), Entry("–")),
        (Entry("second"),),
    ),
)


def test_latex() -> None:
    text = latex(TABLE, "tab:x")
    assert text.splitlines() == [
        r"\begin{table}",
        r"  \centering",
        r"  \caption{Differences (points, 95 \% interval)}",
        r"  \label{tab:x}",
        r"  \begin{tabular}{lrr}",
        r"    \toprule",
        r"    difference & in-domain & p \\",
        r"    \midrule",
        r"    \multicolumn{3}{l}{\textbf{NMTune \& co.}} \\",
        r"    $-$ MLP\_1 & \textit{+1.0 [$-$0.1,~+2.1]} & \textless{} .001 \\",
        r"    $-$ other & +1.0 $\pm$ 0.1 & -- \\",
        r"    \addlinespace",
        r"    \multicolumn{3}{l}{\textbf{second}} \\",
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]


@pytest.mark.parametrize("letter", list('\\&%$#_{}~^<>|"'))
def test_latex_knows_no_command_in_text(letter: str) -> None:
    escaped = escape_latex(f"a{letter}b")
    assert escaped.startswith(("a\\", "a$"))
    assert escaped.endswith("b")
    assert re.fullmatch(r"a(\\[&%$#_{}]|\\text[a-z]+\{\})b", escaped)


def test_lines_stay_lines() -> None:
    assert escape_latex("a\nb") == escape_markdown("a\nb") == "a b"


def test_markdown() -> None:
    assert markdown(TABLE).splitlines() == [
        "**Differences (points, 95 % interval)**",
        "",
        "| difference | in-domain | p |",
        "|---|---:|---:|",
        r"| **NMTune \& co.** | | |",
        "| − MLP\\_1 | +1.0 \\[−0.1,\u00a0+2.1\\] n.s. | \\< .001 |",
        "| − other | +1.0 ± 0.1 | – |",
        "| **second** | | |",
    ]


@pytest.mark.parametrize("letter", list("\\`*_{}[]<>#|~&"))
def test_markdown_knows_no_markup_in_text(letter: str) -> None:
    assert escape_markdown(f"a{letter}b") == f"a\\{letter}b"
