"""Folders on any file system that fsspec knows: local, s3, abfss, gs, hdfs."""

from __future__ import annotations

from typing import Any

import fsspec

from adaptor.errors import AdaptorError


def open_folder(url: str) -> tuple[Any, str]:
    """The fsspec file system of a path or URL, and the path on it.

    Raises `AdaptorError` for a scheme that fsspec does not know, or whose package is not installed.
    """
    try:
        return fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        scheme = url.partition(":")[0]
        extra = "; pip install 'matryoshka-adaptor[s3]'" if scheme in ("s3", "s3a") else ""
        raise AdaptorError(f"{url} can't be opened: {error}{extra}") from error
