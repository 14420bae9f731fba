"""Between Python and Scala: sequences, objects, and the actions of a Delta log."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any


def module(package: Any, name: str) -> Any:
    """A Scala object."""
    return getattr(getattr(package, f"{name}$"), "MODULE$")


def action(jvm: Any, kind: str, action: str) -> Any:
    """An action of a Delta log, from its JSON."""
    return jvm.org.apache.spark.sql.delta.actions.Action.fromJson(f'{{"{kind}": {action}}}')


def seq(jvm: Any, items: Sequence[Any]) -> Any:
    """A Scala `Seq` of these."""
    gathered = jvm.java.util.ArrayList()
    for item in items:
        gathered.add(item)
    return jvm.scala.jdk.javaapi.CollectionConverters.asScala(gathered).toSeq()


def scala_map(jvm: Any, values: Mapping[str, Any]) -> Any:
    """A Scala `Map` of these."""
    hash_map = jvm.java.util.HashMap()
    for key, value in values.items():
        hash_map.put(key, value)
    return jvm.org.apache.spark.api.python.PythonUtils.toScalaMap(hash_map)


def items(seq: Any) -> list[Any]:
    """A Scala `Seq` as a list."""
    return [seq.apply(number) for number in range(seq.length())]


def defaults(jvm: Any, target: Any, method: str) -> list[Any]:
    """What Scala passes for the parameters of `method` that have a default, in their order.

    Releases of Delta differ in how many there are, and new ones always have a default.
    """
    methods = jvm.scala.Predef.genericWrapArray(target.getClass().getMethods()).mkString("\n")
    numbers = {int(number) for number in re.findall(rf"\.{method}\$default\$(\d+)\(", methods)}
    return [getattr(target, f"{method}$default${number}")() for number in sorted(numbers)]
