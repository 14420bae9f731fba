"""What a fit measured: typed, as JSON, and as an artifact of before 0.2 has it."""

import json

from synthetic import clustered

import adaptor
from adaptor import FitSettings
from adaptor.card import model_card
from adaptor.fitting.report import FitReport, Origin

SETTINGS = FitSettings(candidates=("truncation", "svd", "query_aware_svd"))


def fitted() -> adaptor.Adaptor:
    return adaptor.fit(clustered(300), dims=[4, 8], settings=SETTINGS, strata=["a", "b", "c"] * 100)


def test_json_and_back():
    metrics = json.loads(json.dumps(fitted().metrics))
    report = FitReport.from_json(metrics)
    assert report.to_json() == metrics
    assert {score.candidate for score in report.candidates} == {"truncation", "svd"}
    assert {name: set(values) for name, values in report.candidates[0].figures.items()} == {
        "retrieval@10": {4, 8},
        "neighbours@10": {4, 8},
    }
    assert sum(part.held_out_rows for part in report.strata.values()) == report.held_out_rows


def test_the_origin_of_a_job_stands_beside_the_figures():
    metrics = dict(fitted().metrics)
    origin = Origin("lake/docs", 3, "lang", {"zero": 1}, "2026-01-01T00:00:00+00:00")
    report = FitReport.from_json({**metrics, **vars(origin)})
    assert report.origin == origin
    assert {**metrics, **vars(origin)} == report.to_json()


def test_an_older_artifact_says_mean_for_agreement_and_has_one_figure():
    artifact = fitted()
    older = json.loads(json.dumps(artifact.metrics))
    agreements = [score["agreement"] for score in older["candidates"]]
    for score in older["candidates"]:
        score["mean"] = score.pop("agreement")
        score["overlap"] = score.pop("figures")["neighbours@10"]
    for name in ("tuning", "supervised", "strata", "zero_prefixes", "keep"):
        del older[name]
    report = FitReport.from_json(older)
    assert report.metric == "overlap@10"
    assert [score.agreement for score in report.candidates] == agreements
    assert f"{agreements[0]:.4f} |" in model_card(artifact, report)
