"""Distillation of logits: the losses of Yang et al. 2025, their gradients, and when two of them conflict.

Logits are (..., B, K) or (B, K): student z^S, teacher z^T; tau > 0 is the temperature. Losses sum over the K classes
and take the mean over the batch: with K the loss of logits grows beside cross-entropy, so an alpha belongs to its K.
A residual is minus the gradient of the loss of one sample in its logits: minus the gradients in classifier W and
feature h of that sample are r h^T and W^T r, for every loss.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from nclib.theory._inputs import integer, positive


def binary_kl(student, teacher, tau) -> Tensor:
    """BinaryKL = tau^2 sum_k KL(sigma(z^T_k/tau) || sigma(z^S_k/tau)), sum over classes, mean over the batch.

    student, teacher (B, K) -> scalar float64, differentiable; >= 0, and 0 where the logits agree. Its curvature there,
    sigma'(z^T_k/tau), fades for large teacher logits. Source: Yang et al. 2025, as in the authors' code. Raises
    ValueError for shapes other than two equal (B, K) and for tau that is not a finite number > 0.

    >>> round(float(binary_kl([[0.0, 2.0]], [[2.0, 2.0]], tau=1)), 6)  # KL(0.880797 || 0.5)
    0.327813
    """
    z_S, z_T, tau = _logits(student, teacher, tau)
    s, t = z_S / tau, z_T / tau
    own = torch.sigmoid(t) * (F.logsigmoid(t) - F.logsigmoid(s))
    rest = torch.sigmoid(-t) * (F.logsigmoid(-t) - F.logsigmoid(-s))
    return tau**2 * (own + rest).sum(1).mean()


def binary_kl_norm(student, teacher, tau) -> Tensor:
    """BinaryKL-Norm = tau^2 sum_k KL(1/2 || sigma(x_k)) = tau^2 sum_k log cosh(x_k/2), x_k = (z^S_k - z^T_k)/tau.

    Sum over classes, mean over the batch. (B, K) twice -> scalar float64, differentiable. The second form is exact, for
    KL(1/2 || sigma(x)) = log cosh(x/2): a smooth L1 distance of logits, 1/8 |z^S - z^T|^2 near a match, with the
    curvature 1/4 there for every teacher logit. Source: Yang et al. 2025 for the first form; the second is derived
    here. Raises ValueError as `binary_kl` does.

    >>> round(float(binary_kl_norm([[2.0, 1.0]], [[0.0, 1.0]], tau=1)), 6)  # log cosh 1
    0.433781
    """
    z_S, z_T, tau = _logits(student, teacher, tau)
    u = (z_S - z_T) / (2 * tau)
    return tau**2 * (torch.logaddexp(u, -u) - math.log(2)).sum(1).mean()


def kd(student, teacher, tau) -> Tensor:
    """Plain distillation tau^2 KL(softmax(z^T/tau) || softmax(z^S/tau)), mean over the batch.

    (B, K) twice -> scalar float64, differentiable. Unlike the two losses above it does not see a constant that is added
    to all logits. Source: Hinton, Vinyals, Dean 2015. Raises ValueError as `binary_kl` does.

    >>> float(kd([[2.0, 3.0, 4.0]], [[-2.0, -1.0, 0.0]], tau=2))
    0.0
    >>> round(float(kd([[0.0, 0.0]], [[0.0, math.log(3)]], tau=1)), 6)  # log 2 - H(1/4, 3/4)
    0.130812
    """
    z_S, z_T, tau = _logits(student, teacher, tau)
    s, t = (z_S / tau).log_softmax(1), (z_T / tau).log_softmax(1)
    return tau**2 * (t.exp() * (t - s)).sum(1).mean()


def dual_head(logits, auxiliary, teacher, labels, *, alpha, tau=2.0, norm=True) -> Tensor:
    """The objective of DHKD: CE(z^(1), y) + alpha BinaryKL-Norm(z^(2), z^T), means over the batch.

    logits z^(1), auxiliary z^(2), teacher z^T (B, K): of the head that is kept, of the head that is dropped after
    training, and of the teacher; labels (B,). norm=False takes BinaryKL; the same logits twice are one head with both
    losses. alpha >= 0. Scalar float64. Source: Yang et al. 2025; tau = 2 and alpha = 1 are the authors' for CIFAR-100.
    Raises ValueError as `binary_kl` does, for alpha that is not a finite number >= 0, and for labels that are none.

    >>> z = torch.tensor([[0.0, 0.0]])
    >>> round(float(dual_head(z, [[2.0, 0.0]], z, torch.tensor([1]), alpha=2, tau=1)), 6)  # log 2 + 2 log cosh 1
    1.560709
    """
    alpha = weight(alpha)
    z, _, _ = _logits(logits, teacher, tau)
    labels = torch.as_tensor(labels, device=z.device)
    B, K = z.shape
    if labels.shape != (B,) or labels.is_floating_point() or not ((labels >= 0) & (labels < K)).all():
        raise ValueError(f"labels must be ({B},), integers from 0 to {K - 1}, got {labels.dtype} {labels.tolist()}")
    return F.cross_entropy(z, labels) + alpha * (binary_kl_norm if norm else binary_kl)(auxiliary, teacher, tau)


def weight(alpha) -> float:
    """alpha as a float; ValueError unless it is a finite number >= 0.

    >>> weight("0.5")
    0.5
    """
    try:
        value = float(alpha)
    except (TypeError, ValueError):
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f"alpha must be a finite number >= 0, got {alpha!r}")
    return value


def cross_entropy_residual(student, labels) -> Tensor:
    """e_y - softmax(z), (..., B, K), in the type of the logits; its entries sum to 0.

    >>> z = torch.tensor([0.0, math.log(3)])  # softmax (1/4, 3/4)
    >>> [round(r, 6) for r in cross_entropy_residual(z, torch.tensor(0)).tolist()]
    [0.75, -0.75]
    """
    return F.one_hot(labels, student.shape[-1]).to(student) - student.softmax(-1)


def kd_residual(student, teacher, tau) -> Tensor:
    """tau (softmax(z^T/tau) - softmax(z^S/tau)) of `kd`, (..., B, K), in the type of the logits; its entries sum to 0.

    >>> z = torch.tensor([0.0, 2 * math.log(3)])  # 2 ((1/4, 3/4) - (1/2, 1/2))
    >>> [round(r, 6) for r in kd_residual(torch.zeros(2), z, 2.0).tolist()]
    [-0.5, 0.5]
    """
    return tau * ((teacher / tau).softmax(-1) - (student / tau).softmax(-1))


def binary_kl_residual(student, teacher, tau) -> Tensor:
    """tau (sigma(z^T/tau) - sigma(z^S/tau)) of `binary_kl`, in the shape and type of the logits; its sum is free.

    >>> z = torch.tensor(2 * math.log(3))  # 2 (3/4 - 1/2)
    >>> round(float(binary_kl_residual(torch.tensor(0.0), z, 2.0)), 6)
    0.5
    """
    return tau * (torch.sigmoid(teacher / tau) - torch.sigmoid(student / tau))


def binary_kl_norm_residual(student, teacher, tau) -> Tensor:
    """(tau/2) tanh((z^T - z^S)/(2 tau)) of `binary_kl_norm`, in the shape and type of the logits: at most tau/2.

    >>> z = torch.tensor(4 * math.log(2))  # tanh(log 2)
    >>> round(float(binary_kl_norm_residual(torch.tensor(0.0), z, 2.0)), 6)
    0.6
    """
    return tau / 2 * torch.tanh((teacher - student) / (2 * tau))


def conflict(student_margin_logits, teacher_margin_logits, tau, *, norm=False) -> Tensor:
    """delta = tau {[sigma(T_1/tau) - sigma(z_c/tau)] - [sigma(T_0/tau) - sigma(z_o/tau)]}: < 0 where losses conflict.

    student_margin_logits (..., 2): z_c, z_o, the student's logit of the right class and of each other one;
    teacher_margin_logits (..., 2): T_1, T_0 likewise; they broadcast. Returns (...) float64. At exact collapse minus
    the gradients of BinaryKL in W and in h are delta times those of a unit residual, those of cross-entropy 1 - p + q
    times them with p, q the student's probabilities: so the cosine of the two losses is sign(delta) in both. norm: of
    BinaryKL-Norm, (tau/2) {tanh((T_1 - z_c)/(2 tau)) - tanh((T_0 - z_o)/(2 tau))}, < 0 where the student's margin
    z_c - z_o exceeds the teacher's. Derived here, on Propositions 1 and 2 of Yang et al. 2025. Raises ValueError for
    other shapes and for tau that is not a finite number > 0.

    >>> round(float(conflict((2.0, 0.0), (4.0, 0.0), tau=2)), 6)  # 2 (sigma(2) - sigma(1)): both pull
    0.299477
    >>> bool(conflict((4.0, 0.0), (2.0, 0.0), tau=2) < 0)
    True
    """
    right, other = _pairs(student_margin_logits, teacher_margin_logits, tau, norm)
    return right - other


def cosine_with_mean(
    student_margin_logits, teacher_margin_logits, tau, *, num_classes, length, mean, norm=False
) -> Tensor:
    """Cosine of the gradients of cross-entropy and of the loss of `conflict` in W, for features with a common mean.

    Collapse as there, class means of length `length` about a common mean of length `mean` that is orthogonal to the
    rows of W: delta m / sqrt(delta^2 m^2 + s^2 g^2) with m, g the two lengths and s the sum of a residual's entries,
    which is not 0 for these losses and adds (s/K) 1 mu_G^T to the gradient in W. In h the cosine stays sign(delta),
    for W^T 1 = 0. Returns (...) float64; NaN where the loss has no gradient. Derived here. Raises ValueError as
    `conflict` does, for num_classes < 2 and for a length or mean that is not a finite number > 0.

    >>> round(float(cosine_with_mean((0.0, 0.0), (2.0, 0.0), 2, num_classes=5, length=3, mean=4)), 6)  # s = delta
    0.6
    """
    K, m, g = integer("num_classes", num_classes, 2), positive("length", length), positive("mean", mean)
    right, other = _pairs(student_margin_logits, teacher_margin_logits, tau, norm)
    delta, s = right - other, right + (K - 1) * other
    return delta * m / (delta**2 * m**2 + s**2 * g**2).sqrt()


def align(gradient, reference) -> Tensor:
    """Gradient alignment: g_2 - (g_2 . g_1 / |g_1|^2) g_1 if g_2 . g_1 < 0, else g_2; g_1 = reference.

    Two vectors (P,) -> (P,) float64: the nearest vector to g_2 that does not oppose g_1. Pure: nothing is changed in
    place. Source: Yang et al. 2025, as in the authors' code, over the whole flattened parameter vector with g_1 of
    cross-entropy. Raises ValueError unless both are vectors of one length.

    >>> align([-1.0, 2.0], [1.0, 0.0]).tolist(), align([1.0, 2.0], [1.0, 0.0]).tolist()
    ([0.0, 2.0], [1.0, 2.0])
    """
    g_2, g_1 = (torch.as_tensor(g, dtype=torch.float64) for g in (gradient, reference))
    if g_2.ndim != 1 or g_2.shape != g_1.shape:
        raise ValueError(
            f"gradient, reference have shapes {tuple(g_2.shape)}, {tuple(g_1.shape)}, must be vectors of one length"
        )
    dot = g_2 @ g_1
    return torch.where(dot < 0, g_2 - dot / (g_1 @ g_1) * g_1, g_2)


def _pairs(student, teacher, tau, norm):
    z, T = (torch.as_tensor(logits, dtype=torch.float64) for logits in (student, teacher))
    for name, logits in (("student", z), ("teacher", T)):
        if logits.ndim < 1 or logits.shape[-1] != 2:
            raise ValueError(f"{name}_margin_logits has shape {tuple(logits.shape)}, must be (..., 2)")
    residual = binary_kl_norm_residual if norm else binary_kl_residual
    return residual(z, T, positive("tau", tau)).unbind(-1)


def _logits(student, teacher, tau):
    z_S, z_T = (torch.as_tensor(logits, dtype=torch.float64) for logits in (student, teacher))
    if z_S.ndim != 2 or z_S.shape != z_T.shape or z_S.numel() == 0:
        raise ValueError(
            f"student, teacher have shapes {tuple(z_S.shape)}, {tuple(z_T.shape)}, must be equal (B, K), not empty"
        )
    return z_S, z_T, positive("tau", tau)
