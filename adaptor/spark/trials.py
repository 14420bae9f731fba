"""Trials of a search as Spark tasks, one a trial."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pyspark.sql import SparkSession

from adaptor.errors import AdaptorError
from adaptor.fitting.tuning import Experiment, Params, RunTrials, describe_params


@contextmanager
def as_tasks(spark: SparkSession, experiment: Experiment) -> Iterator[RunTrials]:
    """Trials at once, as many as there are task slots; the rows reach each executor once, by broadcast.

    A trial that fails ends the search with an `AdaptorError` that says with which values, and why.
    """
    context = spark.sparkContext
    shared = context.broadcast(experiment)

    def run(some: Sequence[Params]) -> list[float]:
        outcomes = (
            context.parallelize(some, len(some)).map(lambda params: score_or_cause(shared.value, params)).collect()
        )
        for outcome in outcomes:
            if isinstance(outcome, str):
                raise AdaptorError(outcome)
        return [float(outcome) for outcome in outcomes]

    try:
        yield run
    finally:
        shared.destroy()


def score_or_cause(experiment: Experiment, params: Params) -> float | str:
    """The score, or what went wrong: Spark would try again, and bury the cause in Java's trace."""
    try:
        return experiment.score(params)
    except Exception as error:
        said = str(error) if isinstance(error, AdaptorError) else f"{type(error).__name__}: {error}"
        return f"the trial with {describe_params(params)} failed: {' '.join(said.split())}"
