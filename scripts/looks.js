// What is wrong with the geometry and the colours of a page, as sentences. All of the page is in the window.
() => {
  const found = new Set();
  const width = document.documentElement.clientWidth;
  const short = text => JSON.stringify(text.trim().replace(/\s+/g, " ").slice(0, 40));

  const over = document.documentElement.scrollWidth - width;
  if (over > 0) found.add(`the page is ${over} px wider than its window`);

  for (const one of document.querySelectorAll(".scroll")) {
    const shown = one.checkVisibility() && !one.closest("details");
    if (shown && one.scrollHeight > one.clientHeight + 1) found.add(`${short(one.innerText)} ends below what is shown`);
  }

  // Colours as [red, green, blue, alpha] from 0 to 1.
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const colour = text => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].map(one => one / 255);
  };
  const blend = (above, below) => {
    const alpha = above[3] + below[3] * (1 - above[3]);
    const mixed = [0, 1, 2].map(i => (above[i] * above[3] + below[i] * below[3] * (1 - above[3])) / (alpha || 1));
    return [...mixed, alpha];
  };
  const faded = (rgba, share) => [rgba[0], rgba[1], rgba[2], rgba[3] * share];
  const opacity = one => {
    let share = 1;
    for (let at = one; at; at = at.parentElement) share *= parseFloat(getComputedStyle(at).opacity);
    return share;
  };
  const painted = one => {
    const style = getComputedStyle(one);
    if (!(one instanceof SVGElement) || one.tagName === "svg") return faded(colour(style.backgroundColor), opacity(one));
    if (one.tagName === "text" || style.fill === "none") return [0, 0, 0, 0];
    return faded(colour(style.fill), parseFloat(style.fillOpacity) * opacity(one));
  };
  const beneath = (one, x, y) => {
    const stack = document.elementsFromPoint(x, y);
    const start = stack.indexOf(one);
    let seen = [0, 0, 0, 0];
    for (const other of stack.slice(Math.max(start, 0))) {
      if (seen[3] > 0.999) break;
      seen = blend(seen, painted(other));
    }
    const root = matchMedia("(prefers-color-scheme: dark)").matches && !matchMedia("print").matches ? 0.07 : 1;
    return blend(seen, [root, root, root, 1]);
  };
  const luminance = rgb => {
    const [r, g, b] = rgb.slice(0, 3).map(one => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };

  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const drawn = new Map();
  while (walker.nextNode()) {
    const node = walker.currentNode, one = node.parentElement;
    if (!node.data.trim() || !one.checkVisibility() || one.closest("title, style, script")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const svg = one instanceof SVGElement ? one.closest("svg") : null;
    const scrolled = one.closest(".scroll");
    const frame = scrolled ? scrolled.getBoundingClientRect() : null;
    for (const box of range.getClientRects()) {
      if (box.width < 1 || box.height < 1) continue;
      if (frame && (box.left < frame.left || box.right > frame.right || box.bottom > frame.bottom)) continue;
      if (box.left < -0.5 || box.right > width + 0.5) found.add(`${short(node.data)} is cut off at the window's edge`);
      if (svg) {
        const page = svg.getBoundingClientRect();
        if (box.top < page.top - 2 || box.bottom > page.bottom + 2) found.add(`${short(node.data)} is above or below its picture`);
        const others = drawn.get(svg) || drawn.set(svg, []).get(svg);
        for (const [text, other] of others) {
          const across = Math.min(box.right, other.right) - Math.max(box.left, other.left);
          const down = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
          if (across > 1 && down > 4) found.add(`${short(node.data)} lies on ${text} in a picture`);
        }
        others.push([short(node.data), box]);
      }
      const style = getComputedStyle(one);
      const size = parseFloat(style.fontSize) * (svg ? svg.getScreenCTM().a : 1);
      const large = size >= 24 || (size >= 18.66 && parseInt(style.fontWeight) >= 700);
      const ink = faded(colour(svg ? style.fill : style.color), opacity(one));
      for (const share of [0.02, 0.25, 0.5, 0.75, 0.98]) {
        const under = beneath(one, box.left + share * box.width, box.top + box.height / 2);
        const ratio = contrast(blend(ink, under), under);
        if (ratio < (large ? 3 : 4.5)) found.add(`${short(node.data)} has a contrast of ${ratio.toFixed(2)}`);
      }
    }
  }
  return [...found];
}
