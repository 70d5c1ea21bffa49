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

