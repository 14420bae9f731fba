"""What a table is, apart from its rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql.types import StructType


@dataclass(frozen=True)
class Definition:
    """What a table's log says that it is."""

    schema: StructType
    properties: Mapping[str, str]
    partitioned_by: Sequence[str] = ()

    def having(self, properties: Mapping[str, str]) -> Definition:
        """The same with these properties besides, or in place of those of their names."""
        return replace(self, properties={**self.properties, **properties})


def definition_of(metadata: Mapping[str, Any]) -> Definition:
    """The definition in a log's `metaData` action; of a table that does not exist, one without columns."""
    schema = json.loads(metadata["schemaString"]) if "schemaString" in metadata else StructType().jsonValue()
    return Definition(StructType.fromJson(schema), metadata["configuration"], metadata["partitionColumns"])


def metadata_of(action: Any) -> dict[str, Any]:
    """What a `metaData` action in the JVM holds."""
    return json.loads(action.json())["metaData"]
