// The null of an angle: what directions without structure show in d dimensions, and what is left of a relation between
// language models when that is divided out. nclib.nulls.uniform_directions.
(() => {
  "use strict";
  const live = (globalThis.ncLive = globalThis.ncLive || {});

  // Asymptotic series after a shift by recurrence; x > 0.
  function lgamma(x) {
    let shift = 0;
    for (; x < 15; x++) shift -= Math.log(x);
    const z = 1 / (x * x);
    return shift + (x - 0.5) * Math.log(x) - x + 0.5 * Math.log(2 * Math.PI) + (1 / 12 - z * (1 / 360 - z * (1 / 1260 - z * (1 / 1680 - z / 1188)))) / x;
  }
  function digamma(x) {
    let shift = 0;
    for (; x < 15; x++) shift -= 1 / x;
    const z = 1 / (x * x);
    return shift + Math.log(x) - 0.5 / x - z * (1 / 12 - z * (1 / 120 - z * (1 / 252 - z * (1 / 240 - z / 132))));
  }
  function trigamma(x) {
    let shift = 0;
    for (; x < 15; x++) shift += 1 / (x * x);
    const z = 1 / (x * x);
    return shift + 1 / x + z / 2 + (z / x) * (1 / 6 - z * (1 / 30 - z * (1 / 42 - z * (1 / 30 - (z * 5) / 66))));
  }

  // Density of the cosine c of two independent uniform directions.
  const cosine = (c, d) => Math.exp(lgamma(d / 2) - lgamma((d - 1) / 2) + ((d - 3) / 2) * Math.log1p(-c * c)) / Math.sqrt(Math.PI);
  // Density of f = -log |u - v|, by c = 1 - e^(-2f)/2.
  const logDistance = (f, d) => { const square = Math.exp(-2 * f), c = 1 - square / 2; return c > -1 ? cosine(c, d) * square : 0; };

  // Expected numbers of K independent directions in d dimensions.
  function directions(K, d) {
    const a = (d - 1) / 2, P = (K * (K - 1)) / 2, V = (2 * (d - 1)) / (d * d * (d + 2)), b2 = K + (K * (K - 1)) / d;
    return {
      interferenceStd: 1 / Math.sqrt(d),
      interferenceStdSd: Math.sqrt((d * V) / P) / 2,
      interferenceMeanSd: 1 / Math.sqrt(d * P),
      logDistanceMean: -Math.log(2) - (digamma(a) - digamma(2 * a)) / 2,
      logDistanceStd: Math.sqrt(trigamma(a) - trigamma(2 * a)) / 2,
      etfError: Math.sqrt(2 - 2 * Math.sqrt((K - 1) / b2)),
      ofError: Math.sqrt(2 - 2 * Math.sqrt(K / b2)),
      dualityStd: Math.sqrt((1 - 1 / K) / d),
    };
  }

  // Width, standard deviation of the cosines between class means, validation loss: the authors' 210 models of the grid.
  const MODELS = [
    [64,0.35522,3.8901],[64,0.35443,3.8849],[64,0.31708,3.6077],[64,0.26343,3.0872],[64,0.25851,2.9908],[64,0.26637,3.0921],[64,0.26178,3.004],[64,0.34725,3.8286],
    [64,0.34597,3.8229],[64,0.28979,3.3171],[64,0.24573,2.833],[64,0.24193,2.7512],[64,0.25038,2.8304],[64,0.24842,2.7538],[64,0.32528,3.6041],[64,0.32387,3.5947],
    [64,0.26659,2.9083],[64,0.24828,2.5257],[64,0.24487,2.4652],[64,0.25473,2.5264],[64,0.25367,2.4751],[64,0.31271,3.5008],[64,0.31072,3.4892],[64,0.25057,2.6774],
    [64,0.23761,2.3023],[64,0.23574,2.2364],[64,0.24451,2.3043],[64,0.24229,2.2488],[64,0.27975,2.9737],[64,0.27904,2.9666],[64,0.24341,2.411],[64,0.23931,2.1733],
    [64,0.23508,2.1054],[64,0.24853,2.1745],[64,0.24701,2.1265],[128,0.31747,3.655],[128,0.31697,3.6512],[128,0.23882,3.0076],[128,0.20701,2.5055],[128,0.20388,2.4359],
    [128,0.21296,2.5137],[128,0.2107,2.4497],[128,0.29754,3.4674],[128,0.29665,3.4579],[128,0.22837,2.7541],[128,0.20259,2.333],[128,0.19966,2.2645],[128,0.20546,2.3345],
    [128,0.20387,2.271],[128,0.25198,2.873],[128,0.25062,2.8641],[128,0.20471,2.2167],[128,0.19788,1.9725],[128,0.1958,1.9272],[128,0.2045,1.9854],[128,0.20435,1.9491],
    [128,0.24812,2.7179],[128,0.24793,2.7136],[128,0.20673,2.1215],[128,0.19346,1.862],[128,0.19076,1.7994],[128,0.20113,1.8713],[128,0.19924,1.8206],[128,0.22281,2.3053],
    [128,0.22411,2.3029],[128,0.21094,1.9039],[128,0.19534,1.7314],[128,0.18895,1.6646],[128,0.21786,1.7451],[128,0.217,1.7002],[256,0.25474,3.1728],[256,0.25402,3.1694],
    [256,0.19991,2.5151],[256,0.18055,2.1373],[256,0.17591,2.0727],[256,0.18689,2.1446],[256,0.18273,2.0879],[256,0.24513,2.8991],[256,0.24428,2.8948],[256,0.18732,2.2586],
    [256,0.17554,1.9524],[256,0.17106,1.9003],[256,0.17836,1.9622],[256,0.17408,1.9128],[256,0.19873,2.2405],[256,0.1986,2.2395],[256,0.17931,1.8234],[256,0.16975,1.6366],
    [256,0.1655,1.586],[256,0.17959,1.6496],[256,0.17944,1.6087],[256,0.19913,2.0957],[256,0.19937,2.0963],[256,0.18142,1.7012],[256,0.16542,1.51],[256,0.16017,1.4519],
    [256,0.17725,1.5215],[256,0.17572,1.4748],[256,0.18934,1.852],[256,0.19049,1.8573],[256,0.17384,1.5569],[256,0.15662,1.4139],[256,0.14851,1.3482],[256,0.18245,1.4225],
    [256,0.17982,1.3779],[512,0.22116,2.6979],[512,0.22089,2.6949],[512,0.17559,2.0451],[512,0.16503,1.8126],[512,0.16012,1.7737],[512,0.16996,1.8252],[512,0.16651,1.7899],
    [512,0.20451,2.4555],[512,0.20407,2.4564],[512,0.1719,1.9393],[512,0.16222,1.6754],[512,0.15411,1.6087],[512,0.16782,1.6952],[512,0.16222,1.6355],[512,0.17763,1.8673],
    [512,0.17834,1.875],[512,0.1636,1.5618],[512,0.1488,1.4059],[512,0.14251,1.3519],[512,0.16384,1.4211],[512,0.16154,1.377],[512,0.17206,1.6133],[512,0.17533,1.6252],
    [512,0.16325,1.3906],[512,0.14289,1.2756],[512,0.13231,1.2141],[512,0.17825,1.2877],[512,0.17018,1.2486],[512,0.16814,1.547],[512,0.17109,1.558],[512,0.15721,1.3281],
    [512,0.13644,1.2214],[512,0.1242,1.1628],[512,0.16843,1.2325],[512,0.15802,1.1977],[768,0.19709,2.3337],[768,0.19776,2.3405],[768,0.16973,1.901],[768,0.15936,1.7194],
    [768,0.15282,1.6818],[768,0.16623,1.7342],[768,0.16155,1.7007],[768,0.18881,2.2614],[768,0.18887,2.2635],[768,0.16529,1.8131],[768,0.15395,1.5507],[768,0.14583,1.4822],
    [768,0.15956,1.5749],[768,0.1545,1.5135],[768,0.17269,1.8016],[768,0.17403,1.8118],[768,0.15916,1.4986],[768,0.14509,1.3366],[768,0.136,1.2793],[768,0.16117,1.355],
    [768,0.15832,1.3103],[768,0.16199,1.5049],[768,0.16579,1.5183],[768,0.15454,1.3008],[768,0.13382,1.2019],[768,0.12132,1.1465],[768,0.17244,1.2144],[768,0.16349,1.1824],
    [768,0.16038,1.4435],[768,0.16358,1.4581],[768,0.14959,1.2455],[768,0.13012,1.1536],[768,0.11809,1.1076],[768,0.16409,1.1657],[768,0.15202,1.1471],[1024,0.18935,2.197],
    [1024,0.19059,2.2081],[1024,0.16766,1.8219],[1024,0.15681,1.6592],[1024,0.14894,1.622],[1024,0.16394,1.674],[1024,0.15807,1.6411],[1024,0.17366,1.9698],[1024,0.17539,1.9808],
    [1024,0.15817,1.5833],[1024,0.14189,1.3792],[1024,0.13154,1.3285],[1024,0.15713,1.4045],[1024,0.15239,1.3624],[1024,0.17115,1.7872],[1024,0.17317,1.7956],[1024,0.15795,1.4661],
    [1024,0.13825,1.2945],[1024,0.12721,1.2384],[1024,0.15566,1.3204],[1024,0.15086,1.2758],[1024,0.16623,1.4638],[1024,0.1699,1.4725],[1024,0.15849,1.2583],[1024,0.13451,1.1662],
    [1024,0.11899,1.1202],[1024,0.1695,1.1799],[1024,0.15418,1.1612],[1024,0.1651,1.4141],[1024,0.16996,1.4309],[1024,0.15443,1.2224],[1024,0.12973,1.132],[1024,0.11573,1.0998],
    [1024,0.15799,1.1476],[1024,0.14243,1.1446],
  ];

  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
  function line(points) {
    const x = mean(points.map((p) => p[0])), y = mean(points.map((p) => p[1]));
    let xx = 0, yy = 0, xy = 0;
    for (const [a, b] of points) { xx += (a - x) ** 2; yy += (b - y) ** 2; xy += (a - x) * (b - y); }
    return { slope: xy / xx, intercept: y - (xy / xx) * x, r: xy / Math.sqrt(xx * yy) };
  }
  // [[width, spread, loss]]: the spread over the null if `divide`, and a share `out` of each width's mean taken off both.
  function adjusted(models, divide, out) {
    const points = models.map(([w, x, y]) => [w, divide ? x * Math.sqrt(w) : x, y]);
    const all = [mean(points.map((p) => p[1])), mean(points.map((p) => p[2]))];
    const groups = new Map();
    for (const p of points) groups.set(p[0], [...(groups.get(p[0]) ?? []), p]);
    const means = new Map([...groups].map(([w, part]) => [w, [mean(part.map((p) => p[1])), mean(part.map((p) => p[2]))]]));
    return points.map(([w, x, y]) => [w, x - out * (means.get(w)[0] - all[0]), y - out * (means.get(w)[1] - all[1])]);
  }
  live.nullAngle = { lgamma, digamma, trigamma, cosine, logDistance, directions, adjusted, line, MODELS };

  const WIDTHS = [...new Set(MODELS.map(([w]) => w))].sort((a, b) => a - b);
  const color = (w) => `color-mix(in oklab, var(--live-1) ${100 - 20 * WIDTHS.indexOf(w)}%, var(--live-2))`;
  function compute({ d, K, divide, out }) {
    const [dim, classes] = [Math.round(d), Math.round(K)];
    const points = adjusted(MODELS, divide, out), pooled = line(points.map(([, x, y]) => [x, y]));
    const groups = WIDTHS.map((w) => [w, points.filter((p) => p[0] === w)]).map(([w, part]) => [w, part, line(part.map(([, x, y]) => [x, y]))]);
    return { d: dim, K: classes, null: directions(classes, dim), points, pooled, groups };
  }

  function draw(svg, found, { divide, out }, width) {
    const { d, K, points, pooled, groups } = found, { places, height } = live.layout(width, 2, 290);
    const far = Math.min(0.999, 4.5 / Math.sqrt(d)), cosines = Array.from({ length: 181 }, (_, k) => -far + (2 * far * k) / 180).map((c) => [c, cosine(c, d)]);
    const top = Math.max(...cosines.map(([, v]) => v).filter(Number.isFinite));
    const left = live.panel(svg, { ...places[0], x: { from: -far, to: far, label: "cosine of two random directions" }, y: { from: 0, to: 1.35 * Math.min(top, 12 * Math.sqrt(d)) }, title: `density in ${d} dimensions` });
    left.line(cosines, "nc-live-1");
    left.mark(1 / Math.sqrt(d), "nc-live-theory", "1/√d");
    left.mark(-1 / Math.sqrt(d), "nc-live-theory", "");
    left.mark(-1 / (K - 1), "nc-live-now", "ETF", 22);
    const [xs, ys] = [points.map((p) => p[1]), points.map((p) => p[2])];
    const span = (v) => { const [low, high] = [Math.min(...v), Math.max(...v)], room = 0.06 * (high - low); return { from: low - room, to: high + room }; };
    const at = divide ? 1 : 1 / Math.sqrt(Math.max(d, 32));
    const label = divide ? "spread of cosines × √d" : "spread of cosines";
    const right = live.panel(svg, { ...places[1], x: { ...span(out ? xs : [...xs, at]), label }, y: span(ys), title: "validation loss of 210 models" });
    for (const [w, x, y] of points) {
      right.dot(x, y, "nc-live-model", 3);
      svg.lastChild.lastChild.style.fill = color(w);
    }
    const ends = (part, { slope, intercept }, css) => {
      const values = part.map((p) => p[1]), [low, high] = [Math.min(...values), Math.max(...values)];
      right.line([low, high].map((x) => [x, intercept + slope * x]), css);
    };
    ends(points, pooled, "nc-live-theory");
    for (const [w, part, fit] of groups) {
      ends(part, fit, "nc-live-solid");
      svg.lastChild.lastChild.style.stroke = color(w);
    }
    if (!out) right.mark(divide ? 1 : 1 / Math.sqrt(d), "nc-live-now", divide ? "null" : "1/√d", 0);
    return height;
  }

  function describe({ d, pooled, groups, null: known }, { divide, out }) {
    const within = groups.filter(([, , fit]) => fit.slope > 0).length;
    const share = out === 1 ? "Within widths" : out === 0 ? "Over all widths" : `With ${Math.round(100 * out)} % of each width's mean taken out`;
    return `In ${d} dimensions random cosines spread by ${live.digits(known.interferenceStd)}. ${share} the spread${divide ? ", divided by that of random directions," : ""} explains ${live.digits(100 * pooled.r ** 2, 3)} % of the variance of the loss, along a ${pooled.slope > 0 ? "rising" : "falling"} line; within ${within} of ${groups.length} widths the line rises.`;
  }

  live.register?.({
    name: "null-angle",
    label: "The density of the cosine of two random directions, and the loss of 210 language models over the spread of their cosines, colored by width, with a line for all and one for each width; the table has the numbers",
    controls: [
      { key: "d", label: "Dimension d", min: 0.7, max: 3.4, step: 0.005, log: true, start: 2.41, show: (v) => String(Math.round(v)) },
      { key: "K", label: "Classes K", min: 0.5, max: 4.5, step: 0.01, log: true, start: 3, show: (v) => String(Math.round(v)) },
      { key: "out", label: "Share of each width's mean taken out", min: 0, max: 1, step: 0.01, start: 0 },
      { key: "divide", label: "divide by the null 1/√d", type: "check", start: false },
    ],
    compute, draw, describe,
    rows: ({ null: known, pooled, groups }) => [
      ["number", "value"],
      ["spread of random cosines, 1/√d", known.interferenceStd], ["its standard deviation over draws", known.interferenceStdSd],
      ["log-distance of random directions, mean", known.logDistanceMean], ["and spread", known.logDistanceStd],
      ["distance of random directions from an ETF", known.etfError], ["R² of the line over all models", pooled.r ** 2],
      ...groups.map(([w, , fit]) => [`R² within width ${w}`, fit.r ** 2]),
    ],
    python: (_, { K, d }) => `from nclib.nulls import uniform_directions

print(uniform_directions(${K}, ${d}))`,
  });
})();
