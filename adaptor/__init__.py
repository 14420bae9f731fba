"""Matryoshka Adaptor: make the embeddings you already have smaller.

Importing it costs NumPy and safetensors; Spark and torch load where they are used.
"""

from adaptor.artifact import Adaptor
from adaptor.errors import AdaptorError
from adaptor.fitting import fit

__all__ = ["Adaptor", "AdaptorError", "fit"]
