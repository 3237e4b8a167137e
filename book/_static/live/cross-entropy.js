// Cross-entropy and depth: the loss of the best simplex ETF and of the best cross-polytope, in closed form but for one
// scalar root each. nclib.theory.deep_linear: ce_etf_candidate, ce_cross_polytope_candidate.
(() => {
  "use strict";
  const live = (globalThis.ncLive = globalThis.ncLive || {});

  // log(1 + sum m e^(-a alpha)) + cost alpha^p, terms [[a, m], ...]
  const loss = (terms, cost, p, alpha) => Math.log1p(terms.reduce((sum, [a, m]) => sum + m * Math.exp(-a * alpha), 0)) + cost * alpha ** p;

  // (log of minus the slope of the first part, minus the slope of that logarithm)
  function slope(terms, alpha) {
    let total = 1, first = 0, second = 0;
    for (const [a, m] of terms) {
      const w = m * Math.exp(-a * alpha);
      total += w;
      first += a * w;
      second += a * a * w;
    }
    // far out the exponentials vanish in double precision: their largest is taken out of the logarithm
    const [a0] = terms.reduce((least, term) => (term[0] < least[0] ? term : least));
    let scaled = 0, scaled2 = 0;
    for (const [a, m] of terms) {
      const w = m * Math.exp(-(a - a0) * alpha);
      scaled += a * w;
      scaled2 += a * a * w;
    }
    return [Math.log(scaled) - a0 * alpha - Math.log(total), scaled2 / scaled - first / total];
  }

  function bisect(f, low, high) {
    // f rises through 0 or falls through it
    const rising = f(high) > 0;
    for (let k = 0; k < 200 && low < high; k++) {
      const middle = (low + high) / 2;
      if (middle === low || middle === high) break;
      if (f(middle) > 0 === rising) high = middle;
      else low = middle;
    }
    return (low + high) / 2;
  }

  // The global minimum over alpha >= 0, {loss, alpha}: the larger of the two stationary points, or 0.
  function best(terms, cost, p) {
    const K = 1 + terms.reduce((sum, [, m]) => sum + m, 0);
    const zero = { loss: Math.log(K), alpha: 0 };
    const excess = (alpha) => slope(terms, alpha)[0] + (p < 1 ? (1 - p) * Math.log(alpha) : 0) - Math.log(cost * p);
    const peak = p < 1 ? bisect((v) => v * slope(terms, v)[1] - (1 - p), 0, K * (1 - p) + 1) : 0;
    if (excess(peak) <= 0) return zero;
    let alpha = bisect(excess, peak, Math.max(peak, 2 * Math.log(K / (cost * p))) + 1);
    alpha -= excess(alpha) / ((p < 1 ? (1 - p) / alpha : 0) - slope(terms, alpha)[1]);
    const found = { loss: loss(terms, cost, p, alpha), alpha };
    return found.loss < zero.loss ? found : zero;
  }

  function families(M, K, lam) {
    const p = 2 / (M + 1), c = lam / p;
    const pairs = K > 2 ? [[1, K - 2], [2, 1]] : [[2, 1]];
    return { etf: [[[1, K - 1]], c * (K - 1), p], cross: [pairs, (c * K / 2) * 2 ** p, p] };
  }

  function compare(M, K, lam) {
    const { etf, cross } = families(M, K, lam);
    return { etf: best(...etf), cross: best(...cross) };
  }

  // Decays at which the order of the two turns, between neighbours of a sweep [[lam, {etf, cross}], ...].
  function crossings(M, K, sweep) {
    const gap = ({ etf, cross }) => cross.loss - etf.loss;
    return sweep.slice(1).flatMap(([lam, now], k) => {
      const [before, was] = sweep[k];
      if (!(gap(was) * gap(now) < 0)) return [];
      return [10 ** bisect((x) => gap(compare(M, K, 10 ** x)), Math.log10(before), Math.log10(lam))];
    });
  }

  const always = (M, K) => 4 * (K / 2) ** (M + 1) < (K - 1) ** (M + 1);
  live.crossEntropy = { loss, best, families, compare, crossings, always };

  const LOW = 1e-6, HIGH = 0.3;
  let cache = {};
  function compute({ M, K, lam }) {
    const key = `${M},${K}`;
    if (cache.key !== key) {
      const sweep = Array.from({ length: 49 }, (_, k) => LOW * (HIGH / LOW) ** (k / 48)).map((l) => [l, compare(M, K, l)]);
      cache = { key, sweep, turns: crossings(M, K, sweep) };
    }
    return { ...compare(M, K, lam), families: families(M, K, lam), sweep: cache.sweep, turns: cache.turns, always: always(M, K) };
  }

  function draw(svg, found, { lam }, width) {
    const { places, height } = live.layout(width, 2, 270);
    live.legend(svg, [["nc-live-1", "simplex ETF"], ["nc-live-2", "cross-polytope"]], places[0], 60);
    const far = Math.max(6, 1.7 * Math.max(found.etf.alpha, found.cross.alpha));
    const curves = ["etf", "cross"].map((name) => Array.from({ length: 120 }, (_, k) => (far * k) / 119).map((a) => [a, loss(...found.families[name], a)]));
    const least = Math.min(found.etf.loss, found.cross.loss), zero = Math.max(...curves.map((curve) => curve[0][1]));
    const top = Math.min(zero, Math.max(6 * least, 1.2 * Math.max(found.etf.loss, found.cross.loss)));
    const left = live.panel(svg, { ...places[0], x: { from: 0, to: far, label: "margin α" }, y: { from: 0.75 * least, to: top * 1.05, label: "" }, title: "loss over the margin" });
    curves.forEach((curve, i) => left.line(curve, `nc-live-${i + 1}`));
    left.dot(found.etf.alpha, found.etf.loss, "nc-live-1");
    left.dot(found.cross.alpha, found.cross.loss, "nc-live-2");
    const ratios = found.sweep.map(([l, both]) => [l, both.cross.loss / both.etf.loss]);
    const low = Math.min(0.95, ...ratios.map(([, r]) => r)), high = Math.max(1.05, ...ratios.map(([, r]) => r));
    const right = live.panel(svg, { ...places[1], x: { from: LOW, to: HIGH, log: true, label: "weight decay λ" }, y: { from: low - 0.02, to: high + 0.02 }, title: "cross-polytope / ETF, best losses" });
    right.level(1, "nc-live-theory");
    right.line(ratios, "nc-live-2");
    found.turns.forEach((turn) => right.dot(turn, 1, "nc-live-theory", 4));
    right.mark(lam, "nc-live-now", "");
    right.dot(lam, found.cross.loss / found.etf.loss, "nc-live-2");
    return height;
  }

  function describe(found, { M, K }) {
    const { etf, cross } = found, change = cross.loss / etf.loss - 1;
    const percent = `${live.digits(Math.abs(100 * change), 3)} %`;
    const order = !etf.alpha && !cross.alpha ? "Nothing is learned: both are at the origin."
      : change < 0 ? `The cross-polytope is ${percent} lower: no simplex ETF is the global minimum here.` : `The simplex ETF is ${percent} lower than the cross-polytope.`;
    const turns = found.turns.length ? ` The order turns at λ = ${found.turns.map((t) => live.digits(t, 4)).join(", ")}.` : "";
    return order + (found.always ? ` Proved for M = ${M}, K = ${K} at every decay.` : turns);
  }

  live.register?.({
    name: "cross-entropy",
    label: "Two curves of the loss over the margin with their minima, and the ratio of the two lowest losses over the weight decay; the table has the numbers",
    controls: [
      { key: "M", label: "Linear layers M", min: 1, max: 8, start: 2 },
      { key: "K", label: "Classes K (even)", min: 4, max: 24, step: 2, start: 4 },
      { key: "lam", label: "Weight decay λ", min: -6, max: -0.53, step: 0.01, log: true, start: -1.7 },
    ],
    compute, draw, describe,
    rows: ({ etf, cross }, { K }) => [["frame", "rank", "margin α", "lowest loss"], ["simplex ETF", String(etf.alpha ? K - 1 : 0), etf.alpha, etf.loss], ["cross-polytope", String(cross.alpha ? K / 2 : 0), cross.alpha, cross.loss]],
    python: ({ M, K, lam }) => `from nclib.theory.deep_linear import ce_cross_polytope_candidate, ce_etf_candidate

problem = ${K}, 1, (${lam},) * ${M}, ${lam}
print(ce_etf_candidate(*problem))
print(ce_cross_polytope_candidate(*problem))`,
  });
})();
