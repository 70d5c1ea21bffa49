// The dial of a suite: its numbers, and the same answer at every value of the dial, step by step.
const HEADS = { steps: "Turn the step dial", setting: "Choose a setting" };

// The diffusion settings shown, each named by its series and, of several machines, its machine.
function settings(entry) {
  const key = (name, place) => (entry.places.length > 1 ? `${name}, ${place}` : name);
  const ladder = shownPlaces(entry).flatMap((place) => place.rows
    .filter((row) => row.kind === "diffusion" && row.quality !== null)
    .map((row) => ({ ...row, key: key(row.series, place.place) })));
  const sampled = entry.samples.length ? key(entry.samples[0].series, entry.samples[0].place) : null;
  return { ladder, sampled };
}

function numbers(entry, row) {
  const given = [
    ["quality", row.quality_text, [row.quality_span, row.noise_text].filter(Boolean).join("; ")],
    [entry.unit === "question" ? "p50 latency per question" : "p50 latency", row.latency_text, row.latency_span],
    [entry.work, row.nfe_text, row.estimator ? `per ${entry.unit}` : row.nfe === null ? "" : `${row.forward_text} each`],
    ["against AR", row.verdict || "–", row.p_frontier_text === "–" ? "" : `frontier in ${row.p_frontier_text}`],
  ];
  return given.map(([name, value, more]) => element("div", {}, element("dt", {}, name), element("dd", {}, value, element("small", {}, more))));
}

// The dial with a button for every value, or, of very many, the ends alone.
function dialTicks(rows, turn) {
  const all = rows.map((row, i) => [row, i]), some = rows.length > 14 ? [all[0], all[rows.length - 1]] : all;
  return element("div", { class: "ticks", role: "group", "aria-label": "Values of the dial" }, ...some.map(([row, i]) => button(row.label, () => turn(i), { value: i })));
}

class Explorer {
  constructor(suite, entry, number, { ladder, sampled }) {
    Object.assign(this, { suite, entry, number, ladder, sampled, doc: 0, timer: null });
    this.names = unique(ladder.map((r) => r.key));
    this.dial = element("input", { type: "range", min: 0, step: 1 });
    this.dialText = element("output", {});
    this.ticks = element("div", {});
    this.stats = element("dl", { class: "stats" });
    this.choose = element("select", {}, ...this.names.map((name) => element("option", { value: name }, name)));
    this.docs = element("select", {}, ...entry.samples.map((s, i) => element("option", { value: i }, `document ${s.document}`)));
    this.step = element("input", { type: "range", min: 0, max: 1, value: 1, step: 1 });
    this.stepText = element("output", {});
    this.play = button("▶ Play", () => this.playOrStop());
    this.own = { head: element("h4", {}), canvas: canvasBox("Answer of the diffusion model") };
    this.rival = { head: element("h4", {}), canvas: canvasBox("Answer of the autoregressive model") };
    this.dialControl = control(`dial-${number}`, "", this.dial, this.dialText);
    this.box = this.buildSample();
    this.parts = this.build();
    this.listen();
    this.turnTo(this.names.includes(sampled) ? sampled : this.names[0]);
    this.update();
  }

  get rows() { return this.ladder.filter((r) => r.key === this.series).sort((a, b) => a.dial - b.dial); }
  get row() { return this.rows[this.dial.value]; }
  get answer() { return this.entry.samples[this.doc]?.ladder.find((a) => a.dial === this.row.dial); }

  build() {
    const watched = this.entry.samples.length && this.entry.dial === "steps" ? " and watch the same answer change" : "";
    const all = button("All numbers, settings and origin of this setting", () => openDrawer(this.number, this.row.id), { "aria-haspopup": "dialog" });
    return [
      element("h3", {}, (HEADS[this.entry.dial] || `Turn the ${this.entry.dial} dial`) + watched),
      ...(this.names.length > 1 ? [control(`series-${this.number}`, "Setting", this.choose, "")] : []),
      this.dialControl, this.ticks, this.stats, element("p", {}, all), this.box,
    ];
  }

  buildSample() {
    const ramp = element("span", { class: "ramp", role: "presentation" }), side = ({ head, canvas }) => element("div", {}, head, canvas);
    ramp.style.background = `linear-gradient(90deg, ${tint(0)}, ${tint(.5)}, ${tint(1)})`;
    // An answer that a server gave has no steps to go through.
    this.steps = element("div", {},
      control(`step-${this.number}`, "Denoising step", this.step, this.stepText, this.play),
      element("p", { class: "small" }, "Colour: set at the first step", ramp, "at the last. Struck out: behind the end of the visible text; ∅ is an end-of-text token."),
    );
    return element("div", {},
      control(`doc-${this.number}`, "Sample answer", this.docs, ""),
      this.steps,
      element("div", { class: "answers" }, side(this.own), side(this.rival)),
    );
  }

  listen() {
    this.docs.addEventListener("change", () => { this.doc = Number(this.docs.value); this.update(); });
    this.choose.addEventListener("change", () => { this.turnTo(this.choose.value); this.update(); });
    this.step.addEventListener("input", () => { this.stop(); this.drawStep(); });
    this.dial.addEventListener("input", () => this.update());
    this.heard = { dial: (event) => this.fromPoint(event), drawn: () => this.highlight() };
    for (const [name, act] of Object.entries(this.heard)) this.suite.addEventListener(name, act);
  }

  leave() {
    this.stop();
    for (const [name, act] of Object.entries(this.heard)) this.suite.removeEventListener(name, act);
  }

  turnTo(key) {
    this.series = key;
    this.choose.value = key;
    this.dial.max = this.rows.length - 1;
    this.dial.value = this.dial.max;
    this.ticks.replaceChildren(...(this.rows.length > 1 ? [dialTicks(this.rows, (i) => { this.dial.value = i; this.update(); })] : []));
  }

  fromPoint({ detail }) {
    const found = this.ladder.find((r) => r.id === detail);
    if (!found) return;
    if (found.key !== this.series) this.turnTo(found.key);
    this.dial.value = this.rows.indexOf(found);
    this.update();
  }

  drawStep() {
    this.stepText.textContent = `${this.step.value} of ${lastStep(this.answer)}`;
    drawCanvas(this.own.canvas, this.answer, Number(this.step.value));
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.play.textContent = "▶ Play";
  }

  forward() {
    this.step.value = Number(this.step.value) + 1;
    this.drawStep();
    if (this.step.value === this.step.max) this.stop();
  }

  playOrStop() {
    if (this.timer) { this.stop(); return; }
    if (this.step.value === this.step.max) this.step.value = 0;
    this.drawStep();
    // Without motion each press goes one step on.
    if (still.matches) { this.forward(); return; }
    this.play.textContent = "❚❚ Pause";
    this.timer = setInterval(() => this.forward(), Math.max(60, Math.min(500, 4000 / this.step.max)));
  }

  update() {
    this.stop();
    const now = this.row;
    this.dialControl.hidden = now.dial === null;
    this.dialControl.firstElementChild.textContent = `Dial (${now.dial_name})`;
    this.dialText.textContent = now.label;
    this.dial.setAttribute("aria-valuetext", now.label);
    for (const tick of this.ticks.querySelectorAll("button")) tick.setAttribute("aria-pressed", tick.value === this.dial.value);
    this.stats.replaceChildren(...numbers(this.entry, now));
    this.highlight();
    // The embedded answers are those of one setting on one machine.
    this.box.hidden = !this.entry.samples.length || this.series !== this.sampled;
    if (!this.box.hidden) this.showSample(now);
  }

  // The dial's own point in the chart, also after the chart was drawn anew.
  highlight() {
    for (const node of this.suite.querySelectorAll(".frontier .point"))
      node.classList.toggle("now", node.dataset.id === String(this.row.id));
  }

  showSample(now) {
    const other = this.entry.samples[this.doc].autoregressive;
    this.own.head.replaceChildren(now.series + (now.label ? `, ${now.label}` : ""), mark(this.answer));
    this.rival.head.parentElement.hidden = Boolean(other) && !isShown("model", other.model);
    this.rival.head.replaceChildren(other ? `${other.name}${oneByOne(other) ? ", one token per step" : ""}` : "No autoregressive answer", mark(other));
    this.steps.hidden = !this.answer?.pieces.length;
    this.step.max = lastStep(this.answer);
    this.step.value = this.step.max;
    this.drawStep();
    drawCanvas(this.rival.canvas, other, Infinity);
  }
}

function explorer(suite, entry, number) {
  const host = suite.querySelector(".explorer"), found = settings(entry);
  host.dispatchEvent(new Event("leave"));
  host.replaceChildren();
  host.hidden = !found.ladder.length;
  if (!found.ladder.length) return;
  const own = new Explorer(suite, entry, number, found);
  host.append(...own.parts);
  host.addEventListener("leave", () => own.leave(), { once: true });
}
