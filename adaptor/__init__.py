"""Matryoshka Adaptor: make the embeddings you already have smaller.

Importing it costs NumPy and safetensors; Spark and torch load where they are used.
"""

import os

# Torch's OpenMP threads spin while they wait: so long by default that beside Spark, or another worker on
# the same cores, training takes ten times as long. It is read when torch loads, so it is set here.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

from adaptor.artifact import Adaptor
from adaptor.errors import AdaptorError
from adaptor.fitting import fit

__all__ = ["Adaptor", "AdaptorError", "fit"]
