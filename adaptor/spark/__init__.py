"""The Spark side: Delta tables, the sample, the pandas UDF, and one function a job."""

from adaptor.spark.udf import adapt_udf

__all__ = ["adapt_udf"]
