"""The Spark side: Delta tables, the sample, the pandas UDF, SQL over nested columns, and one function a job."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptor.spark.apply.job import apply_table
    from adaptor.spark.decoders import prefix_sql, register_decoders
    from adaptor.spark.evaluate import evaluate_table
    from adaptor.spark.fit import fit_table
    from adaptor.spark.scores import register_scores
    from adaptor.spark.search import exact_search
    from adaptor.spark.session import open_session
    from adaptor.spark.udf import adapt_udf

__all__ = [
    "adapt_udf",
    "apply_table",
    "evaluate_table",
    "exact_search",
    "fit_table",
    "open_session",
    "prefix_sql",
    "register_decoders",
    "register_scores",
]

HOMES = {
    "adapt_udf": "adaptor.spark.udf",
    "apply_table": "adaptor.spark.apply.job",
    "evaluate_table": "adaptor.spark.evaluate",
    "exact_search": "adaptor.spark.search",
    "fit_table": "adaptor.spark.fit",
    "open_session": "adaptor.spark.session",
    "prefix_sql": "adaptor.spark.decoders",
    "register_decoders": "adaptor.spark.decoders",
    "register_scores": "adaptor.spark.scores",
}


def __getattr__(name: str) -> Any:
    # Not imported at once: `adaptor.spark.daemon` needs none of what a UDF does.
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(HOMES[name]), name)
