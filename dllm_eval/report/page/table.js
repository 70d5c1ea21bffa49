"use strict";
// Sorting the leaderboards, best first. Unknown values stay at the bottom in either direction.
// Columns in which less is better, or a name comes first.
const LESS = /^(model|sampler|tier|settings|request|p50 latency|latency|NFE|canvas|mean stderr|Monte-Carlo|documents ±|answers another|energy|peak memory|ELBO loose|at most)/;
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const before = head.getAttribute("aria-sort"), down = before ? before !== "descending" : !LESS.test(head.textContent.trim());
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows];
    const key = (row) => {
      const raw = row.cells[column].dataset.key;
      return raw === "nan" || raw === "" ? null : isNaN(raw) ? raw : Number(raw);
    };
    rows.sort((a, b) => {
      const x = key(a), y = key(b);
      if (x === null || y === null) return (x === null) - (y === null);
      const order = typeof x === "string" || typeof y === "string"
        ? String(x).localeCompare(String(y)) : x - y;
      return down ? -order : order;
    });
    table.tBodies[0].append(...rows);
  }));
}
