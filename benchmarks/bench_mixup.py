"""Time closed-form features of mixup: python benchmarks/bench_mixup.py [--features 100000] [--classes 100].

CPU seconds of one thread, for the logits alone and for the feature vectors. The target is below 1 s.
"""

import argparse
import time

import torch

from nclib.frames import simplex_etf
from nclib.theory.mixup import feature, logits


def seconds(call):
    start = time.process_time()
    call()
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, default=100_000)
    parser.add_argument("--classes", type=int, default=100)
    args = parser.parse_args()
    torch.set_num_threads(1)
    generator, K = torch.Generator().manual_seed(0), args.classes
    mix = torch.rand(args.features, generator=generator, dtype=torch.float64)
    a = 10 ** (12 * torch.rand(args.features, generator=generator, dtype=torch.float64) - 4)
    i, j = torch.randint(K, (2, args.features), generator=generator)
    W = simplex_etf(K, K - 1)
    print(f"{args.features} of K = {K}, a 1e-4 to 1e8: logits {seconds(lambda: logits(K, a, mix)):.2f} s")
    print(f"the same, features of one a: {seconds(lambda: feature(W, i, j, mix, 1e-3)):.2f} s")


if __name__ == "__main__":
    main()
