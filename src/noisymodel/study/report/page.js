"use strict";
// The chart to choose from, and the chooser of groups. Without this script the page is complete; nothing is loaded.
(() => {
  document.documentElement.classList.add("js");
  const groups = JSON.parse(document.getElementById("explorer-data").textContent);
  const root = document.getElementById("explorer");
  const state = { group: 0, set: "none", quantity: "accuracy", hidden: new Set() };
  const SVG = "http://www.w3.org/2000/svg";

  function element(name, attributes, ...children) {
    const made = document.createElement(name);
    Object.entries(attributes || {}).forEach(([key, value]) => made.setAttribute(key, value));
    made.append(...children);
    return made;
  }
  function drawn(name, attributes, ...children) {
    const made = document.createElementNS(SVG, name);
    Object.entries(attributes || {}).forEach(([key, value]) => made.setAttribute(key, value));
    made.append(...children);
    return made;
  }
  const number = (value, digits) => value.toFixed(digits).replace("-", "−");
  const signed = (value, digits) => (value < 0 ? "" : "+") + number(value, digits);

  function shape(kind, x, y, size, color) {
    const paint = { fill: color, stroke: "#ffffff", "stroke-width": 1, class: "dot" };
    const path = (points) => drawn("path", { d: `M${points.map(([a, b]) => `${x + a * size} ${y + b * size}`).join("L")}Z`, ...paint });
    const cross = [[-1, -0.4], [-0.4, -0.4], [-0.4, -1], [0.4, -1], [0.4, -0.4], [1, -0.4], [1, 0.4], [0.4, 0.4], [0.4, 1], [-0.4, 1], [-0.4, 0.4], [-1, 0.4]];
    switch (kind) {
      case "square": return path([[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]]);
      case "diamond": return path([[0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]]);
      case "up": return path([[0, -1.15], [1.1, 0.9], [-1.1, 0.9]]);
      case "down": return path([[0, 1.15], [1.1, -0.9], [-1.1, -0.9]]);
      case "plus": return path(cross);
      case "cross": return path(cross.map(([a, b]) => [(a - b) * 0.75, (a + b) * 0.75]));
      default: return drawn("circle", { cx: x, cy: y, r: size, ...paint });
    }
  }

  function ticks(low, high, count) {
    const raw = (high - low) / count || 1;
    const unit = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((times) => times * unit).find((size) => size >= raw);
    const found = [];
    for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6; at += step) found.push(at);
    return found;
  }

  function chart(host, tip) {
    const group = groups[state.group];
    const methods = group.methods.filter((method) => !state.hidden.has(method.name));
    const lines = methods.map((method) => ({ method, points: group.values[method.name][state.set][state.quantity] }));
    const values = lines.flatMap(({ points }) => points.filter(Boolean).flat());
    const width = Math.max(300, host.clientWidth || 700), height = Math.min(420, Math.max(280, width * 0.5));
    const left = 46, right = 14, top = 12, bottom = 44;
    const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Chart of the chosen numbers" });
    host.querySelector("svg")?.remove();
    host.prepend(svg);
    tip.hidden = true;
    if (!values.length) {
      svg.append(drawn("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, "Nothing chosen, or no numbers."));
      return;
    }
    let low = Math.min(...values), high = Math.max(...values);
    if (state.quantity === "change") [low, high] = [Math.min(low, 0), Math.max(high, 0)];
    const margin = (high - low || 1) * 0.06;
    [low, high] = [low - margin, high + margin];
    const end = Math.max(...group.rates) || 1;
    const x = (rate) => left + 12 + (rate / end) * (width - left - right - 24);
    const y = (value) => top + ((high - value) / (high - low)) * (height - top - bottom);
    ticks(low, high, 6).forEach((at) => {
      const strong = state.quantity === "change" && Math.abs(at) < 1e-9;
      svg.append(drawn("line", { x1: left, x2: width - right, y1: y(at), y2: y(at), stroke: strong ? "#222222" : "#dcdcdc" }));
      svg.append(drawn("text", { x: left - 6, y: y(at) + 4, "text-anchor": "end" }, number(at, Math.abs(at % 1) > 1e-6 ? 1 : 0)));
    });
    group.rates.forEach((rate) => svg.append(drawn("text", { x: x(rate), y: height - bottom + 18, "text-anchor": "middle" }, String(+rate.toFixed(3)))));
    svg.append(drawn("text", { x: (left + width) / 2, y: height - 8, "text-anchor": "middle" }, `${group.noise} in pre-training (%)`));
    lines.forEach(({ method, points }, place) => {
      const dodge = (place - (lines.length - 1) / 2) * Math.min(3, 40 / lines.length);
      const there = points.map((point, at) => point && [x(group.rates[at]) + dodge, y(point[0]), point, group.rates[at]]).filter(Boolean);
      svg.append(drawn("polyline", {
        points: there.map(([a, b]) => `${a},${b}`).join(" "), fill: "none", stroke: method.color, "stroke-width": 1.6,
        "stroke-dasharray": method.dashed ? "5 3" : "none",
      }));
      there.forEach(([px, py, [mean, below, above], rate]) => {
        const say = state.quantity === "change" ? signed : number;
        const interval = below === undefined ? "" : ` [${say(below, 1)}, ${say(above, 1)}]`;
        const unit = state.quantity === "change" ? " points" : " %";
        const text = `${method.label}, ${+rate.toFixed(3)} % noise: ${say(mean, 1)}${interval}${unit}`;
        const mark = drawn("g", { class: "point", tabindex: 0, role: "img", "aria-label": text }, drawn("title", {}, text));
        if (below !== undefined) mark.append(drawn("line", { x1: px, x2: px, y1: y(below), y2: y(above), stroke: method.color }));
        mark.append(drawn("circle", { cx: px, cy: py, r: 10, fill: "transparent" }), shape(method.shape, px, py, 4.5, method.color));
        const show = () => {
          tip.textContent = text;
          tip.hidden = false;
          const wide = host.clientWidth / width;
          tip.style.left = `${Math.max(0, Math.min(px * wide + 10, host.clientWidth - tip.offsetWidth - 2))}px`;
          tip.style.top = `${Math.max(0, py * wide - tip.offsetHeight - 10)}px`;
        };
        mark.addEventListener("pointerenter", show);
        mark.addEventListener("focus", show);
        ["pointerleave", "blur"].forEach((event) => mark.addEventListener(event, () => { tip.hidden = true; }));
        svg.append(mark);
      });
    });
  }

  function chooser(label, id, options, chosen, act) {
    const select = element("select", { id });
    options.forEach(([value, text]) => {
      const option = element("option", { value }, text);
      option.selected = String(value) === String(chosen);
      select.append(option);
    });
    select.addEventListener("change", () => act(select.value));
    return element("label", {}, label, select);
  }

  function build() {
    const group = groups[state.group];
    if (!group) return;
    if (!group.sets.some(([key]) => key === state.set)) state.set = group.sets[0][0];
    const host = element("div", { class: "chart" });
    const tip = element("div", { class: "tip", role: "status" });
    tip.hidden = true;
    host.append(tip);
    const redraw = () => chart(host, tip);
    const choices = element("div", { class: "choices" });
    if (groups.length > 1) {
      choices.append(chooser("Group", "choose-group", groups.map((one, at) => [at, one.title]), state.group, (value) => {
        state.group = Number(value);
        hideFurther();
        build();
      }));
    }
    choices.append(
      chooser("Tested", "choose-set", group.sets, state.set, (value) => { state.set = value; redraw(); }),
      chooser("Show", "choose-quantity", [["accuracy", "accuracy (%)"], ["change", "change against clean pre-training (points)"]],
        state.quantity, (value) => { state.quantity = value; redraw(); }),
    );
    const list = element("fieldset", { class: "methods" }, element("legend", {}, "Methods"));
    group.methods.forEach((method) => {
      const box = element("input", { type: "checkbox", value: method.name });
      box.checked = !state.hidden.has(method.name);
      box.addEventListener("change", () => { state.hidden[box.checked ? "delete" : "add"](method.name); redraw(); });
      const swatch = drawn("svg", { width: 26, height: 14, "aria-hidden": "true" },
        drawn("line", { x1: 1, x2: 25, y1: 7, y2: 7, stroke: method.color, "stroke-width": 1.6, "stroke-dasharray": method.dashed ? "5 3" : "none" }),
        shape(method.shape, 13, 7, 4, method.color));
      list.append(element("label", {}, box, swatch, method.label));
    });
    root.replaceChildren(choices, list, host);
    redraw();
    root.redraw = redraw;
  }
  const hideFurther = () => {
    state.hidden = new Set(groups[state.group].methods.filter((method) => !method.shown).map((method) => method.name));
  };

  if (groups.length) {
    hideFurther();
    build();
    new ResizeObserver(() => root.redraw()).observe(root);
  }

  const choice = document.getElementById("group-choice");
  choice?.addEventListener("change", () => {
    document.querySelectorAll(".group-section").forEach((section) => {
      section.hidden = choice.value !== "" && section.dataset.group !== choice.value;
    });
  });
})();
