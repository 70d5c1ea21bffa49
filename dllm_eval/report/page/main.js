// Draws every suite, and again whenever the choice, the colours or the width change.
function chartBox(host, entry, place) {
  const box = element("div", {});
  if (entry.places.length > 1) box.append(element("p", { class: "place" }, place.place));
  host.append(box);
  return box;
}

function drawSuite(suite) {
  const number = Number(suite.dataset.suite), entry = DATA[number];
  const [left, right, words] = [".frontier", ".time", ".forwards"].map((name) => suite.querySelector(name));
  // Where nothing was timed, a line says so in the charts' place.
  if (left) drawCharts(left, right, words, entry, suite);
  drawMultiples(suite, entry);
  suite.dispatchEvent(new Event("drawn"));
}

function drawCharts(left, right, words, entry, suite) {
  left.replaceChildren();
  right.replaceChildren();
  words.textContent = "";
  for (const place of shownPlaces(entry)) {
    if (!place.curves.length) continue;
    const [one, two] = [left, right].map((host) => chartBox(host, entry, place));
    drawFrontier(one, entry, place, suite);
    drawTime(two, entry, place, suite);
    words.textContent += `${entry.places.length > 1 ? `${place.place}: ` : ""}${forwardsText(entry, place)} `;
    tools(one, `frontier ${entry.suite}`, { title: `${entry.suite}: quality against latency`, up: `quality (${entry.metric})`, place: place.place });
    if (two.querySelector("svg.chart")) tools(two, `time ${entry.suite}`, { title: `${entry.suite}: latency against ${entry.work}`, up: `p50 latency per ${entry.unit} (log)`, place: place.place });
  }
  const known = shownPlaces(entry).some((place) => place.curves.some((c) => worked(c).length));
  if (words.textContent && known) words.textContent += entry.work === "forward passes"
    ? "Where every forward costs the same, twice the forwards take twice the time."
    : `Seconds are per ${entry.unit}${entry.unit === "question" ? ", all its choices together" : ""}; many canvases share a forward, so no cost of one forward is given.`;
  if (!left.children.length) left.textContent = shownPlaces(entry).some((p) => p.rows.length) ? "Latency was not measured." : "Nothing of this suite is chosen.";
}

function drawShown() {
  for (const suite of document.querySelectorAll("section.suite:not([hidden])")) drawSuite(suite);
}

function buildShown() {
  drawShown();
  for (const suite of document.querySelectorAll("section.suite:not([hidden])")) {
    const number = Number(suite.dataset.suite);
    explorer(suite, DATA[number], number);
    race(suite, DATA[number], number);
  }
  unfold();
  listWrong();
}

// The first suite with answers lies open: what there is to play with should be seen once.
function unfold() {
  for (const one of document.querySelectorAll("details.play")) one.hidden = !one.querySelector(".panel:not([hidden])");
  const shown = [...document.querySelectorAll("section.suite:not([hidden]) > details.play:not([hidden])")];
  if (!shown.length || shown.some((one) => one.open)) return;
  (shown.find((one) => DATA[one.parentElement.dataset.suite].samples.length) || shown[0]).open = true;
}

// On paper nothing can be opened.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details.play:not([open])")];
  for (const one of opened) one.open = true;
});
addEventListener("afterprint", () => { for (const one of opened) one.open = false; });

let width = innerWidth;
addEventListener("resize", () => {
  // A phone's address bar changes the height alone.
  if (innerWidth === width) return;
  width = innerWidth;
  drawShown();
});
dark.addEventListener("change", drawShown);
linkRows();
buildFilter();
onFilter.push(buildShown, offerBoard);
applyFilter();
goTo(target);
