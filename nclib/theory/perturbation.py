"""Near collapse: features tied to given ones, Tirer, Huang & Niles-Weed 2023. Everything float64.

K classes, N samples, n = N/K, rows are samples, Y one-hot (N, K). The model (their Eq. 2) is

    f(W, H; H0) = 1/(2Kn) |H W^T - Y|^2 + lam_W/(2K) |W|^2 + lam_H/(2Kn) |H|^2 + beta/(2Kn) |H - H0|^2.

The paper has classes of equal size; `solve`, `features` and `central_path` take any sizes, with n = N/K the mean one.
c = sqrt(lam_W lam_H), s = sqrt(lam_H/lam_W), rho = (1 - c)/s, mu = 2 lam_H (1 - c). Statements without a source are
derived, and verified numerically in tests/test_theory_perturbation.py.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from nclib.theory import _flow, _proximal
from nclib.theory._inputs import _short, integer, positive
from nclib.theory._moments import data, matrix, nonnegative, problems

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Problem:
    """K >= 2 classes of n samples, dimension d >= K, H0 near the global minimizer of Eq. 1 (f without its last term).

    lam_W, lam_H > 0, beta >= 0; beta = 0 stands for the limit beta -> 0. c < 1: the minimizer is collapsed, with
    orthogonal means of square norm rho (Theorem 2.1). c >= 1: it is 0. Raises ValueError for anything else.

    >>> problem = Problem(2, 2, 3, 1 / 16, 1.0, 1.0)
    >>> problem.c, problem.s, problem.rho
    (0.25, 4.0, 0.1875)
    """

    num_classes: int
    samples_per_class: int
    dim: int
    lam_W: float
    lam_H: float
    beta: float

    def __post_init__(self):
        K = integer("num_classes", self.num_classes, 2)
        integer("samples_per_class", self.samples_per_class)
        integer("dim", self.dim, K)
        positive("lam_W", self.lam_W)
        positive("lam_H", self.lam_H)
        nonnegative("beta", self.beta)

    @property
    def c(self) -> float:
        """sqrt(lam_W lam_H): collapse iff c < 1.

        >>> Problem(2, 2, 3, 1 / 16, 1.0, 1.0).c
        0.25
        """
        return math.sqrt(self.lam_W * self.lam_H)

    @property
    def s(self) -> float:
        """sqrt(lam_H/lam_W) = |w_k|/|hbar_k|.

        >>> Problem(2, 2, 3, 1 / 16, 1.0, 1.0).s
        4.0
        """
        return math.sqrt(self.lam_H / self.lam_W)

    @property
    def rho(self) -> float:
        """|hbar_k|^2 at the minimizer, (1 - c)/s, or 0.

        >>> Problem(2, 2, 3, 1 / 16, 1.0, 1.0).rho
        0.1875
        """
        return max(0.0, 1 - self.c) / self.s

    @property
    def mu(self) -> float:
        """2 lam_H (1 - c): largest at lam_H = 4/(9 lam_W), and 0 again at c = 1.

        >>> Problem(2, 2, 3, 1 / 16, 1.0, 1.0).mu
        1.5
        """
        return 2 * self.lam_H * max(0.0, 1 - self.c)

    def collapsed(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(W (K, d), H (K n, d)), W = s Hbar, Hbar = sqrt(rho) times the first K rows of I_d (Theorem 2.1).

        The global minimizer of Eq. 1 up to rotation, and the unique one of f for H0 = H, c < 1 (Corollary 2.2).

        >>> W, H = Problem(2, 2, 3, 1 / 16, 1.0, 1.0).collapsed()
        >>> (W @ H.mT).round(decimals=9).tolist()  # (1 - c) Y^T
        [[0.75, 0.75, 0.0, 0.0], [0.0, 0.0, 0.75, 0.75]]
        """
        means = math.sqrt(self.rho) * torch.eye(self.num_classes, self.dim, dtype=torch.float64)
        return self.s * means, means.repeat_interleave(self.samples_per_class, 0)

    def _factors(self, order):
        """(within in the span, within off it, means: fixed part, means: symmetric part, slope of a mean at c >= 1)."""
        if order not in (None, 1):
            raise ValueError(f"order must be None (exact) or 1 (the paper's Eq. 5), got {_short(order)}")
        if order and not self.beta:
            raise ValueError("order=1 expands in 1/beta and needs beta > 0, got beta = 0")

        def f(rate):
            return 1 - rate / self.beta if order else self.beta / (self.beta + rate) if rate else 1.0

        if self.c < 1:
            return f(self.s), f(self.lam_H), 1.0, f(2 * self.mu)
        dead = f(self.lam_H - 1 / self.lam_W)
        return f(self.lam_H), f(self.lam_H), dead, dead

    def response(self, dH0, order=None) -> torch.Tensor:
        """dH (K n, d), the derivative of the minimizer in H0 at H0 = H of `collapsed`, applied to dH0. O(K n d).

        Within-class parts shrink by beta/(beta+s) in the span of the means, by beta/(beta+lam_H) off it. Of the means'
        part M the symmetric part of R^T M, R the means' orthonormal frame, shrinks by beta/(beta+2 mu); the rest stays,
        a motion along the minimizers of Eq. 1. order=1: each 1 - rate/beta, the paper's Eq. 5, meaningful for beta > s
        only. At c >= 1: means by beta/(beta + lam_H - 1/lam_W), the within-class part by beta/(beta+lam_H).
        Raises ValueError unless dH0 is (K n, d) and finite.

        >>> dH0 = [[1.0, 0.0, 2.0], [-1.0, 0.0, -2.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
        >>> Problem(2, 2, 3, 1 / 16, 1.0, 1.0).response(dH0)[0].tolist()  # 1/(1 + s), 1/(1 + lam_H)
        [0.2, 0.0, 1.0]
        """
        K, n, d = self.num_classes, self.samples_per_class, self.dim
        dH0 = matrix("dH0", dH0)
        if dH0.shape != (K * n, d):
            raise ValueError(f"dH0 must have shape {(K * n, d)}, got {tuple(dH0.shape)}")
        inside, outside, fixed, symmetric = self._factors(order)
        M = dH0.reshape(K, n, d).mean(1)
        dH = dH0 - M.repeat_interleave(n, 0)
        dH[:, :K] *= inside
        dH[:, K:] *= outside
        M, B = fixed * M, M[:, :K]
        M[:, :K] += (symmetric - fixed) / 2 * (B + B.T)
        return dH + M.repeat_interleave(n, 0)

    def block_spectrum(self, order=None) -> tuple[torch.Tensor, float]:
        """(singular values (d n,) of an intra-class block F_kk, descending; the one of a rank-1 F_kk', k != k').

        F is `response` as a matrix, in K x K blocks of size d n. Of F_kk: 1 (d-K times), beta/(beta+lam_H)
        ((d-K)(n-1)), 1 - sigma (K-1), 1 - 2 sigma (once), beta/(beta+s) (K(n-1)), with sigma = mu/(beta+2 mu) that of
        F_kk'. order=1 is Theorem 4.2: 1 - lam_H/beta, sigma = mu/beta, 1 - s/beta, in modulus.

        >>> values, sigma = Problem(2, 2, 3, 1 / 16, 1.0, 1.0).block_spectrum()
        >>> values.tolist(), sigma
        ([1.0, 0.625, 0.5, 0.25, 0.2, 0.2], 0.375)
        """
        K, n, d = self.num_classes, self.samples_per_class, self.dim
        inside, outside, fixed, symmetric = self._factors(order)
        sigma = (fixed - symmetric) / 2
        values = [fixed, outside, fixed - sigma, symmetric, inside]
        times = [d - K, (d - K) * (n - 1), K - 1, 1, K * (n - 1)]
        spectrum = torch.tensor(values, dtype=torch.float64).abs().repeat_interleave(torch.tensor(times))
        return spectrum.sort(descending=True).values, abs(sigma)

    def _collapse(self):
        if self.c >= 1:
            raise ValueError(f"lam_W * lam_H must be < 1 for a law of collapse, got {self.c**2:g}")
        return self

    def attenuation(self, share=None) -> dict[str, float]:
        """Metric of the minimizer over that of H0, to leading order in |H0 - collapsed H|, any beta.

        "nc1": (beta/(beta+s))^2 whatever the noise; "nc1_trace_ratio": the same and (beta/(beta+lam_H))^2 in the
        proportions a and 1-a, a the share of tr Sigma_W(H0) in the span of the means, K/d for isotropic noise (None);
        "nc2": beta/(beta+2 mu). Raises ValueError at c >= 1.

        >>> [round(left, 9) for left in Problem(2, 2, 3, 1 / 16, 1.0, 1.0).attenuation(share=0.5).values()]
        [0.04, 0.145, 0.25]
        """
        inside, outside, _, symmetric = self._collapse()._factors(None)
        a = self.num_classes / self.dim if share is None else share
        return {"nc1": inside**2, "nc1_trace_ratio": a * inside**2 + (1 - a) * outside**2, "nc2": symmetric}

    def elasticities(self, share=None) -> dict[str, dict[str, float]]:
        """{metric: {"lam_W": E_W, "lam_H": E_H}}, E = d log(`attenuation`)/d log lam at fixed beta.

        With u = (beta/(beta+s))^2, v = (beta/(beta+lam_H))^2, A = a u + (1-a) v, in the order E_W, E_H:
        nc1:              s/(beta+s),                -E_W
        nc1_trace_ratio:  (a u/A) s/(beta+s),        -E_W - ((1-a) v/A) 2 lam_H/(beta+lam_H)
        nc2:              2 lam_H c/(beta+2 mu),     -2 lam_H (2-3c)/(beta+2 mu)
        So lam_H matters more, |E_H| > |E_W|: for nc1 never, for nc1_trace_ratio iff a < 1, for nc2 iff c < 1/2.
        H0 is near the collapsed point of the decays and moves with it; with H0 held fixed E_H is of order beta^-2,
        since lam_H then only turns (beta, H0) into (beta + lam_H, beta/(beta + lam_H) H0). Raises ValueError at c >= 1.

        >>> Problem(2, 2, 3, 1 / 16, 1.0, 1.0).elasticities()["nc2"]
        {'lam_W': 0.125, 'lam_H': -0.625}
        """
        left, (inside, outside, _, _) = self.attenuation(share), self._factors(None)
        a = self.num_classes / self.dim if share is None else share
        b, total = self.beta + 2 * self.mu, left["nc1_trace_ratio"]
        own = self.s / (self.beta + self.s)
        seen = a * inside**2 / total * own
        unseen = (1 - a) * outside**2 / total * 2 * self.lam_H / (self.beta + self.lam_H)
        return {
            "nc1": {"lam_W": own, "lam_H": -own},
            "nc1_trace_ratio": {"lam_W": seen, "lam_H": -seen - unseen},
            "nc2": {"lam_W": 2 * self.lam_H * self.c / b, "lam_H": -2 * self.lam_H * (2 - 3 * self.c) / b},
        }

    def depth_law(self, layers) -> float:
        """(1 + s/beta)^(-2 layers): NC1 at the end of `layerwise` over NC1 of H0, near collapse.

        >>> round(Problem(2, 2, 3, 1 / 16, 1.0, 1.0).depth_law(2), 9)  # 5^-4
        0.0016
        """
        return self._collapse().attenuation()["nc1"] ** integer("layers", layers, 0)

    def chain_law(self, layers) -> float:
        """(1 + layers s/beta)^-2: NC1 at the end of `proximal_chain` over NC1 of H0, near collapse.

        >>> round(Problem(2, 2, 3, 1 / 16, 1.0, 1.0).chain_law(2), 9)  # 9^-2
        0.012345679
        """
        L = integer("layers", layers, 0)
        return (self.beta / (self.beta + L * self._collapse().s)) ** 2 if L else 1.0

    def flow_rates(self) -> dict[str, float]:
        """Rates r of the late decays e^(-r t) along the central path at c < 1: of nc1, nc1_trace_ratio and nc2.

        The linearized flow has the rates s, lam_H (if d > K), 2 mu and 0.

        >>> Problem(2, 2, 3, 1 / 16, 1.0, 1.0).flow_rates()
        {'nc1': 8.0, 'nc1_trace_ratio': 2.0, 'nc2': 3.0}
        """
        tail = self.lam_H if self.dim > self.num_classes else self._collapse().s
        return {"nc1": 2 * self._collapse().s, "nc1_trace_ratio": 2 * tail, "nc2": 2 * self.mu}

    def radius(self, x0) -> tuple[float, float]:
        """(x, factor) for H0 with orthogonal means of length x0 > 0, any radius, and small within-class noise.

        The minimizer's means have length x, (lam_H + beta) x = lam_W x/(x^2 + lam_W)^2 + beta x0, and in-span noise
        shrinks by beta/(beta + lam_H + x^2/(x^2 + lam_W)^2). x is the solution of least f.

        >>> x, factor = Problem(2, 2, 3, 0.25, 2.0, 1.0).radius(1.0)  # 3/2 = 1/2 + 1, 1/(3 + 1)
        >>> round(x, 9), round(factor, 9)
        (0.5, 0.25)
        """
        x0 = torch.tensor([[positive("x0", x0)]], dtype=torch.float64)
        w = solve(x0, torch.zeros(1, dtype=torch.int64), self.lam_W, self.lam_H, positive("beta", self.beta)).abs()
        x = float(features(w, x0, torch.zeros(1, dtype=torch.int64), self.lam_H, self.beta))
        return x, self.beta / (self.beta + self.lam_H + (x / (x**2 + self.lam_W)) ** 2)


def monotone_beta(lam_W, lam_H) -> float:
    """max(0, 1/(2 lam_W) - lam_H): beyond it NC1~ = tr Sigma_W/tr Sigma_B falls from H0 to every stationary point of f.

    Corollary 3.2 with its constant made explicit, for any H0 with Sigma_W, Sigma_B != 0; equal class sizes.

    >>> monotone_beta(0.25, 0.5)
    1.5
    """
    return max(0.0, 1 / (2 * positive("lam_W", lam_W)) - nonnegative("lam_H", lam_H))


def solve(H0, y, lam_W, lam_H, beta) -> torch.Tensor:
    """W (K, d) of the minimizer of f(W, H; H0); (B, K, d) if lam_W, lam_H or beta is (B,), on the device of H0.

    H0 (N, d), y (N,) integers 0..K-1, every class present; lam_W > 0, lam_H >= 0, beta >= 0, lam_H + beta > 0. H is
    eliminated: after one pass over H0 the cost does not depend on N. |gradient of K min_H f| < 1e-10 in every problem;
    a RuntimeWarning tells of others, as where the rounding of features above about 1e4 does not allow it.

    Which minimizer: W = 0 and worse points can be stationary, so the lowest of three starts made from H0 is descended
    from, and where `global_margin` does not certify the result the others are compared too, and directions that H0
    leaves free are tried: W is the global minimizer where the margin is >= 0, else the lowest point found.
    Deterministic. Raises ValueError for bad arguments.

    >>> round(float(solve([[1.0]], [0], 0.25, 2.0, 1.0)), 9)  # w = h/(h^2 + lam_W) at h = 1/2
    1.0
    """
    moments, V, bare = problems(H0, y, lam_W, lam_H, beta)
    W, norm = _proximal.best(moments)
    worst, failed = float(norm.max()), int((norm > 1e-10).sum())
    if failed:
        warnings.warn(f"{failed} of {len(W)} problems stopped at a gradient up to {worst:.1e}", RuntimeWarning, 2)
    W = W @ V.mT
    return W[0] if bare else W


def features(W, H0, y, lam_H, beta) -> torch.Tensor:
    """H (N, d), argmin over H of f(W, H; H0): a H0 + (Y - a H0 W^T)(W W^T + b)^-1 W, b = lam_H + beta, a = beta/b.

    >>> features([[1.0]], [[2.0]], [0], 1.0, 2.0).tolist()  # (h - 1) + h + 2 (h - 2) = 0
    [[1.25]]
    """
    H0, y, counts = data(H0, y)
    W, beta = matrix("W", W).to(H0.device), nonnegative("beta", beta)
    b = nonnegative("lam_H", lam_H) + beta
    if W.shape != (len(counts), H0.shape[1]):
        raise ValueError(f"W must have shape {(len(counts), H0.shape[1])}, got {tuple(W.shape)}")
    if not b:
        raise ValueError("lam_H + beta must be > 0, got 0")
    H1 = beta / b * H0
    E = torch.nn.functional.one_hot(y, len(counts)) - H1 @ W.mT
    return H1 + torch.linalg.solve(W @ W.mT + b * torch.eye(len(W), dtype=W.dtype, device=W.device), E.mT).mT @ W


def global_margin(W, H0, y, lam_W, lam_H, beta) -> torch.Tensor:
    """lam_W - sigma_max(H W^T - Y)^2 / (n (lam_H + beta)), H = features(W): () or (B,), shapes as in `solve`.

    A stationary W with margin >= 0 is a global minimizer, in every dimension. For with X = H H^T (N, N) and F the
    fidelity tr((X^1/2 X0 X^1/2)^1/2), eliminating W and the rotation of H leaves n lam_W/2 tr(Y^T (X + n lam_W)^-1 Y)
    + (lam_H + beta)/2 tr X - beta F(X, H0 H0^T), convex in X, and the margin is the sign of its dual variable.
    Conversely a local minimizer has margin >= 0 if a direction is left that neither H0 nor W uses. And with equal class
    sizes margin >= 0 gives tr Sigma_W/tr Sigma_B of H < that of H0 at every beta > 0: Corollary 3.2 with no constant.

    >>> round(float(global_margin([[1.0]], [[2.0]], [0], 0.25, 1.0, 2.0)), 6)  # 1/4 - (1/4)^2/3
    0.229167
    """
    moments, V, bare = problems(H0, y, lam_W, lam_H, beta)
    W = torch.as_tensor(W, dtype=torch.float64, device=V.device)
    if W.shape[-2:] != (len(moments.P), len(V)) or (W.ndim == 3 and len(W) != len(moments.a)):
        raise ValueError(f"W must have shape {(len(moments.P), len(V))}, one for each problem, got {tuple(W.shape)}")
    point = _proximal.at(moments, (W @ V).expand(len(moments.a), -1, -1))
    margin = torch.linalg.eigvalsh(_proximal.excess(moments, point))[:, 0]
    return margin[0] if bare else margin


def proximal_chain(H0, y, lam_W, lam_H, beta, layers) -> torch.Tensor:
    """(layers + 1, N, d): H_0..H_L of min f's first three terms at (W, H_L) + beta/(2Kn) sum_l |H_l - H_(l-1)|^2.

    Layers trained together: H_L minimizes f with beta/L, and H_l = H_0 + (l/L)(H_L - H_0), exactly.

    >>> proximal_chain([[1.0]], [0], 0.25, 2.0, 2.0, 2).round(decimals=9).flatten().tolist()
    [1.0, 0.75, 0.5]
    """
    L, beta = integer("layers", layers), positive("beta", beta)
    H0 = matrix("H0", H0)
    H = features(solve(H0, y, lam_W, lam_H, beta / L), H0, y, lam_H, beta / L)
    return torch.stack([torch.lerp(H0, H, l / L) for l in range(L + 1)])


def layerwise(H0, y, lam_W, lam_H, beta, layers) -> torch.Tensor:
    """(layers + 1, N, d): H_l is the minimizer of f tied to H_(l-1). Layers trained one after the other (Section 3).

    >>> layerwise([[1.0]], [0], 0.25, 2.0, 1.0, 1).round(decimals=9).flatten().tolist()
    [1.0, 0.5]
    """
    H = [matrix("H0", H0)]
    for _ in range(integer("layers", layers)):
        H.append(features(solve(H[-1], y, lam_W, lam_H, beta), H[-1], y, lam_H, beta))
    return torch.stack(H)


def central_path(H0, y, lam_W, lam_H, times, *, rtol=1e-11) -> pd.DataFrame:
    """The flow dH/dt = -Kn grad L(H), L = min_W f at beta = 0 (Eq. 4), at the given times: one row each.

    Columns: time; nc1, nc1_trace_ratio, nc2 of the centered means, as in `nclib.metrics`; within = tr Sigma_W and
    between = tr Sigma_B (Eq. 3); mean_square = mean_k |hbar_k|^2; log_slope = d/dt log nc1_trace_ratio in closed form,
    -2 tr(W Sigma_W W^T)/within - (2/K) tr(C X (I+X)^-2 C)/between for equal sizes, C = I - 11^T/K and
    X = Hbar (K Sigma_W + lam_W I)^-1 Hbar^T: always < 0 (Theorem 3.1); NaN without within-class variation.

    It integrates the class means and a factor of Sigma_W, which follow an ODE of their own: the cost does not depend on
    N. Explicit (DOP853): steps are about 1/max(1/lam_W, lam_H). lam_W > 0, lam_H >= 0; times finite, ascending, >= 0.
    Raises ValueError for bad arguments.

    >>> _, H = Problem(2, 2, 2, 1 / 16, 1.0, 0.0).collapsed()
    >>> H += 1e-6 * torch.tensor([[1], [-1], [1], [-1]])  # nearly collapsed: the rate is 2 s = 8
    >>> path = central_path(H, [0, 0, 1, 1], 1 / 16, 1.0, [0.0, 1.0])
    >>> round(float(path.log_slope[0]), 4), round(math.log(path.within[1] / path.within[0]), 4)
    (-8.0, -8.0)
    """
    H0, y, counts = data(H0, y)
    lam_W, lam_H, rtol = positive("lam_W", lam_W), nonnegative("lam_H", lam_H), positive("rtol", rtol)
    t = torch.as_tensor(times, dtype=torch.float64).cpu()
    if t.ndim != 1 or not len(t) or not t.isfinite().all() or t[0] < 0 or (t.diff() <= 0).any():
        raise ValueError(f"times must be a non-empty ascending sequence of finite numbers >= 0, got {_short(times)}")
    H0, y, counts = H0.cpu(), y.cpu(), counts.cpu()
    return _flow.path(*_flow.reduced(H0, counts, y), counts, lam_W, lam_H, t.numpy(), rtol)
