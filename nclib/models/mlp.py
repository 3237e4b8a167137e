"""Multilayer perceptron with a deep linear head."""

from torch import nn

from nclib.models.linear_head import LinearHead, positive


class MLP(nn.Module):
    """x (B, ...) -> head(backbone(x)) (B, K): a ReLU network of `hidden_layers` layers of one width, then M linear
    layers.

    backbone: flatten, then hidden_layers times Linear, ReLU, and BatchNorm1d if `batch_norm`; after them one more
    BatchNorm1d if `batch_norm`, then one more Linear (with bias) if `intermediate`: so features may be negative in both
    of Dang et al. 2023's networks, batch_norm in the balanced one, intermediate in the imbalanced one. Without either,
    features are >= 0. head: LinearHead(width, num_classes, linear_layers, bias_last=..., init=...). Linear layers of
    the backbone: weights from N(0, 2/fan_in) before a ReLU and N(0, 1/fan_in) else, biases 0, from torch's global
    generator. Raises ValueError for a size below 1.
    """

    def __init__(
        self,
        in_features,
        width,
        hidden_layers,
        num_classes,
        linear_layers=1,
        *,
        batch_norm=False,
        intermediate=False,
        bias_last=False,
        init="normal",
    ):
        super().__init__()
        positive(in_features=in_features, width=width, hidden_layers=hidden_layers, linear_layers=linear_layers)
        layers = [nn.Flatten()]
        for m in range(hidden_layers):
            layers += [_linear(in_features if m == 0 else width, width, gain=2), nn.ReLU()]
            layers += [nn.BatchNorm1d(width)] * batch_norm
        layers += [nn.BatchNorm1d(width)] * batch_norm
        layers += [_linear(width, width, gain=1)] * intermediate
        self.backbone = nn.Sequential(*layers)
        self.head = LinearHead(width, num_classes, linear_layers, bias_last=bias_last, init=init)

    def features(self, x) -> "Tensor":  # noqa: F821
        """H (B, width), the input of the head."""
        return self.backbone(x)

    def forward(self, x) -> "Tensor":  # noqa: F821
        """Logits (B, K)."""
        return self.head(self.features(x))


def _linear(fan_in, fan_out, gain):
    layer = nn.Linear(fan_in, fan_out)
    nn.init.normal_(layer.weight, std=(gain / fan_in) ** 0.5)
    nn.init.zeros_(layer.bias)
    return layer
