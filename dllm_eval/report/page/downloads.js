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

// A copy of a chart that needs no page: styles written out, its legend below it, paper behind it.
function standalone(chart) {
  const copy = chart.cloneNode(true), styled = [...chart.querySelectorAll("*")];
  [...copy.querySelectorAll("*")].forEach((node, i) => {
    const style = getComputedStyle(styled[i]);
    for (const name of STYLES) node.setAttribute(name, style.getPropertyValue(name));
    for (const name of ["style", "class", "tabindex", "role", "aria-haspopup"]) node.removeAttribute(name);
  });
  for (const halo of copy.querySelectorAll('circle[r="13"], circle[r="12"]')) halo.remove();
  const { width, height } = chart.viewBox.baseVal, entries = [...chart.parentElement.querySelectorAll(".legend li")];
  const ink = getComputedStyle(document.body), total = height + 14 + 20 * entries.length;
  for (const [name, value] of Object.entries({ xmlns: SVG, width, height: total, viewBox: `0 0 ${width} ${total}` })) copy.setAttribute(name, value);
  copy.prepend(make("rect", { width, height: total, fill: ink.backgroundColor }));
  entries.forEach((entry, i) => {
    const line = make("g", { transform: `translate(8 ${height + 12 + 20 * i})` }, copy), sign = entry.querySelector("svg");
    if (sign) line.append(...[...sign.cloneNode(true).children]);
    make("text", { x: sign ? 34 : 0, y: 11, fill: ink.color, "font-size": 12, "font-family": ink.fontFamily }, line, entry.textContent);
  });
  return new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" });
}

function saveImage(chart, name) {
  const source = URL.createObjectURL(standalone(chart)), image = new Image();
  image.addEventListener("load", () => {
    const canvas = element("canvas", { width: 2 * image.width, height: 2 * image.height });
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    URL.revokeObjectURL(source);
    canvas.toBlob((blob) => save(name, blob), "image/png");
  });
  image.src = source;
}

// The two buttons below the chart in `host`.
function tools(host, name) {
  const chart = host.querySelector("svg.chart");
  host.append(element("p", { class: "tools" },
    button("SVG", () => save(fileName(name, "svg"), standalone(chart)), { "aria-label": `Download the chart ${name} as SVG` }), " ",
    button("PNG", () => saveImage(chart, fileName(name, "png")), { "aria-label": `Download the chart ${name} as PNG` })));
}
