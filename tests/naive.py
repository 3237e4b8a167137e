"""Every statistic and metric again, by loops over samples and pairs in 60-digit decimal arithmetic.

The oracle of the metric tests: nothing here is shared with `nclib`, neither code nor algorithm (no Gram identity, no
singular value decomposition, no merge). Matrices are lists of rows of Decimal; `exact` makes them from tensors.
"""

from decimal import Decimal, getcontext

getcontext().prec = 60
INF, NAN = Decimal("Infinity"), Decimal("NaN")


def exact(A):
    """The same nested list with Decimal entries, digit for digit."""
    A = A.tolist() if hasattr(A, "tolist") else A
    return [exact(row) for row in A] if isinstance(A, list) else Decimal(A)


def dot(a, b):
    return sum((x * y for x, y in zip(a, b, strict=True)), Decimal(0))


def minus(a, b):
    return [x - y for x, y in zip(a, b, strict=True)]


def norm(a):
    return dot(a, a).sqrt()


def mean(rows):
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def flat(A):
    return [x for row in A for x in row]


def product(A, B):
    """A B^T."""
    return [[dot(a, b) for b in B] for a in A]


def transpose(A):
    return [list(column) for column in zip(*A, strict=True)]


def average(values):
    return sum(values) / len(values)


def deviation(values):
    m = average(values)
    return average([(x - m) ** 2 for x in values]).sqrt()


def unit(row):
    return [x / norm(row) for x in row]


class Statistics:
    """The fields of ClassStatistics from lists H (N rows) and y (N labels)."""

    def __init__(self, H, y, K):
        d = len(H[0])
        members = [[h for h, label in zip(H, y, strict=True) if label == k] for k in range(K)]
        self.counts = [len(rows) for rows in members]
        self.means = [mean(rows) if rows else [Decimal(0)] * d for rows in members]
        self.spread = [sum((dot(r, r) for r in self._residuals(k, members[k])), Decimal(0)) for k in range(K)]
        residuals = [r for k in range(K) for r in self._residuals(k, members[k])]
        self.scatter = [[sum(r[i] * r[j] for r in residuals) for j in range(d)] for i in range(d)]
        self.labels = [k for k in range(K) if members[k]]
        self.present_means = [self.means[k] for k in self.labels]
        self.global_mean = mean(self.present_means)
        self.sample_mean = mean([h for rows in members for h in rows])
        self.centered_means = [minus(m, self.global_mean) for m in self.present_means]
        N = len(residuals)
        self.within = [[x / N for x in row] for row in self.scatter]
        columns = transpose(self.centered_means)
        self.between = [[x / len(self.labels) for x in row] for row in product(columns, columns)]
        samples = transpose([minus(h, self.sample_mean) for rows in members for h in rows])
        self.total = [[x / N for x in row] for row in product(samples, samples)]

    def _residuals(self, k, rows):
        return [minus(h, self.means[k]) for h in rows]


def inverse(A):
    """Gauss-Jordan with partial pivoting."""
    n = len(A)
    A = [list(row) + [Decimal(int(i == j)) for j in range(n)] for i, row in enumerate(A)]
    for i in range(n):
        p = max(range(i, n), key=lambda r: abs(A[r][i]))
        A[i], A[p] = A[p], A[i]
        A[i] = [x / A[i][i] for x in A[i]]
        for r in range(n):
            if r != i:
                A[r] = [x - A[r][i] * z for x, z in zip(A[r], A[i], strict=True)]
    return [row[n:] for row in A]


def nc1(stats, center="class"):
    """tr(Sigma_W Sigma_B^+) / K' for means in general position, the pseudo-inverse by a full-rank factorization.

    With D = C B, B the differences of means from the last one (independent rows): (D^T D)^+ = B^+ (C^T C)^-1 B^+T.
    For K' - 1 >= d the matrix D^T D is invertible and is inverted as it is.
    """
    origin = stats.global_mean if center == "class" else stats.sample_mean
    D = [minus(m, origin) for m in stats.present_means]
    K, d = len(D), len(D[0])
    columns = transpose(D)
    if K - 1 >= d:
        pinv = inverse(product(columns, columns))
    else:
        B = [minus(m, stats.present_means[-1]) for m in stats.present_means[:-1]]
        weights = [Decimal(1) / K] * K
        if center == "sample":
            weights = [Decimal(stats.counts[k]) / sum(stats.counts) for k in stats.labels]
        C = [[Decimal(int(k == j)) - weights[j] for j in range(K - 1)] for k in range(K)]
        middle = inverse(product(transpose(C), transpose(C)))
        right = product(inverse(product(B, B)), transpose(B))  # (B B^T)^-1 B, the transpose of B^+
        pinv = product(transpose(right), product(transpose(right), middle))
    return sum(dot(a, b) for a, b in zip(stats.within, pinv, strict=True))


def nc1_trace_ratio(stats):
    d = range(len(stats.within))
    return sum(stats.within[i][i] for i in d) / sum(stats.between[i][i] for i in d)


def frame(K, target):
    if target == "of":
        return [[Decimal(int(i == j)) / Decimal(K).sqrt() for j in range(K)] for i in range(K)]
    return [[(Decimal(int(i == j)) - 1 / Decimal(K)) / Decimal(K - 1).sqrt() for j in range(K)] for i in range(K)]


def distance_of_directions(A, T):
    """|A/|A| - T|_F."""
    size = norm(flat(A))
    return norm([a / size - t for a, t in zip(flat(A), flat(T), strict=True)])


def nc2(M, target="etf"):
    return distance_of_directions(product(M, M), frame(len(M), target) if isinstance(target, str) else target)


def nc3(W, M):
    size = norm(flat(M))
    return distance_of_directions(W, [[x / size for x in row] for row in M])


def dual_error(W, M):
    return distance_of_directions(product(W, M), frame(len(M), "etf"))


def equinorm_cv(M, log=False):
    norms = [norm(m).ln() if log else norm(m) for m in M]
    return deviation(norms) / average(norms)


def pairs(rows):
    return [(a, b) for j, a in enumerate(rows) for b in rows[j + 1 :]]


def cosines(M):
    return [dot(unit(a), unit(b)) for a, b in pairs(M)]


def equiangularity(M):
    return average([abs(c + Decimal(1) / (len(M) - 1)) for c in cosines(M)])


def duality(W, M):
    return [dot(unit(w), unit(m)) for w, m in zip(W, M, strict=True)]


def self_duality(W, M):
    return average(duality(W, M))


def uniform_duality(W, M):
    return deviation(duality(W, M)) / average(duality(W, M))


def summary(values):
    """mean, std, min, max, log_mean of finite values."""
    log_mean = average([x.ln() for x in values]) if min(values) > 0 else NAN
    return [average(values), deviation(values), min(values), max(values), log_mean]


def cdnv_pair(stats, j, k, power):
    a, b = stats.means[j], stats.means[k]
    v = stats.spread[j] / stats.counts[j] + stats.spread[k] / stats.counts[k]
    return v / (2 * dot(minus(a, b), minus(a, b)) ** power)


def cdnv(stats, power=1):
    K = range(len(stats.counts))
    pair = lambda j, k: j != k and j in stats.labels and k in stats.labels  # noqa: E731
    return [[cdnv_pair(stats, j, k, power) if pair(j, k) else NAN for k in K] for j in K]


def cdnv_summary(stats, power=1):
    return summary([cdnv_pair(stats, j, k, power) for j, k in pairs(stats.labels)])


def hyperspherical_uniformity(M):
    return summary([-norm(minus(unit(a), unit(b))).ln() for a, b in pairs(M)])


def interference(M, extremes=False):
    values = summary(cosines(M))
    return values if extremes else [*values[:2], NAN, NAN, NAN]


def ncc_agreement(H, W, b, means, present=None):
    K = range(len(W))
    agree = 0
    for h in H:
        logits = [dot(W[k], h) + (b[k] if b is not None else 0) for k in K]
        nearness = {k: -norm(minus(h, means[k])) for k in K if present is None or present[k]}
        agree += max(K, key=lambda k: logits[k]) == max(nearness, key=lambda k: nearness[k])
    return Decimal(agree) / len(H)


def singular_values(A):
    """By one-sided Jacobi rotations of the columns of A or of its transpose, whichever are fewer."""
    columns = transpose(A) if len(A[0]) <= len(A) else [list(row) for row in A]
    for _ in range(40):
        for p, a in enumerate(columns):
            for q in range(p + 1, len(columns)):
                b = columns[q]
                ab = dot(a, b)
                if ab == 0:
                    continue
                zeta = (dot(b, b) - dot(a, a)) / (2 * ab)
                t = (1 if zeta >= 0 else -1) / (abs(zeta) + (1 + zeta * zeta).sqrt())
                c = 1 / (1 + t * t).sqrt()
                a, b = (
                    [c * (x - t * z) for x, z in zip(a, b, strict=True)],
                    [c * (t * x + z) for x, z in zip(a, b, strict=True)],
                )
                columns[p], columns[q] = a, b
    return [norm(column) for column in columns]


def effective_rank(A):
    s = [x for x in singular_values(A) if x > Decimal("1e-40") * norm(flat(A))]
    p = [x / sum(s) for x in s]
    return (-sum(x * x.ln() for x in p)).exp()


def measure(stats, W, agreement, preset):
    """The numbers of conventions.measure, each preset written out."""
    M, means = stats.centered_means, stats.present_means
    W = [W[k] for k in stats.labels]
    textbook, may, october = (preset == name for name in ("textbook", "wu-papyan-2024-05", "wu-papyan-2024-10"))
    assert textbook or may or october
    variability = cdnv_summary(stats, 1 if textbook else 2)
    norms = [dot(m, m) if may else norm(m) for m in M]
    angles = [dot(a, b) for a, b in pairs(M)] if october else cosines(M)
    uniformity = hyperspherical_uniformity(means if may else M)
    return {
        "classes": Decimal(len(M)),
        "samples": Decimal(sum(stats.counts)),
        "nc1": nc1(stats),
        "nc1_trace_ratio": nc1_trace_ratio(stats),
        "cdnv_mean": variability[0],
        "cdnv_std": variability[1],
        "cdnv_log_mean": variability[4],
        "cdnv_max": variability[3],
        "norm_mean": average(norms),
        "norm_cv": deviation(norms) / average(norms),
        "norm_log_cv": equinorm_cv(M, log=True),
        "interference_mean": average(angles),
        "interference_std": deviation(angles),
        "interference_cv": deviation(angles) / average(angles),
        "gnc2_mean": uniformity[0],
        "gnc2_std": uniformity[1],
        "gnc2_cv": uniformity[1] / uniformity[0],
        "etf_error": nc2(M),
        "of_error": nc2(means, "of"),
        "self_duality": self_duality(W, M),
        "uniform_duality": uniform_duality(W, M),
        "duality_std": deviation(duality(W, M)),
        "nc3": nc3(W, M),
        "dual_error": dual_error(W, M),
        "ncc_agreement": agreement,
    }
