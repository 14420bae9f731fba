"""What every section of a config is: typed, strict, without unknown keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from adaptor.errors import AdaptorError

Name = Annotated[str, Field(min_length=1)]


@contextmanager
def as_value_error() -> Iterator[None]:
    """An `AdaptorError` as the `ValueError` that pydantic reports with its key."""
    try:
        yield
    except AdaptorError as error:
        raise ValueError(str(error)) from error


class Section(BaseModel):
    """A part of the config: unknown keys and loose types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
