// Replays the diffusion and the autoregressive answer to one prompt at their measured speeds.
const SLOWER = [1, 3, 10, 30, 100, 300, 1000];
const LEAST_SECONDS = 4;

// The documents that both sides answered and that both have seconds for, on the same machine.
function raceable(entry) {
  return entry.samples.filter(({ autoregressive: other, place, model, ladder }) => other && other.seconds !== null && other.place === place
    && isShown("place", place) && isShown("model", model) && isShown("model", other.model) && ladder.some((a) => a.seconds !== null));
}

const measured = (answer) => (answer.timed ? `this very request took ${secondsText(answer.seconds)}` : `this document was not timed: the setting's median, ${secondsText(answer.seconds)}`)
  + (answer.busy ? ", on a busy machine" : "");

function lane(kind) {
  const parts = { head: element("h4", {}), finish: element("p", { class: "finish" }), bar: element("i", {}), canvas: canvasBox(`The ${kind} answer as it appears`), how: element("p", { class: "small" }) };
  return { ...parts, host: element("div", { class: "lane" }, parts.head, element("div", { class: "track", "aria-hidden": "true" }, parts.bar), parts.finish, parts.canvas, parts.how) };
}

function drawLane(own, answer, elapsed, writing) {
  const share = Math.min(1, elapsed / answer.seconds), done = share >= 1;
  own.bar.style.width = `${100 * share}%`;
  own.finish.textContent = done ? `finished at ${secondsText(answer.seconds)}` : elapsed > 0 ? "at work …" : "ready";
  own.host.classList.toggle("done", done);
  // Steps are spread evenly over the seconds; the records hold no time per step.
  drawCanvas(own.canvas, answer, done ? lastStep(answer) : Math.floor(share * lastStep(answer)), { writing });
}

function outcome(answer, other, name) {
  const [first, second] = answer.seconds <= other.seconds ? [answer, other] : [other, answer];
  const called = (a) => (a === other ? other.name : name), right = (a) => (a.score === null ? "" : a.score >= 1 ? ", correct" : ", not correct");
  return `${called(first)} finished first: ${secondsText(first.seconds)}${right(first)}; ${called(second)}: ${secondsText(second.seconds)}${right(second)}.`;
}

class Race {
  constructor(samples, number) {
    this.samples = samples;
    this.elapsed = 0;
    this.frame = null;
    this.docs = element("select", {}, ...samples.map((s, i) => element("option", { value: i }, `document ${s.document}`)));
    this.dial = element("select", {});
    this.speed = element("select", {}, ...SLOWER.map((n) => element("option", { value: n }, n === 1 ? "real time" : `${n} times slower`)));
    this.go = button("▶ Start", () => this.toggle());
    this.time = element("input", { type: "range", min: 0, max: 1000, value: 0, step: 1 });
    this.clock = element("output", { class: "clock" });
    this.diffusion = lane("diffusion");
    this.autoregressive = lane("autoregressive");
    this.said = element("p", { role: "status", class: "outcome" });
    this.parts = this.build(number);
    this.docs.addEventListener("change", () => { this.offerDials(); this.prepare(); });
    this.dial.addEventListener("change", () => this.prepare());
    this.time.addEventListener("input", () => { this.pause(); this.set(this.end * this.time.value / 1000); });
    this.offerDials();
    this.prepare();
  }

  get sample() { return this.samples[this.docs.value]; }
  get ladder() { return this.sample.ladder.filter((a) => a.seconds !== null); }
  get answer() { return this.ladder[this.dial.value]; }
  get other() { return this.sample.autoregressive; }
  get end() { return Math.max(this.answer.seconds, this.other.seconds); }
  get name() { return this.sample.series + (this.answer.label ? `, ${this.answer.label}` : ""); }

  build(number) {
    const again = button("↺ Restart", () => { this.pause(); this.set(0); this.toggle(); });
    const pairs = [["race-doc", "Prompt", this.docs], ["race-dial", "Diffusion at", this.dial], ["race-speed", "Shown in", this.speed]];
    return [
      element("h3", {}, "Race: one prompt, both models, at their measured speeds"),
      element("div", { class: "control" }, ...pairs.map(([id, text, input]) => {
        input.id = `${id}-${number}`;
        return element("span", { class: "pair" }, element("label", { for: input.id }, text), input);
      })),
      control(`race-time-${number}`, "Clock", this.time, this.clock, this.go, again),
      ...(still.matches ? [element("p", { class: "small" }, "Less motion is asked for: Start shows the end at once; the slider shows any moment.")] : []),
      element("div", { class: "answers" }, this.diffusion.host, this.autoregressive.host),
      this.said,
    ];
  }

  // Shows the moment `elapsed` seconds after the start.
  set(elapsed) {
    this.elapsed = Math.min(elapsed, this.end);
    this.time.value = Math.round(1000 * this.elapsed / this.end);
    this.clock.textContent = this.elapsed ? secondsText(this.elapsed) : "0 ms";
    this.time.setAttribute("aria-valuetext", this.clock.textContent);
    drawLane(this.diffusion, this.answer, this.elapsed, false);
    drawLane(this.autoregressive, this.other, this.elapsed, true);
    this.said.textContent = this.elapsed >= this.end ? outcome(this.answer, this.other, this.name) : "";
  }

  pause() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    this.go.textContent = "▶ Start";
  }

  tick(now) {
    this.set(this.elapsed + (now - this.before) / 1000 / Number(this.speed.value));
    this.before = now;
    if (this.elapsed >= this.end) this.pause();
    else this.frame = requestAnimationFrame((next) => this.tick(next));
  }

  toggle() {
    if (this.frame) { this.pause(); return; }
    if (still.matches) { this.set(this.end); return; }
    if (this.elapsed >= this.end) this.set(0);
    this.go.textContent = "❚❚ Pause";
    this.before = performance.now();
    this.frame = requestAnimationFrame((now) => this.tick(now));
  }

  // Both at the start, at a speed at which there is something to see.
  prepare() {
    this.pause();
    this.speed.value = SLOWER.find((n) => n * this.end >= LEAST_SECONDS) || SLOWER[SLOWER.length - 1];
    this.diffusion.head.replaceChildren(this.name, mark(this.answer));
    this.autoregressive.head.replaceChildren(this.other.name, mark(this.other));
    this.diffusion.how.textContent = measured(this.answer);
    this.autoregressive.how.textContent = measured(this.other);
    this.set(0);
  }

  offerDials() {
    const before = this.dial.value;
    this.dial.replaceChildren(...this.ladder.map((a, i) => element("option", { value: i }, a.label)));
    this.dial.value = before && before < this.ladder.length ? before : this.ladder.length - 1;
  }
}

function race(suite, entry, number) {
  const host = suite.querySelector(".race"), samples = raceable(entry);
  host.dispatchEvent(new Event("leave"));
  host.replaceChildren();
  host.hidden = !samples.length;
  if (!samples.length) return;
  const own = new Race(samples, number);
  host.append(...own.parts);
  host.addEventListener("leave", () => own.pause(), { once: true });
}
