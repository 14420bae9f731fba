"""The Spark side: Delta tables, the sample, the pandas UDF, and one function a job."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptor.spark.udf import adapt_udf

__all__ = ["adapt_udf"]


def __getattr__(name: str) -> Any:
    # Not imported at once: `adaptor.spark.daemon` needs none of what a UDF does.
    if name != "adapt_udf":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from adaptor.spark.udf import adapt_udf

    return adapt_udf
