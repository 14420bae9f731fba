"""What an evaluation keeps: figures without labels, files, gates, recommendations, TREC's files."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from measurements import measurement
from scipy.stats import spearmanr

from adaptor import AdaptorError
from adaptor.errors import GateFailed
from adaptor.evaluation import gate, records, trec
from adaptor.evaluation.label_free import anti_hubs, neighbours, rank_correlation
from adaptor.evaluation.measurement import Variant, require_different
from adaptor.evaluation.recommendation import recommend, recommend_for
from adaptor.evaluation.rules import parse_rules
from adaptor.evaluation.views import Hits
from adaptor.metrics import check_measures

KEPT = {8: 0.9, 16: 0.97}


def rules(*texts):
    return parse_rules(texts, ("nDCG@10", "neighbours@10"), (8, 16))


def hits(rows):
    rows = np.array(rows)
    return Hits(rows, -np.arange(rows.size, dtype=np.float32).reshape(rows.shape))


# figures without labels


def test_neighbours_are_shares_of_the_originals():
    original = hits([[0, 1, 2, 3], [4, 5, -1, -1], [-1, -1, -1, -1]])
    found = hits([[3, 2, 7, 8], [5, 4, 0, 1], [0, 1, 2, 3]])
    np.testing.assert_array_equal(neighbours(found, original), [0.5, 1, np.nan])


def test_anti_hubs_are_neighbours_that_no_other_query_has():
    original = hits([[0, 1, 2], [0, 1, 3], [0, 1, -1]])
    found = hits([[0, 1, 9], [3, 8, 9], [0, 1, 2]])
    np.testing.assert_array_equal(anti_hubs(found, original), [0, 1, np.nan])


def test_rank_correlation_is_spearmans():
    random = np.random.default_rng(0)
    one, two = random.standard_normal((4, 30)), random.standard_normal((4, 30))
    np.testing.assert_allclose(rank_correlation(one, two), [spearmanr(a, b).statistic for a, b in zip(one, two)])
    assert np.isnan(rank_correlation(np.ones((1, 5)), two[:1, :5])).all()


# what is kept of a measurement


def test_a_measurement_comes_back_as_it_was_saved(tmp_path):
    one = measurement(KEPT, data_set="a/b set", strata=["x", "y"] * 100)
    one.values[one.full]["nDCG@10"][3] = np.nan
    records.save(str(tmp_path), one)
    (back,) = records.last_of(str(tmp_path), one.version)
    assert (back.data_set, back.dims, back.strata, back.queries) == (one.data_set, one.dims, one.strata, one.queries)
    assert (back.search_seconds, set(back.values)) == (one.search_seconds, set(one.values))
    for variant, by_metric in one.values.items():
        for metric, values in by_metric.items():
            np.testing.assert_array_equal(back.of(variant, metric), values)


def test_a_reference_stays_as_it_was_frozen(tmp_path):
    root, one = str(tmp_path), measurement(KEPT)
    records.freeze(root, "spring", [one])
    with pytest.raises(AdaptorError, match=r"has a reference run 'spring' already; choose another name"):
        records.freeze(root, "spring", [one])
    with pytest.raises(AdaptorError, match=r"no reference run 'autumn': it has spring; jobs/evaluate.py --freeze"):
        records.reference(root, "autumn")
    assert [run.data_set for run in records.reference(root, "spring")] == ["hand"]


def test_names_stay_below_the_folder(tmp_path):
    records.freeze(str(tmp_path / "root"), "../../out", [measurement(KEPT, data_set="..")])
    assert not (tmp_path / "out").exists()
    assert records.reference(str(tmp_path / "root"), "../../out")[0].data_set == ".."


def test_a_damaged_file_says_so(tmp_path):
    records.save(str(tmp_path), measurement(KEPT))
    next(tmp_path.rglob("*.parquet")).write_bytes(b"PAR1")
    with pytest.raises(AdaptorError, match=r"is damaged .*; delete it and evaluate again"):
        records.last_of(str(tmp_path), "a" * 12)


def test_what_is_no_comparison():
    one = measurement(KEPT)
    require_different([one, replace(one, fingerprint="b" * 64), replace(one, data_set="other")])
    with pytest.raises(AdaptorError, match=r"two configs evaluate artifact aaaaaaaaaaaa on data set 'hand'"):
        require_different([one, one])
    with pytest.raises(AdaptorError, match=r"two configs call their data set 'hand'"):
        require_different([one, replace(one, rows=5)])


# gates


def test_a_gate_is_kept_and_asked_for(tmp_path):
    root, one = str(tmp_path), measurement(KEPT)
    asked = rules("retention@16 >= 0.95", "ndcg@10 drop against svd <= 0")
    with pytest.raises(
        AdaptorError, match=r"version aaaaaaaaaaaa in .* has not been through the gate; run `adaptor gate"
    ):
        gate.require_passed(root, one.version, asked)
    assert gate.decide(root, asked, [one], None).passed
    gate.require_passed(root, one.version, asked)
    with pytest.raises(AdaptorError, match=r"was not judged by the rule 'retention@8 >= 0.5'"):
        gate.require_passed(root, one.version, rules("retention@8 >= 0.5"))
    failed = gate.decide(root, rules("retention@8 >= 0.95"), [one], None)
    assert (failed.passed, failed.failures) == (False, 1)
    with pytest.raises(AdaptorError, match=r"has failed its gate"):
        gate.require_passed(root, one.version, rules("retention@8 >= 0.95"))
    with pytest.raises(GateFailed, match=r"the gate has failed: retention@8 >= 0.95: fails; 0.8998"):
        gate.require_held([failed])


def test_a_gate_on_several_data_sets_fails_by_one(tmp_path):
    good, bad = measurement(KEPT), measurement({8: 0.7, 16: 0.8}, data_set="hard")
    decided = gate.decide(str(tmp_path), rules("retention@16 >= 0.95"), [good, bad], None)
    assert [verdict.holds for verdict in decided.verdicts] == [True, False]


def test_current_is_what_was_measured_of_it_last(tmp_path):
    root, one = str(tmp_path), measurement(KEPT)
    worse = measurement({8: 0.85, 16: 0.95}, fingerprint="b" * 64)
    asked = rules("ndcg@10 drop against current <= 0.01")
    with pytest.raises(AdaptorError, match=r"the current version aaaaaaaaaaaa was not measured on hand"):
        gate.decide(root, asked, [worse], one.version)
    records.save(root, one)
    assert not gate.decide(root, asked, [worse], one.version).passed
    assert gate.decide(root, asked, [one], None).passed  # the first of all has nothing to drop against


def test_a_reference_without_the_data_set(tmp_path):
    records.freeze(str(tmp_path), "spring", [measurement(KEPT, data_set="other")])
    with pytest.raises(AdaptorError, match=r"reference run 'spring' was not measured on hand"):
        gate.decide(str(tmp_path), rules("ndcg@10 drop against run spring <= 0"), [measurement(KEPT)], None)


def test_junit_has_a_case_for_each_rule_and_data_set(tmp_path):
    asked = rules("retention@16 >= 0.95", "retention@8 >= 0.95")
    gate.write_junit([gate.decide(str(tmp_path), asked, [measurement(KEPT)], None)], str(tmp_path / "gate.xml"))
    (suite,) = ElementTree.parse(tmp_path / "gate.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [case.get("name") for case in suite] == ["retention@16 >= 0.95", "retention@8 >= 0.95"]
    assert suite[1][0].get("message").startswith("retention@8 >= 0.95: fails")


# recommendations


def test_the_smallest_that_holds_the_rules_with_its_interval():
    advice = recommend([measurement(KEPT)], rules("retention >= 0.95"), gigabyte_month=0.5)
    assert (advice.chosen.variant, advice.chosen.sure) == (Variant("adaptor", 16, "int8"), 1.0)
    assert advice.rescored.variant == Variant("adaptor", 8, "int8", 200)
    assert advice.shortest_list(Variant("adaptor", 8, "int8")).variant.shortlist == 200
    assert advice.chosen.month == pytest.approx(1_000_000 * 16 / 1e9 * 0.5)
    assert advice.sentence() == (
        "Take adaptor 16 int8: with 16 bytes a row retention >= 0.95, 100% sure. "
        "It saves 93.8% of the bytes, 0.12 of 0.13 a month."
    )
    assert advice.rescored_sentence().startswith("adaptor 8 int8, 200 hits rescored")


def test_what_is_likely_is_said_to_be_so():
    one = measurement({8: 0.95}, noise=0.15)
    bound = one.retention(Variant("adaptor", 8, "int8")) - 1e-3
    advice = recommend([one], rules(f"retention >= {bound:.4f}"))
    assert advice.chosen is None
    assert "but not with its whole interval" in advice.sentence()


def test_nothing_is_recommended_where_nothing_holds():
    advice = recommend([measurement(KEPT)], rules("retention >= 1.2"))
    assert advice.sentence().startswith("No width and encoding holds retention >= 1.2: keep the full width")
    assert advice.rescored_sentence() is None


def test_every_data_set_must_hold():
    easy, hard = measurement(KEPT), measurement({8: 0.8, 16: 0.9}, data_set="hard")
    assert recommend([easy, hard], rules("retention >= 0.95")).chosen is None


def test_the_knee_is_where_more_bytes_begin_to_give_less():
    assert recommend([measurement({4: 0.3, 8: 0.9, 16: 0.93})], rules("retention >= 0.5")).knee.dim == 8


def test_nothing_was_measured_yet(tmp_path):
    with pytest.raises(AdaptorError, match=r"nothing was measured of version abc in .*; run jobs/evaluate.py first"):
        recommend_for(str(tmp_path), "abc", rules("retention >= 0.9"))


# TREC's files, and measures


def test_runs_and_judgments_come_back(tmp_path):
    run = {"q1": {"a": 0.5, "b": 0.75}, "q2": {"c": -1.0}}
    trec.write_run(tmp_path / "x.run", run, "tag")
    trec.write_qrels(tmp_path / "x.qrels", {"q1": {"a": 1, "b": 0}})
    assert (tmp_path / "x.run").read_text().splitlines()[0] == "q1 Q0 b 1 0.75 tag"
    assert trec.read_run(str(tmp_path / "x.run")) == run
    assert trec.read_qrels(str(tmp_path / "x.qrels")) == {"q1": {"a": 1, "b": 0}}


@pytest.mark.parametrize("content", ["", "one two\n", "q 0 d high\n"])
def test_a_file_that_is_no_qrels(tmp_path, content):
    (tmp_path / "x.qrels").write_text(content)
    with pytest.raises(AdaptorError, match=r"x.qrels .*query 0 document grade"):
        trec.read_qrels(str(tmp_path / "x.qrels"))


def test_an_id_with_a_space_can_not_stand_in_a_run(tmp_path):
    with pytest.raises(AdaptorError, match=r"'a b' has a space"):
        trec.write_run(tmp_path / "x.run", {"q": {"a b": 1.0}}, "tag")


def test_measures_are_those_of_ir_measures():
    assert check_measures(["nDCG@10", "AP@1000"]) == ("nDCG@10", "AP@1000")
    with pytest.raises(AdaptorError, match=r"'ndgc@10' is no measure that ir-measures knows, such as nDCG@10"):
        check_measures(["ndgc@10"])


def test_a_gate_file_is_json(tmp_path):
    gate.decide(str(tmp_path), rules("retention@16 >= 0.95"), [measurement(KEPT)], None)
    content = json.loads((tmp_path / "gates" / "aaaaaaaaaaaa.json").read_text())
    assert (content["passed"], content["rules"]) == (True, ["retention@16 >= 0.95"])
