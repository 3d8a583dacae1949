from kgrl.experiments.sheet import FORMATS, Sheet, write_sheet

SHEET = Sheet("Table 1; η = 0.1", ["method", "reward", "R@32"],
              [["KGQR*", "2.3451 ± 0.0010", "0.81%"], ["a_b | c", "missing", "–"], [], ["random", "−0.4", "0"]],
              ["p < 0.05"])


def test_markdown_as_written_by_hand():
    assert SHEET.markdown() == """### Table 1; η = 0.1

| method | reward | R@32 |
|---|---|---|
| KGQR* | 2.3451 ± 0.0010 | 0.81% |
| a_b \\| c | missing | – |
| random | −0.4 | 0 |

- p < 0.05
"""


def test_latex_as_written_by_hand():
    assert SHEET.latex() == r"""\begin{table}
\centering
\caption{Table 1; $\eta$ = 0.1}
\begin{tabular}{lrr}
\toprule
method & reward & R@32 \\
\midrule
KGQR* & 2.3451 $\pm$ 0.0010 & 0.81\% \\
a\_b | c & missing & -- \\
\midrule
random & $-$0.4 & 0 \\
\bottomrule
\end{tabular}
\\[2pt] {\footnotesize p $<$ 0.05}
\end{table}
"""


def test_latex_of_what_has_a_meaning_there():
    row = Sheet("", ["a_b", "`c` & $"], [["#1 α × 2²", "≤ 3 > 2"], ["10⁶", "N^0.5"]]).latex().splitlines()[5:9]
    assert row == [r"a\_b & c \& \$ \\", r"\midrule", r"\#1 $\alpha$ $\times$ 2$^2$ & $\le$ 3 $>$ 2 \\",
                   r"10$^6$ & N\^{}0.5 \\"]


def test_a_format_an_ending():
    starts = {ending: getattr(SHEET, form)().split()[0] for ending, form in FORMATS.items()}
    assert starts == {"md": "###", "tex": r"\begin{table}", "csv": "method,reward,R@32"}


def test_csv_as_written_by_hand():
    sheet = Sheet("", ["method", "levels"], [["KGQR", "4,096"], [], ['the "best"', "–"]])
    assert sheet.comma_separated() == 'method,levels\nKGQR,"4,096"\n"the ""best""",–\n'


def test_without_notes():
    assert Sheet("T", ["a"], [["1"]]).markdown() == "### T\n\n| a |\n|---|\n| 1 |\n"


def test_a_figure_beside_it_and_a_file_a_format(tmp_path):
    sheet = Sheet("T", ["a"], [["1"]], ["n"], "figures/t.png")
    assert sheet.markdown().endswith("| 1 |\n\n- n\n\n![T](figures/t.png)\n")
    write_sheet(sheet, tmp_path / "t-0.1")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "t-0.1.md": sheet.markdown(), "t-0.1.tex": sheet.latex(), "t-0.1.csv": sheet.comma_separated()}
