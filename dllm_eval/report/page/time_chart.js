// Seconds against work: what one forward costs. What a server does not report has no place here.
const worked = (curve) => curve.points.filter((p) => p.nfe !== null);

function drawTime(host, entry, place, suite) {
  if (!place.curves.some((c) => worked(c).length)) {
    host.append(element("p", { class: "small" }, `Not drawn: the server reports no ${entry.work}.`));
    return;
  }
  const width = 400, height = 330, svg = frame(host, width, height, `Seconds against ${entry.work}, ${entry.suite}`);
  const points = place.curves.flatMap(worked);
  const spread = (values, by) => [Math.min(...values) / by, Math.max(...values) * by];
  const [x0, x1] = spread(points.map((p) => p.nfe), 1.4), [y0, y1] = spread(points.map((p) => p.latency_s), 1.5);
  const g = { left: 62, right: width - 8, top: 12, bottom: height - 44 };
  g.x = logScale(x0, x1, g.left, g.right);
  g.y = logScale(y0, y1, g.bottom, g.top);
  axes(svg, g, logTicks(x0, x1, 7), logTicks(y0, y1, 8), String, secondsText);
  make("text", { x: (g.left + g.right) / 2, y: height - 6, "text-anchor": "middle" }, svg, `${entry.work} per ${entry.unit} (log)`);
  for (const curve of place.curves) {
    const sorted = worked(curve).sort((a, b) => a.nfe - b.nfe);
    make("polyline", { points: sorted.map((p) => `${g.x(p.nfe)},${g.y(p.latency_s)}`).join(" "), fill: "none", stroke: paint(curve.colour), "stroke-width": 1.8, "stroke-dasharray": DASH[curve.line] || "none" }, svg);
    for (const p of sorted) pointNode(svg, curve, p, g.x(p.nfe), g.y(p.latency_s), suite, true);
  }
  rove(svg);
  const silent = unique(place.curves.filter((c) => worked(c).length < c.points.length).map((c) => c.series));
  if (silent.length) host.append(element("p", { class: "small" }, `Not drawn, because the server reports no ${entry.work}: ${silent.join(", ")}.`));
}

function forwardsText(entry, place) {
  // Of each model the setting with most forwards, which says most about the cost of one.
  const models = [...new Set(place.curves.map((c) => c.model))];
  return models.map((model) => {
    const points = place.curves.filter((c) => c.model === model).flatMap(worked);
    if (!points.length) return `${model}: ${entry.work} not reported`;
    const last = points.reduce((a, b) => (b.nfe > a.nfe ? b : a)), at = last.label ? ` at ${last.label}` : "";
    if (last.estimator) return `${last.series}: ${last.nfe_text} scored in ${last.latency_text}${at}`;
    return `${last.series}: ${last.nfe_text} forwards of ${last.forward_text}${at}`;
  }).join("; ") + ".";
}
