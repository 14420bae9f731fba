"""Classes of Spark and Delta that are not public and that this library calls: after an upgrade, what has gone."""

import re
from pathlib import Path

import pytest

SPARK = Path(__file__).parents[1] / "adaptor" / "spark"
DELTA = "org.apache.spark.sql.delta"
METHODS = {
    f"{DELTA}.DeltaLog": {
        "createDataFrame", "dataPath", "getSnapshotAt", "newDeltaHadoopConf", "protocolWrite", "startTransaction",
        "update",
    },
    f"{DELTA}.DeltaLog$": {"forTable"},
    f"{DELTA}.DeltaOperations$Merge": set(),
    f"{DELTA}.DeltaOperations$SetTableProperties": set(),
    f"{DELTA}.DeltaOperations$Update": set(),
    f"{DELTA}.DeltaOperations$Write$": {"apply"},
    f"{DELTA}.OptimisticTransaction": {
        "commit", "deltaLog", "metadata", "readTxn", "readWholeTable", "registerSQLMetrics", "snapshot",
        "txnVersion", "updateMetadata",
        "updateMetadataForNewTable", "writeFiles",
    },
    f"{DELTA}.Snapshot": {"allFiles", "checksumOpt", "metadata", "protocol", "version"},
    f"{DELTA}.VersionChecksum": {"allFiles", "setTransactions"},
    f"{DELTA}.actions.Action$": {"fromJson"},
    f"{DELTA}.actions.AddFile": {"json", "remove", "removeRows"},
    f"{DELTA}.actions.Metadata": {"json"},
    f"{DELTA}.actions.Protocol": {"json"},
    f"{DELTA}.actions.SetTransaction": {"appId", "version"},
    f"{DELTA}.commands.DMLWithDeletionVectorsHelper$": {"findFilesWithMatchingRows", "generateCandidateFileMap"},
    f"{DELTA}.commands.DeletionVectorBitmapGenerator$": {"buildRowIndexSetsForFilesMatchingCondition"},
    f"{DELTA}.commands.TouchedFileWithDV": {"fileLogEntry", "isFullyReplaced", "newDeletionVector"},
    f"{DELTA}.commands.cdc.CDCReader$": {"changesToBatchDF"},
    "org.apache.spark.api.python.PythonUtils": {"toScalaMap"},
    "org.apache.spark.sql.catalyst.expressions.Literal$": {"TrueLiteral"},
    "org.apache.spark.sql.catalyst.trees.TreePattern": {"CURRENT_LIKE"},
    "org.apache.spark.sql.SaveMode": set(),
    "org.apache.spark.sql.SparkSession": {"active", "conf"},
    "org.apache.spark.sql.execution.metric.SQLMetric": {"set"},
    "org.apache.spark.sql.execution.metric.SQLMetrics$": {"createMetric"},
    "org.apache.spark.status.ExecutorSummaryWrapper": {"info"},
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_the_class_has_these_methods(spark, name):
    jvm = spark.sparkContext._jvm
    loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
    there = {method.getName() for method in jvm.java.lang.Class.forName(name, False, loader).getMethods()}
    assert METHODS[name] <= there


def test_no_class_is_called_that_does_not_stand_here():
    called = set()
    for path in SPARK.rglob("*.py"):
        text = path.read_text()
        called |= set(re.findall(r'module\([\w.]+, "(\w+)"\)', text))
        called |= set(re.findall(r'getattr\(jvm\.org\.apache\.spark[\w.]*, "(?:\w+\$)?(\w+)"\)', text))
        called |= set(re.findall(r"_?jvm\.org\.apache\.spark(?:\.[a-z_]\w*)*\.([A-Z]\w+)", text))
    known = {re.split(r"[.$]", name.rstrip("$"))[-1] for name in METHODS}
    assert called
    assert called <= known
