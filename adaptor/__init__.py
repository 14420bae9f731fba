"""Matryoshka Adaptor: make the embeddings you already have smaller.

What it offers costs NumPy and safetensors, once it is asked for; Spark and torch load where they are used.
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptor.artifact import Adaptor
    from adaptor.encode.code_index import CodeIndex
    from adaptor.errors import AdaptorError
    from adaptor.fitting.paired import fit_paired
    from adaptor.fitting.pipeline import fit
    from adaptor.fitting.settings import FitSettings
    from adaptor.release.following import Follower
    from adaptor.release.versions import publish

    __version__: str

__all__ = [
    "Adaptor",
    "AdaptorError",
    "CodeIndex",
    "FitSettings",
    "Follower",
    "__version__",
    "fit",
    "fit_paired",
    "publish",
]

HOMES = {
    "Adaptor": "adaptor.artifact",
    "AdaptorError": "adaptor.errors",
    "CodeIndex": "adaptor.encode.code_index",
    "FitSettings": "adaptor.fitting.settings",
    "Follower": "adaptor.release.following",
    "fit": "adaptor.fitting.pipeline",
    "fit_paired": "adaptor.fitting.paired",
    "publish": "adaptor.release.versions",
}


def __getattr__(name: str) -> Any:
    # Not imported at once: `adaptor.spark.daemon` must start in a Python that lacks all else, to say so.
    if name == "__version__":
        return metadata.version("matryoshka-adaptor")
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(HOMES[name]), name)
