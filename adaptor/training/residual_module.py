"""The torch module that is trained, and its passage to the NumPy map."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from adaptor.maps import Map, Residual


class AdaptorModule(nn.Module):
    """`y = z + f(z)`, `z = x @ start.weight + start.bias`, f a shallow MLP: `(n, D) -> (n, K)`.

    With the identity as start this is the paper's `y = x + f(x)` (section 3). An SVD rotation
    is a better start where the embedder was not trained to be nested. The linear part stays as
    it is: training it left the optimum it came from. f's last layer starts at zero, so training
    starts exactly from `start`.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, start: Map, hidden: int, seed: int) -> None:
        super().__init__()
        width = start.out_width
        self.register_buffer("weight", torch.tensor(start.weight))
        self.register_buffer("bias", torch.zeros(width) if start.bias is None else torch.tensor(start.bias))
        self.scale = math.sqrt(width)  # numbers of about 1 enter f, whatever the width
        self.hidden = nn.Linear(width, hidden)
        self.out = nn.Linear(hidden, width, bias=False)
        generator = torch.Generator().manual_seed(seed)
        nn.init.normal_(self.hidden.weight, std=width**-0.5, generator=generator)
        nn.init.uniform_(self.hidden.bias, -0.5, 0.5, generator=generator)
        nn.init.zeros_(self.out.weight)

    def start(self, x: Tensor) -> Tensor:
        """z, where training starts."""
        return x @ self.weight + self.bias

    def residual(self, z: Tensor) -> Tensor:
        """f(z), what training adds."""
        return self.out(torch.relu(self.hidden(z * self.scale))) / self.scale

    def forward(self, x: Tensor) -> Tensor:
        """`(B, D)` to `(B, K)`."""
        z = self.start(x)
        return z + self.residual(z)

    @torch.no_grad()
    def to_map(self) -> Map:
        """The same function in NumPy, the rotation folded into the MLP's first layer."""
        hidden = self.hidden.weight.T * self.scale

        def array(tensor: Tensor) -> np.ndarray:
            return np.ascontiguousarray(tensor.cpu().numpy(), dtype=np.float32)

        return Map(
            array(self.weight),
            array(self.bias) if self.bias.any() else None,
            Residual(
                hidden=array(self.weight @ hidden),
                hidden_bias=array(self.bias @ hidden + self.hidden.bias),
                out=array(self.out.weight.T / self.scale),
            ),
        )
