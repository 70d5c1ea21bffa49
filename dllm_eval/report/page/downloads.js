// Files made in the browser from what is embedded: the leaderboard as CSV, a chart as SVG or PNG.
const BOARD = read("board");
const STYLES = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-weight", "font-family", "text-anchor", "paint-order"];

function save(name, blob) {
  const link = element("a", { download: name, href: URL.createObjectURL(blob) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const fileName = (text, end) => `${text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "")}.${end}`;

// Quotes as Python's csv module does, so that the file equals leaderboard.csv while all is shown.
const quoted = (value) => (/[",\n\r]/.test(value) ? `"${value.replace(/"/g, '""')}"` : value);

function boardRows() {
  const [header, ...rows] = BOARD, column = (name) => header.indexOf(name);
  const [suite, model, machine, stack] = ["suite", "model", "machine", "stack"].map(column);
  const place = (row) => [row[machine], row[stack]].filter(Boolean).join(" / ") || "unknown machine";
  const shown = rows.filter((row) => isShown("suite", row[suite]) && isShown("model", row[model]) && isShown("place", place(row)));
  return { header, rows, shown };
}

function offerBoard() {
  const { header, rows, shown } = boardRows(), host = document.querySelector("#leaderboard .tools");
  const count = shown.length === rows.length ? "" : ` (${shown.length} of ${rows.length} rows)`;
  const text = () => [header, ...shown].map((row) => `${row.map(quoted).join(",")}\n`).join("");
  host.replaceChildren(button(`Download as CSV${count}`, () => save("leaderboard.csv", new Blob([text()], { type: "text/csv" }))));
}

// Room for what a saved chart says beside and above itself.
const LEFT = 24, ABOVE = 50;

// A copy of a chart that needs no page: styles written out, its legend below it, paper behind it.
// `said`: its title, the name of the upright axis, and the machine.
function standalone(chart, said) {
  const copy = chart.cloneNode(true), styled = [...chart.querySelectorAll("*")];
  [...copy.querySelectorAll("*")].forEach((node, i) => {
    const style = getComputedStyle(styled[i]);
    for (const name of STYLES) node.setAttribute(name, style.getPropertyValue(name));
    for (const name of ["style", "class", "tabindex", "role", "aria-haspopup"]) node.removeAttribute(name);
  });
  for (const halo of copy.querySelectorAll('circle[r="13"], circle[r="12"]')) halo.remove();
  const { width, height } = chart.viewBox.baseVal, entries = [...chart.parentElement.querySelectorAll(".legend li")];
  const ink = getComputedStyle(document.body), total = height + 14 + 20 * entries.length;
  const paper = { width: width + LEFT, height: total + ABOVE };
  for (const [name, value] of Object.entries({ xmlns: SVG, ...paper, viewBox: `${-LEFT} ${-ABOVE} ${paper.width} ${paper.height}` })) copy.setAttribute(name, value);
  copy.prepend(make("rect", { x: -LEFT, y: -ABOVE, ...paper, fill: ink.backgroundColor }));
  const write = (text, more) => make("text", { fill: ink.color, "font-size": 12, "font-family": ink.fontFamily, ...more }, copy, text);
  // A long line is written smaller, not cut off.
  const size = (text, most) => Math.min(most, 1.75 * paper.width / text.length);
  write(said.title, { x: 8 - LEFT, y: 20 - ABOVE, "font-size": size(said.title, 15), "font-weight": 600 });
  write(said.place, { x: 8 - LEFT, y: 38 - ABOVE, "font-size": size(said.place, 12) });
  write(said.up, { transform: `translate(-10 ${height / 2}) rotate(-90)`, "text-anchor": "middle" });
  entries.forEach((entry, i) => {
    const line = make("g", { transform: `translate(8 ${height + 12 + 20 * i})` }, copy), sign = entry.querySelector("svg");
    if (sign) line.append(...[...sign.cloneNode(true).children]);
    make("text", { x: sign ? 34 : 0, y: 11, fill: ink.color, "font-size": 12, "font-family": ink.fontFamily }, line, entry.textContent);
  });
  return new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" });
}

function saveImage(chart, name, said) {
  const source = URL.createObjectURL(standalone(chart, said)), image = new Image();
  image.addEventListener("load", () => {
    const canvas = element("canvas", { width: 2 * image.width, height: 2 * image.height });
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    URL.revokeObjectURL(source);
    canvas.toBlob((blob) => save(name, blob), "image/png");
  });
  image.src = source;
}

// The two buttons below the chart in `host`.
function tools(host, name, said) {
  const chart = host.querySelector("svg.chart");
  host.append(element("p", { class: "tools" },
    button("SVG", () => save(fileName(name, "svg"), standalone(chart, said)), { "aria-label": `Download the chart ${name} as SVG` }), " ",
    button("PNG", () => saveImage(chart, fileName(name, "png"), said), { "aria-label": `Download the chart ${name} as PNG` })));
}
