"""A second head for distillation, dropped after training."""

from torch import nn

from nclib.models.linear_head import positive


def auxiliary_head(in_features, num_classes, hidden=None, dropout=0.1) -> nn.Module:
    """h (B, d) -> (B, K), the second head of dual-head distillation.

    hidden=None: one linear layer with bias. Else, with 200 as the authors' nonlinear head: Linear(d, hidden), Dropout,
    BatchNorm1d, ReLU, Linear(hidden, K). Source: Yang et al. 2025, as in the authors' code. Raises ValueError for a
    size below 1 and for a dropout outside of [0, 1).

    >>> [type(layer).__name__ for layer in auxiliary_head(64, 10, hidden=200)]
    ['Linear', 'Dropout', 'BatchNorm1d', 'ReLU', 'Linear']
    """
    positive(in_features=in_features, num_classes=num_classes, hidden=1 if hidden is None else hidden)
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout = {dropout!r}: must be in [0, 1)")
    if hidden is None:
        return nn.Linear(in_features, num_classes)
    layers = nn.Linear(in_features, hidden), nn.Dropout(dropout), nn.BatchNorm1d(hidden), nn.ReLU()
    return nn.Sequential(*layers, nn.Linear(hidden, num_classes))
