"""Delta's own log and transactions, for what DataFrame writes can't do: chosen files, and several steps in one commit.

Everything here goes through Delta's classes in the JVM: conflicts, constraints, statistics and protocol are its own.
"""

from adaptor.spark.delta_log.definition import Definition
from adaptor.spark.delta_log.files import DataFile, rows_of
from adaptor.spark.delta_log.log import DeltaLog
from adaptor.spark.delta_log.operation import Merge, SetProperties, Update, Write
from adaptor.spark.delta_log.snapshot import Snapshot
from adaptor.spark.delta_log.transaction import Conflict, Transaction

__all__ = [
    "Conflict",
    "DataFile",
    "Definition",
    "DeltaLog",
    "Merge",
    "SetProperties",
    "Snapshot",
    "Transaction",
    "Update",
    "Write",
    "rows_of",
]
