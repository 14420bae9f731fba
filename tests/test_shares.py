"""Workers that hold a share of the sample each: what they find and learn is what the whole sample gives."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from optional import HOROVOD, PETASTORM
from synthetic import clustered, embeddings_frame, save_delta
from threads import ThreadWorkers

from adaptor.errors import AdaptorError
from adaptor.fitting import closed_forms
from adaptor.fitting.candidates import Maker
from adaptor.fitting.judge import GradedJudge, Judge
from adaptor.fitting.report import FitReport
from adaptor.fitting.sample import in_memory
from adaptor.fitting.settings import FitSettings, QueryTraining, Supervision, Training
from adaptor.spark.fit import fit_table
from adaptor.training import shares
from adaptor.training.batches import ArrayBatches
from adaptor.training.checkpoints import Checkpoints
from adaptor.training.loop import Schedule, train
from adaptor.training.objectives.judgments import MakeJudgmentObjective
from adaptor.training.objectives.nearest import Neighbours, mine, nearest_rows
from adaptor.training.objectives.neighbourhoods import MakeNeighbourhoodObjective
from adaptor.training.objectives.query_log import MakeQueryLogObjective
from adaptor.training.shares import Share
from adaptor.training.workers.local import Alone, LocalWorkers
from adaptor.vectors import normalise

X, HELD_OUT = clustered(400), clustered(60, seed=4)
DIMS = (4, 8, 16)
CPU = torch.device("cpu")
JUDGE = Judge.of(closed_forms.truncation(X), HELD_OUT, "corpus", X, DIMS)
SHORT = Training(batch=64, steps=8, batches_per_step=2, evaluate_every=4)
LONG = Training(batch=96, steps=60, batches_per_step=2, evaluate_every=20, patience=9, learning_rate=5e-3)


@pytest.fixture(autouse=True)
def many_blocks(monkeypatch):
    """So small that a share passes in several blocks, the last of them a part."""
    monkeypatch.setattr(shares, "BLOCK_BYTES", 50 * 32 * 4)


@pytest.fixture(autouse=True, scope="module")
def one_thread_each():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def in_shares(size: int, what, rows: np.ndarray = X) -> list:
    """What each of `size` workers makes of its share."""
    return ThreadWorkers(size).run(lambda collective: what(Share.of(ArrayBatches(rows), collective)))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_each_worker_holds_its_share_only_and_together_they_hold_all(size):
    held = in_shares(size, lambda share: share)
    assert [len(share.rows) for share in held] == [400 * (r + 1) // size - 400 * r // size for r in range(size)]
    np.testing.assert_array_equal(torch.cat([share.rows for share in held]), normalise(X))
    assert [share.is_whole for share in held] == [size == 1] * size


def test_more_workers_than_rows():
    with pytest.raises(AdaptorError, match=r"2 rows can't be shared by 3 workers; set workers.processes lower"):
        in_shares(3, len, X[:2])


@pytest.mark.parametrize("k", [1, 3])
def test_neighbours_are_those_of_the_whole_sample(k):
    expected = nearest_rows(torch.from_numpy(normalise(X)), k)
    found = in_shares(3, lambda share: mine(share, share.rows, k))
    assert torch.equal(torch.cat(found), expected)


def test_neighbours_in_other_shares_are_there_as_vectors_with_their_own_neighbours():
    unit = torch.from_numpy(normalise(X))
    expected = nearest_rows(unit, 2)
    for share, held in in_shares(3, lambda share: (share, Neighbours.of(share, 2, CPU))):
        n, m = len(share.rows), len(held.others)
        assert 0 < m < 2 * n
        here = held.rows(torch.arange(n + m))
        assert torch.equal(here[held.nearest[:n]], unit[expected[share.first : share.end]])
        numbers = [int((unit == row).all(1).nonzero()) for row in held.others]  # of other shares' rows in the sample
        assert not any(share.first <= number < share.end for number in numbers)
        for number, places in zip(numbers, held.nearest[n:]):
            for neighbour, place in zip(expected[number], places):
                if place >= 0:
                    assert torch.equal(here[place], unit[neighbour])
                else:
                    assert not (here == unit[neighbour]).all(1).any()


@pytest.mark.parametrize("kind", [Judge, GradedJudge])
@pytest.mark.parametrize("side", ["corpus", "query"])
@pytest.mark.parametrize("rows", [X, np.repeat(X[:20], 20, axis=0)], ids=["rows", "level rows"])
def test_held_out_figures_are_those_of_the_whole_sample(kind, side, rows):
    """Also in a dimension of one number, in which rows are level."""
    judge = kind.of(closed_forms.truncation(rows), HELD_OUT, side, rows, (1, *DIMS))
    sides = closed_forms.svd(rows)
    whole = judge.score(sides, Share.whole(rows), Alone())
    scores = ThreadWorkers(3).run(lambda among: judge.score(sides, Share.of(ArrayBatches(rows), among), among))
    assert scores == [pytest.approx(whole, abs=1e-9)] * 3
    assert 0.05 < whole < 0.99


def training_of(make, judge, training, **how):
    return partial(train, make, ArrayBatches(X), judge, Schedule.of(training), 0, None, **how)


@pytest.mark.parametrize(
    "losses", [{}, {"listwise": 0.0, "top_k": 1.0, "pairwise": 1.0, "neighbours": 3}], ids=["listwise", "paper's"]
)
def test_two_workers_with_shares_end_where_the_whole_sample_does(losses):
    training = replace(LONG, **losses)
    make = MakeNeighbourhoodObjective(closed_forms.truncation(X).corpus, DIMS, training)
    (whole,) = LocalWorkers().run(training_of(make, JUDGE, training))
    first, second = ThreadWorkers(2).run(training_of(make, JUDGE, training, in_shares=True))
    assert (first.rows, second.rows, whole.rows) == (200, 200, 400)
    assert first.curve == second.curve
    assert whole.score > whole.curve[0].score + 0.08
    assert first.score == pytest.approx(whole.score, abs=0.01)
    for name, value in first.sides.corpus.tensors().items():
        np.testing.assert_array_equal(value, second.sides.corpus.tensors()[name])


def test_without_shares_the_number_of_workers_changes_nothing():
    job = training_of(MakeNeighbourhoodObjective(closed_forms.svd(X).corpus, DIMS, SHORT), JUDGE, SHORT)
    (alone,), (first, second) = LocalWorkers().run(job), ThreadWorkers(2).run(job)
    assert first.rows == second.rows == 400
    np.testing.assert_allclose(first.sides.corpus(HELD_OUT), alone.sides.corpus(HELD_OUT), atol=1e-5)


@pytest.mark.parametrize("in_shares", [False, True])
def test_in_bfloat16_training_ends_where_it_does_in_float32(in_shares):
    make = MakeNeighbourhoodObjective(closed_forms.truncation(X).corpus, DIMS, LONG)
    workers = ThreadWorkers(2) if in_shares else LocalWorkers()
    full, half = (
        workers.run(training_of(make, JUDGE, replace(LONG, precision=precision), in_shares=in_shares))[0]
        for precision in ("float32", "bfloat16")
    )
    assert half.score == pytest.approx(full.score, abs=0.005)
    assert half.score > half.curve[0].score + 0.08
    assert half.curve != full.curve
    for tensor in half.sides.corpus.tensors().values():
        assert tensor.dtype == np.float32


def test_queries_in_bfloat16():
    queries, start = clustered(120, seed=2), closed_forms.svd(X)
    training = QueryTraining(steps=20, evaluate_every=10, near=4, random=64, patience=9)
    judge = Judge.of(start, HELD_OUT, "query", X, DIMS)
    make = MakeQueryLogObjective(start, queries, DIMS, training)
    full, half = (
        LocalWorkers().run(training_of(make, judge, replace(training, precision=precision)))[0]
        for precision in ("float32", "bfloat16")
    )
    assert half.score == pytest.approx(full.score, abs=0.005)
    assert half.curve != full.curve


def test_queries_find_the_documents_of_each_share():
    queries, start = clustered(120, seed=2), closed_forms.svd(X)
    training = QueryTraining(steps=20, evaluate_every=10, near=4, random=64, batches_per_step=2, patience=9)
    judge = Judge.of(start, HELD_OUT, "query", X, DIMS)
    make = MakeQueryLogObjective(start, queries, DIMS, training)
    (whole,) = LocalWorkers().run(training_of(make, judge, training))
    first, second = ThreadWorkers(2).run(training_of(make, judge, training, in_shares=True))
    assert first.curve == second.curve
    assert first.score == pytest.approx(whole.score, abs=0.01)


def test_judged_documents_are_known_to_every_worker():
    queries, start = clustered(60, seed=2), closed_forms.truncation(X)
    judgments = {query: {(query * 37) % 400: 1.0, (query * 91) % 400: 2.0} for query in range(60)}
    make = MakeJudgmentObjective(
        start, start, queries, judgments, DIMS, QueryTraining(near=4, random=32), Supervision(), 0.5
    )
    unit = torch.from_numpy(normalise(X))
    for objective in in_shares(3, lambda share: make(share, 0)):
        docs = objective._docs
        assert len(docs) < 400
        for query, grades in judgments.items():
            here = objective._judgments[query]
            assert list(here.values()) == list(grades.values())
            assert torch.equal(docs[list(here)], unit[list(grades)])
        full = objective.loss(np.random.default_rng(0))
        with torch.autocast("cpu", torch.bfloat16):
            half = objective.loss(np.random.default_rng(0))
        assert float(half) == pytest.approx(float(full), rel=0.02)


def maker(workers, most: int | None, **how) -> Maker:
    settings = FitSettings(candidates=("trained",), training=SHORT)
    return Maker(in_memory(X), None, DIMS, settings, 0, workers, whole_sample_bytes=most, **how)


def run_of(some: Maker):
    make = MakeNeighbourhoodObjective(closed_forms.svd(X).corpus, DIMS, some.settings.training)
    some.run("trained", make, Schedule.of(some.settings.training), None, None)
    return some.trainings[-1]


def test_rows_are_shared_above_so_many_bytes_and_not_by_one_worker():
    said = []
    assert run_of(maker(ThreadWorkers(2), X.nbytes, report=said.append)).shares == []
    assert run_of(maker(ThreadWorkers(2), None)).shares == []
    assert run_of(maker(LocalWorkers(), 0)).shares == []
    assert run_of(maker(ThreadWorkers(2), X.nbytes - 1, report=said.append)).shares == [200, 200]
    trainings = [line for line in said if line.startswith("training ")]
    assert trainings[0] == "training 8 steps on 400 rows of width 32"
    assert trainings[1] == "training 8 steps on 400 rows of width 32, a share of them in each of 2 workers"


def test_a_checkpoint_of_shares_is_that_of_so_many_workers(tmp_path):
    checkpoints = Checkpoints(str(tmp_path))
    for workers, most in ((LocalWorkers(), 0), (ThreadWorkers(2), None), (ThreadWorkers(2), 0)):
        run_of(maker(workers, most, checkpoints=checkpoints))
    assert len({checkpoint.url for checkpoint in checkpoints._given}) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "batches"), [("torch", "arrow"), pytest.param("horovod", "petastorm", marks=[HOROVOD, PETASTORM])]
)
def test_a_fit_whose_workers_hold_shares_says_so(spark, config, tmp_path, kind, batches):
    table = save_delta(embeddings_frame(spark, clustered(300)), tmp_path / "docs")
    training = {"start": "identity", "learning_rate": 5e-3, "steps": 8, "evaluate_every": 4, "batches_per_step": 2}
    fit = {"candidates": ["trained"], "training": training}
    workers = {"kind": kind, "processes": 2, "batches": batches, "whole_sample_bytes": 0}
    alone = fit_table(spark, config(table, fit=fit, artifact=str(tmp_path / "alone")), print)
    both = fit_table(spark, config(table, fit=fit, workers=workers), print)

    agreement = [fitted.report.candidates[0].agreement for fitted in (alone, both)]
    assert agreement[1] == pytest.approx(agreement[0], abs=0.01)
    first, again = both.adaptor.metrics["training"]["runs"]
    whole = both.adaptor.config["rows"]
    assert sum(first["shares"]) == whole - both.report.held_out_rows
    assert again["shares"] == [whole // 2, whole - whole // 2]
    card = (Path(both.path) / "README.md").read_text()
    assert f"2 workers held shares of {min(first['shares'])} to {max(again['shares'])} rows" in card
    assert "what was trained depends on how many workers there were" in card
    assert "held shares" not in (Path(alone.path) / "README.md").read_text()
    assert FitReport.from_json(both.adaptor.metrics).training == both.report.training
