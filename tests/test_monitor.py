"""The monitor: each fault trips its own alert, clean samples trip none, and whoever is to hear of it does."""

import json
import runpy
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from pyspark.sql import functions as F
from synthetic import clustered, embeddings_frame, rotation, save_delta, small_config, write_config
from typer.testing import CliRunner

import adaptor
from adaptor import Adaptor, AdaptorError
from adaptor.config import Config, load_config
from adaptor.evaluation.drift import look_at_queries, look_at_rows, look_at_strata, look_for_foreign
from adaptor.fitting.profile import Profile
from adaptor.spark import apply_table, evaluate_table, fit_table
from adaptor.spark.monitor import monitor_table
from adaptor.spark.tables import TableRef
from benchmarks import data_sets

ROWS = 1500
JOB = str(Path(__file__).parents[1] / "jobs" / "monitor.py")


def quiet(line):
    """A report that says nothing."""


# what is noticed, on real rows


@pytest.fixture(scope="module")
def scifact() -> tuple[Adaptor, Profile, np.ndarray]:
    """A fit on half of SciFact's abstracts, its profile as the fit makes it, and the other half."""
    corpus = data_sets.load("scifact")[0].corpus
    order = np.random.default_rng(1).permutation(len(corpus))
    first, rest = corpus[order[:2600]], corpus[order[2600:]]
    unseen = adaptor.fit(first[260:], dims=[32, 64]).corpus
    return adaptor.fit(first, dims=[32, 64]), Profile.of(first[:260], unseen, 64, None, None), rest


def alerts(fitted: Adaptor, profile: Profile, rows: np.ndarray) -> list[str]:
    checks = [*look_at_rows(profile, fitted, rows), look_for_foreign(profile, fitted, rows).check]
    return [check.name for check in checks if check.is_alert]


def test_twenty_clean_samples_trip_nothing(scifact):
    fitted, profile, rest = scifact
    for seed in range(20):
        sample = rest[np.random.default_rng(seed).choice(len(rest), 1500, replace=False)]
        assert alerts(fitted, profile, sample) == [], seed


def test_rows_of_a_kind_never_seen_are_named(scifact):
    """XQuAD's paragraphs, of the same model, are about other things than any abstract."""
    fitted, profile, rest = scifact
    mixed = np.concatenate([rest[:1940], data_sets.load("xquad_en")[0].corpus[:60]])
    foreign = look_for_foreign(profile, fitted, mixed)
    assert foreign.check.is_alert
    assert foreign.check.value == pytest.approx(0.03, abs=0.01)
    assert all(row >= 1940 for row in foreign.rows)


def test_a_tenth_rotated_is_foreign(scifact):
    fitted, profile, rest = scifact
    turned = np.concatenate([rest[:1800], rest[1800:2000] @ rotation(384)])
    assert "share of foreign rows" in alerts(fitted, profile, turned)


def test_norms_that_doubled_are_norms(scifact):
    fitted, profile, rest = scifact
    assert alerts(fitted, profile, 2 * rest[:1500]) == ["norm"]


def test_other_subjects_are_another_direction(scifact):
    fitted, profile, rest = scifact
    alike = rest[np.argsort(rest @ rest[0])[-500:]]
    assert "mean direction" in alerts(fitted, profile, np.concatenate([rest[:1000], alike]))


def test_a_stratum_that_was_replaced_is_named(scifact):
    _, profile, rest = scifact
    told_apart = replace(profile, strata=tuple("en" if number % 2 else "de" for number in range(len(profile.rows))))
    fresh = ["en" if number % 2 else "de" for number in range(1000)]
    assert not any(check.is_alert for check in look_at_strata(told_apart, rest[:1000], fresh))
    rows = rest[:1000].copy()
    rows[1::2] = rest[np.argsort(rest @ rest[0])[-500:]]
    alerting = [check.name for check in look_at_strata(told_apart, rows, fresh) if check.is_alert]
    assert alerting == ["mean direction of stratum en"]


def test_queries_that_ask_for_other_things(scifact):
    fitted, profile, rest = scifact
    asked = replace(profile, queries=rest[:300])
    assert not any(check.is_alert for check in look_at_queries(asked, fitted, rest[300:600]))
    alike = rest[np.argsort(rest @ rest[0])[-300:]]
    assert "mean direction of queries" in [c.name for c in look_at_queries(asked, fitted, alike) if c.is_alert]
    assert look_at_queries(profile, fitted, rest[:300]) == []  # the fit had none


def test_a_profile_comes_back_as_it_was_saved(tmp_path, scifact):
    _, profile, _ = scifact
    one = replace(profile, strata=("x",) * len(profile.rows), bad_share=0.25, sampled=9)
    one.save(str(tmp_path), "abc")
    back = Profile.load(str(tmp_path), "abc")
    assert (back.strata, back.queries, back.bad_share, back.sampled) == (one.strata, None, 0.25, 9)
    np.testing.assert_array_equal(back.mapped, one.mapped)
    with pytest.raises(AdaptorError, match=r"has no profile of version other: fit it again with jobs/fit.py"):
        Profile.load(str(tmp_path), "other")
    (tmp_path / "profiles" / "bad.safetensors").write_bytes(b"no tensors")
    with pytest.raises(AdaptorError, match=r"bad.safetensors is damaged .*; fit again"):
        Profile.load(str(tmp_path), "bad")


# the job


@dataclass
class Lake:
    """A table that was fitted and applied, and its config."""

    spark: Any
    folder: Path
    docs: str
    config: Config

    def monitor(self, report: Any = quiet, **settings: Any) -> Any:
        changed = self.config.monitor.model_copy(update=settings)
        return monitor_table(self.spark, self.config.model_copy(update={"monitor": changed}), report)

    def append(self, rows: np.ndarray, ids: list[str]) -> None:
        save_delta(embeddings_frame(self.spark, rows, ids), self.docs, "append")


@pytest.fixture
def lake(spark, tmp_path):
    ids = [f"d{i:04d}" for i in range(ROWS)]
    docs = save_delta(embeddings_frame(spark, clustered(ROWS), ids), tmp_path / "docs")
    changes = {"fit": {"candidates": ["svd"]}, "evaluate": {"held_out": 50}}
    config = load_config(write_config(tmp_path / "c.yaml", small_config(tmp_path, docs, **changes)))
    fit_table(spark, config, quiet)
    apply_table(spark, config, quiet)
    return Lake(spark, tmp_path, docs, config)


def names(monitored: Any) -> list[str]:
    return [alert.name for alert in monitored.alerts]


def test_nothing_has_changed(lake):
    monitored = lake.monitor()
    assert (monitored.alerts, monitored.new_rows_only, monitored.refit) == ([], False, None)
    looked = {check.name for check in monitored.checks}
    assert {"norm", "mean direction", "energy at 4", "neighbours@10 kept at 16", "share of bad rows"} <= looked
    assert {"targets of another version", "versions behind", "days without a new version"} <= looked
    rows = TableRef(lake.config.runs).read(lake.spark).where("job = 'monitor'")
    assert {row.metric for row in rows.collect()} == looked


def test_new_rows_alone_are_looked_at_and_everyone_hears(lake):
    """300 rows of another model after the fit: the alert stands in the table and the file, and proposes a refit."""
    lake.append(clustered(300, seed=9) @ rotation(32, seed=8), [f"x{i:03d}" for i in range(300)])
    table, file = str(lake.folder / "alerts"), lake.folder / "alerts.jsonl"
    monitored = lake.monitor(alerts=table, file=str(file))
    assert (monitored.new_rows_only, monitored.rows) == (True, 150)  # of one of two new files: a twentieth at most
    (alert,) = [alert for alert in monitored.alerts if alert.name == "share of foreign rows"]
    assert "they are of another model, or of a kind that the fit has not seen, such as x" in alert.sentence
    assert "share of foreign rows" in monitored.refit
    rows = TableRef(table).read(lake.spark).collect()
    assert {row.sentence for row in rows} == {alert.sentence for alert in monitored.alerts}
    assert [json.loads(line)["name"] for line in file.read_text().splitlines()] == names(monitored)


def test_rows_that_are_set_aside_more_often(lake):
    lake.append(np.full((100, 32), np.nan), [f"bad{i:03d}" for i in range(100)])
    lake.append(clustered(100, seed=4), [f"y{i:03d}" for i in range(100)])
    assert "share of bad rows" in names(lake.monitor())


def test_a_target_of_another_version_and_one_far_behind(lake):
    artifact = lake.config.artifact.model_copy(update={"promote": "always"})
    changes = {"fit": replace(lake.config.fit, candidates=("pca",)), "artifact": artifact}
    fit_table(lake.spark, lake.config.model_copy(update=changes), quiet)
    for number in range(3):
        lake.append(clustered(100, seed=number), [f"z{number}{i:02d}" for i in range(100)])
    assert {"targets of another version", "versions behind"} <= set(names(lake.monitor(versions_behind=2)))


def test_dims_that_nobody_reads(lake):
    usage = lake.spark.createDataFrame([(4, 10), (8, 0)], "dim int, reads long")
    notes = lake.monitor(usage=save_delta(usage, lake.folder / "usage")).notes
    assert [note[:21] for note in notes] == ["dim 8 is never read, ", "dim 16 is never read,"]


def test_good_news_is_told(lake):
    evaluate_table(lake.spark, lake.config, quiet)
    recommend = lake.config.recommend.model_copy(update={"rules": ("retention >= 0.1",)})
    advised = replace(lake, config=lake.config.model_copy(update={"recommend": recommend}))
    assert advised.monitor().notes[0].startswith("good news: a smaller one suffices. Take adaptor ")


class Hook(BaseHTTPRequestHandler):
    """A webhook that fails as often as `failures` says, and keeps what it got."""

    failures, got = 0, []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if Hook.failures:
            Hook.failures -= 1
            self.send_response(503)
        else:
            Hook.got.append(json.loads(body))
            self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments):
        """Nothing on stderr."""


def test_whoever_is_to_hear_hears_and_nobody_ends_the_job(lake):
    """A webhook is asked three times; one that hangs, and a file that can't be written, are a line each."""
    said = []
    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/x"
        for failures, arrives in ((2, True), (5, False)):
            Hook.failures, Hook.got = failures, []
            assert names(lake.monitor(said.append, quiet_days=1e-9, webhook=url)) == ["days without a new version"]
            assert bool(Hook.got) == arrives
        server.shutdown()
    with HTTPServer(("127.0.0.1", 0), Hook) as silent:
        url, file = f"http://127.0.0.1:{silent.server_port}/x", str(lake.folder / "none" / "x")
        hanging = {"webhook": url, "webhook_seconds": 0.1, "file": file}
        assert len(lake.monitor(said.append, quiet_days=1e-9, **hanging).alerts) == 1
    assert sum("1 alerts could not be sent to" in line for line in said) == 3


def test_the_exit_code(lake):
    main = runpy.run_path(JOB)["app"]
    arguments = ["--config", str(lake.folder / "c.yaml")]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert CliRunner().invoke(main, [*arguments, "--set", "monitor.quiet_days=0.0000001"]).exit_code == 4


def test_at_most_a_twentieth_of_the_bytes_is_read(lake):
    many = str(lake.folder / "many")
    rows = embeddings_frame(lake.spark, clustered(4000)).withColumn("id", F.expr("uuid()"))
    rows.repartition(40).write.format("delta").save(many)
    source = lake.config.source.model_copy(update={"table": many})
    changed = replace(lake, config=lake.config.model_copy(update={"source": source}))
    assert 0 < changed.monitor().read_share <= 0.05
