"""What the benchmarks write: the README's table is that of docs/quality.md, and curves say what they measured."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from benchmarks import data_sets, estimate, learning_curve, multilingual, readme_table
from benchmarks.apply.memory import Peak
from benchmarks.apply.report import put_part
from benchmarks.data_sets import Collection

QUALITY = readme_table.QUALITY.read_text()
README = readme_table.README.read_text()


def test_the_readme_says_what_quality_says():
    assert readme_table.with_table(README, readme_table.cut(QUALITY)) == README


def test_every_number_of_the_table_stands_in_the_same_row_of_its_section():
    title, row = None, None
    count = 0
    for line in readme_table.cut(QUALITY).splitlines()[2:]:
        first, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        if first.startswith("**"):
            title = next(name for name, said in readme_table.COLLECTIONS.items() if f"**{said}**" in first)
            continue
        row = next(label for label, said in readme_table.ROWS.items() if said == first)
        section = QUALITY.split(f"\n## {title}\n")[1].split("\n## ")[0]
        rows = [line for line in section.splitlines() if line.startswith(f"| {row} |")]
        numbers = [[_value(cell) for cell in line.strip("|").split("|")[1:]] for line in rows]
        assert cells in numbers
        count += 1
    assert count == 2 * len(readme_table.ROWS)


def _value(cell: str) -> str:
    return cell.split("<br>")[0].strip() + (" **fails**" if "**fails**" in cell else "")


def test_a_failing_cell_is_not_hidden():
    plain = QUALITY.replace(" **fails**", "")
    first = re.search(r"^\| ships, queries \| (\S+)<br>\[.*?\]", plain, re.MULTILINE)
    failing = plain.replace(first[0], f"{first[0]} **fails**", 1)
    assert f"| {first[1]} **fails** |" in readme_table.cut(failing)
    assert "**fails**" not in readme_table.cut(plain)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("## scifact", "## other"), "no section scifact"),
        (("| ships, judgments |", "| renamed |"), "no row 'ships, judgments'"),
    ],
)
def test_what_is_missing_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        readme_table.cut(QUALITY.replace(*change))


def test_a_readme_without_the_comments():
    with pytest.raises(ValueError, match=r"README\.md lacks the comments"):
        readme_table.with_table("# A title\n", "| a |")


def test_a_part_of_a_document_is_replaced_alone(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n## One\n\nold\n\n## Two\n\nstays\n")
    put_part(page, "One", "new\n")
    put_part(page, "Three", "comes")
    put_part(page, "Two", "is new too")
    assert page.read_text() == "# Page\n\n## One\n\nnew\n\n## Two\n\nis new too\n\n## Three\n\ncomes\n"


def test_the_estimate_is_what_its_formulas_make_of_the_figures_measured(tmp_path, monkeypatch):
    document, copy = estimate.SCALE, tmp_path / "scale.md"
    copy.write_text(document.read_text())
    figures = estimate.Measured.read()
    monkeypatch.setattr(estimate, "SCALE", copy)
    monkeypatch.setattr(estimate.Measured, "read", lambda: figures)
    estimate.main()
    assert copy.read_text() == document.read_text(), "run python -m benchmarks.estimate"


def test_an_estimate_counts_what_was_measured_and_says_what_was_not():
    nothing = estimate.Measured(10.0, None, None, None, None, None)
    few = {what: value for what, _, value in estimate.applied(nothing)}
    assert few["apply, work"] == "111 core-hours"  # 10^10 rows x 20 us of one core x 2, as wide again
    assert few["**apply, core-hours and money**"] == "**111, 5.56**"
    assert "was not measured yet" in estimate.fitted(nothing)[-1][1]
    measured = estimate.Measured(10.0, 900.0, 60.0, 3600.0, 2000.0, 3000.0)
    all_of_it = {what: value for what, _, value in estimate.applied(measured)}
    assert float(all_of_it["**apply, hours**"].strip("*")) == pytest.approx(1.28, abs=0.01)
    assert {what: value for what, _, value in estimate.fitted(measured)}["**fit, hours**"] == "**1.02**"
    assert "2.0 GB in Python and 3.0 GB in its JVM" in estimate.breaking(measured)


def test_languages_together_keep_their_judgments():
    """Each learning query's judged document is still the passage it was, in the joined corpus."""
    folds = [data_sets.load(name)[0] for name in multilingual.LANGUAGES]
    union = multilingual.together(folds)
    assert len(union.corpus) == sum(len(fold.corpus) for fold in folds)
    queries = documents = 0
    for fold in folds:
        for query, graded in fold.learn_judgments.items():
            np.testing.assert_array_equal(union.learn[queries + query], fold.learn[query])
            for document, grade in graded.items():
                assert union.learn_judgments[queries + query][documents + document] == grade
                np.testing.assert_array_equal(union.corpus[documents + document], fold.corpus[document])
        queries, documents = queries + len(fold.learn), documents + len(fold.corpus)
    assert len(union.learn_judgments) == sum(len(fold.learn_judgments) for fold in folds)


def test_no_translation_of_a_test_query_is_learnt_from():
    """The folds are the same by position in every language; so are the judged passages of each position."""
    for folds in zip(*(data_sets.load(name) for name in multilingual.LANGUAGES)):
        assert len({str(sorted(fold.learn_judgments.items())) for fold in folds}) == 1
        assert len({str(sorted(fold.judgments.items())) for fold in folds}) == 1


def curve(rows: int, queries: int) -> Collection:
    """SciFact with its first documents only, judged by test queries that have one among them."""
    fold = data_sets.load("scifact")[0]
    kept = {q: {d: g for d, g in graded.items() if d < rows} for q, graded in fold.judgments.items()}
    judged = {q: graded for q, graded in kept.items() if graded}
    return Collection("small", fold.corpus[:rows], fold.learn[:queries], {}, fold.test, judged)


def test_a_curve_ends_with_all_rows_and_says_what_was_refused(monkeypatch):
    monkeypatch.setattr(learning_curve, "SEEDS", 2)
    fold = curve(600, 30)
    points = list(learning_curve.by_rows([fold]))
    assert [point.size for point in points] == [500, 600]
    assert [point.trials[0].adaptor.config["rows"] for point in points] == [500, 600]
    for point in points:
        assert point.trials[0].svd.shape == (len(fold.judgments), 3)
        assert point.left_out("query_aware_svd")["trained"].startswith(f"{point.size * 9 // 10} rows are too few")
    first, second = points[0].trials
    assert not np.array_equal(first.svd, second.svd), "another subset each time"
    np.testing.assert_array_equal(points[1].trials[0].svd, points[1].trials[1].svd)
    lines = list(learning_curve.table("rows", points, [32, 64, 128], "query_aware_svd"))
    assert lines[2].startswith("| 500 | ")
    assert f"{np.mean([first.svd[:, 0].mean(), second.svd[:, 0].mean()]):.4f}" in lines[2]
    assert any(line.startswith("- 600 rows: `trained`, 540 rows are too few") for line in lines)


def test_a_curve_by_queries(monkeypatch):
    monkeypatch.setattr(learning_curve, "SEEDS", 1)
    points = list(learning_curve.by_queries([curve(500, 30)]))
    assert [(point.size, point.trials[0].adaptor.config["queries"]) for point in points] == [(20, 20), (30, 30)]


def test_the_workers_whose_memory_is_measured_are_found(spark, tmp_path):
    seen = tmp_path / "seen"

    def until_seen(batches):
        while not seen.exists():
            time.sleep(0.01)
        yield from batches

    with Peak() as peak, ThreadPoolExecutor(1) as thread:
        job = thread.submit(spark.range(1).mapInArrow(until_seen, "id long").collect)
        while not (peak.own > 10e6 or job.done()):
            time.sleep(0.01)
        seen.touch()
        job.result()
    assert peak.looks > 0
    assert 10e6 < peak.own <= peak.resident
