// The frame that forgets a class: the global minimizer of the deep linear problem for three classes, and the landscape
// of one class. nclib.theory.deep_linear: mse_minimizer, scalar_loss, stationary_points, collapse_threshold, spinodal.
(() => {
  "use strict";
  const live = (globalThis.ncLive = globalThis.ncLive || {});

  const threshold = (M) => (M === 1 ? 1 : (M - 1) ** ((M - 1) / M) / M);
  const spinodal = (M) => (((M - 1) / (M + 1)) ** ((M - 1) / M) * (M + 1) ** 2) / (4 * M);
  const softplus = (y) => Math.max(y, 0) + Math.log1p(Math.exp(-Math.abs(y)));
  const expit = (y) => (y >= 0 ? 1 / (1 + Math.exp(-y)) : Math.exp(y) / (1 + Math.exp(y)));
  // log of M x^(M-1)/(1 + x^M)^2 at y = log x^M
  const logBeta = (y, M) => Math.log(M) + (1 - 1 / M) * y - 2 * softplus(y);

  // The root of logBeta(y) = target in [low, high], across which it rises or falls.
  function root(target, M, low, high) {
    const rises = logBeta(high, M) > logBeta(low, M);
    for (let k = 0; k < 200; k++) {
      const middle = (low + high) / 2;
      if (middle === low || middle === high) break;
      if (logBeta(middle, M) > target === rises) high = middle;
      else low = middle;
    }
    return (low + high) / 2;
  }

  // Positive stationary q of the loss of a class: {barrier, minimum}, null where there is none.
  function stationary(beta, M) {
    const target = Math.log(beta);
    if (beta >= spinodal(M)) return { barrier: null, minimum: null };
    if (M === 1) return { barrier: null, minimum: -Math.expm1(target / 2) };
    const peak = Math.log((M - 1) / (M + 1)), high = ((Math.log(M) - target) * M) / (M + 1) + 1;
    const low = ((target - Math.log(M)) * M) / (M - 1) - 1;
    return { barrier: expit(root(target, M, low, peak)), minimum: expit(root(target, M, peak, high)) };
  }

  // y = log x^M at the global minimum; -Infinity where the class is at the origin.
  function globalRoot(beta, M) {
    const gap = Math.log(beta) - Math.log(threshold(M));
    if (gap >= -64 * Number.EPSILON) return -Infinity;
    if (M === 1) return Math.log(Math.expm1(-Math.log(beta) / 2));
    return root(Math.log(beta), M, Math.log((M - 1) / (M + 1)), ((Math.log(M) - Math.log(beta)) * M) / (M + 1) + 1);
  }
  const overlap = (beta, M) => { const y = globalRoot(beta, M); return y === -Infinity ? 0 : expit(y); };
  const scalarLoss = (q, beta, M) => (1 - q) ** 2 / 2 + ((M + 1) / 2) * (beta / M) ** (M / (M + 1)) * q ** (2 / (M + 1));

  const betaOf = (M, N, n, lam) => Math.exp(Math.log(M) + Math.log(N) + (Math.log(N) + (M + 1) * Math.log(lam)) / M) / n;

  // counts -> for each class beta, q = w.h, |w|, |h|; `width` keeps the top classes, the first ones in a tie.
  function solve(M, counts, lam, width) {
    const N = counts.reduce((a, b) => a + b, 0);
    const order = counts.map((_, k) => k).sort((a, b) => counts[b] - counts[a] || a - b);
    const kept = new Set(order.slice(0, width));
    return counts.map((n, k) => {
      const beta = betaOf(M, N, n, lam), q = kept.has(k) ? overlap(beta, M) : 0;
      const y = q > 0 ? globalRoot(beta, M) : -Infinity;
      const w = q > 0 ? Math.sqrt(N * lam) * Math.exp(y / 2) : 0;
      return { n, beta, q, w, h: w ? q / w : 0, kept: kept.has(k) };
    });
  }
  live.frame = { threshold, spinodal, stationary, overlap, scalarLoss, betaOf, solve };

  // What training would do when the smallest class shrinks and grows again: it stays in its minimum while there is one.
  function follow(memory, M, alive, smallest) {
    if (memory.M !== M || memory.alive === undefined) memory.alive = alive;
    if (M === 1) memory.alive = alive;
    else if (smallest.beta >= spinodal(M) || !smallest.kept) memory.alive = false;
    else if (!smallest.kept) memory.alive = alive;
    memory.M = M;
    return memory.alive;
  }

  function compute({ M, n1, n2, n3, lam, width, follows }, memory) {
    const counts = [n1, n2, n3].map(Math.round), classes = solve(M, counts, lam, width);
    const N = counts.reduce((a, b) => a + b, 0), last = classes[2];
    if (!follows) memory.alive = undefined;
    else {
      const alive = follow(memory, M, last.q > 0, last), { minimum } = stationary(last.beta, M);
      last.q = alive && minimum ? minimum : 0;
      const ratio = last.q / (1 - last.q);
      last.w = Math.sqrt(N * lam * ratio);
      last.h = last.w ? last.q / last.w : 0;
    }
    const edge = (value) => betaOf(M, N, 1, lam) / value; // the size at which beta is `value`, N held
    return { classes, N, landscape: stationary(last.beta, M), dies: edge(threshold(M)), spinodal: edge(spinodal(M)) };
  }

  function arrow(parent, from, tip, css) {
    parent.append(live.svg("line", { x1: from[0], y1: from[1], x2: tip[0], y2: tip[1], class: `nc-live-line nc-live-solid ${css}` }));
    const [dx, dy] = [tip[0] - from[0], tip[1] - from[1]];
    if (Math.hypot(dx, dy) < 8) return;
    const angle = Math.atan2(dy, dx), wing = (turn) => [tip[0] - 10 * Math.cos(angle + turn), tip[1] - 10 * Math.sin(angle + turn)].join();
    parent.append(live.svg("polygon", { points: `${tip.join()} ${wing(0.4)} ${wing(-0.4)}`, class: css }));
  }

  function draw(svg, { classes, landscape }, { M }, width, view) {
    const { places, height } = live.layout(width, 2, 304, 6);
    const [space, flat] = places, center = [space.left + space.width / 2, space.top + 150], size = Math.min(space.width, 330) * 0.36;
    const project = ([a, b, up]) => {
      const x = Math.cos(view.turn) * a - Math.sin(view.turn) * b, depth = Math.sin(view.turn) * a + Math.cos(view.turn) * b;
      return [center[0] + x * size, center[1] - (Math.cos(view.tilt) * up - Math.sin(view.tilt) * depth) * size];
    };
    const [wide, high] = [Math.hypot(...classes.map((c) => c.w)) || 1, Math.hypot(...classes.map((c) => c.h)) || 1];
    svg.append(live.svg("text", { x: space.left + 8, y: space.top + 16, class: "nc-live-title" }, "classifier rows w and class means h (pale)"));
    classes.forEach((one, k) => {
      const axis = (length) => project([0, 1, 2].map((i) => (i === k ? length : 0)));
      const end = axis(1);
      svg.append(live.svg("line", { x1: center[0], y1: center[1], x2: end[0], y2: end[1], class: "nc-live-grid" }));
      if (one.q === 0) return;
      const pale = live.svg("g", { class: "nc-live-pale", style: "stroke-width: 9" });
      svg.append(pale);
      pale.append(live.svg("line", { x1: center[0], y1: center[1], x2: axis(one.h / high)[0], y2: axis(one.h / high)[1], class: `nc-live-line nc-live-solid nc-live-${k + 1}`, style: "stroke-width: 9" }));
      arrow(svg, center, axis(one.w / wide), `nc-live-${k + 1}`);
      const tip = axis(Math.max(one.w / wide, one.h / high)), way = [tip[0] - center[0], tip[1] - center[1]], long = Math.hypot(...way) || 1;
      svg.append(live.svg("text", { x: tip[0] + (30 * way[0]) / long, y: tip[1] + 4 + (14 * way[1]) / long, "text-anchor": "middle" }, `class ${k + 1}`));
    });
    // lengths as bars, |w| full and |h| pale, each in units of the largest
    const [longW, longH] = [Math.max(...classes.map((c) => c.w)) || 1, Math.max(...classes.map((c) => c.h)) || 1];
    classes.forEach((one, k) => {
      const top = space.top + 236 + 22 * k, room = space.width - 100;
      svg.append(live.svg("text", { x: space.left + 8, y: top + 12 }, `class ${k + 1}`));
      svg.append(live.svg("rect", { x: space.left + 70, y: top, width: (room * one.w) / longW, height: 8, class: `nc-live-${k + 1}` }));
      svg.append(live.svg("rect", { x: space.left + 70, y: top + 9, width: (room * one.h) / longH, height: 7, class: `nc-live-${k + 1} nc-live-pale` }));
    });
    svg.append(live.svg("circle", { cx: center[0], cy: center[1], r: 4, fill: "currentcolor" }));
    const beta = classes[2].beta, curve = Array.from({ length: 160 }, (_, k) => (k / 159) ** 2).map((q) => [q, scalarLoss(q, beta, M)]);
    const values = curve.map(([, v]) => v), [low, top] = [Math.min(...values), Math.max(...values)], room = (top - low) * 0.12 || 0.1;
    const panel = live.panel(svg, { ...flat, x: { from: 0, to: 1, label: "strength of class 3, q = w·h" }, y: { from: low - room, to: top + room }, title: "loss of class 3, in units of its share" });
    panel.line(curve, "nc-live-3 nc-live-solid");
    panel.level(0.5, "nc-live-theory");
    for (const name of ["barrier", "minimum"]) if (landscape[name]) panel.dot(landscape[name], scalarLoss(landscape[name], beta, M), "nc-live-theory", 5);
    panel.dot(classes[2].q, scalarLoss(classes[2].q, beta, M), "nc-live-3", 7);
    return height;
  }

  function describe({ classes, dies, spinodal: end, landscape }, { M, follows, width }) {
    const gone = classes.flatMap((one, k) => (one.q > 0 ? [] : [k + 1]));
    const beyond = classes[2].q > 0 && classes[2].beta >= threshold(M);
    const same = classes.every((one) => one.n === classes[0].n);
    const what = gone.length === 3 ? "Every class is at the origin." : gone.length ? `Class ${gone.join(" and ")} is forgotten: at the origin.` : same ? "An orthogonal frame: all lengths are equal." : "A general orthogonal frame: right angles, and lengths that follow the class sizes.";
    const cut = gone.length && width < 3 && classes.some((one) => !one.kept) ? ` A width of ${width} has no room for it.` : "";
    const stays = beyond ? " Class 3 stays in a local minimum; the origin is lower." : follows && M > 1 && classes[2].q === 0 && landscape.minimum && classes[2].kept && classes[2].beta < threshold(M) ? " It does not come back although the minimum does: a jump is not undone." : "";
    const edge = M === 1 ? ` At this N and λ a class below ${live.digits(dies, 3)} samples fades to nothing, without a jump.` : ` At this N and λ the minimum of a class below ${live.digits(dies, 3)} samples is the origin, and below ${live.digits(end, 3)} there is no other.`;
    return what + cut + stays + edge;
  }

  live.register?.({
    name: "frame",
    label: "Three orthogonal arrows in space, which turn by dragging or with the arrow keys, and the loss of class 3 over its strength with its minima; the table has the numbers",
    turn: true,
    controls: [
      { key: "n1", label: "Samples of class 1", min: 1, max: 1000, start: 500 },
      { key: "n2", label: "Samples of class 2", min: 1, max: 1000, start: 200 },
      { key: "n3", label: "Samples of class 3", min: 1, max: 1000, start: 60 },
      { key: "lam", label: "Weight decay λ", min: -5, max: -1, step: 0.01, log: true, start: -2.21 },
      { key: "M", label: "Linear layers M", min: 1, max: 8, start: 2 },
      { key: "width", label: "Width", min: 1, max: 3, start: 3 },
      { key: "follows", label: "follow class 3 from minimum to minimum, as training does", type: "check", start: false },
    ],
    compute, draw, describe,
    rows: ({ classes }, { M }) => [["class", "samples", "β / threshold", "|w|", "|h|", "q = w·h"], ...classes.map((one, k) => [String(k + 1), String(one.n), one.beta / threshold(M), one.w, one.h, one.q])],
    python: ({ M, n1, n2, n3, lam, width }) => `from nclib.theory.deep_linear import mse_minimizer

found = mse_minimizer([${[n1, n2, n3].map(Math.round).join(", ")}], (${lam},) * ${M}, ${lam}, width=${width})
print(found.gram_W.diagonal().sqrt().tolist())  # |w|
print(found.gram_H.diagonal().sqrt().tolist())  # |h|
print(found.logits.diagonal().tolist())  # q`,
  });
})();
