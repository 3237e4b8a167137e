"""Models whose forward is `head(features(x))`: `head` is the linear part of the theorems, `features(x)` its input H."""

from nclib.models.auxiliary import auxiliary_head
from nclib.models.convnet import ConvNet
from nclib.models.linear_head import LinearHead
from nclib.models.mlp import MLP
from nclib.models.resnet import ResNet18
from nclib.models.unconstrained import FreeFeatures, HeavyBall, State, UnconstrainedFeatures, direct_descent
from nclib.models.wide_resnet import WideResNet

__all__ = [
    "MLP",
    "ConvNet",
    "FreeFeatures",
    "HeavyBall",
    "LinearHead",
    "ResNet18",
    "State",
    "UnconstrainedFeatures",
    "WideResNet",
    "auxiliary_head",
    "direct_descent",
]
