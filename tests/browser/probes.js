// Questions that tests/browser ask of the page. Evaluated in it, after its own scripts.
(() => {
  const number = (node) => [...document.querySelectorAll("*")].indexOf(node);
  const named = (node) => `${node.tagName.toLowerCase()} ${(node.getAttribute("aria-label") || node.textContent || node.id).slice(0, 40)}`;

  // What has the focus, whether it is seen to have it, and whether it is in view; null for nothing.
  function focused() {
    const node = document.activeElement;
    if (!node || node === document.body) return null;
    const style = getComputedStyle(node), halo = node.querySelector(":scope > .halo");
    const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
    const haloed = halo !== null && getComputedStyle(halo).opacity === "1";
    const box = node.getBoundingClientRect();
    return {
      id: number(node),
      name: named(node),
      kind: node.classList[0] || node.tagName.toLowerCase(),
      seen: ring || haloed,
      inView: box.bottom > 0 && box.top < innerHeight,
    };
  }

  // Everything that can be used: what the tab key should reach.
  function usable() {
    const all = document.querySelectorAll('a[href], button, input, select, summary, [tabindex="0"]');
    return [...all].filter((node) => node.checkVisibility()).map((node) => [number(node), named(node)]);
  }

  const rgb = (text) => text.match(/[\d.]+/g).slice(0, 3).map(Number);
  const linear = (v) => (v / 255 <= .04045 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4);
  const light = (text) => rgb(text).map(linear).reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  function ratio(one, other) {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + .05) / (low + .05);
  }

  // Of every word and every shape of the charts: its contrast with the paper behind it.
  function contrasts() {
    const paper = getComputedStyle(document.body).backgroundColor;
    const drawn = (node) => { const { stroke, fill } = getComputedStyle(node); return stroke === "none" ? fill : stroke; };
    const words = [...document.querySelectorAll("svg.chart text")].map((t) => [t.textContent, ratio(getComputedStyle(t).fill, paper)]);
    const shapes = [...document.querySelectorAll("svg.chart .point > :not(.halo), svg.chart .series > path")];
    return { words, shapes: shapes.map((s) => [s.outerHTML.slice(0, 60), ratio(drawn(s), paper)]) };
  }

  window.probes = { focused, usable, contrasts };
})();
