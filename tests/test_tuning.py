"""The search for settings: the same by seed wherever trials run, never under the settings as given."""

import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from synthetic import clustered, embeddings_frame, save_delta, small_config, write_config

import adaptor
from adaptor import AdaptorError
from adaptor.config import load_config
from adaptor.errors import ConfigError
from adaptor.fitting.candidates import Maker
from adaptor.fitting.pipeline import experiment_of
from adaptor.fitting.sample import Sample, in_memory
from adaptor.fitting.settings import FitSettings, QueryTraining, Training, Tuning
from adaptor.fitting.tuning import Experiment, in_turn, params_of, search
from adaptor.spark.fit import fit_table
from adaptor.spark.trials import as_tasks
from adaptor.training.workers.local import LocalWorkers

ROWS = 600  # of which 60 are held out for the trials
SLOW = Training(
    learning_rate=5e-4, steps=100, batch=128, evaluate_every=20, patience=9
)  # too slow: there is something to find
SETTINGS = FitSettings(candidates=("trained",), training=SLOW, tune=True, tuning=Tuning(trials=5, at_once=2))


def experiment(settings: FitSettings = SETTINGS, seed: int = 0, rows: int = ROWS, queries=None) -> Experiment | str:
    x = in_memory(clustered(rows))
    sample = Sample(x, in_memory(x.rows[:0]), x, queries)
    return experiment_of(Maker(sample.train, queries, (4, 8), settings, seed, LocalWorkers()), sample)


def searched(case: Experiment, trials=in_turn):
    with trials(case) as run:
        return search(case, run).trials


@pytest.fixture(scope="module")
def fitted() -> adaptor.Adaptor:
    return adaptor.fit(clustered(ROWS), dims=[4, 8], settings=SETTINGS)


def test_the_same_seed_finds_the_same(fitted):
    again = adaptor.fit(clustered(ROWS), dims=[4, 8], settings=SETTINGS)
    assert again.metrics["tuning"] == fitted.metrics["tuning"]
    assert again.fingerprint == fitted.fingerprint


def test_another_seed_tries_others():
    first, second = ([params for params, _ in searched(experiment(seed=seed))] for seed in (0, 1))
    assert first[0] == second[0] == params_of(SLOW)
    assert not [params for params in first[1:] if params in second]


def test_the_settings_as_given_are_the_first_trial(fitted):
    tuning = fitted.metrics["tuning"]
    scores = [trial["agreement"] for trial in tuning["trials"]]
    assert len(scores) == SETTINGS.tuning.trials
    assert tuning["trials"][0]["params"] == {name: getattr(SLOW, name) for name in tuning["trials"][0]["params"]}
    assert scores[tuning["best"]] == max(scores) > scores[0]


def test_what_ships_is_what_its_settings_would_give(fitted):
    """The tuned candidate won over the same training as given, on rows that no trial saw."""
    assert fitted.config["candidate"] == "tuned"
    assert fitted.config["tuned"] == fitted.metrics["tuning"]["trials"][fitted.metrics["tuning"]["best"]]["params"]
    assert [score["candidate"] for score in fitted.metrics["candidates"]] == ["trained", "tuned"]
    settings = FitSettings(candidates=("trained",), training=replace(SLOW, **fitted.config["tuned"]))
    same = adaptor.fit(clustered(ROWS), dims=[4, 8], settings=settings)
    x = clustered(50, seed=3)
    np.testing.assert_array_equal(fitted.encode(x, dim=8), same.encode(x, dim=8))


def test_trials_do_not_see_the_rows_that_judge_them():
    case = experiment()
    judging = {row.tobytes() for row in case.standard.judge.rows}
    assert len(judging) == 60
    assert len(case.rows) == ROWS - 60
    assert not judging & {row.tobytes() for row in case.rows}


def test_queries_judge_where_there_are_any():
    queries = clustered(300, seed=5)
    settings = replace(SETTINGS, query_training=QueryTraining(steps=10, sides="one", random=64))
    case = experiment(settings, queries=queries)
    assert (case.standard.judge.side, len(case.standard.judge.rows), len(case.maker.queries), len(case.rows)) == (
        "query",
        60,
        240,
        ROWS,
    )
    maker = replace(case.maker, settings=replace(settings, tuning=Tuning(trials=2)))
    trials = searched(replace(case, maker=maker))
    assert trials[0][0] == params_of(settings.query_training)
    assert all(0 < score <= 1 for _, score in trials)


@pytest.mark.parametrize(
    ("changes", "rows", "reason"),
    [
        ({}, 400, "40 rows could be held out for the trials, under 50"),
        ({"candidates": ("svd", "trained")}, 60, "54 rows are too few for an MLP on 32 numbers"),
        (
            {"candidates": ("svd",)},
            ROWS,
            "fit.candidates or fit.effort leave out 'trained', the one that a search can change",
        ),
    ],
)
def test_where_there_is_nothing_to_search(changes, rows, reason):
    result = adaptor.fit(clustered(rows * 10 // 9), dims=[4, 8], settings=replace(SETTINGS, **changes))
    assert reason in result.metrics["left_out"]["tuned"]
    assert result.metrics["tuning"] is None


def test_spark_tasks_score_as_this_process_does(spark):
    case = experiment()
    assert searched(case, lambda what: as_tasks(spark, what)) == searched(case)


def test_a_trial_that_fails_says_why(spark):
    with (
        as_tasks(spark, experiment()) as run,
        pytest.raises(AdaptorError, match=r"^the trial with neighbours 1e\+04 failed: RuntimeError: .*out of range$"),
    ):
        run([{"neighbours": 10_000}])


def test_a_fit_job_tunes(spark, tmp_path):
    table = save_delta(embeddings_frame(spark, clustered(ROWS)), tmp_path / "docs")
    fit = {
        "candidates": ["svd", "trained"],
        "tune": True,
        "tuning": {"trials": 3},
        "training": {"steps": 20, "learning_rate": 2e-4},
    }
    config = load_config(write_config(tmp_path / "c.yaml", small_config(tmp_path, table, fit=fit)))
    lines: list[str] = []
    fitted = fit_table(spark, config, lines.append)
    summary = fitted.adaptor.metrics["tuning"]["summary"]
    assert f"tuning: {summary}" in lines
    assert summary in (tmp_path / "artifact" / fitted.adaptor.fingerprint[:12] / "README.md").read_text()
    again = fit_table(spark, config, lines.append)
    assert again.adaptor.fingerprint == fitted.adaptor.fingerprint


@pytest.mark.parametrize("module", ["optuna", "threadpoolctl"])
def test_without_the_extra(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    message = f"fit.tune needs {module}, which is not installed; pip install 'matryoshka-adaptor[tune]', or set"
    with pytest.raises(AdaptorError, match=re.escape(message)):
        adaptor.fit(clustered(ROWS), dims=[4, 8], settings=SETTINGS)


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        ({"tunee": True}, "unknown key fit.tunee; did you mean fit.tune?"),
        ({"tune": 3}, "fit.tune is 3: Input should be a valid boolean"),
        ({"tuning": {"trial": 3}}, "unknown key fit.tuning.trial; did you mean fit.tuning.trials?"),
        ({"tuning": {"trials": 0}}, "fit.tuning.trials is 0: Input should be greater than or equal to 1"),
    ],
)
def test_a_mistake_in_the_config(tmp_path, fit, message):
    path = write_config(tmp_path / "c.yaml", small_config(tmp_path, "docs", fit=fit))
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config(path)
