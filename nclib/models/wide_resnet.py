"""Wide residual networks for 32 x 32 images, with a linear head."""

from torch import nn
from torch.nn import functional as F

from nclib.models.linear_head import LinearHead, positive
from nclib.models.resnet import conv


class PreactivationBlock(nn.Module):
    """Batch normalization and ReLU before each of two 3 x 3 convolutions: x + f(x); where shapes differ the shortcut is
    a strided 1 x 1 convolution of the activated x."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), conv(inputs, outputs, 3, stride)
        self.norm2, self.conv2 = nn.BatchNorm2d(outputs), conv(outputs, outputs, 3, 1)
        self.shortcut = None if stride == 1 and inputs == outputs else conv(inputs, outputs, 1, stride)

    def forward(self, x) -> "Tensor":  # noqa: F821
        """Images (B, outputs, H', W'), where H', W' are those of x divided by the stride."""
        active = F.relu(self.norm1(x))
        y = self.conv2(F.relu(self.norm2(self.conv1(active))))
        return y + (x if self.shortcut is None else self.shortcut(active))


class WideResNet(nn.Module):
    """x (B, C, H, W) -> head(backbone(x)) (B, K): WRN-`depth`-`widen` of Zagoruyko & Komodakis 2016, without dropout.

    One 3 x 3 convolution of 16 channels; three stages of (depth - 4)/6 blocks, widths 16, 32 and 64 times `widen`, the
    second and the third halving the image; batch normalization, ReLU and the mean over positions: features
    (B, 64 widen), >= 0.

    head: LinearHead(64 widen, num_classes, bias_last=...). Convolutions: N(0, 2/fan_out) from torch's global generator.
    For 10 classes and 3 channels WRN-16-4 has 2,748,890 parameters, WRN-28-10 36,479,194. Raises ValueError for a size
    below 1 and a depth that is not 4 more than a multiple of 6.
    """

    def __init__(self, num_classes, depth=16, widen=4, *, bias_last=True, in_channels=3):
        super().__init__()
        positive(in_channels=in_channels, depth=depth, widen=widen)
        if depth < 10 or depth % 6 != 4:
            raise ValueError(f"depth = {depth}: must be 10, 16, 22, ..., 4 more than a multiple of 6")
        layers, inputs = [conv(in_channels, 16, 3, 1)], 16
        for stage, outputs in enumerate((16 * widen, 32 * widen, 64 * widen)):
            for block in range((depth - 4) // 6):
                layers.append(PreactivationBlock(inputs, outputs, 2 if stage and not block else 1))
                inputs = outputs
        layers += [nn.BatchNorm2d(inputs), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        self.backbone = nn.Sequential(*layers)
        self.head = LinearHead(inputs, num_classes, bias_last=bias_last)

    def features(self, x) -> "Tensor":  # noqa: F821
        """H (B, 64 widen), the input of the head."""
        return self.backbone(x)

    def forward(self, x) -> "Tensor":  # noqa: F821
        """Logits (B, K)."""
        return self.head(self.features(x))
