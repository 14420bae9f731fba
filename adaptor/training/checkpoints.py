"""Where a training's state is kept, so that it goes on from there when a worker, or the whole job, was killed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from adaptor.storage import read_whole, remove_empty_folder, remove_file, remove_folder, write_whole

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
STATE = "checkpoint.json"  # names the file of tensors, and is written last: a reader finds both or the ones before


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds."""

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """The last state of one training, in the folder `url`, which every worker reaches."""

    url: str

    def save(self, step: int, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Keep this state in place of the one before; killed at any point, one of the two is there."""
        from safetensors.torch import save

        before, name = self._state(), f"step-{step:06d}.safetensors"
        whole = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        write_whole(self.url, name, save(whole))
        write_whole(self.url, STATE, json.dumps({"tensors": name, "step": step, "numbers": dict(numbers)}).encode())
        if before and before["tensors"] != name:
            remove_file(self.url, before["tensors"])

    def load(self) -> Saved | None:
        """The last state that was kept; None where there is none."""
        from safetensors.torch import load

        state = self._state()
        content = read_whole(self.url, state["tensors"]) if state else None
        return None if state is None or content is None else Saved(load(content), state["numbers"])

    @property
    def step(self) -> int | None:
        """The step of the state that is kept, if one is."""
        state = self._state()
        return None if state is None else int(state["step"])

    def _state(self) -> dict[str, Any] | None:
        content = read_whole(self.url, STATE)
        return None if content is None else json.loads(content)


@dataclass(frozen=True)
class Checkpoints:
    """A folder of checkpoints, one for each training of a job.

    A training's folder is named by all that decides its result, so a job that was killed and started again finds
    its own, and one that asks for something else does not.
    """

    url: str
    _given: list[Checkpoint] = field(default_factory=list)

    def of(self, *parts: object) -> Checkpoint:
        """The checkpoint of the training that `parts` decide: arrays, plain dataclasses and plain values."""
        digest = hashlib.sha256(f"{FORMAT}".encode())
        for part in parts:
            _feed(digest, part)
        checkpoint = Checkpoint(f"{self.url}/{digest.hexdigest()[:32]}")
        self._given.append(checkpoint)
        return checkpoint

    def delete(self) -> None:
        """Remove the checkpoints that were given out: their job is done."""
        for checkpoint in self._given:
            remove_folder(checkpoint.url)
        remove_empty_folder(self.url)


def _feed(digest: Any, part: object) -> None:
    if isinstance(part, np.ndarray):
        digest.update(f"{part.dtype}{part.shape}".encode())
        digest.update(np.ascontiguousarray(part).data)
    elif is_dataclass(part):
        digest.update(type(part).__name__.encode())
        for each in fields(part):
            digest.update(each.name.encode())
            _feed(digest, getattr(part, each.name))
    else:
        digest.update(repr(part).encode())
