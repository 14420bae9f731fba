"""The losses of the paper (arXiv 2407.20243, section 3) and ours, one function each.

They compare cosines within a batch: `original (B, B)` before the map and `nested (P, B, B)` after
it at each of P prefixes. Each returns a scalar, the mean over prefixes and over what it sums.
"""

import torch
from torch import Tensor
from torch.nn import functional


def prefix_similarities(y: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Cosines between all rows of `y (B, K)` at each prefix: `(P, B, B)`.

    Prefixes nest, so each band of columns is multiplied once and the products are summed up.
    """
    dot = y.new_zeros(len(y), len(y))
    square = y.new_zeros(len(y))
    cosines = []
    for start, stop in zip((0, *dims), dims):
        band = y[:, start:stop]
        dot = dot + band @ band.T
        square = square + band.square().sum(1)
        length = square.clamp_min(1e-12).sqrt()
        cosines.append(dot / length[:, None] / length)
    return torch.stack(cosines)


def pairwise(original: Tensor, nested: Tensor) -> Tensor:
    """The paper's pairwise similarity loss: `|cos(x_i, x_j) - cos(y_i[:m], y_j[:m])|`."""
    return (nested - original).abs().mean()


def top_k(original: Tensor, nested: Tensor, neighbour: Tensor) -> Tensor:
    """The paper's top-k similarity loss: the same over the pairs marked in `neighbour (B, B) bool`."""
    return (nested - original).abs()[:, neighbour].mean()


def reconstruction(x: Tensor, y: Tensor) -> Tensor:
    """The paper's reconstruction loss, `|x - y|` in L1, mean over rows: `x, y (B, D)`."""
    return (y - x).abs().sum(1).mean()


def listwise(original: Tensor, nested: Tensor, temperature: float) -> Tensor:
    """How far each row's softmax over the others moved from the original one (ours).

    `KL(softmax(original / t) || softmax(nested / t))`: near neighbours weigh most, a row's
    similarity to itself does not count.
    """
    itself = torch.eye(len(original), dtype=torch.bool, device=original.device)
    target = functional.softmax((original / temperature).masked_fill(itself, -1e4), dim=-1)
    found = functional.log_softmax((nested / temperature).masked_fill(itself, -1e4), dim=-1)
    return functional.kl_div(found, target.expand_as(found), reduction="none").sum(-1).mean()
