// Every figure of a report as an SVG of its own: its picture with the key below it, and the rules that draw them.
() => {
  const PAD = 14, NS = "http://www.w3.org/2000/svg";
  const slug = text => text.trim().toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");

  // The rules that draw something inside of one, and the colours by name, light and dark.
  const rulesFor = one => {
    const kept = [];
    for (const rule of document.styleSheets[0].cssRules) {
      const colours = rule instanceof CSSMediaRule && rule.conditionText.includes("prefers-color-scheme");
      if (colours || rule.selectorText === ":root" || (rule.selectorText && one.querySelector(rule.selectorText))) {
        kept.push(rule.cssText.replace(/\s+/g, " "));
      }
    }
    return kept;
  };
  const node = (name, attributes) => {
    const made = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const placed = (svg, box, from) => {
    const copy = svg.cloneNode(true);
    const at = { x: box.x - from.x + PAD, y: box.y - from.y + PAD, width: box.width, height: box.height };
    for (const [key, value] of Object.entries(at)) copy.setAttribute(key, value.toFixed(1));
    return copy;
  };

  // A figure that stands alone in a row has its picture beside its key; here all stand one way.
  for (const row of document.querySelectorAll(".solo")) row.classList.remove("solo");
  const made = {};
  for (const figure of document.querySelectorAll("figure")) {
    const picture = [...figure.querySelectorAll("svg.picture[role=img]")].find(one => one.checkVisibility());
    const title = figure.querySelector("h3") || figure.closest("section").querySelector("h2");
    const from = picture.getBoundingClientRect();
    const keys = figure.querySelector(".keys");
    const height = (keys ? keys.getBoundingClientRect().bottom : from.bottom) - from.top + 2 * PAD;
    const size = { width: Math.ceil(from.width + 2 * PAD), height: Math.ceil(height) };
    const whole = node("svg", { ...size, viewBox: `0 0 ${size.width} ${size.height}`, role: "img" });
    whole.setAttribute("aria-label", picture.getAttribute("aria-label"));
    const rules = rulesFor(picture);
    rules.push(".paper { fill: var(--page); }", ".key { fill: var(--soft); font-size: 13.5px; }");
    rules.push(`svg { font-family: ${getComputedStyle(document.body).fontFamily}; font-variant-numeric: tabular-nums; }`);
    const style = node("style", {});
    style.textContent = rules.join("\n");
    whole.append(style, node("rect", { class: "paper", width: "100%", height: "100%", rx: 8 }), placed(picture, from, from));
    for (const key of keys ? keys.children : []) {
      const swatch = key.querySelector("svg").getBoundingClientRect();
      whole.append(placed(key.querySelector("svg"), swatch, from));
      const text = node("text", { class: "key", x: swatch.right - from.x + PAD + 6, y: swatch.y - from.y + PAD + 12 });
      text.textContent = key.textContent.trim();
      whole.append(text);
    }
    made[slug(title.textContent)] = new XMLSerializer().serializeToString(whole);
  }
  return made;
}
