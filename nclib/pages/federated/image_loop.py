"""The same loop with a ResNet-18 on a long tail of CIFAR-10 or CIFAR-100."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from nclib.models import ResNet18
from nclib.pages.federated.loop import Loop
from nclib.training import federated

GROUPS = 32


@dataclass(frozen=True)
class ImageLoop(Loop):
    """ResNet-18 with GroupNorm in place of BatchNorm: running means of unlike clients have no meaningful mean."""

    NAME: ClassVar[str] = "xiao2024.image_loop"

    def needs_gpu(self):
        return True

    def network(self, samples, generator):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        backbone = with_group_norm(ResNet18(self.classes, in_channels=samples.x.shape[1]).backbone)
        theta = {name: value.detach() for name, value in backbone.named_parameters()}
        return federated.of_module(backbone), theta, 512

    def inputs(self, x):
        return x


def with_group_norm(module):
    """The module, each BatchNorm2d in it replaced by a GroupNorm of GROUPS groups."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.GroupNorm(GROUPS, child.num_features))
        else:
            with_group_norm(child)
    return module
