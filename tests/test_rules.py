"""Rules in words: what they can say, what is no rule, and when one holds."""

from dataclasses import replace

import numpy as np
import pytest
from measurements import FULL, QUERIES, measurement, with_a_bad_stratum

from adaptor import AdaptorError
from adaptor.evaluation.measurement import Variant
from adaptor.evaluation.rules import EXAMPLES, judge_rule, parse_rules, statistic_of
from adaptor.evaluation.statistics import corrected, difference, resampled

METRICS, DIMS = ("nDCG@10", "neighbours@10"), (8, 16, 64)
KEPT = {8: 0.9, 16: 0.97}


def rule(text):
    (parsed,) = parse_rules([text], METRICS, DIMS)
    return parsed


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_examples_can_be_read(text):
    assert rule(text).text == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("retention@16 >= 0.95", ("retention", None, 16, None, None, True, 0.95)),
        ("retention >= .95".replace(".", "0."), ("retention", None, None, None, None, True, 0.95)),
        ("NDCG@10 at 8 >= 0.5", ("nDCG@10", None, 8, None, None, True, 0.5)),
        ("worst stratum retention@8>=0.9", ("retention", "worst stratum", 8, None, None, True, 0.9)),
        ("5th percentile ndcg@10 >= 0.1", ("nDCG@10", "5th percentile", None, None, None, True, 0.1)),
        ("ndcg@10 drop against svd <= 0", ("nDCG@10", None, None, "svd", None, False, 0)),
        ("ndcg@10 at 8 drop against run spring <= 0.01", ("nDCG@10", None, 8, "run", "spring", False, 0.01)),
        ("neighbours@10 drop against current at 16 <= 0.02", ("neighbours@10", None, 16, "current", None, False, 0.02)),
    ],
)
def test_what_a_rule_can_say(text, expected):
    read = rule(text)
    assert (read.figure, read.scope, read.dim, read.against, read.run, read.at_least, read.bound) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "rule 'nonsense' can't be read; rules look like 'retention@64 >= 0.95'"),
        ("ndgc@10 >= 0.5", r"ndgc@10 is not measured; did you mean nDCG@10\? \(there are retention, nDCG@10, neigh"),
        ("retention@48 >= 0.5", r"dim 48 is none of dims \[8, 16, 64\]"),
        ("retention@8 > 0.5", "can't be read"),
        ("ndcg@10 drop against yesterday <= 0.1", "can't be read"),
    ],
)
def test_what_is_no_rule(text, message):
    with pytest.raises(AdaptorError, match=message):
        rule(text)


def test_a_rule_may_be_about_a_code_of_some_bytes():
    read = rule("retention@48 bytes >= 0.95")  # 48 is none of the dims
    assert (read.figure, read.dim, read.of_code) == ("retention", 48, True)
    one = measurement(KEPT)
    with pytest.raises(
        AdaptorError, match=r"no code of 48 bytes was measured on hand \(evaluate.encodings leaves bits"
    ):
        judge_rule(read, one)
    kept = one.values[Variant("adaptor", 16)]
    coded = replace(one, values={**one.values, Variant("adaptor", 24, "bits"): kept})
    with pytest.raises(AdaptorError, match=r"no code of 48 bytes was measured on hand \(there are 24\)"):
        judge_rule(read, coded)
    verdict = judge_rule(rule("ndcg@10 drop against original at 24 bytes <= 0.05"), coded)
    assert (verdict.holds, verdict.variant.encoding) == (True, "bits")
    assert verdict.sentence.endswith("at 24 bytes on hand")
    with pytest.raises(AdaptorError, match="SVD has no codes"):
        rule("ndcg@10 drop against svd at 24 bytes <= 0")


def test_a_rule_without_a_dim_is_about_the_worst():
    verdict = judge_rule(rule("retention >= 0.95"), measurement(KEPT))
    assert (verdict.variant.dim, verdict.holds, verdict.is_certain) == (8, False, True)
    assert verdict.value == pytest.approx(0.9, abs=0.01)
    assert verdict.low < verdict.value < verdict.high
    assert verdict.sentence.startswith("retention >= 0.95: fails; 0.8998 [0.8961, 0.9034]")
    assert verdict.sentence.endswith("at 8 on hand")


def test_a_rule_holds_by_its_figure_and_says_where_the_interval_does_not():
    one = measurement({16: 0.95}, noise=0.1)
    value = judge_rule(rule("retention@16 >= 0.9"), one).value
    close = judge_rule(rule(f"retention@16 >= {value - 1e-4:.6f}"), one)
    assert (close.holds, close.is_certain) == (True, False)
    assert "holds, but its interval holds the bound" in close.sentence


def test_the_worst_stratum():
    strata = ["de" if number % 4 == 0 else "en" for number in range(QUERIES)]
    one = with_a_bad_stratum(measurement(KEPT, strata=strata), "de", 0.5)
    assert judge_rule(rule("retention@16 >= 0.8"), one).holds
    worst = judge_rule(rule("worst stratum retention@16 >= 0.8"), one)
    assert worst.value == pytest.approx(0.5)
    assert not worst.holds
    assert one.worst_stratum(Variant("adaptor", 16))[0] == "de"


def test_the_tail():
    one = measurement(KEPT)
    verdict = judge_rule(rule("5th percentile ndcg@10 at 16 >= 0.1"), one)
    assert verdict.value == pytest.approx(np.percentile(one.of(one.shipped(16)), 5))


def test_a_drop_against_svd_the_original_and_a_run():
    one, before = measurement(KEPT), measurement({8: 0.92, 16: 0.97, 32: 1.0})
    against_svd = judge_rule(rule("ndcg@10 drop against svd at 8 <= 0"), one)
    assert (against_svd.value, against_svd.holds) == (pytest.approx(-0.05 * FULL.mean(), abs=0.005), True)
    assert judge_rule(rule("ndcg@10 drop against original at 8 <= 0.1"), one).value == pytest.approx(0.07, abs=0.01)
    drop = judge_rule(rule("ndcg@10 drop against run before <= 0.005"), one, before)
    assert (drop.variant.dim, drop.holds) == (8, False)
    assert drop.value == pytest.approx(0.02 * FULL.mean(), abs=0.01)


def test_queries_are_paired_by_name():
    one, before = measurement(KEPT), measurement(KEPT)
    shuffled = before.__class__(
        **{
            **{name: value for name, value in vars(before).items() if name != "parts"},
            "queries": before.queries[::-1],
            "values": {v: {m: x[::-1] for m, x in by.items()} for v, by in before.values.items()},
        }
    )
    statistic, count = statistic_of(rule("ndcg@10 drop against run r at 8 <= 1"), one, one.shipped(8), shuffled)
    assert count == QUERIES
    np.testing.assert_allclose(resampled(statistic, count), 0, atol=1e-12)


def test_a_value_that_is_no_number_fails_its_rule():
    one = measurement(KEPT)
    one.values[one.shipped(8)]["nDCG@10"][:] = np.nan
    verdict = judge_rule(rule("ndcg@10 >= 0"), one)
    assert not verdict.holds
    assert verdict.sentence == "ndcg@10 >= 0: fails on hand, nothing was measured at 8"


def test_p_values_are_corrected_for_how_many_there_are():
    p = {"a": 0.01, "b": 0.04, "c": 0.5, "none": float("nan")}
    fixed = corrected(p)
    assert fixed["a"] == pytest.approx(0.03)
    assert fixed["b"] == pytest.approx(0.06)
    assert np.isnan(fixed["none"])
    assert corrected({}) == {}


def test_a_difference_leaves_out_queries_without_a_value():
    values = np.array([1.0, np.nan, 0.5, 0.7])
    gain = difference(values, np.array([0.5, 0.1, 0.4, np.nan]))
    assert gain.mean == pytest.approx(0.3)
    assert np.isnan(difference(np.full(3, np.nan), np.zeros(3)).mean)
