"""A fit's record in MLflow: what is in it, what it takes, and what becomes of the fit where MLflow fails."""

import json
import os
import re
import runpy
import socket
import sys
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import functions as F
from synthetic import clustered, embeddings_frame, save_delta, small_config, write_config
from typer.testing import CliRunner

from adaptor import Adaptor
from adaptor.config import Config, load_config
from adaptor.errors import ConfigError
from adaptor.spark.fit import Fitted, fit_table
from adaptor.spark.tracking import require_mlflow, track

mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed: the extra `tracking`")

JOB = str(Path(__file__).parents[1] / "jobs" / "fit.py")
EXPERIMENT = "documents"
LABELS = ["de/ch", "de ch", None]  # of strata: MLflow takes none of them for a name
FIT = {
    "effort": "normal",
    "candidates": ["truncation", "svd", "trained"],
    "training": {"steps": 20, "evaluate_every": 5},
}


@dataclass
class Tracked:
    """A fit that MLflow has a record of, in a SQLite store with the artifacts in a folder beside it."""

    client: Any
    config: Config
    fitted: Fitted
    run: Any
    lines: list[str]

    def with_experiment(self, name: str) -> Config:
        assert self.config.tracking
        return self.config.model_copy(update={"tracking": self.config.tracking.model_copy(update={"experiment": name})})

    def track(self, experiment: str, fitted: Fitted) -> tuple[str, Any]:
        """Track a fit once more, in another experiment: what was said, and the run."""
        config, lines = self.with_experiment(experiment), []
        track(config, config.tracking, fitted, [], lines.append)
        found = self.client.get_experiment_by_name(experiment)
        (run,) = self.client.search_runs([found.experiment_id])
        (line,) = lines
        return line, run

    def files(self, run: Any, folder: Path) -> dict[str, bytes]:
        """The files of the run's artifact."""
        there = Path(self.client.download_artifacts(run.info.run_id, "artifact", str(folder)))
        return contents(there)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def docs(spark, tmp_path_factory) -> str:
    label = F.element_at(
        F.array(*map(F.lit, LABELS)), (F.substring("id", 2, 3).cast("int") % len(LABELS) + 1).cast("int")
    )
    rows = embeddings_frame(spark, clustered(400)).withColumn("language", label)
    return save_delta(rows, tmp_path_factory.mktemp("tracking") / "docs")


@pytest.fixture(scope="module")
def tracked(spark, docs, tmp_path_factory) -> Tracked:
    folder = tmp_path_factory.mktemp("tracked")
    uri = f"sqlite:///{folder}/mlflow.db"
    with chdir(folder):  # where MLflow puts the files of an experiment that it makes for a database
        client = mlflow.MlflowClient(uri)
    experiment = client.create_experiment(EXPERIMENT, str(folder / "artifacts"))
    document = small_config(
        folder,
        docs,
        fit=FIT,
        sample={"stratum": "language", "rows": 390},
        tracking={"uri": uri, "experiment": EXPERIMENT},
        monitor={"webhook": "https://hooks.example/secret"},
    )
    config = load_config(write_config(folder / "config.yaml", document))
    lines: list[str] = []
    fitted = fit_table(spark, config, lines.append)
    (run,) = client.search_runs([experiment])
    return Tracked(client, config, fitted, run, lines)


def test_a_fit_is_one_finished_run(tracked):
    info, adaptor = tracked.run.info, tracked.fitted.adaptor
    assert (info.status, info.run_name) == ("FINISHED", adaptor.version)
    assert info.end_time - info.start_time == pytest.approx(1000 * tracked.fitted.seconds, abs=2)
    assert tracked.run.data.tags["fingerprint"] == adaptor.fingerprint
    line = f"tracking: run {info.run_id} in experiment {EXPERIMENT} of {tracked.config.tracking.uri}"
    assert tracked.lines[-1] == line


def test_parameters_are_the_config_and_what_the_fit_was_made_with(tracked):
    parameters = tracked.run.data.params
    expected = {
        "source.table": tracked.config.source.table,
        "source.version": "0",  # null in the config: the version that was read
        "source.where": "null",
        "sample.stratum": "language",
        "dims": "[4, 8, 16]",
        "fit.effort": "normal",
        "fit.training.steps": "20",
        "workers.kind": "local",
        "version.numpy": np.__version__,
        "chosen": tracked.fitted.adaptor.config["candidate"],
        "rows": str(tracked.fitted.adaptor.config["rows"]),
        "fingerprint": tracked.fitted.adaptor.fingerprint,
    }
    assert {name: parameters.get(name) for name in expected} == expected
    assert not any("secret" in value for value in parameters.values())
    assert not any(name.startswith(("tracking", "monitor")) for name in parameters)


def test_held_out_figures_of_each_candidate_at_each_dim(tracked):
    metrics, measured = tracked.run.data.metrics, tracked.fitted.adaptor.metrics
    assert {score["candidate"] for score in measured["candidates"]} == {"truncation", "svd", "trained"}
    for score in measured["candidates"]:
        for metric, values in score["figures"].items():
            for dim, value in values.items():
                assert metrics[f"{score['candidate']}/{metric.replace('@', '_at_')}/{dim}"] == value
        assert metrics[f"{score['candidate']}/agreement"] == score["agreement"]


def test_the_chosen_one_s_figures_have_the_same_names_in_every_run(tracked):
    metrics, chosen = tracked.run.data.metrics, tracked.fitted.adaptor.config["candidate"]
    for dim in (4, 8, 16):
        assert metrics[f"chosen/retrieval_at_10/{dim}"] == metrics[f"{chosen}/retrieval_at_10/{dim}"]


def test_strata_whose_labels_are_no_names_are_told_apart(tracked):
    found = [re.fullmatch("strata/(.+)/svd/retrieval_at_10/4", name) for name in tracked.run.data.metrics]
    named = sorted(match[1].rpartition("_")[0] for match in found if match)
    assert named == ["_null_", "de_ch", "de_ch"]
    kept = {part["kept"]["svd"]["4"] for part in tracked.fitted.adaptor.metrics["strata"].values()}
    assert kept == {tracked.run.data.metrics[match[0]] for match in found if match}


def test_curves_of_all_trainings_by_step(tracked):
    trainings = tracked.fitted.adaptor.metrics["training"]["runs"]
    expected = {
        f"training/{number}_{training['name']}/{of}": [(point["step"], point[of]) for point in training["curve"]]
        for number, training in enumerate(trainings, 1)
        for of in ("loss", "score")
    }
    known = {name: [point for point in curve if point[1] is not None] for name, curve in expected.items()}
    logged = {name for name in tracked.run.data.metrics if name.startswith("training/")}
    assert logged == {name for name, curve in known.items() if curve}
    assert len(logged) >= 2
    for name in logged:
        history = tracked.client.get_metric_history(tracked.run.info.run_id, name)
        assert [(point.step, point.value) for point in history] == known[name]


def test_the_artifact_comes_back_whole(tracked, tmp_path):
    files = tracked.files(tracked.run, tmp_path)
    assert files == contents(Path(tracked.fitted.path))
    assert Adaptor.load(str(tmp_path / "artifact")).fingerprint == tracked.fitted.adaptor.fingerprint


def test_the_card_is_the_run_s_description(tracked):
    card = (Path(tracked.fitted.path) / "README.md").read_text()
    assert "# Matryoshka adaptor" in card
    assert tracked.run.data.tags["mlflow.note.content"] == card


def test_an_artifact_on_another_file_system_and_an_experiment_that_is_not_there(tracked, tmp_path):
    url = "memory://tracked/[a]/version"
    tracked.fitted.adaptor.save(url, "a card")
    line, run = tracked.track("new", replace(tracked.fitted, path=url))
    assert line.startswith(f"tracking: run {run.info.run_id} in experiment new of sqlite:")
    assert set(tracked.files(run, tmp_path)) == {"model.safetensors", "metrics.json", "README.md", "config.json"}
    assert run.data.tags["mlflow.note.content"] == "a card"
    assert Adaptor.load(str(tmp_path / "artifact")).fingerprint == tracked.fitted.adaptor.fingerprint


def test_where_files_can_not_be_logged_the_run_has_failed(tracked, tmp_path):
    """And does not seem to go on, as a run that nobody ends would."""
    (tmp_path / "file").write_text("")
    tracked.client.create_experiment("broken", str(tmp_path / "file" / "artifacts"))
    line, run = tracked.track("broken", tracked.fitted)
    version = tracked.fitted.adaptor.version
    assert line.startswith(f"tracking: version {version} is kept, but experiment broken of sqlite:")
    assert "has no whole record of it: NotADirectoryError: " in line
    assert run.info.status == "FAILED"
    assert run.data.params["fingerprint"] == tracked.fitted.adaptor.fingerprint


def test_mlflow_s_environment_is_as_before(tracked):
    assert not [name for name in os.environ if name.startswith("MLFLOW_")]


def test_a_server_that_does_not_answer_costs_the_record_not_the_fit(spark, docs, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        document = small_config(tmp_path, docs, fit={"effort": "quick"}, tracking={"uri": f"http://me:secret@{host}"})
        ended = CliRunner().invoke(
            runpy.run_path(JOB)["app"], ["--config", write_config(tmp_path / "c.yaml", document)]
        )
    assert ended.exit_code == 0, ended.output
    version = json.loads((tmp_path / "artifact" / "current.json").read_text())["version"]
    assert Adaptor.load(str(tmp_path / "artifact")).version == version
    said = " ".join(ended.output.split())
    assert f"tracking: version {version} is kept, but experiment matryoshka-adaptor of http://{host} has no " in said
    assert "whole record of it: ConnectionRefusedError: " in said
    assert "secret" not in said
    assert "Retrying" not in ended.stderr


@pytest.mark.parametrize("module", ["mlflow", "sqlalchemy", "alembic"])
def test_without_the_extra_one_line_says_what_to_install(monkeypatch, tmp_path, module):
    monkeypatch.setitem(sys.modules, module, None)
    document = small_config(tmp_path, "no table", tracking={"uri": "sqlite:///mlflow.db"})
    ended = CliRunner().invoke(runpy.run_path(JOB)["app"], ["--config", write_config(tmp_path / "c.yaml", document)])
    assert ended.exit_code == 2  # that there is no such table is found later, in Spark
    assert ended.stderr == (
        f"fit: tracking needs {module}, not installed here; pip install 'matryoshka-adaptor[tracking]', "
        "or take tracking out of the config\n"
    )


def test_a_server_needs_no_database(monkeypatch):
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    require_mlflow("https://mlflow.example")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("htps://mlflow.example", "tracking.uri begins with htps:, which is none of databricks, http, https, mssql"),
        ("mysql+pymysql://me:secret@host/runs", "tracking.uri needs pymysql, not installed here; pip install pymysql"),
        ("sqlite:mlflow.db", "tracking.uri is no address of a database: ArgumentError: Could not parse SQLAlchemy URL"),
    ],
)
def test_an_address_that_nothing_here_can_open(monkeypatch, uri, message):
    monkeypatch.setitem(sys.modules, "pymysql", None)
    with pytest.raises(ConfigError, match=re.escape(message)) as raised:
        require_mlflow(uri)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("tracking", "message"),
    [
        ({"uri": "lake/mlruns"}, "tracking.uri is 'lake/mlruns': MLflow keeps runs in no plain folder any more; write"),
        ({"uri": "file:/lake/mlruns"}, "tracking.uri is 'file:/lake/mlruns': MLflow keeps runs in no plain folder"),
        ({"experiment": "documents"}, "tracking.uri is missing"),
        ({"uri": "databricks", "experimnt": "x"}, "unknown key tracking.experimnt; did you mean tracking.experiment?"),
    ],
)
def test_a_mistake_in_the_config(tmp_path, tracking, message):
    path = write_config(tmp_path / "c.yaml", small_config(tmp_path, "docs", tracking=tracking))
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config(path)
