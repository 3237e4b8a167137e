"""Scores that rest on neural collapse: which samples belong to none of the classes, and how well few samples would do.

Each is a function of class statistics (`nclib.statistics`), in float64. They are of papers beside the book's, and none
of those was read in full: where a formula was read, each function says.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nclib._inputs import matrix, present_classes, unit_rows
from nclib.statistics import ClassStatistics

_BLOCK = 256


def nc5(stats: ClassStatistics, outside: ClassStatistics | Tensor, *, center: str | None = None) -> float:
    """Alignment of class means with what lies outside: the mean of |cos(mean_k, m)|, 0 when orthogonal.

    outside: statistics of samples of none of the classes (their labels do not matter, m is their mean), or m (d,).
    center=None takes both as they are, as the definition does; "class" moves the origin to `stats.global_mean`, which
    an offset of all features does not change. NaN where a vector is zero.

    Ben Ammar et al. (2024), "NECO", Section 4, Eq. 5, "ID/OOD orthogonality": recalled; public code that names the
    equation was read (means as they are, absolute values). For m at random in d dimensions it is about
    sqrt(2 / (pi d)) (derived), so a small value of a wide layer says nothing by itself.

    Raises ValueError for m of another width, and another `center`.

    >>> means = ClassStatistics.from_features(torch.tensor([[3.0, 4.0], [0.0, 2.0]]), torch.tensor([0, 1]), 2)
    >>> round(nc5(means, torch.tensor([1.0, 0.0])), 9)
    0.3
    """
    if center not in (None, "class"):
        raise ValueError(f"center={center!r}, must be None or 'class'")
    M = stats.means[present_classes(stats)]
    m = outside.sample_mean if isinstance(outside, ClassStatistics) else torch.as_tensor(outside).detach()
    m = m.to(M.device).double()
    if m.shape != M.shape[1:]:
        raise ValueError(f"outside has a mean of shape {tuple(m.shape)}, must be {tuple(M.shape[1:])}")
    if not m.isfinite().all():
        raise ValueError("outside holds NaN or inf, must be finite")
    if center == "class":
        M, m = stats.centered_means, m - stats.global_mean
    return float((unit_rows(M) @ (m / torch.linalg.vector_norm(m))).abs().mean())


def neco(
    stats: ClassStatistics, H: Tensor, dim: int, *, standardize: bool = False, logits: Tensor | None = None
) -> Tensor:
    """NECO of each row of H (N, d): |P h| / |h|, the share of its length in the `dim` principal directions of the
    features that `stats` is of. (N,) float64 in [0, 1]; low for samples outside of the classes. NaN for h = 0.

    P projects on the eigenvectors of `stats.total` with the `dim` largest eigenvalues.
    standardize   h minus the mean of all samples, each coordinate over its standard deviation, and P of these.
    logits        (N, K), of the same samples: the score is multiplied by the largest of each row.

    Ben Ammar et al. (2024), "NECO", Eq. 6: recalled, as is that `dim` is chosen by the user. Public copies of the
    authors' code were read: they standardize by default, and multiply by the largest logit but for one architecture.
    An eigenvalue that `dim` cuts apart from an equal one leaves P open.

    Raises ValueError for statistics without a scatter, dim outside 1..d, and shapes that do not match.

    >>> y = torch.tensor([0, 0, 1, 1])
    >>> stats = ClassStatistics.from_features(torch.tensor([[4.0, 1], [4, -1], [-4, 1], [-4, -1]]), y, 2, scatter=True)
    >>> neco(stats, torch.tensor([[3.0, 4.0], [1.0, 0.0]]), 1).tolist()
    [0.6, 1.0]
    """
    H, total = matrix("H", H), stats.total
    H, d = H.to(total.device), len(total)
    if H.shape[1] != d:
        raise ValueError(f"H has shape {tuple(H.shape)}, must be (N, {d})")
    if not 1 <= dim <= d:
        raise ValueError(f"dim={dim}, must be from 1 to {d}")
    if standardize:
        sd = total.diagonal().sqrt()
        if not (sd > 0).all():
            raise ValueError(f"standardize=True: coordinate {int(sd.argmin())} is constant, so it cannot be scaled")
        H, total = (H - stats.sample_mean) / sd, total / sd / sd[:, None]
    P = torch.linalg.eigh(total).eigenvectors[:, -dim:]
    score = torch.linalg.vector_norm(H @ P, dim=1) / torch.linalg.vector_norm(H, dim=1)
    if logits is None:
        return score
    Z = matrix("logits", logits).to(H.device)
    if len(Z) != len(H):
        raise ValueError(f"logits has {len(Z)} rows, must have {len(H)} as H")
    return score * Z.amax(1)


def few_shot_bound(stats: ClassStatistics, shots: int, ways: int = 2) -> float:
    """Upper bound of the error of the nearest mean of `shots` samples a class, in tasks of `ways` of these classes.

        (ways - 1) * mean over ordered pairs j != k of min(1, (2 s_j + (s_j + s_k) / sqrt(shots))^2 / D_jk^2),

    s_k = sqrt(spread_k / n_k), D_jk = |mean_j - mean_k|; at most 1. The task is `ways` classes drawn at random, the
    sample is one of theirs, all samples are independent; statistics are taken as the truth about the classes, so it
    says nothing of new ones. Where all s_k are equal a pair has 4 (1 + 1/sqrt(shots))^2 CDNV.

    Why (derived): with a = h - mean_j and errors e_j, e_k of the two estimated means, a wrong vote needs
    2 |a| + |e_j| + |e_k| >= D_jk, whose mean square is at most (2 s_j + (s_j + s_k)/sqrt(shots))^2 by Minkowski's
    inequality; then Markov's inequality, and one vote against each other class. Galanti, Gyorgy, Hutter (2022) bound
    it by a constant times (ways - 1) times the mean CDNV (recalled); the constant 16 of one shot comes out here too.
    Bounds with the variance along mean_j - mean_k alone (Luthra et al. 2025) are smaller and need a scatter a class.

    O(K^2 d) time. Raises ValueError for shots < 1, ways outside 2..K' and fewer than two present classes.

    >>> H = torch.tensor([[-1.0], [1.0], [19.0], [21.0]])
    >>> stats = ClassStatistics.from_features(H, torch.tensor([0, 0, 1, 1]), 2)
    >>> round(few_shot_bound(stats, 1), 9), round(few_shot_bound(stats, 4), 9)
    (0.04, 0.0225)
    """
    label = present_classes(stats)
    if shots < 1:
        raise ValueError(f"shots={shots}, must be at least 1")
    if not 2 <= ways <= len(label):
        raise ValueError(f"ways={ways}, must be from 2 to {len(label)}, the number of present classes")
    M, s = stats.centered_means, (stats.spread[label] / stats.counts[label]).sqrt()
    total = M.new_zeros(())
    for rows in torch.arange(len(M), device=M.device).split(_BLOCK):
        D = torch.cdist(M[rows], M, compute_mode="donot_use_mm_for_euclid_dist")
        need = 2 * s[rows, None] + (s[rows, None] + s) / shots**0.5
        wrong = torch.where(D > 0, (need / D).square().clamp(max=1), torch.ones_like(D))
        total += wrong.sum() - len(rows)  # a class with itself counts 1, as its distance is 0
    return min(1.0, (ways - 1) * float(total) / (len(M) * (len(M) - 1)))
