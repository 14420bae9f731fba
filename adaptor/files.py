"""Folders on any file system that fsspec knows: local, s3, abfss, gs, hdfs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

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


def require_writable_folder(url: str, key: str) -> None:
    """`AdaptorError` where no file can be made in the folder, the config's `key`; it need not be there yet."""
    if urlparse(url).scheme not in ("", "file"):
        return  # object stores know no folders: the first file tells
    there = Path(re.sub("^file:/+", "/", url)).absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise AdaptorError(f"{key} is {url}, but {there} is a file; name another folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise AdaptorError(f"{key} is {url}, but files can't be made in {there}; change its rights or name another")
