"""Matryoshka Adaptor: make the embeddings you already have smaller.

Importing it costs NumPy and safetensors; Spark and torch load where they are used.
"""

import os

# Torch's OpenMP threads spin while they wait; beside Spark, or another worker on the same cores,
# that made training ten times slower. It is read when torch loads, so it is set here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from adaptor.artifact import Adaptor
from adaptor.errors import AdaptorError
from adaptor.fitting import fit

__all__ = ["Adaptor", "AdaptorError", "fit"]
