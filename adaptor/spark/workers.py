"""The training workers that a config asks for, and where they keep their state."""

from __future__ import annotations

from uuid import uuid4

from pyspark.sql import SparkSession

from adaptor.config import WorkersSettings
from adaptor.spark.progress import Progress
from adaptor.storage import as_url
from adaptor.training.checkpoints import Checkpoints
from adaptor.training.workers import Workers
from adaptor.training.workers.horovod import HorovodWorkers
from adaptor.training.workers.local import LocalWorkers
from adaptor.training.workers.restarts import Restarting
from adaptor.training.workers.torch_distributor import TorchWorkers
from adaptor.training.workers.watching import Watched


def open_workers(spark: SparkSession, settings: WorkersSettings, folder: str, report: Progress) -> Workers:
    """Workers whose steps `report` hears, and that start again where one dies and `settings` allow it.

    `folder` is the sample's, which every worker reaches. Raises `AdaptorError` for what is missing.
    """
    if settings.kind == "local":
        return LocalWorkers(report.step, settings.gpus)
    kind = HorovodWorkers if settings.kind == "horovod" else TorchWorkers
    workers: Workers = kind(spark, settings.processes, settings.gpus)
    workers = Watched(workers, f"{_url(folder)}/progress-{uuid4().hex}", report.step)
    return workers if settings.resume == "never" else Restarting(workers, settings.restarts, report)


def checkpoints_of(settings: WorkersSettings, folder: str) -> Checkpoints | None:
    """Where trainings keep their state, in the sample's folder; None where nothing is to go on from it."""
    return None if settings.resume == "never" else Checkpoints(f"{_url(folder)}/checkpoints")


def _url(folder: str) -> str:
    return as_url(folder).rstrip("/")
