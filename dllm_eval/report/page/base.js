"use strict";
// What every part of the page uses: the embedded numbers, elements, colours, seconds as text.
// Texts of models and of results enter the document through textContent alone.
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const DATA = read("data");
const SVG = "http://www.w3.org/2000/svg";
// A dark screen; paper is white whatever the screen is.
const dark = matchMedia("screen and (prefers-color-scheme: dark)");
const still = matchMedia("(prefers-reduced-motion: reduce)");
const DASH = { "--": "6 4", "-.": "8 3 2 3", ":": "2 3" };

function element(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function make(name, attributes, parent, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

function button(text, press, attributes = {}) {
  const node = element("button", { type: "button", ...attributes }, text);
  node.addEventListener("click", press);
  return node;
}

function control(id, text, input, output, ...more) {
  input.id = id;
  return element("div", { class: "control" }, element("label", { for: id }, text), input, output, ...more);
}

function secondsText(s) {
  const [value, unit] = s >= 1 ? [s, "s"] : s >= 1e-3 ? [s * 1e3, "ms"] : [s * 1e6, "µs"];
  return `${Number(value.toPrecision(3))} ${unit}`;
}

const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
function luminance(rgb) {
  const [r, g, b] = rgb.map((v) => (v / 255 <= .04045 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4));
  return .2126 * r + .7152 * g + .0722 * b;
}
function contrast(a, b) {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + .05) / (low + .05);
}

// A series' colour, mixed with the ink until it stands out from the paper. WCAG asks for 3 of shapes and
// 4.5 of words; on a dark page shapes get more, or deep blues would glow less than the grid.
function paint(colour, least = dark.matches ? 5 : 3) {
  const [paper, ink] = dark.matches ? ["#14171a", "#e9ecef"] : ["#ffffff", "#1c2024"];
  // On a dark page black is as far from grey as white is: else both would be mixed to one grey.
  const own = channels(colour), grey = own.every((v) => v === own[0]);
  const from = dark.matches && grey ? own.map((v) => 255 - v) : own, to = channels(ink), ground = channels(paper);
  for (let share = 0; share <= 1; share += .05) {
    const mixed = from.map((v, i) => Math.round(v + (to[i] - v) * share));
    if (contrast(mixed, ground) >= least) return `rgb(${mixed.join(",")})`;
  }
  return ink;
}

const tip = document.getElementById("tip");
function hint(node, text) {
  const show = () => {
    tip.textContent = text;
    tip.hidden = false;
    const box = node.getBoundingClientRect();
    const left = Math.min(Math.max(8, box.left + box.width / 2 - tip.offsetWidth / 2), document.documentElement.clientWidth - tip.offsetWidth - 8);
    const above = box.top - tip.offsetHeight - 8;
    tip.style.left = `${left + scrollX}px`;
    tip.style.top = `${(above > 4 ? above : box.bottom + 8) + scrollY}px`;
  };
  const hide = () => { tip.hidden = true; };
  node.addEventListener("pointerenter", show);
  node.addEventListener("focus", () => { if (node.matches(":focus-visible")) show(); });
  for (const event of ["pointerleave", "blur", "click"]) node.addEventListener(event, hide);
  node.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
}

// One stop of the tab key for a whole chart; arrow keys go from point to point, Home and End to the ends.
function roving(nodes) {
  nodes.forEach((node, i) => {
    node.setAttribute("tabindex", i ? -1 : 0);
    node.addEventListener("keydown", (event) => {
      const to = { ArrowRight: i + 1, ArrowDown: i + 1, ArrowLeft: i - 1, ArrowUp: i - 1, Home: 0, End: nodes.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = nodes[Math.max(0, Math.min(nodes.length - 1, to))];
      node.setAttribute("tabindex", -1);
      next.setAttribute("tabindex", 0);
      next.focus();
    });
  });
}
