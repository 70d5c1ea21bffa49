"use strict";
// The frontier and time charts, drawn from the embedded numbers. No dependency.
const DATA = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";
const dark = matchMedia("(prefers-color-scheme: dark)");
// On a dark page the darkest colours are swapped for lighter ones of the same hue.
const LIGHTER = { "#0072B2": "#4FB0EA", "#D55E00": "#FF8A3D", "#009E73": "#2CC79B", "#000000": "#E9ECEF", "#332288": "#9A8FF2", "#882255": "#E0679B", "#84563C": "#C99B7E" };
const DASH = { "--": "6 4", "-.": "8 3 2 3", ":": "2 3" };
// So many series have room for their bands, and for a line each to the margin.
const FEW = 4;
const paint = (colour) => (dark.matches && LIGHTER[colour]) || colour;

function make(name, attributes, parent, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

function secondsText(s) {
  const [value, unit] = s >= 1 ? [s, "s"] : s >= 1e-3 ? [s * 1e3, "ms"] : [s * 1e6, "µs"];
  return `${Number(value.toPrecision(3))} ${unit}`;
}

// 1, 2, 5 ticks inside [low, high]; thinned until they have room.
function logTicks(low, high, most) {
  const all = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
    for (const m of [1, 2, 5]) { const v = m * 10 ** e; if (v >= low && v <= high) all.push([v, m]); }
  const rough = all.filter(([, m]) => m === 1);
  return (all.length <= most || rough.length < 2 ? all : rough).map(([v]) => v);
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
    case "X": return polygon([[-1, -1], [-.4, -1], [0, -.4], [.4, -1], [1, -1], [.4, 0], [1, 1], [.4, 1], [0, .4], [-.4, 1], [-1, 1], [-.4, 0]]);
    case "*": return polygon([...Array(10).keys()].map((i) => { const a = Math.PI * i / 5, l = i % 2 ? .55 : 1.4; return [l * Math.sin(a), -l * Math.cos(a)]; }));
    default: return make("circle", { cx: x, cy: y, r, ...attributes }, parent);
  }
}

const tip = document.getElementById("tip");
function hint(node, text) {
  const show = () => {
    tip.textContent = text;
    tip.hidden = false;
    const box = node.getBoundingClientRect();
    const left = Math.min(Math.max(8, box.left + box.width / 2 - tip.offsetWidth / 2), innerWidth - tip.offsetWidth - 8);
    const above = box.top - tip.offsetHeight - 8;
    tip.style.left = `${left + scrollX}px`;
    tip.style.top = `${(above > 4 ? above : box.bottom + 8) + scrollY}px`;
  };
  const hide = () => { tip.hidden = true; };
  node.addEventListener("pointerenter", show);
  node.addEventListener("focus", show);
  node.addEventListener("pointerleave", hide);
  node.addEventListener("blur", hide);
  node.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
}

const describe = (p) => [
  p.series + (p.label ? `, ${p.label}` : ""),
  `quality ${p.quality_text} (${p.quality_span})`,
  p.noise_text,
  `p50 ${p.latency_text} (${p.latency_span})`,
  p.estimator ? `${p.nfe_text} canvases scored` : `${p.nfe_text} forwards, ${p.forward_text} each`,
  p.estimator ? `estimator ${p.estimator}` : `${p.visible_text} visible of ${p.canvas_text} canvas tokens, ${p.speed_text} tokens/s`,
  `on the frontier in ${p.p_frontier_text} of resamples`,
  p.verdict ? `against AR: ${p.verdict}` : "",
].filter(Boolean).join("\n");

function frame(host, width, height, label) {
  const svg = make("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label });
  host.append(svg);
  return svg;
}

function pointNode(svg, curve, p, x, y, suite) {
  const colour = paint(curve.colour);
  const node = make("g", { class: "point", tabindex: 0, role: "img", "aria-label": describe(p), "data-dial": p.dial ?? "", "data-series": p.series, opacity: p.on_own_frontier ? 1 : .45 }, svg);
  make("circle", { class: "halo", cx: x, cy: y, r: 13, fill: colour }, node);
  marker(curve.marker, x, y, curve.kind === "autoregressive" ? 6 : 5.2,
    { fill: p.on_frontier ? colour : "var(--paper)", stroke: colour, "stroke-width": 2 }, node);
  hint(node, describe(p));
  if (suite) node.addEventListener("click", () => suite.dispatchEvent(new CustomEvent("dial", { detail: { series: p.series, dial: p.dial } })));
}

// Writes a text near a point; of a crowded chart only where it covers nothing. Says whether it did.
function label(svg, taken, text, x, y, faded, box, colour) {
  const w = 7.4 * text.length + 4, h = 14;
  const spots = [[0, -15], [-14, -12], [14, 13], [0, 17], [14, -12], [14, 13], [-14, 13], [17, 0], [-17, 0], [0, -27], [0, 29]];
  let best = null, least = Infinity;
  for (const [dx, dy] of spots) {
    const r = [x + dx - w / 2, y + dy - h / 2, x + dx + w / 2, y + dy + h / 2];
    let cost = taken.reduce((sum, t) => sum + Math.max(0, Math.min(r[2], t[2]) - Math.max(r[0], t[0])) * Math.max(0, Math.min(r[3], t[3]) - Math.max(r[1], t[1])), 0);
    if (r[0] < box[0] || r[2] > box[2] || r[1] < box[1] || r[3] > box[3]) cost += 400;
    if (cost < least) { least = cost; best = [dx, dy, r]; }
  }
  if (colour && least > .03 * w * h) return false;
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
  g.y = (q) => g.bottom - (g.bottom - g.top) * (q + .03) / 1.08;
  axes(svg, g, logTicks(low, high, narrow ? 5 : 9), [0, .2, .4, .6, .8, 1], secondsText, (q) => `${Math.round(100 * q)} %`);
  make("text", { x: (g.left + g.right) / 2, y: height - 6, "text-anchor": "middle" }, svg, `p50 latency per ${entry.unit}, ${entry.alone} (log)`);
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
    if (p.dial !== null && !crowded) label(svg, taken, String(p.dial), x, y, !p.on_own_frontier, box);
    pointNode(groups.get(curve.series), curve, p, x, y, suite);
  }
  if (crowded) nameSeries(groups, g, place.curves, taken, box);
  legend(host, place.curves, svg);
}

// Of a crowded chart: each series' name at its best point, then the dial's values where there is room.
function nameSeries(groups, g, curves, taken, box) {
  const put = (curve, p, text) => label(groups.get(curve.series), taken, text, g.x(p.latency_s), g.y(p.quality), false, box, paint(curve.colour));
  const value = (p) => (p.dial === null ? "" : String(p.dial));
  const rest = [];
  for (const curve of curves) {
    const own = curve.points.filter((p) => p.on_own_frontier);
    if (!own.length) continue;
    const best = own.reduce((a, b) => (b.quality > a.quality ? b : a));
    const short = curve.composition.length > 0 && curve.composition.length <= 24;
    const named = short && put(curve, best, `${curve.composition} ${value(best)}`.trim());
    rest.push(...own.filter((p) => !(named && p === best)).map((p) => [curve, p]));
  }
  for (const [curve, p] of rest) if (value(p)) put(curve, p, value(p));
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

// One entry a series; pointing at it leaves the others faint. A model with several is named once.
function legend(host, curves, chart) {
  const list = document.createElement("ul");
  list.className = "legend";
  const several = (curve) => curves.filter((c) => c.model === curve.model).length > 1;
  let head = "";
  for (const curve of [...curves].sort((a, b) => (a.kind !== "diffusion") - (b.kind !== "diffusion"))) {
    const item = document.createElement("li"), svg = make("svg", { viewBox: "0 0 26 14", "aria-hidden": true });
    const colour = paint(curve.colour);
    if (several(curve) && curve.model !== head) {
      const name = document.createElement("li");
      name.className = "head";
      name.textContent = `${curve.model}:`;
      list.append(name);
    }
    head = curve.model;
    make("line", { x1: 0, x2: 26, y1: 7, y2: 7, stroke: colour, "stroke-width": 2, "stroke-dasharray": curve.kind === "autoregressive" ? "2 4" : DASH[curve.line] || "none" }, svg);
    marker(curve.marker, 13, 7, 4.6, { fill: colour }, svg);
    item.append(svg, several(curve) ? curve.composition || "as published" : curve.series);
    for (const [event, on] of [["pointerenter", true], ["pointerleave", false]])
      item.addEventListener(event, () => {
        chart.classList.toggle("picking", on);
        for (const group of chart.querySelectorAll("g.series")) group.classList.toggle("picked", on && group.dataset.series === curve.series);
      });
    list.append(item);
  }
  host.append(list);
}

function drawTime(host, entry, place) {
  const width = 400, height = 330, svg = frame(host, width, height, `Seconds against ${entry.work}, ${entry.suite}`);
  const points = place.curves.flatMap((c) => c.points);
  const spread = (values, by) => [Math.min(...values) / by, Math.max(...values) * by];
  const [x0, x1] = spread(points.map((p) => p.nfe), 1.4), [y0, y1] = spread(points.map((p) => p.latency_s), 1.5);
  const g = { left: 62, right: width - 8, top: 12, bottom: height - 44 };
  g.x = logScale(x0, x1, g.left, g.right);
  g.y = logScale(y0, y1, g.bottom, g.top);
  axes(svg, g, logTicks(x0, x1, 7), logTicks(y0, y1, 8), String, secondsText);
  make("text", { x: (g.left + g.right) / 2, y: height - 6, "text-anchor": "middle" }, svg, `${entry.work} per ${entry.unit} (log)`);
  for (const curve of place.curves) {
    const sorted = [...curve.points].sort((a, b) => a.nfe - b.nfe);
    make("polyline", { points: sorted.map((p) => `${g.x(p.nfe)},${g.y(p.latency_s)}`).join(" "), fill: "none", stroke: paint(curve.colour), "stroke-width": 1.8, "stroke-dasharray": DASH[curve.line] || "none" }, svg);
    for (const p of sorted) pointNode(svg, curve, { ...p, on_own_frontier: true, on_frontier: true }, g.x(p.nfe), g.y(p.latency_s), null);
  }
}

function forwardsText(place) {
  // Of each model the setting with most forwards, which says most about the cost of one.
  const models = [...new Set(place.curves.map((c) => c.model))];
  return models.map((model) => {
    const points = place.curves.filter((c) => c.model === model).flatMap((c) => c.points);
    const last = points.reduce((a, b) => (b.nfe > a.nfe ? b : a)), at = last.label ? ` at ${last.label}` : "";
    if (last.estimator) return `${last.series}: ${last.nfe_text} scored in ${last.latency_text}${at}`;
    return `${last.series}: ${last.nfe_text} forwards of ${last.forward_text}${at}`;
  }).join("; ") + ".";
}

function drawSuites() {
  for (const suite of document.querySelectorAll("section.suite")) {
    const entry = DATA[suite.dataset.suite];
    const [left, right, words] = [".frontier", ".time", ".forwards"].map((name) => suite.querySelector(name));
    left.replaceChildren();
    right.replaceChildren();
    words.textContent = "";
    for (const place of entry.places) {
      if (!place.curves.length) continue;
      if (entry.places.length > 1) for (const host of [left, right]) {
        const title = document.createElement("p");
        title.className = "place";
        title.textContent = place.place;
        host.append(title);
      }
      drawFrontier(left, entry, place, suite);
      drawTime(right, entry, place);
      words.textContent += `${entry.places.length > 1 ? `${place.place}: ` : ""}${forwardsText(place)} `;
    }
    if (words.textContent) words.textContent += entry.work === "forward passes"
      ? "A straight rising line means that every forward costs the same."
      : `Seconds are per ${entry.unit}${entry.unit === "question" ? ", all its choices together" : ""}; many canvases share a forward, so no cost of one forward is given.`;
    if (!left.children.length) left.textContent = "Latency was not measured for this suite.";
  }
}
drawSuites();
dark.addEventListener("change", drawSuites);
