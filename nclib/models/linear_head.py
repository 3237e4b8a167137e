"""A deep linear classifier head."""

from operator import index

from torch import nn


class LinearHead(nn.Sequential):
    """M linear layers without activation: h (..., d) -> W_M ... W_1 h (+ b), (..., K); only the last layer may have a
    bias.

    in_features d, num_classes K, depth M; width: that of the M - 1 hidden outputs, None for d.
    init: "normal" draws every entry from N(0, 1/fan_in), "orthogonal" makes every W_m orthonormal along its shorter
    side (semi-orthogonal); a number is the standard deviation of every entry. The bias starts at 0. Draws come from
    torch's global generator. Raises ValueError for a size below 1 or an unknown init. Source: Dang et al. 2023, the
    models of the theorems for M >= 1.
    """

    def __init__(self, in_features, num_classes, depth=1, width=None, *, bias_last=False, init="normal"):
        positive(in_features=in_features, num_classes=num_classes, depth=depth)
        width = in_features if width is None else width
        positive(width=width)
        if init not in ("normal", "orthogonal") and not (isinstance(init, int | float) and init > 0):
            raise ValueError(f"init = {init!r}: must be 'normal', 'orthogonal' or a positive standard deviation")
        sizes = [in_features] + [width] * (depth - 1) + [num_classes]
        super().__init__(*[nn.Linear(sizes[m], sizes[m + 1], bias=bias_last and m == depth - 1) for m in range(depth)])
        for W in self.weights:
            if init == "orthogonal":
                nn.init.orthogonal_(W)
            else:
                nn.init.normal_(W, std=W.shape[1] ** -0.5 if init == "normal" else init)
        if bias_last:
            nn.init.zeros_(self.bias)

    @property
    def weights(self) -> list[nn.Parameter]:
        """[W_1, ..., W_M], in the order in which they are applied."""
        return [layer.weight for layer in self]

    @property
    def bias(self) -> nn.Parameter | None:
        """The bias b (K,) of the last layer, or None."""
        return self[-1].bias

    def product(self) -> "Tensor":  # noqa: F821
        """P = W_M ... W_1, (K, d)."""
        *hidden, P = self.weights
        for W in reversed(hidden):
            P = P @ W
        return P


def positive(**sizes) -> None:
    """ValueError naming the first of `sizes` that is not an integer of at least 1."""
    for name, value in sizes.items():
        try:
            if index(value) >= 1:
                continue
        except TypeError:
            pass
        raise ValueError(f"{name} = {value!r}: must be a positive integer")
