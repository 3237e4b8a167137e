// The mixup channel: the feature of a mix of two classes for a classifier that is a simplex ETF, by Lambert's W.
// nclib.theory.mixup: logits, probabilities, same_class, amplification.
(() => {
  "use strict";
  const live = (globalThis.ncLive = globalThis.ncLive || {});

  // v with v + e^v = s
  function logOmega(s) {
    let v = s > 1 ? Math.log(s) : Math.min(s, 0);
    for (let k = 0; k < 60; k++) {
      const w = Math.exp(v), step = (v - s + w) / (1 + w);
      v -= step;
      if (Math.abs(step) <= 1e-15 * Math.max(1, Math.abs(v))) break;
    }
    return v;
  }

  // Logits z and probabilities p of targets y [[target, how many classes share it], ...]: z = a (y - p), sum z = 0.
  function solve(a, y) {
    const K = y.reduce((sum, [, n]) => sum + n, 0);
    let L = Math.log(K), z, p;
    for (let k = 0; k < 200; k++) {
      const at = y.map(([target, n]) => {
        const s = Math.log(a) + a * target - L, v = logOmega(s), w = Math.exp(v);
        return { n, s, v, w, z: v > 0 ? L - Math.log(a) + v : a * target - w, slope: v > 0 ? 1 / (1 + Math.exp(-v)) : w / (1 + w) };
      });
      z = at.map((one) => one.z);
      p = at.map((one) => (one.s > 1 ? one.s - one.v : one.w) / a);
      const rise = at.reduce((sum, one) => sum + one.n * one.slope, 0), total = at.reduce((sum, one) => sum + one.n * one.z, 0);
      const next = Math.max(L - total / rise, Math.log(K));
      if (next - L <= 2e-15 * Math.max(1, L)) break;
      L = next;
    }
    return { z, p };
  }
  function mixed(K, a, mix) {
    const { z, p } = solve(a, [[mix, 1], [1 - mix, 1], [0, K - 2]]);
    return K > 2 ? { z, p } : { z: [z[0], z[1], 0], p: [p[0], p[1], 0] };
  }

  // u > 0 with u (n e^u + K - n) = K a/n
  function margin(K, a, n) {
    let u = Math.min(a / n, Math.log1p((K * a) / n ** 2));
    for (let k = 0; k < 60; k++) {
      const grown = n * Math.exp(u), step = (u * (grown + K - n) - (K * a) / n) / (grown * (1 + u) + K - n);
      u -= step;
      if (step <= 1e-15 * u) break;
    }
    return u;
  }
  const sameClass = (K, a) => margin(K, a, 1);
  const amplification = (K, a) => Math.sqrt((2 * (K - 2)) / (K - 1)) * (margin(K, a, 2) / margin(K, a, 1));

  // The feature in the plane of w_i and w_j (of length 1): along w_i - w_j, and along w_i + w_j.
  function plane(K, z) {
    const scale = (K - 1) / K, [i, j] = [scale * (z[0] - z[2]), scale * (z[1] - z[2])];
    return [((i - j) / 2) * Math.sqrt(2 + 2 / (K - 1)), ((i + j) / 2) * Math.sqrt(Math.max(0, 2 - 2 / (K - 1)))];
  }
  live.mixup = { logOmega, mixed, sameClass, amplification, plane };

  const MIX = Array.from({ length: 81 }, (_, k) => k / 80);
  function compute({ K, a, mix }) {
    const path = MIX.map((at) => ({ mix: at, ...mixed(K, a, at) })), now = mixed(K, a, mix);
    return { ...now, path, at: plane(K, now.z), amplification: amplification(K, a) };
  }

  function draw(svg, { z, path, at }, { K, mix }, width) {
    const { places, height } = live.layout(width, 2, 290, 26, 24);
    const curve = path.map((one) => plane(K, one.z)), ends = [curve.at(-1), curve[0]];
    const far = 1.15 * Math.max(...curve.map(([x]) => Math.abs(x))), top = Math.max(...curve.map(([, y]) => y), 0.2 * far);
    const left = live.panel(svg, { ...places[0], x: { from: -far, to: far, label: "along w_i − w_j" }, y: { from: Math.min(0, ...curve.map(([, y]) => y)), to: 1.15 * top }, title: "mixes; upwards: along w_i + w_j" });
    left.line(curve, "nc-live-1");
    left.line([[ends[1][0], ends[1][1]], [ends[0][0], ends[0][1]]], "nc-live-theory");
    left.dot(...ends[0], "nc-live-2", 6);
    left.dot(...ends[1], "nc-live-3", 6);
    left.dot(...at, "nc-live-1", 7);
    live.legend(svg, [["nc-live-1", "z_i − z_j"], ["nc-live-2", "z_i − others"], ["nc-live-theory", "log λ/(1−λ)"]], places[1], 30);
    const all = path.flatMap(({ z: [i, j, q] }) => [i - j, i - q]), room = 0.05 * (Math.max(...all) - Math.min(...all)) || 1;
    const right = live.panel(svg, { ...places[1], x: { from: 0, to: 1, label: "weight λ of class i" }, y: { from: Math.min(...all) - room, to: Math.max(...all) + room }, title: "differences of logits" });
    right.line(path.map((one) => [one.mix, one.z[0] - one.z[1]]), "nc-live-1");
    if (K > 2) right.line(path.map((one) => [one.mix, one.z[0] - one.z[2]]), "nc-live-2");
    right.line(MIX.slice(1, -1).map((m) => [m, Math.log(m / (1 - m))]), "nc-live-theory");
    right.dot(mix, z[0] - z[1], "nc-live-1", 6);
    if (K > 2) right.dot(mix, z[0] - z[2], "nc-live-2", 6);
    return height;
  }

  function describe({ z, p, amplification: longer }, { K, mix }) {
    const law = mix > 0 && mix < 1 ? ` The channel law would have ${live.digits(Math.log(mix / (1 - mix)), 3)}.` : "";
    const half = K > 2 ? ` An even mix is ${live.digits(longer, 3)} times as long as a class's own feature.` : "";
    return `The network answers ${live.digits(100 * p[0], 3)} % class i and ${live.digits(100 * p[1], 3)} % class j where ${live.digits(100 * mix, 3)} % and ${live.digits(100 * (1 - mix), 3)} % are asked; the logits differ by ${live.digits(z[0] - z[1], 3)}.${law}${half}`;
  }

  live.register?.({
    name: "mixup",
    label: "The path of the features of all mixes of two classes in their plane, with the mix at hand, and two differences of logits over the weight; the table has the numbers",
    controls: [
      { key: "K", label: "Classes K", min: 2, max: 100, start: 10 },
      { key: "a", label: "Strength a = m²K / ((K−1) λ_H)", min: -1, max: 6, step: 0.01, log: true, start: 2 },
      { key: "mix", label: "Weight λ of class i", min: 0, max: 1, step: 0.005, start: 0.7 },
    ],
    compute, draw, describe,
    rows: ({ z, p }, { K, mix }) => [["class", "target", "probability", "logit"], ["i", mix, p[0], z[0]], ["j", 1 - mix, p[1], z[1]], ...(K > 2 ? [["each other", 0, p[2], z[2]]] : [])],
    python: ({ K, a, mix }) => `from nclib.theory import mixup

print(mixup.logits(${K}, ${a}, ${mix}).tolist())
print(mixup.probabilities(${K}, ${a}, ${mix}).tolist())
print(float(mixup.same_class(${K}, ${a})), float(mixup.amplification(${K}, ${a})))`,
  });
})();
