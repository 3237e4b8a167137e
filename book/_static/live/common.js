// What all live figures share: controls from a list, a small plotter, state in the address, the call as Python.
// A figure registers { name, label, controls, compute, draw, describe, rows, python }; `compute` is pure and tested
// against nclib, `draw` only draws what it returns. Nothing moves by itself, so there is no motion to reduce.
(() => {
  "use strict";
  const live = (globalThis.ncLive = globalThis.ncLive || {});
  const SVG = "http://www.w3.org/2000/svg";

  live.figures = {};
  live.register = (figure) => (live.figures[figure.name] = figure);

  live.digits = (x, digits = 4) => {
    if (!Number.isFinite(x)) return "–";
    if (x === 0) return "0";
    const size = Math.abs(x), sign = x < 0 ? "−" : "";
    if (size >= 1e-3 && size < 1e5) return sign + Number(size.toPrecision(digits));
    const [factor, power] = size.toExponential(digits - 2).split("e");
    return `${sign}${Number(factor) === 1 ? "" : `${Number(factor)}×`}10${superscript(Number(power))}`;
  };
  const superscript = (k) => String(k).replace(/./g, (c) => ({ "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³" })[c] ?? String.fromCharCode(0x2070 + Number(c)));

  // The value of a control: of a range with `log` 10 to its position, of a whole-number one its rounded position.
  live.value = (control, raw) => {
    if (control.type === "check") return raw === true || raw === "1" || raw === "true";
    if (control.type === "select") return control.options.find((option) => String(option) === String(raw)) ?? control.start;
    const number = Math.min(control.max, Math.max(control.min, Number.isFinite(Number(raw)) ? Number(raw) : control.start));
    return control.log ? 10 ** number : number;
  };

  // "#live-name:a=1,b=2" <-> raw positions of the controls
  live.fragment = (name, raw) => `#live-${name}:` + Object.entries(raw).map(([key, value]) => `${key}=${value}`).join(",");
  live.parse = (name, hash) => {
    const start = `#live-${name}:`;
    if (!hash.startsWith(start)) return {};
    return Object.fromEntries(decodeURIComponent(hash.slice(start.length)).split(",").map((pair) => pair.split("=")));
  };

  // "λ_W and more" -> ["λ", "W", " and more"]: every second piece is an index
  const pieces = (text) => String(text).split(/_([A-Za-z]+)/);
  const svg = (tag, attributes = {}, text) => {
    const node = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text === undefined) return node;
    const [first, ...rest] = pieces(text);
    node.append(first);
    rest.forEach((piece, i) => piece && node.append(svg("tspan", i % 2 ? { dy: -4 } : { dy: 4, "font-size": "80%" }, piece)));
    return node;
  };
  const html = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children.flatMap(indexed));
    return node;
  };
  const indexed = (child) => (typeof child === "string" ? pieces(child).map((piece, i) => (i % 2 ? html("sub", {}, piece) : piece)) : [child]);
  live.svg = svg;

  const ticks = (low, high, log, count) => {
    if (log) {
      const from = Math.ceil(Math.log10(low) - 1e-9), to = Math.floor(Math.log10(high) + 1e-9);
      const step = Math.max(1, Math.ceil((to - from) / count));
      const found = [];
      for (let k = from; k <= to; k += step) found.push(10 ** k);
      return found.length > 1 ? found : ticks(low, high, false, 3);
    }
    const rough = (high - low) / count, unit = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((m) => m * unit).find((s) => s >= rough);
    const found = [];
    for (let v = Math.ceil(low / step) * step; v <= high + 1e-9 * step; v += step) found.push(Number(v.toPrecision(10)));
    return found.length > 1 || count > 12 ? found : ticks(low, high, false, 2 * count);
  };
  const tickText = (v, log) => (log && (v < 0.01 || v > 1000) ? `10${superscript(Math.round(Math.log10(v)))}` : live.digits(v, 4));

  // A panel with axes at (left, top); x, y: {from, to, log, label}. Returns functions that draw in its coordinates.
  live.panel = (parent, { left, top, width, height, x, y, title }) => {
    const pad = { left: 56, right: 12, top: title ? 28 : 10, bottom: 44 };
    const box = { left: left + pad.left, right: left + width - pad.right, top: top + pad.top, bottom: top + height - pad.bottom };
    const at = (axis, low, high) => {
      const f = axis.log ? Math.log10 : (v) => v;
      const [a, b] = [f(axis.from), f(axis.to)];
      return (v) => low + ((f(v) - a) / (b - a || 1)) * (high - low);
    };
    const X = at(x, box.left, box.right), Y = at(y, box.bottom, box.top);
    const group = parent.appendChild(svg("g"));
    for (const v of ticks(x.from, x.to, x.log, Math.max(2, Math.floor((box.right - box.left) / 75)))) {
      group.append(svg("line", { x1: X(v), x2: X(v), y1: box.top, y2: box.bottom, class: "nc-live-grid" }));
      group.append(svg("text", { x: X(v), y: box.bottom + 18, "text-anchor": "middle" }, tickText(v, x.log)));
    }
    for (const v of ticks(y.from, y.to, y.log, 5)) {
      group.append(svg("line", { x1: box.left, x2: box.right, y1: Y(v), y2: Y(v), class: "nc-live-grid" }));
      group.append(svg("text", { x: box.left - 7, y: Y(v) + 4, "text-anchor": "end" }, tickText(v, y.log)));
    }
    group.append(svg("path", { d: `M${box.left},${box.top}V${box.bottom}H${box.right}`, class: "nc-live-frame" }));
    group.append(svg("text", { x: (box.left + box.right) / 2, y: box.bottom + 38, "text-anchor": "middle" }, x.label));
    if (title) group.append(svg("text", { x: box.left, y: top + 16, class: "nc-live-title" }, title));
    const inside = (v, axis) => v >= Math.min(axis.from, axis.to) && v <= Math.max(axis.from, axis.to);
    const clamp = (v) => Math.min(box.bottom + 2, Math.max(box.top - 2, v));
    return {
      box, X, Y,
      line: (points, css) => {
        const d = points.filter(([a, b]) => Number.isFinite(b) && inside(a, x)).map(([a, b], i) => `${i ? "L" : "M"}${X(a).toFixed(2)},${clamp(Y(b)).toFixed(2)}`).join("");
        if (d) group.append(svg("path", { d, class: `nc-live-line ${css}` }));
      },
      dot: (a, b, css, radius = 5) => inside(a, x) && inside(b, y) && group.append(svg("circle", { cx: X(a), cy: Y(b), r: radius, class: `nc-live-dot ${css}` })),
      bar: (a, b, css, breadth = 10) => group.append(svg("rect", { x: X(a) - breadth / 2, width: breadth, y: clamp(Y(b)), height: Math.max(0, box.bottom - clamp(Y(b))), class: css })),
      mark: (a, css, text, down = 0) => {
        if (!inside(a, x)) return;
        group.append(svg("line", { x1: X(a), x2: X(a), y1: box.top, y2: box.bottom, class: `nc-live-mark ${css}` }));
        const late = X(a) > box.right - 80; // no room for it on the right
        if (text) group.append(svg("text", { x: X(a) + (late ? -5 : 5), y: box.top + 14 + down, "text-anchor": late ? "end" : "start" }, text));
      },
      level: (b, css) => inside(b, y) && group.append(svg("line", { x1: box.left, x2: box.right, y1: Y(b), y2: Y(b), class: `nc-live-mark ${css}` })),
      text: (a, b, words, more = {}) => group.append(svg("text", { x: X(a), y: Y(b), ...more }, words)),
    };
  };

  // A legend above the panel at a place of `live.layout`.
  live.legend = (parent, entries, { left, above }, indent) => {
    let x = left + indent;
    for (const [css, words] of entries) {
      parent.append(svg("line", { x1: x, x2: x + 18, y1: above, y2: above, class: `nc-live-line ${css}` }));
      const text = parent.appendChild(svg("text", { x: x + 23, y: above + 4 }, words));
      x += 23 + (text.getComputedTextLength?.() || 7 * words.length) + 18;
    }
  };

  // Panels side by side where there is room, else stacked, a `gap` more apart: [{left, top, width, height, above}], and the height of all.
  live.layout = (width, count, height = 260, offset = 26, gap = 0) => {
    const beside = width >= 600 ? count : 1, each = width / beside, row = height + 8 + (beside > 1 ? 0 : gap);
    const places = Array.from({ length: count }, (_, i) => {
      const top = offset + Math.floor(i / beside) * row;
      return { left: (i % beside) * each, top, width: each, height, above: i < beside ? 12 : top - 6 };
    });
    return { places, height: offset + Math.ceil(count / beside) * row };
  };

  live.mount = (box, figure) => {
    box.replaceChildren();
    const raw = Object.fromEntries(figure.controls.map((control) => [control.key, control.start]));
    const given = live.parse(figure.name, location.hash);
    for (const control of figure.controls) if (control.key in given) raw[control.key] = given[control.key];
    const inputs = {}, outputs = {};
    const controls = box.appendChild(html("div", { class: "nc-controls" }));
    for (const control of figure.controls) {
      const output = (outputs[control.key] = html("output"));
      let input;
      if (control.type === "check") {
        input = html("input", { type: "checkbox" });
        input.checked = live.value(control, raw[control.key]);
        controls.append(html("label", { class: "nc-check" }, input, ` ${control.label}`));
      } else if (control.type === "select") {
        input = html("select", {}, ...control.options.map((option) => html("option", { value: option }, String(option))));
        input.value = live.value(control, raw[control.key]);
        controls.append(html("label", {}, `${control.label} `, input));
      } else {
        input = html("input", { type: "range", min: control.min, max: control.max, step: control.step ?? 1 });
        input.value = Number.isFinite(Number(raw[control.key])) ? raw[control.key] : control.start;
        controls.append(html("label", {}, `${control.label} = `, output, input));
      }
      input.dataset.key = control.key;
      inputs[control.key] = input;
    }
    const drawing = box.appendChild(svg("svg", { class: "nc-live-drawing", role: "img", "aria-label": figure.label, tabindex: figure.turn ? 0 : -1 }));
    const state = box.appendChild(html("p", { class: "nc-live-state", role: "status", "aria-live": "polite" }));
    const table = html("table", { class: "nc-live-table" });
    const code = html("pre"), copy = html("button", { type: "button" }, "Copy as Python"), link = html("button", { type: "button" }, "Copy link");
    const said = html("span", { role: "status" });
    box.append(html("div", { class: "nc-scroll" }, table), html("div", { class: "nc-controls nc-live-buttons" }, copy, link, said));
    box.append(html("details", {}, html("summary", {}, "The same in Python"), code));
    const seen = (key, otherwise) => (Number.isFinite(Number(given[key] ?? NaN)) ? Number(given[key]) : otherwise);
    const view = { turn: seen("turn", 0.7), tilt: seen("tilt", 0.42), memory: {} };
    const values = () => Object.fromEntries(figure.controls.map((c) => [c.key, live.value(c, c.type === "check" ? inputs[c.key].checked : inputs[c.key].value)]));
    const positions = () => Object.fromEntries(figure.controls.map((c) => [c.key, c.type === "check" ? Number(inputs[c.key].checked) : inputs[c.key].value]).concat(figure.turn ? [["turn", view.turn], ["tilt", view.tilt]] : []));

    function update() {
      const started = performance.now();
      const now = values();
      for (const control of figure.controls) {
        const text = (control.show ?? ((v) => live.digits(v, 3)))(now[control.key]);
        outputs[control.key].textContent = text;
        if (inputs[control.key].type === "range") inputs[control.key].setAttribute("aria-valuetext", text);
      }
      const found = figure.compute(now, view.memory);
      const width = Math.max(300, Math.min(box.clientWidth || 640, 860));
      drawing.replaceChildren();
      const height = figure.draw(drawing, found, now, width, view);
      drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
      drawing.setAttribute("width", width);
      drawing.setAttribute("height", height);
      state.replaceChildren(...indexed(figure.describe(found, now)));
      const [head, ...body] = figure.rows(found, now);
      table.replaceChildren(
        html("thead", {}, html("tr", {}, ...head.map((cell) => html("th", { scope: "col" }, cell)))),
        html("tbody", {}, ...body.map((row) => html("tr", {}, ...row.map((cell) => html("td", {}, typeof cell === "number" ? live.digits(cell) : cell))))),
      );
      code.textContent = figure.python(now, found);
      box.dataset.milliseconds = (performance.now() - started).toFixed(2);
    }
    const remember = () => { try { history.replaceState(history.state, "", live.fragment(figure.name, positions())); } catch { /* some hosts forbid it */ } };
    const take = async (text, words) => {
      try { await navigator.clipboard.writeText(text); said.textContent = words; }
      catch { said.textContent = "The browser does not allow copying; the text stands below."; code.textContent = text; code.parentElement.open = true; }
    };
    controls.addEventListener("input", update);
    controls.addEventListener("change", () => { update(); remember(); });
    copy.addEventListener("click", () => take(code.textContent, "Copied."));
    link.addEventListener("click", () => { remember(); take(location.href, "Link copied."); });
    if (figure.turn) {
      let held = null;
      drawing.classList.add("nc-live-turn");
      drawing.addEventListener("pointerdown", (event) => { held = [event.clientX, event.clientY]; drawing.setPointerCapture(event.pointerId); });
      drawing.addEventListener("pointerup", () => { held = null; remember(); });
      drawing.addEventListener("pointercancel", () => (held = null));
      drawing.addEventListener("pointermove", (event) => {
        if (!held) return;
        turn((event.clientX - held[0]) / 120, (event.clientY - held[1]) / 160);
        held = [event.clientX, event.clientY];
      });
      drawing.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] }[event.key];
        if (step) { event.preventDefault(); turn(...step); remember(); }
      });
    }
    function turn(right, down) {
      view.turn = Number((view.turn + right).toFixed(3));
      view.tilt = Number(Math.min(1.4, Math.max(-1.4, view.tilt + down)).toFixed(3));
      update();
    }
    addEventListener("hashchange", () => {
      const given = live.parse(figure.name, location.hash);
      for (const control of figure.controls) if (control.key in given) {
        if (control.type === "check") inputs[control.key].checked = live.value(control, given[control.key]);
        else inputs[control.key].value = given[control.key];
      }
      if (Object.keys(given).length) update();
    });
    new ResizeObserver(() => { const width = box.clientWidth; if (width !== view.width) { view.width = width; update(); } }).observe(box);
    update();
    if (Object.keys(given).length) box.scrollIntoView({ block: "start" });
    return { update, values };
  };

  live.start = () => {
    for (const box of document.querySelectorAll("[data-nc-live]")) {
      const figure = live.figures[box.dataset.ncLive];
      if (figure) live.mount(box, figure);
    }
  };
  if (typeof document !== "undefined") addEventListener("DOMContentLoaded", live.start);
})();
