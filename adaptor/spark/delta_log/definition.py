"""What a table is, apart from its rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql.types import StructType


@dataclass(frozen=True)
class Definition:
    """What a table's log says that it is."""

    schema: StructType
    properties: Mapping[str, str]
    partitioned_by: Sequence[str] = ()


def definition_of(metadata: Any) -> Definition:
    """The definition in a log's `metaData` action."""
    found = json.loads(metadata.json())["metaData"]
    schema = StructType.fromJson(json.loads(found["schemaString"]))
    return Definition(schema, found["configuration"], found["partitionColumns"])
