// What an accessibility audit would complain of, in our own words; test_web_browser.py asks for it on every page.
({
  // WCAG 2.2, 1.4.3: texts with less contrast than 4.5 to 1.
  contrast() {
    const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
    const channel = (value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    const light = ([red, green, blue]) => 0.2126 * channel(red) + 0.7152 * channel(green) + 0.0722 * channel(blue);
    const ground = (node) => {
      for (; node; node = node.parentElement) {
        const colour = numbers(getComputedStyle(node).backgroundColor);
        if (colour.length < 4 || colour[3] === 1) return colour;
      }
      return [255, 255, 255];
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const node = walker.currentNode.parentElement;
      const text = walker.currentNode.data.trim();
      if (!text || node.closest(".unseen, .skip, [hidden]") || !node.getClientRects().length) continue;
      const [one, other] = [light(numbers(getComputedStyle(node).color)), light(ground(node))];
      const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
      if (contrast < 4.5) found.push(`${text.slice(0, 40)}: ${contrast.toFixed(2)}`);
    }
    return found;
  },

  // Names, scopes, headings, landmarks, ids, sizes of targets.
  accessibility() {
    const found = [];
    const all = (selector) => [...document.querySelectorAll(selector)];
    const say = (rule, node) => found.push(`${rule}: ${node.outerHTML.slice(0, 80)}`);
    const label = (node) => document.getElementById(node.getAttribute("aria-labelledby") || "-");
    const named = (node) => node.getAttribute("aria-label") || label(node) || node.textContent.trim();
    const said = (node) => node.getAttribute("role") === "img" || node.getAttribute("aria-hidden") === "true";
    all("a, button, summary, section, [role=region], nav, table").filter((node) => !named(node)).forEach((node) => say("no name", node));
    all("svg").filter((node) => !said(node)).forEach((node) => say("unsaid drawing", node));
    all("th").filter((node) => !node.scope).forEach((node) => say("no scope", node));
    all("[aria-labelledby]").filter((node) => !label(node)).forEach((node) => say("label is gone", node));
    const ids = all("[id]").map((node) => node.id);
    ids.filter((id, index) => ids.indexOf(id) !== index).forEach((id) => found.push(`twice: ${id}`));
    const levels = all("h1, h2, h3").map((node) => Number(node.tagName[1]));
    if (levels.filter((level) => level === 1).length !== 1) found.push("not one h1");
    levels.forEach((level, index) => {
      if (index && level > levels[index - 1] + 1) found.push(`h${level} after h${levels[index - 1]}`);
    });
    if (!document.documentElement.lang) found.push("no language");
    for (const mark of ["body > header", "nav", "main", "body > footer"]) {
      if (all(mark).length !== 1) found.push(`not one ${mark}`);
    }
    for (const node of all("a.cell")) {
      const box = node.getBoundingClientRect();
      if (box.height < 24 || box.width < 24) say("too small to hit", node);
    }
    return found;
  },
})
