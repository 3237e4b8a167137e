"""ResNet-18 for 32 x 32 images, with a deep linear head."""

from torch import nn
from torch.nn import functional as F

from nclib.models.linear_head import LinearHead, positive

WIDTHS = (64, 128, 256, 512)


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut: relu(x + f(x)), the shortcut a strided 1 x 1 convolution where shapes
    differ."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.norm1 = conv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = conv(outputs, outputs, 3, 1), nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        self.shortcut = (
            nn.Identity() if same else nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
        )

    def forward(self, x) -> "Tensor":  # noqa: F821
        """Images (B, outputs, H', W'), where H', W' are those of x divided by the stride."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet18(nn.Module):
    """x (B, C, H, W) -> head(backbone(x)) (B, K). He et al. 2016, with the stem of their CIFAR networks: one 3 x 3
    convolution of stride 1 and no pooling; four stages of two blocks, widths 64, 128, 256, 512, each stage after the
    first halving the image; then the mean over positions: features (B, 512), >= 0 unless `final_norm` puts a
    BatchNorm1d after the mean (as Dang et al. 2023's code does). width: that of the first stage; another than 64
    scales all four, and features are (B, 8 width).

    head: LinearHead(8 width, num_classes, linear_layers, bias_last=..., init=...). Convolutions: N(0, 2/fan_out) from
    torch's global generator. 10 classes, one linear layer with bias, 3 channels, no final norm: 11,173,962 parameters.
    Raises ValueError for a size below 1.
    """

    def __init__(
        self,
        num_classes,
        linear_layers=1,
        *,
        bias_last=True,
        in_channels=3,
        final_norm=False,
        init="normal",
        width=WIDTHS[0],
    ):
        super().__init__()
        positive(in_channels=in_channels, linear_layers=linear_layers, width=width)
        layers = [conv(in_channels, width, 3, 1), nn.BatchNorm2d(width), nn.ReLU()]
        inputs = width
        for outputs in (width * stage // WIDTHS[0] for stage in WIDTHS):
            layers += [Block(inputs, outputs, 1 if outputs == width else 2), Block(outputs, outputs, 1)]
            inputs = outputs
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()] + [nn.BatchNorm1d(inputs)] * final_norm
        self.backbone = nn.Sequential(*layers)
        self.head = LinearHead(inputs, num_classes, linear_layers, bias_last=bias_last, init=init)

    def features(self, x) -> "Tensor":  # noqa: F821
        """H (B, 8 width), the input of the head."""
        return self.backbone(x)

    def forward(self, x) -> "Tensor":  # noqa: F821
        """Logits (B, K)."""
        return self.head(self.features(x))


def conv(inputs, outputs, size, stride) -> nn.Conv2d:
    """A convolution that keeps the size of the image up to its stride, without bias, from N(0, 2/fan_out)."""
    made = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
    nn.init.kaiming_normal_(made.weight, mode="fan_out", nonlinearity="relu")
    return made
