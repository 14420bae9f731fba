"""The apply job: from an artifact and a source table to a target table with nested columns."""

from adaptor.spark.apply.job import Applied, apply_table
from adaptor.spark.apply.plan import Plan, plan_apply

__all__ = ["Applied", "Plan", "apply_table", "plan_apply"]
