"""Who hears of alerts: a Delta table, a file, a webhook. None of them can end the job."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql.types import DoubleType, StringType, StructField, StructType, TimestampType

from adaptor.config import MonitorSettings
from adaptor.errors import AdaptorError, cause
from adaptor.spark.tables import TableRef, append_rows

TRIES = 3
SCHEMA = StructType(
    [
        StructField("at", TimestampType(), False),
        StructField("source", StringType(), False),
        StructField("version", StringType(), False),  # of the artifact
        StructField("name", StringType(), False),
        StructField("value", DoubleType(), True),
        StructField("low", DoubleType(), True),  # the band in which it is no alert
        StructField("high", DoubleType(), True),
        StructField("sentence", StringType(), False),
    ]
)


@dataclass(frozen=True)
class Alert:
    """Something that has stopped being true."""

    at: datetime
    source: str
    version: str
    name: str
    value: float
    low: float
    high: float
    sentence: str


def send(
    spark: SparkSession, settings: MonitorSettings, alerts: Sequence[Alert], report: Callable[[str], None]
) -> None:
    """Tell everyone the config names; a line says who could not be told, and why."""
    ways: list[tuple[str | None, Callable[[str], None]]] = [
        (settings.alerts, lambda table: _to_table(spark, table, alerts)),
        (settings.file, lambda path: _to_file(path, alerts)),
        (settings.webhook, lambda url: _to_webhook(url, settings.webhook_seconds, alerts)),
    ]
    for where, tell in ways:
        if where is None or not alerts:
            continue
        try:
            tell(where)
        except (AdaptorError, PySparkException, OSError) as error:
            report(f"{len(alerts)} alerts could not be sent to {where}: {cause(error)}")


def _to_table(spark: SparkSession, table: str, alerts: Sequence[Alert]) -> None:
    append_rows(spark.createDataFrame([tuple(asdict(alert).values()) for alert in alerts], SCHEMA), TableRef(table))


def _to_file(path: str, alerts: Sequence[Alert]) -> None:
    with open(path, "a") as file:
        file.write("".join(f"{json.dumps(_as_json(alert))}\n" for alert in alerts))


def _to_webhook(url: str, seconds: float, alerts: Sequence[Alert]) -> None:
    import urllib3

    retries = urllib3.Retry(total=TRIES - 1, backoff_factor=0.2, status_forcelist=range(500, 600), allowed_methods=None)
    body = {"text": "\n".join(alert.sentence for alert in alerts), "alerts": [_as_json(alert) for alert in alerts]}
    with urllib3.PoolManager(timeout=urllib3.Timeout(seconds), retries=retries) as pool:
        try:
            answer = pool.request("POST", url, json=body)
        except urllib3.exceptions.HTTPError as error:
            raise OSError(str(error)) from error
    if answer.status >= 400:
        raise OSError(f"it answered {answer.status}")


def _as_json(alert: Alert) -> dict[str, object]:
    numbers = {name: value if value == value else None for name, value in asdict(alert).items()}  # NaN is no JSON
    return numbers | {"at": alert.at.isoformat(timespec="seconds")}
