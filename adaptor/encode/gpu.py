"""The kernel's arithmetic on a GPU: batches go there and come back through pinned memory."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

import numpy as np

from adaptor.maps import Folded
from adaptor.vectors import Float32

if TYPE_CHECKING:
    import torch

BLOCK_BYTES = 64 << 20  # rows that go to the GPU together, and what comes back: large, for each way has its price


_held: dict[Hashable, TorchMap] = {}


def held(folded: Folded, key: Hashable, device: str) -> TorchMap:
    """The map on `device`, one a process: the next task finds it there, another `key` takes its place."""
    if (key, device) not in _held:
        _held.clear()  # its memory first
        _held[key, device] = TorchMap(folded, device)
    return _held[key, device]


class TorchMap:
    """`Folded` by torch: the same numbers from the same blocks of rows."""

    def __init__(self, folded: Folded, device: str) -> None:
        import torch

        def moved(array: Float32 | None) -> torch.Tensor | None:
            return None if array is None else torch.tensor(array, device=device)

        def buffer(width: int) -> torch.Tensor:
            return torch.empty((self.rows, width), pin_memory=device != "cpu")

        width, columns = folded.weight.shape
        self.rows = max(1, BLOCK_BYTES // (4 * (width + columns)))
        self._device = device
        self._depth = folded.depth
        self._weight, self._bias = torch.tensor(folded.weight, device=device), moved(folded.bias)
        self._hidden_bias, self._out = moved(folded.hidden_bias), moved(folded.out)
        self._x, self._lengths, self._y = buffer(width), buffer(1), buffer(folded.depth)

    def __call__(self, x: Float32, lengths: Float32) -> Float32:
        """`(n, D)` with lengths `(n,)` to `(n, depth)`, a view of a buffer that the next call fills again."""
        import torch

        rows = len(x)
        np.copyto(self._x[:rows].numpy(), x)
        np.copyto(self._lengths[:rows, 0].numpy(), lengths)
        with torch.inference_mode():
            there = self._x[:rows].to(self._device, non_blocking=True)
            both = there @ self._weight
            both /= self._lengths[:rows].to(self._device, non_blocking=True)
            y, hidden = both[:, : self._depth], both[:, self._depth :]
            if self._bias is not None:
                y += self._bias
            if self._out is not None and self._hidden_bias is not None:
                y += torch.relu(hidden + self._hidden_bias) @ self._out
            self._y[:rows].copy_(y, non_blocking=True)
            if self._device != "cpu":
                torch.cuda.synchronize(self._device)
        return self._y[:rows].numpy()
