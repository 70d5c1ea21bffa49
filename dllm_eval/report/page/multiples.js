// Small multiples: throughput by batch size, and latency by the length of the answer.
const PANELS = [
  { key: "batches", title: "Throughput by batch size", x: "batch size", y: "visible tokens/s", ticks: String, values: (v) => String(Number(v.toPrecision(2))) },
  { key: "lengths", title: "Latency by length of the answer", x: "visible tokens", y: "p50 seconds", ticks: (v) => String(Math.round(v)), values: secondsText },
];

// So many settings have room in a panel; of more, those on the frontier.
const ROOM = 8;
function fewest(place, curves) {
  const best = new Set(place.rows.filter((r) => r.standing === "frontier" || r.kind === "autoregressive").map((r) => r.id));
  return curves.length > ROOM ? curves.filter((c) => best.has(c.id)) : curves;
}

// One panel a setting would hide what they have in common: every panel holds one place, all axes log.
function drawPanel(host, entry, panel, place, all) {
  const curves = fewest(place, all), some = curves.length < all.length ? ", settings on the frontier" : "";
  const box = element("figure", {}, element("figcaption", {}, panel.title + some + (entry.places.length > 1 ? `, ${place.place}` : ""))), width = 360, height = 250;
  host.append(box);
  const svg = frame(box, width, height, `${panel.title}, ${entry.suite}`), points = curves.flatMap((c) => c.points);
  const range = (values, by) => [Math.min(...values) / by, Math.max(...values) * by];
  const bounds = (p) => [p.y, ...p.interval.filter((v) => v !== null && v > 0)];
  const [x0, x1] = range(points.map((p) => p.x), 1.25), [y0, y1] = range(points.flatMap(bounds), 1.3);
  const g = { left: 62, right: width - 8, top: 10, bottom: height - 42 };
  // Lengths are often within a factor of two, where a logarithmic axis has no ticks.
  const near = x1 / x0 < 8 && panel.key === "lengths";
  g.x = near ? (v) => g.left + (g.right - g.left) * (v - x0) / (x1 - x0) : logScale(x0, x1, g.left, g.right);
  g.y = logScale(y0, y1, g.bottom, g.top);
  const xs = unique(points.map((p) => p.x)).sort((a, b) => a - b);
  axes(svg, g, near ? evenTicks(x0, x1) : xs.length < 9 && panel.key === "batches" ? xs : logTicks(x0, x1, 6), logTicks(y0, y1, 6), panel.ticks, panel.values);
  make("text", { x: (g.left + g.right) / 2, y: height - 5, "text-anchor": "middle" }, svg, `${panel.x}${near ? "" : " (log)"}; up: ${panel.y} (log)`);
  for (const curve of curves) {
    const look = place.curves.find((c) => c.series === curve.series), colour = paint(look ? look.colour : "#7F7F7F");
    const name = curve.series + (curve.label ? `, ${curve.label}` : "");
    make("polyline", { points: curve.points.map((p) => `${g.x(p.x)},${g.y(p.y)}`).join(" "), fill: "none", stroke: colour, "stroke-width": 1.6, "stroke-dasharray": DASH[look?.line] || "none" }, svg);
    for (const p of curve.points) drawMeasured(svg, g, panel, look, colour, p, `${name}\n${panel.x} ${Number(p.x.toPrecision(3))}: ${p.text}`);
  }
  // Words last, each where it covers no point and no other word.
  const taken = points.map((p) => [g.x(p.x) - 5, g.y(p.y) - 5, g.x(p.x) + 5, g.y(p.y) + 5]), inside = [g.left, g.top - 10, g.right, g.bottom];
  for (const curve of curves) {
    const look = place.curves.find((c) => c.series === curve.series), end = curve.points[curve.points.length - 1];
    label(svg, taken, curve.label || curve.model, g.x(end.x), g.y(end.y), false, inside, paint(look ? look.colour : "#7F7F7F", 4.5));
  }
  roving([...svg.querySelectorAll(".point")]);
  legend(box, place.curves.filter((c) => curves.some((x) => x.series === c.series)), svg);
  tools(box, `${panel.key} ${entry.suite}`, { title: `${entry.suite}: ${panel.title.toLowerCase()}`, up: panel.y, place: place.place });
}

function evenTicks(low, high) {
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((v) => v >= rough && v >= 1) || 1;
  return [...Array(Math.floor(high / step) + 1).keys()].map((i) => i * step).filter((v) => v >= low);
}

function drawMeasured(svg, g, panel, look, colour, p, words) {
  const x = g.x(p.x), y = g.y(p.y), [low, high] = p.interval;
  const node = make("g", { class: "point", role: "img", "aria-label": words }, svg);
  make("circle", { class: "halo", cx: x, cy: y, r: 12, fill: colour }, node);
  if (low > 0 && high !== null) make("line", { x1: x, x2: x, y1: g.y(low), y2: g.y(high), stroke: colour, "stroke-width": 1.4 }, node);
  marker(look ? look.marker : "o", x, y, 4, { fill: colour }, node);
  hint(node, words);
}

function drawMultiples(suite, entry) {
  const host = suite.querySelector(".multiples");
  host.replaceChildren();
  for (const panel of PANELS) for (const place of shownPlaces(entry)) {
    const curves = entry[panel.key].filter((c) => c.place === place.place && isShown("model", c.model));
    if (fewest(place, curves).length) drawPanel(host, entry, panel, place, curves);
  }
  host.hidden = !host.children.length;
}
