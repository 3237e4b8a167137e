// Near collapse: how the minimizer near given features responds to them, to first order and exactly, and what is left
// of the metrics. nclib.theory.perturbation: Problem.block_spectrum, Problem.attenuation.
(() => {
  "use strict";
  const live = (globalThis.ncLive = globalThis.ncLive || {});

  // beta/(beta + rate), or 1 - rate/beta to first order
  const exact = (beta, rate) => (rate ? beta / (beta + rate) : 1);
  const first = (beta, rate) => 1 - rate / beta;

  function factors({ lamW, lamH, beta }, f = exact) {
    const c = Math.sqrt(lamW * lamH), s = Math.sqrt(lamH / lamW), mu = 2 * lamH * Math.max(0, 1 - c);
    if (c < 1) return { c, s, mu, inside: f(beta, s), outside: f(beta, lamH), fixed: 1, symmetric: f(beta, 2 * mu) };
    const dead = f(beta, lamH - 1 / lamW);
    return { c, s, mu, inside: f(beta, lamH), outside: f(beta, lamH), fixed: dead, symmetric: dead };
  }

  // Singular values of F_kk, [[value, multiplicity, name], ...], and the one of F_kj.
  function spectrum(problem, order) {
    const { K, n, d } = problem, f = factors(problem, order === 1 ? first : exact);
    const sigma = (f.fixed - f.symmetric) / 2;
    const own = [
      [Math.abs(f.fixed), d - K, "means, off the span"],
      [Math.abs(f.outside), (d - K) * (n - 1), "within a class, off the span"],
      [Math.abs(f.fixed - sigma), K - 1, "means, in the span"],
      [Math.abs(f.symmetric), 1, "mean, along itself"],
      [Math.abs(f.inside), K * (n - 1), "within a class, in the span"],
    ];
    return { own, between: Math.abs(sigma), ...f };
  }

  // What is left of NC1, the trace ratio and NC2; null where nothing collapses.
  function attenuation(problem) {
    const f = factors(problem), a = problem.K / problem.d;
    if (f.c >= 1) return null;
    return { nc1: f.inside ** 2, traceRatio: a * f.inside ** 2 + (1 - a) * f.outside ** 2, nc2: f.symmetric };
  }
  live.nearCollapse = { factors, spectrum, attenuation };

  function compute(values) {
    const problem = { ...values, d: Math.max(values.K, values.d) };
    const now = spectrum(problem), paper = spectrum(problem, 1);
    const error = Math.max(...now.own.map(([v, times], i) => (times ? Math.abs(v - paper.own[i][0]) : 0)));
    const rate = now.c < 1 ? Math.max(now.s, problem.lamH, 2 * now.mu) : Math.abs(problem.lamH - 1 / problem.lamW);
    return { problem, now, paper, error, rate, left: attenuation(problem) };
  }

  const LOW = 1e-2, HIGH = 1e4;
  const betas = Array.from({ length: 90 }, (_, k) => LOW * (HIGH / LOW) ** (k / 89));
  function draw(svg, { problem, now, rate }, { beta }, width) {
    const { places, height } = live.layout(width, 2, 280, 26, 24);
    live.legend(svg, [["nc-live-1", "exact"], ["nc-live-2", "first order"]], places[0], 60);
    const left = live.panel(svg, { ...places[0], x: { from: LOW, to: HIGH, log: true, label: "β, how tightly features are held" }, y: { from: 0, to: 1.15 }, title: "singular values of F_kk" });
    now.own.forEach(([, times], i) => {
      if (!times) return;
      left.line(betas.map((b) => [b, spectrum({ ...problem, beta: b }).own[i][0]]), "nc-live-1");
      left.line(betas.filter((b) => b > rate).map((b) => [b, spectrum({ ...problem, beta: b }, 1).own[i][0]]), "nc-live-2");
      left.dot(beta, now.own[i][0], "nc-live-1", 4);
    });
    left.mark(beta, "nc-live-now", "");
    live.legend(svg, [["nc-live-1", "NC1"], ["nc-live-3", "trace ratio"], ["nc-live-4", "NC2"]], places[1], 60);
    const right = live.panel(svg, { ...places[1], x: { from: LOW, to: HIGH, log: true, label: "β" }, y: { from: 0, to: 1.15 }, title: "share that is left of each metric" });
    const left_ = betas.map((b) => attenuation({ ...problem, beta: b }));
    if (left_[0]) {
      right.line(betas.map((b, k) => [b, left_[k].nc1]), "nc-live-1");
      right.line(betas.map((b, k) => [b, left_[k].traceRatio]), "nc-live-3");
      right.line(betas.map((b, k) => [b, left_[k].nc2]), "nc-live-4");
    }
    right.mark(beta, "nc-live-now", "");
    return height;
  }

  function describe({ now, left, error, rate, problem }, { beta }) {
    const whole = beta > rate ? `The first-order expansion holds to ${live.digits(error, 2)}.` : `The first-order expansion does not hold here: β is below the largest rate, ${live.digits(rate, 3)}.`;
    const wide = problem.d > problem.K ? "" : " With d = K there is no space off the span.";
    if (!left) return `No collapse: c = √(λ_W λ_H) = ${live.digits(now.c, 3)} is not below 1, and the features go to 0. ${whole}`;
    return `c = ${live.digits(now.c, 3)}. Of NC1 ${live.digits(100 * left.nc1, 3)} % is left, of the trace ratio ${live.digits(100 * left.traceRatio, 3)} %, of NC2 ${live.digits(100 * left.nc2, 3)} %. ${whole}${wide}`;
  }

  live.register?.({
    name: "near-collapse",
    label: "The singular values of the response over beta, exact and to first order, and what is left of three metrics; the table has the numbers",
    controls: [
      { key: "K", label: "Classes K", min: 2, max: 20, start: 4 },
      { key: "n", label: "Samples in a class n", min: 1, max: 100, start: 10 },
      { key: "d", label: "Dimension d (at least K)", min: 2, max: 100, start: 12 },
      { key: "lamW", label: "Decay of the classifier λ_W", min: -4, max: 0.5, step: 0.01, log: true, start: -0.3 },
      { key: "lamH", label: "Decay of the features λ_H", min: -4, max: 0.5, step: 0.01, log: true, start: -0.7 },
      { key: "beta", label: "Tie to the given features β", min: -2, max: 4, step: 0.01, log: true, start: 0.3 },
    ],
    compute, draw, describe,
    rows: ({ now, paper }) => [["direction", "how many", "exact", "first order"], ...now.own.map(([v, times, name], i) => [name, String(times), v, paper.own[i][0]]), ["another class's means (F_kj)", "1", now.between, paper.between]],
    python: (_, { problem: { K, n, d, lamW, lamH, beta } }) => `from nclib.theory.perturbation import Problem

problem = Problem(${K}, ${n}, ${d}, ${lamW}, ${lamH}, ${beta})
for order in (None, 1):
    own, between = problem.block_spectrum(order)
    print(own.unique().tolist(), between)${lamW * lamH < 1 ? "\nprint(problem.attenuation())" : ""}`,
  });
})();
