"""A small convolutional network for small images."""

from torch import nn

from nclib.models.linear_head import LinearHead, positive


class ConvNet(nn.Module):
    """x (B, C, H, W) -> head(backbone(x)) (B, K): four 3 x 3 convolutions, each with batch normalization and ReLU, of
    widths w, 2w, 2w and 4w, the second and the fourth halving the image; then the mean over positions: features
    (B, 4w), >= 0.

    head: LinearHead(4 width, num_classes, bias_last=bias_last). Convolutions: N(0, 2/fan_out) from torch's global
    generator. Raises ValueError for a size below 1.
    """

    def __init__(self, num_classes, width=16, *, bias_last=True, in_channels=1):
        super().__init__()
        positive(width=width, in_channels=in_channels)
        layers, inputs = [], in_channels
        for outputs, stride in ((width, 1), (2 * width, 2), (2 * width, 1), (4 * width, 2)):
            conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            layers += [conv, nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
        self.backbone = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = LinearHead(inputs, num_classes, bias_last=bias_last)

    def features(self, x) -> "Tensor":  # noqa: F821
        """H (B, 4 width), the input of the head."""
        return self.backbone(x)

    def forward(self, x) -> "Tensor":  # noqa: F821
        """Logits (B, K)."""
        return self.head(self.features(x))
