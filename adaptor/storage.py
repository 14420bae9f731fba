"""Folders on any file system that fsspec knows: local, s3, abfss, gs, hdfs. Names are taken as they stand."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem, make_path_posix
from fsspec.utils import get_protocol

from adaptor.errors import AdaptorError

GLOB = re.compile(r"[*?\[\]{}]")


def is_url(where: str) -> bool:
    """Whether a path names its file system, such as s3://, file:/ or dbfs:/, or is a chain of fsspec's."""
    return re.match(r"(\w[\w+.-]*::)*\w[\w+.-]*:/", where) is not None


def open_folder(url: str) -> tuple[Any, str]:
    """The fsspec file system of a path or URL, and the path on it.

    Raises `AdaptorError` for a scheme that fsspec does not know, or whose package is not installed.
    """
    if not is_url(url) or url.startswith("file:"):  # fsspec would look for a chain in it
        return fsspec.filesystem("file"), make_path_posix(re.sub(r"^file:(//)?(?=/)", "", url)).rstrip("/") or "/"
    try:
        if get_protocol(url) == "file":  # a local folder of that name
            raise ValueError("write two slashes after the colon")
        return fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        scheme = url.partition(":")[0]
        extra = "; pip install 'matryoshka-adaptor[s3]'" if scheme in ("s3", "s3a") else ""
        raise AdaptorError(f"{url} can't be opened: {error}{extra}") from error


def is_local(fs: Any) -> bool:
    """Whether a file system is that of this machine, with paths that anything here can open."""
    return isinstance(fs, LocalFileSystem)


def require_writable_folder(url: str, key: str) -> None:
    """`AdaptorError` where no file can be made in the folder, the config's `key`; it need not be there yet."""
    if is_url(url) and not url.startswith("file:"):
        return  # object stores know no folders: the first file tells
    there = Path(open_folder(url)[1])
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise AdaptorError(f"{key} is {url}, but {there} is a file; name another folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise AdaptorError(f"{key} is {url}, but files can't be made in {there}; change its rights or name another")


def as_url(folder: str) -> str:
    """A folder as Hadoop takes it, and `open_folder`: a local one as file:, whatever file system is the default there.

    Not as a URI: neither of them would decode it.
    """
    return folder if is_url(folder) else f"file://{Path(folder).absolute()}"


def write_whole(root: str, name: str, content: bytes) -> None:
    """Write the file `name` below a folder so that a reader sees what was there or all of the new, never a part."""
    fs, folder = open_folder(root)
    path = f"{folder}/{name}"
    if not is_local(fs):
        fs.pipe_file(path, content)  # an object appears whole
        return
    fs.makedirs(path.rpartition("/")[0], exist_ok=True)
    beside = f"{path}.{uuid4().hex}"
    with open(beside, "wb") as file:
        file.write(content)
    os.replace(beside, path)


def remove_folder(url: str) -> None:
    """Delete a folder, if there is one, and all that lies in it."""
    fs, folder = open_folder(url)
    if not fs.exists(folder):
        return
    if is_local(fs) or not GLOB.search(folder):
        fs.rm(folder, recursive=True)
        return
    for file in fs.find(folder):  # `rm` would delete whatever the name fits
        fs.rm_file(file)


def read_whole(root: str, name: str) -> bytes | None:
    """The content of the file `name` below a folder; None where there is none."""
    fs, folder = open_folder(root)
    try:
        return bytes(fs.cat_file(f"{folder}/{name}"))
    except FileNotFoundError:
        return None


def remove_file(root: str, name: str) -> None:
    """Delete the file `name` below a folder, if there is one."""
    fs, folder = open_folder(root)
    with contextlib.suppress(FileNotFoundError):
        fs.rm_file(f"{folder}/{name}")


def remove_empty_folder(url: str) -> None:
    """Delete a local folder if nothing lies in it; object stores know no such folders."""
    fs, folder = open_folder(url)
    if is_local(fs):
        with contextlib.suppress(OSError):
            os.rmdir(folder)
