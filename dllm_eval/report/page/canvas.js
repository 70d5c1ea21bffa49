// A canvas of tokens as it was after a step, and the answers that were wrong.
const EARLY = [255, 236, 166], MIDDLE = [134, 214, 178], LATE = [140, 176, 240];
function tint(share) {
  const [a, b, s] = share < .5 ? [EARLY, MIDDLE, share * 2] : [MIDDLE, LATE, share * 2 - 1];
  return `rgb(${a.map((v, i) => Math.round(v + (b[i] - v) * s)).join(",")})`;
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

// A token that the task gave, between two gaps.
const GIVEN = -2;

const lastStep = (answer) => (answer ? answer.last_step : 1);
// Speculative decoding writes several tokens at once.
const oneByOne = (answer) => answer.pieces.length + answer.hidden <= lastStep(answer);

// Draws the canvas as it was after `step` (0: all masked). `writing`: left to right, so nothing stands where nothing is written yet.
function drawCanvas(host, answer, step, { writing = false } = {}) {
  host.replaceChildren();
  if (!answer) { host.textContent = "No record of this answer."; return; }
  const last = lastStep(answer);
  context(host, answer.before);
  if (!answer.pieces.length) { host.append(element("span", { class: "plain" }, answer.response)); return; }
  // Tokens between gaps stand there from the first step on; a gap's own end is not known here.
  const between = answer.reveal_step.includes(GIVEN);
  answer.pieces.forEach((piece, i) => {
    const at = answer.reveal_step[i], set = at >= 0 && at < step, beyond = !between && i >= answer.visible;
    if (at === GIVEN) { context(host, piece); return; }
    if (!set && writing) return;
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
  if (answer.hidden && step >= last) host.append(` … ${answer.hidden} more tokens, not shown`);
  context(host, answer.after);
}

const canvasBox = (label) => element("div", { class: "canvas", dir: "auto", role: "group", "aria-label": label });

function listWrong() {
  const host = document.querySelector("#failures .wrong");
  host.replaceChildren();
  for (const entry of DATA) {
    if (!isShown("suite", entry.suite)) continue;
    const own = entry.wrong.filter((w) => isShown("model", w.model) && isShown("place", w.place));
    for (const series of unique(own.map((w) => w.series))) {
      const some = own.filter((w) => w.series === series), { label, num_wrong, num_documents } = some[0];
      const list = element("details", {}, element("summary", {}, `${entry.suite}: ${series}${label ? `, ${label}` : ""} · ${num_wrong} of ${num_documents} wrong`));
      for (const one of some) {
        const canvas = canvasBox(`Answer to document ${one.document}`);
        context(canvas, one.before);
        canvas.append(element("b", {}, one.response || "(nothing)"));
        context(canvas, one.after);
        list.append(element("h4", {}, `document ${one.document}${one.verdict ? `: ${one.verdict}` : ""}`), canvas);
      }
      host.append(list);
    }
  }
  if (!host.children.length) host.textContent = "None among the settings chosen.";
}
