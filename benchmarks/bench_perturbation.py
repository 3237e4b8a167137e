"""Time W of 1,000 problems tied to one H0: python benchmarks/bench_perturbation.py [--problems 1000] [--rounds 5].

CPU seconds of one thread (they do not count other processes), medians over rounds that interleave n = 50 and n = 500,
and the ratio of the two; then F applied against the number of features. The target is below 1 s and a ratio below 1.5.
"""

import argparse
import statistics
import time

import torch

from nclib.theory.perturbation import Problem, features, solve

K, D = 10, 64
RANGES = {"beta 1e1 to 1e3": (1, 3), "beta 1 to 1e6": (0, 6), "beta 0.1 to 1": (-1, 0)}


def problem(n, signal, generator):
    y = torch.arange(K).repeat_interleave(n)
    means = signal * torch.randn(K, D, generator=generator, dtype=torch.float64)
    return means[y] + 0.5 * torch.randn(K * n, D, generator=generator, dtype=torch.float64), y


def triples(B, decades, generator):
    u = torch.rand(3, B, generator=generator, dtype=torch.float64)
    return 10 ** (2 * u[0] - 2.5), 10 ** (2 * u[1] - 2.5), 10 ** (decades[0] + (decades[1] - decades[0]) * u[2])


def gradient_norms(W, H0, y, lam_W, lam_H, beta):
    """|lam_W W - (Y - H W^T)^T H / n|, by the features themselves."""
    Y, n = torch.eye(K, dtype=torch.float64)[y], len(y) / K
    for w, a, b, c in zip(W, lam_W.tolist(), lam_H.tolist(), beta.tolist(), strict=True):
        H = features(w, H0, y, b, c)
        yield float((a * w - (Y - H @ w.T).T @ H / n).norm())


def seconds(call):
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"W of {args.problems} problems, K={K}, d={D}, lam_W and lam_H 10^-2.5 to 10^-0.5\n")
    print(f"{'H0':8}{'beta':18}{'n=50':>9}{'n=500':>9}{'ratio':>7}   largest |gradient| (every 20th problem)")
    for name, signal in (("means", 1.0), ("noise", 0.0)):
        for label, decades in RANGES.items():
            generator = torch.Generator().manual_seed(0)
            data = {n: problem(n, signal, generator) for n in (50, 500)}
            lam = triples(args.problems, decades, generator)
            times, W = {50: [], 500: []}, {}
            for _ in range(args.rounds):
                for n, (H0, y) in data.items():
                    elapsed, W[n] = seconds(lambda H0=H0, y=y, lam=lam: solve(H0, y, *lam))
                    times[n].append(elapsed)
            worst = max(max(gradient_norms(W[n][::20], *data[n], *(v[::20] for v in lam))) for n in data)
            small, large = (statistics.median(times[n]) for n in (50, 500))
            print(f"{name:8}{label:18}{small:8.3f}s{large:8.3f}s{large / small:7.2f}   {worst:.1e}")
    print("\nF applied to one perturbation (K=10)")
    for n, d in ((50, 64), (500, 64), (5000, 64), (500, 640)):
        p, dH = Problem(K, n, d, 0.1, 0.1, 10.0), torch.randn(K * n, d, dtype=torch.float64)
        median = statistics.median(seconds(lambda p=p, dH=dH: p.response(dH))[0] for _ in range(15))
        print(f"n={n:5} d={d:4}{median * 1e3:9.2f} ms{median / dH.numel() * 1e9:8.2f} ns a feature entry")


if __name__ == "__main__":
    main()
