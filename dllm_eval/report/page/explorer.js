"use strict";
// The step dial, and the canvas being denoised. Model text only ever enters through textContent.
const EARLY = [255, 236, 166], MIDDLE = [134, 214, 178], LATE = [140, 176, 240];
function tint(share) {
  const [a, b, s] = share < .5 ? [EARLY, MIDDLE, share * 2] : [MIDDLE, LATE, share * 2 - 1];
  return `rgb(${a.map((v, i) => Math.round(v + (b[i] - v) * s)).join(",")})`;
}

function element(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function control(id, text, input, output, ...more) {
  input.id = id;
  return element("div", { class: "control" }, element("label", { for: id }, text), input, output, ...more);
}

function mark(answer) {
  if (!answer || answer.score === null) return element("span", {});
  if (answer.score > 0 && answer.score < 1) return element("span", { class: "mark" }, `score ${answer.score}`);
  const right = answer.score >= 1;
  return element("span", { class: `mark ${right ? "right" : "wrong"}` }, right ? "✓ correct" : "✗ incorrect");
}

// What the model was given: before the canvas, and behind it where it fills a gap.
function context(host, text) {
  if (text) host.append(element("span", { class: "context" }, text.replace(/\n/g, "⏎\n")));
}

// Draws the canvas as it was after `step` (0: all masked).
function drawCanvas(host, answer, step, last) {
  host.replaceChildren();
  if (!answer) { host.textContent = "No record of this answer."; return; }
  context(host, answer.before);
  if (!answer.pieces.length) { host.append(element("span", { class: "plain" }, answer.response)); return; }
  answer.pieces.forEach((piece, i) => {
    const at = answer.reveal_step[i];
    const set = at >= 0 && at < step;
    const beyond = i >= answer.visible;
    const shown = piece === "" || (beyond && /^<.*>$/.test(piece)) ? "∅" : piece.replace(/\n/g, "⏎");
    const node = element("span", { class: set ? "set" : "unset" }, set ? shown : "·");
    if (set) {
      node.style.background = tint(last > 1 ? at / (last - 1) : 0);
      node.title = `${piece} set at step ${at + 1}`;
      if (at === step - 1 && step < last) node.classList.add("fresh");
    }
    if (beyond) node.classList.add("beyond");
    host.append(node);
    if (set && piece.includes("\n")) host.append(element("br", {}));
  });
  if (answer.canvas > answer.pieces.length) host.append(` … ${answer.canvas - answer.pieces.length} more`);
  context(host, answer.after);
}

const lastStep = (answer) => (answer ? Math.max(0, ...answer.reveal_step) + 1 : 1);

const HEADS = { steps: "Turn the step dial", setting: "Choose a setting" };

function explorer(suite, entry, number) {
  const ladder = [];
  const key = (name, place) => (entry.places.length > 1 ? `${name}, ${place}` : name);
  for (const place of entry.places) for (const row of place.rows)
    if (row.kind === "diffusion" && row.quality !== null) ladder.push({ ...row, key: key(row.series, place.place) });
  if (!ladder.length) return;
  const series = [...new Set(ladder.map((r) => r.key))];
  const sampled = entry.samples.length ? key(entry.samples[0].series, entry.samples[0].place) : series[0];
  const first = series.includes(sampled) ? sampled : series[0];
  const host = suite.querySelector(".explorer");
  const state = { series: first, doc: 0, timer: null };
  const rows = () => ladder.filter((r) => r.key === state.series).sort((a, b) => a.dial - b.dial);

  const dial = element("input", { type: "range", min: 0, max: rows().length - 1, value: rows().length - 1, step: 1 });
  const dialText = element("output", {});
  const stats = element("dl", { class: "stats" });
  host.append(element("h3", {}, HEADS[entry.dial] || `Turn the ${entry.dial} dial`));
  let choose = null;
  function turnTo(key) {
    state.series = key;
    if (choose) choose.value = key;
    dial.max = rows().length - 1;
    dial.value = dial.max;
  }
  if (series.length > 1) {
    choose = element("select", {}, ...series.map((s) => element("option", s === first ? { value: s, selected: "" } : { value: s }, s)));
    choose.addEventListener("change", () => { turnTo(choose.value); update(); });
    host.append(control(`series-${number}`, "Setting", choose, ""));
  }
  const dialControl = control(`dial-${number}`, "", dial, dialText);
  host.append(dialControl, stats);

  const canvas = element("div", { class: "canvas" }), rival = element("div", { class: "canvas" });
  const head = element("h4", {}), rivalHead = element("h4", {});
  const step = element("input", { type: "range", min: 0, max: 1, value: 1, step: 1 });
  const stepText = element("output", {}), play = element("button", { type: "button" }, "▶ Play");
  const box = element("div", {});
  const current = () => entry.samples[state.doc]?.ladder.find((a) => a.dial === rows()[dial.value].dial);

  if (entry.samples.length) {
    const choose = element("select", {}, ...entry.samples.map((s, i) => element("option", { value: i }, `document ${s.document}`)));
    choose.addEventListener("change", () => { state.doc = Number(choose.value); update(); });
    const ramp = element("span", { class: "ramp", role: "presentation" });
    ramp.style.background = `linear-gradient(90deg, ${tint(0)}, ${tint(.5)}, ${tint(1)})`;
    host.append(box);
    box.append(
      control(`doc-${number}`, "Sample answer", choose, ""),
      control(`step-${number}`, "Denoising step", step, stepText, play),
      element("p", { class: "small" }, "Set at the first step", ramp, "at the last. Struck out: behind the end of the visible text; ∅ is an end-of-text token."),
      element("div", { class: "answers" }, element("div", {}, head, canvas), element("div", {}, rivalHead, rival)),
    );
  }

  function drawStep() {
    const answer = current(), last = lastStep(answer);
    stepText.textContent = `${step.value} of ${last}`;
    drawCanvas(canvas, answer, Number(step.value), last);
  }
  function stop() { clearInterval(state.timer); state.timer = null; play.textContent = "▶ Play"; }
  function update() {
    stop();
    const row = rows()[dial.value];
    dialControl.hidden = row.dial === null;
    dialControl.firstElementChild.textContent = `Dial (${row.dial_name})`;
    dialText.textContent = row.label;
    dial.setAttribute("aria-valuetext", row.label);
    const facts = [["quality", row.quality_text, [row.quality_span, row.noise_text].filter(Boolean).join("; ")], [entry.unit === "question" ? "p50 latency per question" : "p50 latency", row.latency_text, row.latency_span], [entry.work, row.nfe_text, row.estimator ? `per ${entry.unit}` : `${row.forward_text} each`], ["against AR", row.verdict || "–", `frontier in ${row.p_frontier_text}`]];
    stats.replaceChildren(...facts.map(([name, value, more]) => element("div", {}, element("dt", {}, name), element("dd", {}, value, element("small", {}, more)))));
    for (const node of suite.querySelectorAll(".frontier .point"))
      node.classList.toggle("now", node.dataset.series === row.series && node.dataset.dial === String(row.dial ?? ""));
    // The embedded answers are those of one setting on one machine.
    box.hidden = state.series !== sampled;
    if (!entry.samples.length || box.hidden) return;
    const answer = current(), other = entry.samples[state.doc].autoregressive;
    head.replaceChildren(row.series + (row.label ? `, ${row.label}` : ""), mark(answer));
    rivalHead.replaceChildren(other ? `${other.model}, one token per step` : "No autoregressive answer", mark(other));
    step.max = lastStep(answer);
    step.value = step.max;
    drawStep();
    drawCanvas(rival, other, Infinity, lastStep(other));
  }
  play.addEventListener("click", () => {
    if (state.timer) { stop(); return; }
    if (step.value === step.max) step.value = 0;
    play.textContent = "❚❚ Pause";
    drawStep();
    state.timer = setInterval(() => {
      step.value = Number(step.value) + 1;
      drawStep();
      if (step.value === step.max) stop();
    }, Math.max(60, Math.min(500, 4000 / step.max)));
  });
  step.addEventListener("input", () => { stop(); drawStep(); });
  dial.addEventListener("input", update);
  suite.addEventListener("dial", (event) => {
    const { series, dial: value } = event.detail, found = ladder.find((r) => r.series === series && r.dial === value);
    if (!found) return;
    if (!rows().includes(found)) turnTo(found.key);
    dial.value = rows().indexOf(found);
    update();
  });
  host.hidden = false;
  update();
}
document.querySelectorAll("section.suite").forEach((suite) => explorer(suite, DATA[suite.dataset.suite], suite.dataset.suite));
