"""The layer-peeled model through the ratio R0 at which its minority classes merge.

Minimize sum_k n_k/N CE(W h_k, k) subject to mean_k |w_k|^2 <= E_W and mean_k |h_k|^2 <= E_H (Fang et al. 2021), for
K_major classes R times as large as the other K_minor. Scaling up W and H together lowers the loss of every separating
solution, so both constraints are active: L-BFGS runs on W/|W| and H/|H|.
"""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib.runs.experiment import Experiment, rows
from nclib.theory import imbalance
from nclib.training.lbfgs import minimize


@dataclass(frozen=True)
class LayerPeeled(Experiment):
    """relative: the ratios R over R0."""

    NAME: ClassVar[str] = "dang2023.layer_peeled"

    K_major: int = 5
    K_minor: int = 5
    E_W: float = 1.0
    E_H: float = 5.0
    relative: tuple = ()
    seeds: tuple = (0, 1, 2)
    dim: int = 12
    iterations: int = 4000

    def run(self, device="cpu"):
        """For each seed and `R`, over `R0`: "contrast", the mean over minority pairs of |w_j - w_k|/sqrt(E_W), and
        "length", the mean over the minority of |w_k|/sqrt(E_W)."""
        A, B, d, seeds = self.K_major, self.K_minor, self.dim, self.seeds
        K = A + B
        R0 = imbalance.layer_peeled_ratio(A, B, self.E_W, self.E_H)
        R = R0 * torch.tensor(self.relative, dtype=torch.float64, device=device).repeat(len(seeds))
        share = torch.ones(len(R), K, dtype=torch.float64, device=device)
        share[:, :A] = R[:, None]
        share = share / share.sum(1, keepdim=True)
        y = torch.arange(K, device=device)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        theta = torch.stack(
            [torch.randn(2 * K * d, generator=r, dtype=torch.float64) for r in generators for _ in self.relative]
        )

        def split(theta):
            W, H = theta[:, : K * d], theta[:, K * d :]
            W, H = W / W.norm(dim=1, keepdim=True), H / H.norm(dim=1, keepdim=True)
            return (K * self.E_W) ** 0.5 * W.view(-1, K, d), (K * self.E_H) ** 0.5 * H.view(-1, d, K)

        def objective(theta, which):
            W, H = split(theta)
            return -(torch.log_softmax(W @ H, 1)[:, y, y] * share[which]).sum(1)

        theta, _, _ = minimize(objective, theta.to(device), iterations=self.iterations)
        w = split(theta)[0][:, A:]
        apart = torch.cdist(w, w).sum((1, 2)) / (B * (B - 1))
        found = {"contrast": apart, "length": w.norm(dim=2).mean(1)}
        found = {name: value.view(len(seeds), -1) / self.E_W**0.5 for name, value in found.items()}
        tables = [rows({name: v[r] for name, v in found.items()}, "point", seed=seed) for r, seed in enumerate(seeds)]
        table = pd.concat(tables, ignore_index=True)
        relative = table["point"].map(dict(enumerate(self.relative))).astype("float64")
        return table.assign(R=relative, R0=float(R0)).drop(columns="point")
