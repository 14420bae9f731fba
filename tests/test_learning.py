"""Fits that learn from queries and judgments, in memory."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic import clustered

import adaptor
from adaptor import AdaptorError
from adaptor.fitting.judge import Judge
from adaptor.fitting.sample import in_memory
from adaptor.fitting.settings import FitSettings, QueryTraining, Supervision, Training
from adaptor.fitting.supervision import WEIGHTS
from adaptor.maps import Map, Sides
from adaptor.metrics import nearest
from adaptor.training.loop import Schedule, train
from adaptor.training.objectives.judgments import MakeJudgmentObjective
from adaptor.training.workers.local import Alone

FAST = FitSettings(
    candidates=("truncation", "svd", "query_aware_svd", "trained"),
    training=Training(steps=20),
    query_training=QueryTraining(steps=20, evaluate_every=10),
    supervision=Supervision(weight=0.5),
)


def answered(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A corpus, queries and judgments that follow a hidden map the cosine does not know of.

    A query's answer is the row nearest to it once half of the numbers are left out.
    """
    corpus, queries = clustered(400), clustered(count, seed=seed)
    hidden = [corpus[:, ::2], queries[:, ::2]]
    hidden = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in hidden]
    answers = nearest(hidden[1], hidden[0], 1)[:, 0]
    return corpus, queries, np.stack([np.arange(count), answers, np.ones(count, int)], axis=1)


def test_a_query_log_gives_queries_a_map_of_their_own():
    corpus, queries, _ = answered(250, seed=2)
    training = replace(FAST.query_training, sides="two")
    two_sided = replace(FAST, candidates=("query_aware_svd", "trained"), query_training=training)
    fitted = adaptor.fit(corpus, dims=[4, 8], queries=queries, settings=two_sided)
    scored = {score["candidate"] for score in fitted.metrics["candidates"]}
    assert scored == {"query_aware_svd", "trained"}
    assert fitted.metrics["held_out_side"] == "query"
    assert fitted.metrics["held_out_rows"] == 50
    assert fitted.config["candidate"] in ("query_aware_svd", "trained")
    assert fitted.query is not None
    assert not np.allclose(fitted.encode(queries, dim=4, side="query"), fitted.encode(queries, dim=4, side="corpus"))


def test_few_queries_move_what_the_corpus_alone_chose_and_the_less_the_fewer_they_are():
    corpus, queries, _ = answered(249, seed=2)
    alone = adaptor.fit(corpus, dims=[4, 8], settings=FAST)
    said = []
    apart = []
    for count in (5, 40, 249):
        few = adaptor.fit(corpus, dims=[4, 8], queries=queries[:count], settings=FAST, report=said.append)
        assert few.config["candidate"] == alone.config["candidate"]
        assert (few.config["queries"], few.metrics["held_out_side"]) == (count, "corpus")
        assert f"query log: {count} queries are too few to choose by" in " ".join(said)
        scores = few.encode(queries, dim=32, side="query") @ few.encode(corpus, dim=32).T
        apart.append(np.abs(scores - alone.encode(queries, dim=32) @ alone.encode(corpus, dim=32).T).mean())
    assert apart == sorted(apart)
    assert "fewer move whatever wins" in few.metrics["left_out"]["query_aware_svd"]


def test_where_judgments_are_to_be_learned_what_wins_is_linear():
    corpus, queries, judgments = answered(60, seed=2)
    settings = replace(FAST, supervision=Supervision(weight=0.5, steps=10))
    fitted = adaptor.fit(corpus, dims=[4, 8], queries=queries, judgments=judgments, settings=settings)
    assert fitted.corpus.residual is None
    assert "judgments change a linear map" in fitted.metrics["left_out"]["trained"]


def test_judgments_raise_the_judged_metric_on_queries_never_seen():
    corpus, queries, judgments = answered(200, seed=2)
    _, unseen, expected = answered(200, seed=5)

    def success(fitted: adaptor.Adaptor) -> float:
        hits = nearest(fitted.encode(unseen, dim=8, side="query"), fitted.encode(corpus, dim=8), 10)
        return float((hits == expected[:, 1:2]).any(axis=1).mean())

    plain = adaptor.fit(corpus, dims=[8, 16], queries=queries, settings=FAST)
    judged = adaptor.fit(corpus, dims=[8, 16], queries=queries, judgments=judgments, settings=FAST)
    assert judged.config["supervised"] > 0
    assert judged.metrics["supervised"]["labelled"] == 200
    assert judged.metrics["supervised"]["gain"] > 0
    assert success(judged) > success(plain) + 0.03


def test_targets_keep_the_similarities_of_the_teacher_not_of_the_start():
    corpus, queries, judgments = answered(120, seed=2)
    graded = {int(query): {int(row): float(grade)} for query, row, grade in judgments}
    width = corpus.shape[1]
    start, teacher = (
        Sides(Map(np.diag(kept).astype(np.float32))) for kept in (np.ones(width), np.arange(width) % 2 == 0)
    )
    judge = Judge.of(teacher, queries, "query", corpus, (width,))
    only_teacher = Supervision(smooth=1.0)
    make = MakeJudgmentObjective(start, teacher, queries, graded, (8, width), QueryTraining(), only_teacher, 0.5)
    trained = train(make, in_memory(corpus).batches, None, Schedule(1e-2, 100, None, 50, 2), 0, None, Alone()).sides
    assert judge.overlap(trained, corpus)[width] > judge.overlap(start, corpus)[width] + 0.1


def test_misleading_judgments_are_refused_by_held_out_queries():
    corpus, queries, judgments = answered(300, seed=2)
    judgments[:, 1] = np.random.default_rng(0).integers(0, len(corpus), len(judgments))
    fitted = adaptor.fit(corpus, dims=[8, 16], queries=queries, judgments=judgments, settings=FAST)
    assert fitted.config["supervised"] == 0


@pytest.mark.parametrize(
    ("judgments", "message"),
    [
        ([[0, 0]], "query row, corpus row, grade"),
        ([[60, 0, 1]], "query row 60, but there are 60 rows"),
        ([[0, 400, 1]], "corpus row 400, but there are 400 rows"),
        ([[-1, 0, 1]], "query row -1"),
    ],
)
def test_judgments_of_rows_that_are_not_there(judgments, message):
    corpus, queries, _ = answered(60, seed=2)
    with pytest.raises(AdaptorError, match=message):
        adaptor.fit(corpus, dims=[4], queries=queries, judgments=judgments)


def test_judgments_need_queries():
    with pytest.raises(AdaptorError, match="judgments need queries"):
        adaptor.fit(clustered(100), dims=[4], judgments=[[0, 0, 1]])


def test_the_same_queries_and_judgments_give_the_same_weight_and_fingerprint():
    """Held-out queries choose the weight of judged terms where none is given."""
    corpus, queries, judgments = answered(120, seed=2)
    settings = replace(FAST, supervision=Supervision(steps=30))
    one, other = (
        adaptor.fit(corpus, dims=[8], queries=queries, judgments=judgments, settings=settings) for _ in range(2)
    )
    assert one.metrics["supervised"]["weight"] in WEIGHTS
    assert one.metrics["supervised"] == other.metrics["supervised"]
    assert one.fingerprint == other.fingerprint
