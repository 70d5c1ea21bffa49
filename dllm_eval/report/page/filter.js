// Which suites, models and machines are shown. The choice stands in the URL's fragment, as in
// #suite=Code&model=Reference+AR, so that a link carries it; nothing chosen means everything.
const unique = (values) => [...new Set(values)];
const CHOICES = {
  suite: { title: "Suites", values: unique(DATA.map((entry) => entry.suite)) },
  model: { title: "Models", values: unique(DATA.flatMap((entry) => entry.places.flatMap((p) => p.rows.map((r) => r.model)))) },
  place: { title: "Machines", counted: "places", values: unique(DATA.flatMap((entry) => entry.places.map((p) => p.place))) },
};
const chosen = { suite: new Set(), model: new Set(), place: new Set() };
const isShown = (kind, value) => !chosen[kind].size || chosen[kind].has(value);
const onFilter = [];
let target = "";

// The places of a suite with the curves and rows that are shown.
function shownPlaces(entry) {
  const own = (x) => isShown("model", x.model);
  return entry.places.filter((p) => isShown("place", p.place)).map((p) => ({ ...p, curves: p.curves.filter(own), rows: p.rows.filter(own) }));
}

// A fragment without "=" is a plain anchor.
function readFragment() {
  const raw = location.hash.slice(1), parameters = new URLSearchParams(raw.includes("=") ? raw : "");
  for (const kind of Object.keys(CHOICES))
    chosen[kind] = new Set(parameters.getAll(kind).filter((value) => CHOICES[kind].values.includes(value)));
  target = raw.includes("=") ? parameters.get("at") || "" : raw;
}

function fragment() {
  const parameters = new URLSearchParams();
  for (const [kind, values] of Object.entries(chosen)) for (const value of values) parameters.append(kind, value);
  if (![...parameters].length) return target ? `#${target}` : "";
  if (target) parameters.append("at", target);
  return `#${parameters}`;
}

function writeFragment() {
  const wanted = fragment();
  if (wanted !== location.hash) history.replaceState(null, "", wanted || location.pathname + location.search);
}

function goTo(id) {
  const node = document.getElementById(id);
  if (!node) return;
  const folded = node.querySelector(":scope > details.play");
  if (folded) folded.open = true;
  node.scrollIntoView();
  node.focus({ preventScroll: true });
}

// Links within the page keep the choice.
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#"]');
  if (!link) return;
  event.preventDefault();
  target = link.getAttribute("href").slice(1);
  writeFragment();
  goTo(target);
});

function hideWhat() {
  const fits = (node) => {
    const { suite, place, model, models, suiteName, suites } = node.dataset;
    return (suite === undefined || isShown("suite", DATA[suite].suite)) && (suiteName === undefined || isShown("suite", suiteName))
      && (place === undefined || isShown("place", place)) && (model === undefined || isShown("model", model))
      && (suites === undefined || suites === "[]" || JSON.parse(suites).some((name) => isShown("suite", name)))
      && (models === undefined || JSON.parse(models).every((name) => isShown("model", name)));
  };
  for (const node of document.querySelectorAll(".card, section.suite, .boards, .suite-table, .scroll[data-place], tr[data-model], details[data-model]"))
    node.hidden = !fits(node);
  document.querySelector("#look .none").hidden = Boolean(document.querySelector(".card:not([hidden])"));
}

// A suite that was asked in several ways is one suite.
function describeAll(kind, { title, counted, values }) {
  const suites = unique(DATA.map((entry) => entry.topic)).length;
  if (kind === "suite" && suites < values.length) return `all ${suites} suite${suites > 1 ? "s" : ""}, asked in ${values.length} ways`;
  return `all ${values.length} ${counted ?? title.toLowerCase()}`;
}

function describeChoice() {
  const parts = Object.entries(CHOICES).filter(([, { values }]) => values.length > 1).map(([kind, choice]) => (
    chosen[kind].size ? [...chosen[kind]].join(", ") : describeAll(kind, choice)));
  return `(${parts.join(" · ")})`;
}

function applyFilter() {
  hideWhat();
  for (const node of document.querySelectorAll(".choices button"))
    node.setAttribute("aria-pressed", node.value ? chosen[node.name].has(node.value) : !chosen[node.name].size);
  document.querySelector(".filters .state").textContent = describeChoice();
  for (const draw of onFilter) draw();
}

function choose(kind, value) {
  const set = chosen[kind];
  if (!value) set.clear();
  else if (!set.delete(value)) set.add(value);
  writeFragment();
  applyFilter();
}

function buildFilter() {
  const host = document.querySelector(".filters"), groups = Object.entries(CHOICES).filter(([, { values }]) => values.length > 1);
  for (const [kind, { title, values }] of groups) {
    const pill = (value, text) => button(text, () => choose(kind, value), { name: kind, value, "aria-pressed": "false" });
    host.lastElementChild.append(element("div", { role: "group", "aria-label": title }, element("span", {}, title), pill("", "All"), ...values.map((value) => pill(value, value))));
  }
  host.hidden = !groups.length;
  readFragment();
  host.open = Object.values(chosen).some((set) => set.size);
  addEventListener("hashchange", () => { readFragment(); applyFilter(); goTo(target); });
}
