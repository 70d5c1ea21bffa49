// The frontier chart, drawn from the embedded numbers. No dependency.
// So many series have room for their bands, and for a line each to the margin.
const FEW = 4;

// 1, 2, 5 ticks inside [low, high]; thinned until they have room.
function logTicks(low, high, most) {
  const all = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
    for (const m of [1, 2, 5]) { const v = m * 10 ** e; if (v >= low && v <= high) all.push([v, m]); }
  const rough = all.filter(([, m]) => m === 1);
  if (all.length < 3) return closeTicks(low, high);
  return (all.length <= most || rough.length < 2 ? all : rough).map(([v]) => v);
}

// Of values close together, where 1, 2, 5 would leave one tick or none.
function closeTicks(low, high) {
  const least = (high - low) / 4, power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((m) => m * power).find((v) => v >= least * .999), first = Math.ceil(low / step);
  return [...Array(Math.floor(high / step) - first + 1).keys()].map((i) => Number(((first + i) * step).toPrecision(6)));
}

const ring = (corners, l) => [...Array(corners).keys()].map((i) => { const a = 2 * Math.PI * i / corners; return [l * Math.sin(a), -l * Math.cos(a)]; });

function marker(kind, x, y, r, attributes, parent) {
  const polygon = (points) => make("polygon", {
    points: points.map(([a, b]) => `${x + a * r},${y + b * r}`).join(" "), ...attributes }, parent);
  switch (kind) {
    case "s": return polygon([[-.9, -.9], [.9, -.9], [.9, .9], [-.9, .9]]);
    case "^": return polygon([[0, -1.2], [1.1, .8], [-1.1, .8]]);
    case "v": return polygon([[0, 1.2], [1.1, -.8], [-1.1, -.8]]);
    case "<": return polygon([[-1.2, 0], [.8, -1.1], [.8, 1.1]]);
    case ">": return polygon([[1.2, 0], [-.8, -1.1], [-.8, 1.1]]);
    case "p": return polygon(ring(5, 1.15));
    case "h": return polygon(ring(6, 1.1));
    case "d": return polygon([[0, -1.3], [.8, 0], [0, 1.3], [-.8, 0]]);
    case "D": return polygon([[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]]);
    case "P": return polygon([[-.4, -1.1], [.4, -1.1], [.4, -.4], [1.1, -.4], [1.1, .4], [.4, .4], [.4, 1.1], [-.4, 1.1], [-.4, .4], [-1.1, .4], [-1.1, -.4], [-.4, -.4]]);
    case "H": return polygon(ring(6, 1.15).map(([a, b]) => [b, a]));
    case "*": return polygon([...Array(10).keys()].map((i) => { const a = Math.PI * i / 5, l = i % 2 ? .55 : 1.4; return [l * Math.sin(a), -l * Math.cos(a)]; }));
    case "x": return make("path", { d: `M${x - r},${y - r}L${x + r},${y + r}M${x - r},${y + r}L${x + r},${y - r}`, ...attributes, fill: "none" }, parent);
    default: return make("circle", { cx: x, cy: y, r, ...attributes }, parent);
  }
}

// A server may report the tokens of an answer, but hardly ever a canvas.
const tokensText = (p) => (p.canvas_known ? `${p.visible_text} visible of ${p.canvas_text} canvas tokens, ${p.speed_text} tokens/s` : `visible tokens: ${p.visible_text}; tokens/s: ${p.speed_text}`);

// What a dial says beside a point: a number, or a word such as an effort.
const dialText = (p) => (p.dial === null ? "" : p.dial_word || String(p.dial));
// Beside a point of seconds: its dial, and the mark of a busy machine.
const pointText = (p) => [dialText(p), p.busy_mark].filter(Boolean).join(" ");

const describe = (p) => [
  p.series + (p.label ? `, ${p.label}` : ""),
  `quality ${p.quality_text} (${p.quality_span})`,
  p.noise_text,
  `p50 ${p.latency_text} (${p.latency_span})`,
  p.estimator ? `${p.nfe_text} canvases scored` : p.nfe === null ? `forwards: ${p.nfe_text}` : `${p.nfe_text} forwards, ${p.forward_text} each`,
  p.estimator ? `estimator ${p.estimator}` : tokensText(p),
  p.p_frontier_text === "–" ? "" : `on the frontier in ${p.p_frontier_text} of resamples`,
  p.verdict ? `against AR: ${p.verdict}` : "",
].filter(Boolean).join("\n");

function frame(host, width, height, label) {
  const svg = make("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label });
  host.append(svg);
  return svg;
}

// A point that says what it is, turns the suite's dial to itself and opens the drawer when pressed.
function pointNode(svg, curve, p, x, y, suite, plain) {
  const colour = paint(curve.colour), size = curve.kind === "autoregressive" ? 6 : 5.2;
  const node = make("g", { class: "point", role: "button", "aria-haspopup": "dialog", "aria-label": describe(p), "data-dial": p.dial ?? "", "data-series": p.series, "data-id": p.id }, svg);
  make("circle", { class: "halo", cx: x, cy: y, r: 13, fill: colour }, node);
  // Crossed as in the drawn figures: guessing is on no frontier.
  // Pale where nothing may be said of who beats it: standing.py.
  const fill = plain || p.standing !== "beaten" ? colour : "var(--paper)", pale = plain || p.standing !== "open" ? 1 : .35;
  marker(p.above_chance ? curve.marker : "x", x, y, plain || !p.faded ? size : .6 * size,
    { fill, "fill-opacity": pale, stroke: colour, "stroke-width": 2 }, node);
  if (plain && p.busy_mark) make("text", { x: x + 8, y: y - 6, class: "value" }, node, p.busy_mark);
  hint(node, describe(p));
  const press = () => {
    suite.dispatchEvent(new CustomEvent("dial", { detail: p.id }));
    openDrawer(Number(suite.dataset.suite), p.id);
  };
  node.addEventListener("click", press);
  node.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    press();
  });
}

function rove(svg) {
  const at = (node) => node.querySelector(".halo").cx.baseVal.value;
  const points = [...svg.querySelectorAll(".point")].sort((a, b) => at(a) - at(b));
  roving(points);
  svg.setAttribute("aria-label", `${svg.getAttribute("aria-label")}: ${points.length} points, arrow keys go from one to the next`);
}

// Writes a text near a point, never over another text; of a crowded chart only where it covers nothing. Says whether it did.
function label(svg, taken, text, x, y, faded, box, colour) {
  const w = 7.4 * text.length + 4, h = 14;
  const spots = [[0, -15], [-14, -12], [14, 13], [0, 17], [14, -12], [14, 13], [-14, 13], [17, 0], [-17, 0], [0, -27], [0, 29], [0, -41], [0, 43], [28, -14], [-28, -14], [28, 16], [-28, 16]];
  let best = null, least = Infinity;
  for (const [dx, dy] of spots) {
    const r = [x + dx - w / 2, y + dy - h / 2, x + dx + w / 2, y + dy + h / 2];
    const over = (t) => Math.max(0, Math.min(r[2], t[2]) - Math.max(r[0], t[0])) * Math.max(0, Math.min(r[3], t[3]) - Math.max(r[1], t[1]));
    let cost = taken.reduce((sum, t) => sum + over(t), 0);
    r.words = taken.filter((t) => t.words !== undefined).reduce((sum, t) => sum + over(t), 0);
    if (r[0] < box[0] || r[2] > box[2] || r[1] < box[1] || r[3] > box[3]) cost += 400;
    if (cost < least) { least = cost; best = [dx, dy, r]; }
  }
  if ((colour ? least : best[2].words) > .03 * w * h) return false;
  taken.push(best[2]);
  make("text", { x: x + best[0], y: y + best[1] + 4, "text-anchor": "middle", class: faded ? "value faded" : "value", ...(colour ? { style: `fill:${colour}` } : {}) }, svg, text);
  return true;
}

function axes(svg, g, xTicks, yTicks, xText, yText) {
  for (const t of yTicks) {
    make("line", { class: "grid", x1: g.left, x2: g.right, y1: g.y(t), y2: g.y(t) }, svg);
    make("text", { x: g.left - 7, y: g.y(t) + 4, "text-anchor": "end" }, svg, yText(t));
  }
  for (const t of xTicks) {
    make("line", { class: "grid", x1: g.x(t), x2: g.x(t), y1: g.top, y2: g.bottom }, svg);
    make("text", { x: g.x(t), y: g.bottom + 17, "text-anchor": "middle" }, svg, xText(t));
  }
}

const logScale = (low, high, a, b) => (v) => a + (b - a) * Math.log(v / low) / Math.log(high / low);

function drawFrontier(host, entry, place, suite) {
  const narrow = host.clientWidth < 480;
  const crowded = place.curves.length > FEW;
  const width = narrow ? 400 : 660, height = (narrow ? 330 : 390) + (crowded ? 90 : 0);
  const svg = frame(host, width, height, `Quality against latency, ${entry.suite}`);
  const points = place.curves.flatMap((c) => c.points);
  const times = points.map((p) => p.latency_s);
  const low = Math.min(...times) / 1.3, high = Math.max(...times) * 1.35;
  const g = { left: 46, right: width - 8, top: 12, bottom: height - 44 };
  g.x = logScale(low, high, g.left, g.right);
  // Of a metric that is better where it is lower the best is on top as well, in its own numbers.
  const own = entry.axis, worst = own ? own.low : -.03, range = own ? own.high - own.low : 1.08;
  const said = new Map(own ? own.ticks : []);
  g.y = (q) => g.bottom - (g.bottom - g.top) * (q - worst) / range;
  axes(svg, g, logTicks(low, high, narrow ? 5 : 9), own ? [...said.keys()] : [0, .2, .4, .6, .8, 1], secondsText, (q) => said.get(q) ?? `${Math.round(100 * q)} %`);
  make("text", { x: (g.left + g.right) / 2, y: height - 6, "text-anchor": "middle" }, svg, `p50 latency per ${entry.unit}, ${entry.alone} (log)`);
  if (entry.bounds) make("text", { x: g.left + 4, y: g.bottom - 6, class: "bounds" }, svg, entry.bounds);
  if (entry.chance > 0) {
    make("line", { x1: g.left, x2: g.right, y1: g.y(entry.chance), y2: g.y(entry.chance), stroke: "var(--soft)", "stroke-dasharray": "1 4" }, svg);
    make("text", { x: g.right - 2, y: g.y(entry.chance) + 14, "text-anchor": "end" }, svg, "chance");
  }
  const groups = new Map(place.curves.map((c) => [c.series, make("g", { class: "series", "data-series": c.series }, svg)]));
  for (const curve of place.curves) drawCurve(groups.get(curve.series), g, curve, low, high, crowded);
  const taken = points.map((p) => { const x = g.x(p.latency_s), y = g.y(p.quality); return [x - 6, y - 6, x + 6, y + 6]; });
  const box = [g.left, g.top - 12, g.right + 8, g.bottom];
  for (const curve of place.curves) for (const p of curve.points) {
    const x = g.x(p.latency_s), y = g.y(p.quality);
    if (pointText(p) && !crowded) label(svg, taken, pointText(p), x, y, p.faded, box);
    pointNode(groups.get(curve.series), curve, p, x, y, suite, false);
  }
  if (crowded) nameSeries(groups, g, place.curves, taken, box);
  rove(svg);
  legend(host, place.curves, svg);
}

// Of a crowded chart: each series' name at its best point, then the dial's values where there is room.
function nameSeries(groups, g, curves, taken, box) {
  const put = (curve, p, text) => label(groups.get(curve.series), taken, text, g.x(p.latency_s), g.y(p.quality), false, box, paint(curve.colour, 4.5));
  const rest = [];
  for (const curve of curves) {
    const own = curve.points.filter((p) => p.on_own_frontier || p.busy_mark);
    if (!own.length) continue;
    const best = own.reduce((a, b) => (b.quality > a.quality ? b : a));
    const short = curve.composition.length > 0 && curve.composition.length <= 24;
    const named = short && put(curve, best, `${curve.composition} ${pointText(best)}`.trim());
    rest.push(...own.filter((p) => !(named && p === best)).map((p) => [curve, p]));
  }
  for (const [curve, p] of rest) if (pointText(p)) put(curve, p, pointText(p));
}

function drawCurve(svg, g, curve, low, high, crowded) {
  const colour = paint(curve.colour);
  if (curve.kind === "autoregressive") {
    const top = g.y(Math.max(...curve.points.map((p) => p.quality)));
    make("line", { x1: g.left, x2: g.right, y1: top, y2: top, stroke: colour, "stroke-width": 1.6, "stroke-dasharray": "2 4" }, svg);
    return;
  }
  const band = crowded ? [] : curve.band.filter(([t, down, up]) => down !== null && up !== null && t >= low && t <= high);
  if (band.length) {
    band.push([high, ...band[band.length - 1].slice(1)]);
    const steps = (k) => band.flatMap(([t, ...q], i) => {
      const y = g.y(q[k]), next = band[Math.min(i + 1, band.length - 1)][0];
      return [[g.x(t), y], [g.x(next), y]];
    });
    const outline = [...steps(1), ...steps(0).reverse()];
    make("polygon", { points: outline.map((p) => p.map((v) => v.toFixed(1)).join(",")).join(" "), fill: colour, opacity: .16 }, svg);
  }
  let path = "";
  curve.stairs.forEach(([t, q], i) => { path += i ? `H${g.x(t)}V${g.y(q)}` : `M${g.x(t)},${g.y(q)}`; });
  make("path", { d: crowded ? path : `${path}H${g.right}`, fill: "none", stroke: colour, "stroke-width": crowded ? 1.4 : 2, "stroke-dasharray": DASH[curve.line] || "none" }, svg);
}

