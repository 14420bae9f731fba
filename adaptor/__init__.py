"""Matryoshka Adaptor: make the embeddings you already have smaller.

What it offers costs NumPy and safetensors, once it is asked for; Spark and torch load where they are used.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptor.artifact import Adaptor
    from adaptor.errors import AdaptorError
    from adaptor.fitting.pipeline import fit

__all__ = ["Adaptor", "AdaptorError", "fit"]

# Torch's OpenMP threads spin while they wait: so long by default that beside Spark, or another worker on
# the same cores, training takes ten times as long. It is read when torch loads, so it is set here.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

HOMES = {"Adaptor": "adaptor.artifact", "AdaptorError": "adaptor.errors", "fit": "adaptor.fitting.pipeline"}


def __getattr__(name: str) -> Any:
    # Not imported at once: `adaptor.spark.daemon` must start in a Python that lacks all else, to say so.
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(HOMES[name]), name)
