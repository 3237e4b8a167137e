// The global minimizer of the K = 3 problem in closed form, drawn as three vectors w_k (rows of W_M...W_1) and h_k (class means).
// With s_i the singular values of (I - n 1^T/N) diag(sqrt n) (with bias) or diag(sqrt n) (without), x_i the largest root of
// beta_i = M x^(M-1)/(1 + x^M)^2 with beta_i = M N (N Lambda)^(1/M)/s_i^2, and Lambda = lambda^(M+1).
(() => {
  "use strict";

  const threshold = (M) => (M === 1 ? 1 : Math.pow(M - 1, (M - 1) / M) / M);

  // Largest positive root, or 0 where the origin is the global minimum.
  function root(M, beta) {
    if (beta >= threshold(M)) return 0;
    if (M === 1) return 1 / Math.sqrt(beta) - 1;
    let low = Math.pow((M - 1) / (M + 1), 1 / M);
    let high = Math.pow(M / beta, 1 / (M + 1));
    for (let step = 0; step < 200; step++) {
      const x = (low + high) / 2;
      if ((M * Math.pow(x, M - 1)) / Math.pow(1 + Math.pow(x, M), 2) > beta) low = x;
      else high = x;
    }
    return (low + high) / 2;
  }

  const multiply = (A, B) => A.map((row) => B[0].map((_, j) => row.reduce((sum, a, k) => sum + a * B[k][j], 0)));
  const transpose = (A) => A[0].map((_, j) => A.map((row) => row[j]));
  const diagonal = (v) => v.map((a, i) => v.map((_, j) => (i === j ? a : 0)));
  const norm = (v) => Math.hypot(...v);

  // Eigenvectors (columns) of a symmetric matrix, by Jacobi rotations.
  function eigenvectors(S) {
    let A = S.map((row) => row.slice());
    let V = diagonal(A.map(() => 1));
    for (let sweep = 0; sweep < 30; sweep++)
      for (let p = 0; p < A.length; p++)
        for (let q = p + 1; q < A.length; q++) {
          const angle = 0.5 * Math.atan2(2 * A[p][q], A[p][p] - A[q][q]);
          const R = diagonal(A.map(() => 1));
          R[p][p] = R[q][q] = Math.cos(angle);
          R[q][p] = Math.sin(angle);
          R[p][q] = -R[q][p];
          A = multiply(transpose(R), multiply(A, R));
          V = multiply(V, R);
        }
    return V;
  }

  // counts n, depth M, lambda of every layer and of the features -> rows W[k], H[k], Gram matrices, logits P Hbar (+ b).
  function solve(M, n, lambda, bias) {
    const N = n.reduce((a, b) => a + b, 0);
    const D = n.map(Math.sqrt);
    const A = n.map((nj, j) => n.map((_, k) => ((j === k ? 1 : 0) - (bias ? nj / N : 0)) * D[k]));
    const V = bias ? eigenvectors(multiply(transpose(A), A)) : diagonal(n.map(() => 1));
    const AV = transpose(multiply(A, V));
    const s = AV.map(norm);
    const U = transpose(AV.map((column, i) => column.map((a) => (s[i] > 1e-9 * norm(D) ? a / s[i] : 0))));
    const Lambda = Math.pow(lambda, M + 1);
    const b_ = M * N * Math.pow(N * Lambda, 1 / M);
    const x = s.map((si) => (si > 1e-9 * norm(D) ? root(M, b_ / (si * si)) : 0));
    const p = x.map((xi) => Math.sqrt(N * lambda * Math.pow(xi, M)));
    const sigma = x.map((xi, i) => (s[i] * Math.pow(xi, M)) / (1 + Math.pow(xi, M)));
    const h = sigma.map((si, i) => (p[i] > 0 ? si / p[i] : 0));
    const W = multiply(U, multiply(diagonal(p), transpose(U)));
    const H = multiply(diagonal(D.map((d) => 1 / d)), multiply(V, multiply(diagonal(h), transpose(U))));
    const logits = multiply(W, transpose(H)).map((row, j) => row.map((z) => z + (bias ? n[j] / N : 0)));
    return { W, H, gramW: multiply(W, transpose(W)), gramH: multiply(H, transpose(H)), logits, x };
  }

  const LARGEST = 1000;
  const counts = (ratio) => [LARGEST, Math.round(LARGEST / Math.sqrt(ratio)), Math.round(LARGEST / ratio)];
  window.ncAnimation = { solve, counts, threshold };

  const box = document.getElementById("nc-animation");
  if (!box) return;
  const element = (name) => box.querySelector(`[data-nc="${name}"]`);
  const SVG = "http://www.w3.org/2000/svg";
  const sub = "₁₂₃";

  function add(parent, tag, attributes, text) {
    const node = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text) node.textContent = text;
    parent.appendChild(node);
  }

  // Orthographic view, turned about the vertical axis and tilted by 25 degrees; the third class points up.
  function project(v, turn) {
    const [a, b, up] = v;
    const x = Math.cos(turn) * a - Math.sin(turn) * b;
    const depth = Math.sin(turn) * a + Math.cos(turn) * b;
    const tilt = (25 * Math.PI) / 180;
    return [x * 240, -(Math.cos(tilt) * up - Math.sin(tilt) * depth) * 240];
  }

  function arrow(svg, from, tip, css) {
    add(svg, "line", { x1: from[0], y1: from[1], x2: tip[0], y2: tip[1], class: css });
    const angle = Math.atan2(tip[1], tip[0]);
    const wing = (turn) => [tip[0] - 11 * Math.cos(angle + turn), tip[1] - 11 * Math.sin(angle + turn)];
    if (norm(tip) > 6) add(svg, "polygon", { points: [tip, wing(0.4), wing(-0.4)].map((c) => c.join()).join(" "), class: css });
  }

  function draw(found, turn) {
    const svg = element("drawing");
    svg.replaceChildren();
    for (const axis of [[0.8, 0, 0], [0, 0.8, 0], [0, 0, 0.8]]) {
      const [x, y] = project(axis, turn);
      add(svg, "line", { x1: 0, y1: 0, x2: x, y2: y, class: "nc-axis" });
    }
    const scaled = (rows) => {
      const size = norm(rows.flat());
      return rows.map((row) => project(row.map((a) => (size > 0 ? a / size : 0)), turn));
    };
    const [W, H] = [scaled(found.W), scaled(found.H)];
    W.forEach((w, k) => {
      const h = H[k];
      if (norm(w) < 1e-9 && norm(h) < 1e-9) return;
      arrow(svg, [0, 0], h, `nc-h nc-class-${k + 1}`);
      arrow(svg, [0, 0], w, `nc-w nc-class-${k + 1}`);
      const near = norm([w[0] - h[0], w[1] - h[1]]) < 26;
      const place = (tip) => ({ x: tip[0] * 1.06 + 7 * (tip[0] < 0 ? -1 : 1), y: tip[1] * 1.06 + 6, "text-anchor": tip[0] < 0 ? "end" : "start" });
      add(svg, "text", place(near && norm(h) > norm(w) ? h : w), near ? `w${sub[k]}, h${sub[k]}` : `w${sub[k]}`);
      if (!near) add(svg, "text", place(h), `h${sub[k]}`);
    });
    add(svg, "circle", { r: 4, class: "nc-origin" });
  }

  function describe(n, found, bias) {
    const dead = n.map((_, k) => norm(found.H[k]) < 1e-12);
    const body = element("table");
    body.replaceChildren();
    n.forEach((count, k) => {
      const row = body.insertRow();
      const state = dead[k] ? "collapsed to zero" : "alive";
      for (const text of [`${k + 1}`, `${count}`, norm(found.W[k]).toFixed(3), norm(found.H[k]).toFixed(3), found.logits[k][k].toFixed(3), state])
        row.insertCell().textContent = text;
    });
    const balanced = n[0] === n[2];
    const rank = found.x.filter((x) => x > 0).length;
    const gone = dead.flatMap((is, k) => (is ? [k + 1] : []));
    const kept = (bias ? 2 : 3) - rank;
    let text = balanced ? (bias ? "Simplex ETF." : "Orthogonal frame (OF).") : bias ? "Deformed simplex." : "General orthogonal frame (GOF).";
    if (rank === 0) text = "Total collapse: every class is at the origin.";
    else if (gone.length) text = `Minority collapse: class ${gone.join(" and ")} at the origin.`;
    else if (kept > 0) text = "Minority collapse: the vectors lie on one line, the two smaller classes no longer separated from each other by a direction of their own.";
    element("state").textContent = text;
  }

  function update() {
    const M = Number(element("depth").value);
    const ratio = Math.pow(10, Number(element("ratio").value));
    const lambda = Math.pow(10, Number(element("lambda").value));
    const bias = element("bias").checked;
    const n = counts(ratio);
    const found = solve(M, n, lambda, bias);
    element("ratio-value").textContent = `${(n[0] / n[2]).toFixed(1)}`;
    element("lambda-value").textContent = lambda.toExponential(1);
    element("ratio").setAttribute("aria-valuetext", `largest class ${(n[0] / n[2]).toFixed(1)} times the smallest`);
    element("lambda").setAttribute("aria-valuetext", lambda.toExponential(1));
    draw(found, (Number(element("turn").value) * Math.PI) / 180);
    describe(n, found, bias);
  }

  let timer = null;
  function play() {
    const slider = element("ratio");
    if (timer) return stop();
    if (Number(slider.value) >= Number(slider.max)) slider.value = slider.min;
    element("play").textContent = "Stop";
    timer = setInterval(() => {
      slider.value = Number(slider.value) + 0.01;
      update();
      if (Number(slider.value) >= Number(slider.max)) stop();
    }, 30);
  }
  function stop() {
    clearInterval(timer);
    timer = null;
    element("play").textContent = "Play the imbalance";
  }

  box.addEventListener("input", update);
  element("play").addEventListener("click", play);
  update();
})();
