"use strict";
(() => {
  // What Python has gathered: explorer/gather.py says what there is.
  const data = JSON.parse(document.getElementById("data").textContent);
  const NONE = "none", BLIND = "blind", AWARE = "aware", FIXED = "fixed";
  const SYMBOLS = { eps: "ε", sigma: "σ", gamma: "Υ", kappa: "κ" };
  const NORMS = { linf: "ℓ∞", l2: "ℓ2", l0: "ℓ0" };
  const THREATS = { blind: "blind: does not know the filter", aware: "aware: knows the filter" };
  const SVG = "http://www.w3.org/2000/svg";
  const at = (id) => document.getElementById(id);

  const cells = data.cells.rows.map((row, place) => ({
    place, ...Object.fromEntries(data.cells.columns.map((name, i) => [name, row[i]])),
  }));
  const keyOf = (cell) => data.identity.map((name) => cell[name]).join("|");
  const byKey = new Map(cells.map((cell) => [keyOf(cell), cell]));

  // --- words

  const valueOf = (level) => (level === FIXED ? 0 : Number(level.split("~")[1]));
  const shorten = (value) => String(Number(Number(value).toPrecision(4)));
  const percent = (value) => (value == null ? "–" : `${(value * 100).toFixed(1)} %`);
  const interval = (cell, rate) =>
    cell[`${rate}_low`] == null ? ""
      : `${(cell[`${rate}_low`] * 100).toFixed(1)} … ${(cell[`${rate}_high`] * 100).toFixed(1)} %`;
  function levelLabel(level) {
    if (level === FIXED) return "";
    const [name] = level.split("~");
    return `${SYMBOLS[name] || name} = ${shorten(valueOf(level))}`;
  }
  const filterLabel = (name, level) =>
    name === NONE ? "no filter" : `${name} ${level === FIXED ? "" : levelLabel(level)}`.trim();
  const attackLabel = (name) => data.attacks[name].family === "worst_case"
    ? `worst case, ${NORMS[data.attacks[name].norm]}` : name;
  function cellLabel(cell) {
    const knows = cell.filter === NONE ? "" : `, ${cell.threat}`;
    return `${attackLabel(cell.attack)} ${levelLabel(cell.budget)}`.trim() +
      `, ${filterLabel(cell.filter, cell.strength)}${knows}`;
  }
  // A level is not broken over two lines.
  const whole = (text) => text.split(/(\S+ = \S+)/).map((part, i) =>
    i % 2 ? make("span", { class: "level" }, part) : part);
  function className(dataset, label) {
    const name = (data.class_names[dataset] || [])[label];
    return name === undefined ? String(label) : name;
  }
  // What stands for all attacks of a norm, or for all seeds: condensed from cells.
  const isWorstCase = (cell) => data.attacks[cell.attack].family === "worst_case";
  const isCondensed = (cell) => cell.seed === "mean" || isWorstCase(cell);
  const isFooling = () => data.attacks[state.attack].family === "fooling";
  const rateName = () => (isFooling() ? "fooling images not accepted" : "accuracy");

  // --- what is chosen, which the address has, too

  const CHOICES = ["dataset", "model", "seed", "attack", "threat", "filter", "budget", "strength"];
  const state = {};
  let written = null;

  function fits(cell, name) {
    // Without a filter there is nothing to know: these cells are of either threat.
    if (name === "threat" && cell.filter === NONE) return true;
    return String(cell[name]) === state[name];
  }
  function optionsOf(name) {
    const before = CHOICES.slice(0, CHOICES.indexOf(name));
    let found = cells.filter((cell) => before.every((one) => fits(cell, one)));
    if (name === "threat" && found.some((cell) => cell.filter !== NONE)) {
      found = found.filter((cell) => cell.filter !== NONE);
    }
    return sortLevels(name, found);
  }
  function sortLevels(name, found) {
    const values = [...new Set(found.map((cell) => String(cell[name])))];
    return ["budget", "strength"].includes(name)
      ? values.sort((one, other) => valueOf(one) - valueOf(other)) : values;
  }
  const middle = (options) => options[Math.floor(options.length / 2)];
  // First an attack of many steps that knows what it meets, and the best filter in the middle.
  function defaultOf(name, options) {
    if (name === "attack") return options.find((one) => data.attacks[one].family === "iterative") || options[0];
    if (name === "threat") return options.includes(AWARE) ? AWARE : options[0];
    if (name === "budget") return middle(options);
    if (!["filter", "strength"].includes(name)) return options[0];
    const known = name === "filter" ? "" : strengths[state.filter];
    if (options.includes(known)) return known;
    const before = CHOICES.slice(0, CHOICES.indexOf(name));
    const found = cells.filter((cell) => cell.filter !== NONE && before.every((one) => fits(cell, one)));
    const budgets = sortLevels("budget", found);
    const budget = budgets.includes(state.budget) ? state.budget : middle(budgets);
    const best = bestOf(found.filter((cell) => cell.budget === budget));
    return best ? best[name] : options[0];
  }
  const bestOf = (some) => some.reduce((top, cell) => (top && top.accuracy >= cell.accuracy ? top : cell), null);
  // Of each filter the strength that was looked at last.
  const strengths = {};
  function settle() {
    for (const name of CHOICES) {
      const options = optionsOf(name);
      if (!options.includes(state[name])) state[name] = defaultOf(name, options);
    }
    strengths[state.filter] = state.strength;
    const examples = data.examples[state.dataset] || [];
    if (!examples.includes(Number(state.example))) state.example = String(examples[0] ?? "");
    if (!classesShown().includes(state.class)) state.class = "all";
  }
  function read() {
    for (const [name, value] of new URLSearchParams(location.hash.slice(1))) state[name] = value;
    settle();
  }
  function write() {
    const names = [...CHOICES, "example", "class"];
    written = "#" + new URLSearchParams(names.map((name) => [name, state[name]]));
    if (location.hash !== written) location.hash = written;
  }
  // What was clicked is answered first: figures, curves and map. Images and the address follow.
  let following = null;
  function followNow() {
    if (following === null) return;
    clearTimeout(following);
    following = null;
    renderRest();
    write();
    at("main").removeAttribute("aria-busy");
  }
  function choose(changes) {
    followNow();
    Object.assign(state, changes);
    settle();
    at("main").setAttribute("aria-busy", "true");
    render();
    following = setTimeout(followNow, 30);
  }
  const pick = (cell) => choose({
    attack: cell.attack, budget: cell.budget, filter: cell.filter, strength: cell.strength,
    ...(cell.filter === NONE ? {} : { threat: cell.threat }),
  });
  function find(changes) {
    const of = { ...state, ...changes };
    if (of.filter === NONE) Object.assign(of, { threat: BLIND, strength: FIXED });
    return byKey.get(keyOf(of));
  }
  const shownCells = () =>
    cells.filter((cell) => ["dataset", "model", "seed", "attack"].every((one) => fits(cell, one)));

  // --- elements

  function make(name, attributes = {}, ...children) {
    const isDrawn = ["svg", "g", "path", "rect", "line", "text", "circle", "title"].includes(name);
    const made = isDrawn ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "onclick") made.addEventListener("click", value);
      else if (value != null && value !== false) made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child != null && child !== false));
    return made;
  }
  // A part of a picture or a table that chooses a cell; arrows go from one to the next.
  function markOf(name, cell, row, column, label, attributes, ...children) {
    const mark = make(name, {
      "data-row": row, "data-column": column, "data-key": keyOf(cell), "aria-label": label,
      onclick: () => pick(cell), ...attributes,
    }, ...children);
    if (name === "g") {
      mark.setAttribute("role", "button");
      mark.setAttribute("class", "mark");
    }
    return mark;
  }
  const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  function rove(host) {
    const marks = [...host.querySelectorAll("[data-row]")];
    markChosen(host);
    host.onkeydown = (event) => {
      const mark = event.target.closest("[data-row]");
      if (!mark) return;
      if (["Enter", " "].includes(event.key) && mark.tagName === "g") {
        event.preventDefault();
        mark.dispatchEvent(new MouseEvent("click"));
      }
      const step = STEPS[event.key];
      if (!step && !["Home", "End"].includes(event.key)) return;
      event.preventDefault();
      const row = Number(mark.dataset.row), column = Number(mark.dataset.column);
      const goTo = (other) => {
        mark.setAttribute("tabindex", -1);
        other.setAttribute("tabindex", 0);
        other.focus();
      };
      if (!step) {
        const line = marks.filter((other) => Number(other.dataset.row) === row);
        line.sort((one, other) => one.dataset.column - other.dataset.column);
        goTo(line.at(event.key === "Home" ? 0 : -1));
        return;
      }
      // The next one in this direction; of several the nearest across it.
      const ahead = marks.map((other) => {
        const down = Number(other.dataset.row) - row, right = Number(other.dataset.column) - column;
        const along = step[0] * down + step[1] * right;
        return { other, along, across: Math.abs(step[0] * right) + Math.abs(step[1] * down) };
      }).filter(({ along }) => along > 0);
      ahead.sort((one, two) => one.across - two.across || one.along - two.along);
      if (ahead.length) goTo(ahead[0].other);
    };
  }
  // Frame the chosen cell, where the keyboard enters, without drawing anything anew.
  function markChosen(host) {
    const key = keyOf(chosen()), marks = [...host.querySelectorAll("[data-row]")];
    const current = marks.find((mark) => mark.dataset.key === key);
    for (const mark of marks) {
      const isCurrent = mark === current;
      if (isCurrent !== mark.hasAttribute("aria-current")) {
        if (isCurrent) mark.setAttribute("aria-current", "true");
        else mark.removeAttribute("aria-current");
      }
      const index = isCurrent || (!current && mark === marks[0]) ? "0" : "-1";
      if (mark.getAttribute("tabindex") !== index) mark.setAttribute("tabindex", index);
    }
    const frame = host.querySelector(".frame");
    if (!frame) return;
    frame.setAttribute("visibility", current ? "visible" : "hidden");
    if (current) frame.setAttribute("transform", `translate(${current.dataset.x} ${current.dataset.y})`);
  }
  // Draw a part of the page anew only if what it shows has changed, not the choice within it.
  const drawn = {};
  function drawOnce(host, shows, draw) {
    const key = JSON.stringify(shows);
    if (drawn[host.id] === key) return markChosen(host);
    drawn[host.id] = key;
    draw();
  }

  // --- pictures

  const INK = "#1a1a1a", GREY = "#595959", CHOSEN = "#b3003b", PROVED = "#00795c";
  const LOOKS = {
    none: { colour: "#595959", dash: "1.5 3", shape: "circle", name: "no filter" },
    blind: { colour: "#a05a00", dash: "6 3", shape: "square", name: "blind" },
    aware: { colour: "#00579c", dash: "", shape: "diamond", name: "aware" },
  };
  function shapeOf(look, x, y, size) {
    const s = size * 1.3;
    const paths = {
      square: `M${x - size} ${y - size}h${2 * size}v${2 * size}h${-2 * size}z`,
      diamond: `M${x} ${y - s}L${x + s} ${y}L${x} ${y + s}L${x - s} ${y}z`,
      circle: `M${x - size} ${y}a${size} ${size} 0 1 0 ${2 * size} 0a${size} ${size} 0 1 0 ${-2 * size} 0z`,
    };
    const fill = look.shape === "circle" ? "#fff" : look.colour;
    return make("path", { d: paths[look.shape], fill, stroke: look.colour, "stroke-width": 1.5 });
  }
  const writeAt = (x, y, said, more = {}) =>
    make("text", { x, y, "font-size": 12, fill: INK, ...more }, said);
  function canvasOf(width, height, label) {
    return make("svg", {
      xmlns: SVG, viewBox: `0 0 ${width} ${height}`, width, height, role: "group",
      "aria-label": label, "font-family": "system-ui, sans-serif",
    }, make("rect", { width, height, fill: "#fff" }));
  }
  function captioned(host, title, note, drawing, file) {
    const button = make("button", {
      type: "button", "aria-label": `SVG: ${title}`,
      onclick: () => save(`${file}.svg`, "image/svg+xml", new XMLSerializer().serializeToString(drawing)),
    }, "SVG");
    host.replaceChildren(
      make("figcaption", {}, make("span", {}, ...whole(title)), button, make("small", {}, note)), drawing);
    rove(host);
  }

  // How much room there is, asked before anything is drawn: then it costs no layout.
  const widths = {};
  let measured = null;
  function measure() {
    const layout = `${window.innerWidth} ${state.strength === FIXED}`;
    if (layout === measured) return;
    measured = layout;
    at("over-strength").hidden = state.strength === FIXED;
    for (const id of ["over-budget", "over-strength", "map"]) widths[id] = Math.max(at(id).clientWidth, 240);
  }

  // Lines of rates over levels: each of `series` has a look, and cells, one a level or one for all.
  function drawLines(host, title, note, levels, series, file) {
    const width = widths[host.id], height = 300;
    const legend = series.map(({ kind }) => [LOOKS[kind], LOOKS[kind].name]);
    if (series.some((one) => one.proved)) legend.push([null, "proved … not fooled"]);
    const left = 44, right = 14, bottom = 40;
    const places = layLegend(legend.map(([, words]) => words), left, width - right);
    const top = 16 + 18 * (1 + places[places.length - 1].line);
    const values = levels.map(valueOf), low = Math.min(...values), high = Math.max(...values);
    const xOf = (level) => (high === low ? (left + width - right) / 2
      : left + 12 + ((valueOf(level) - low) / (high - low)) * (width - left - right - 24));
    // As high as the highest interval wants.
    const most = Math.max(...series.flatMap((one) => one.cells.filter(Boolean).map((cell) => cell.accuracy_high ?? cell.accuracy)));
    const highest = [0.04, 0.2, 0.4, 0.6, 0.8, 1].find((rate) => rate >= most) || 1;
    const yOf = (rate) => top + (1 - Math.max(rate, 0) / highest) * (height - top - bottom);
    const svg = canvasOf(width, height, title);
    for (const part of [0, 0.25, 0.5, 0.75, 1]) {
      const rate = part * highest;
      svg.append(
        make("line", { x1: left, x2: width - right, y1: yOf(rate), y2: yOf(rate), stroke: "#e2e2e2" }),
        writeAt(left - 6, yOf(rate) + 4, `${shorten(rate * 100)} %`, { "text-anchor": "end", fill: GREY, "font-size": 11 }));
    }
    let last = -Infinity;
    for (const level of levels) {
      if (xOf(level) - last < 34 && level !== levels[0]) continue;
      last = xOf(level);
      svg.append(writeAt(last, height - bottom + 16, level === FIXED ? "" : shorten(valueOf(level)),
        { "text-anchor": "middle", fill: GREY, "font-size": 11 }));
    }
    const [name] = levels[0].split("~");
    svg.append(writeAt((left + width - right) / 2, height - 6, name === FIXED ? "" : SYMBOLS[name] || name,
      { "text-anchor": "middle" }));
    drawProved(svg, series, xOf, yOf);
    series.forEach(({ kind, cells: points, flat }, row) => {
      const look = LOOKS[kind], shift = (row - (series.length - 1) / 2) * 5;
      const drawn = points.map((cell, i) => ({
        cell, x: flat ? left + 4 : xOf(levels[i]) + shift, y: cell && yOf(cell.accuracy),
      })).filter(({ cell }) => cell);
      const ends = flat ? [...drawn, { ...drawn[0], x: width - right }] : drawn;
      svg.append(make("path", {
        d: ends.map((one, i) => `${i ? "L" : "M"}${one.x} ${one.y}`).join(""), fill: "none",
        stroke: look.colour, "stroke-width": 1.8, "stroke-dasharray": look.dash || null,
      }));
      drawn.forEach((one, column) => svg.append(drawPoint(one, look, row, column, yOf)));
    });
    svg.append(make("g", { class: "frame" }, make("circle", { r: 10, fill: "none", stroke: CHOSEN, "stroke-width": 2.5 })));
    // The legend is part of the picture, which is saved without the page.
    legend.forEach(([look, words], i) => {
      const { x, line } = places[i], y = 13 + 18 * line;
      svg.append(look ? shapeOf(look, x + 6, y, 4)
        : make("rect", { x, y: y - 6, width: 12, height: 12, fill: PROVED, "fill-opacity": 0.25, stroke: PROVED }),
      writeAt(x + 17, y + 4, words));
    });
    captioned(host, title, note, svg, file);
  }
  function layLegend(words, left, right) {
    let x = left, line = 0;
    return words.map((one) => {
      const width = 34 + one.length * 6.4;
      if (x + width > right && x > left) [x, line] = [left, line + 1];
      x += width;
      return { x: x - width, line };
    });
  }
  function drawPoint({ cell, x, y }, look, row, column, yOf) {
    const label = `${cellLabel(cell)}: ${percent(cell.accuracy)}, ${interval(cell, "accuracy")}`;
    // Ends that are wider than the marker, which may hide the rest of a short bar.
    const ends = cell.accuracy_low == null ? [] : [cell.accuracy_low, cell.accuracy_high].map(yOf);
    const bar = ends.map((end) => `M${x - 6} ${end}h12`).join("") + (ends.length ? `M${x} ${ends[0]}V${ends[1]}` : "");
    return markOf("g", cell, row, column, label, { "data-x": x, "data-y": y },
      make("title", {}, label),
      shapeOf(look, x, y, 3),
      make("path", { d: bar || "M0 0", fill: "none", stroke: look.colour, "stroke-width": 1.3 }),
      make("circle", { cx: x, cy: y, r: 11, fill: "transparent" }));
  }
  // From what is proved to what nothing fools, of the cells whose attackers know all.
  function drawProved(svg, series, xOf, yOf) {
    for (const { cells: points, proved } of series) {
      const known = proved ? points.filter((cell) => cell && cell.certified != null) : [];
      if (!known.length) continue;
      const level = proved === "budget" ? (cell) => cell.budget : (cell) => cell.strength;
      const upper = known.map((cell) => `${xOf(level(cell))} ${yOf(cell.attacked)}`);
      const lower = known.map((cell) => `${xOf(level(cell))} ${yOf(cell.certified)}`).reverse();
      svg.append(make("path", {
        d: `M${[...upper, ...lower].join("L")}z`, fill: PROVED, "fill-opacity": 0.25,
        stroke: PROVED, "stroke-opacity": 0.6,
      }));
    }
  }
  const hasProofs = (points) => points.some((cell) => cell && cell.certified != null);

  function renderCurves() {
    const budgets = optionsOf("budget"), strengths = optionsOf("strength");
    const threats = state.filter === NONE ? [] : [BLIND, AWARE];
    const over = (name, levels, changes) => levels.map((level) => find({ ...changes, [name]: level }));
    const series = (name, levels) => {
      const bare = over("budget", budgets, { filter: NONE });
      const lines = name === "budget"
        ? [{ kind: NONE, cells: bare, proved: !threats.length && hasProofs(bare) && name }]
        : [{ kind: NONE, cells: [find({ filter: NONE })], flat: true }];
      for (const threat of threats) {
        const points = over(name, levels, { threat });
        if (points.some(Boolean)) {
          lines.push({ kind: threat, cells: points, proved: threat === AWARE && hasProofs(points) && name });
        }
      }
      return lines.filter((line) => line.cells.some(Boolean));
    };
    const norm = NORMS[data.attacks[state.attack].norm];
    const isRadius = budgets.some((budget) => budget.startsWith("eps~"));
    const ball = norm && isRadius ? `, ${SYMBOLS.eps} is the radius of the ${norm} ball` : "";
    const shared = [state.dataset, state.model, state.seed, state.attack, state.filter];
    drawOnce(at("over-budget"), [shared, state.strength, widths["over-budget"]], () => drawLines(at("over-budget"),
      `${capital(rateName())} over the budget, ${filterLabel(state.filter, state.strength)}`,
      `Bars are 95 % intervals${ball}.`, budgets, series("budget", budgets), "over-budget"));
    if (state.strength !== FIXED) {
      drawOnce(at("over-strength"), [shared, state.budget, widths["over-strength"]], () => drawLines(at("over-strength"),
        `${capital(rateName())} over the strength of ${state.filter}, ${levelLabel(state.budget)}`,
        "The level line is without a filter.", strengths, series("strength", strengths), "over-strength"));
    }
  }
  const capital = (text) => text[0].toUpperCase() + text.slice(1);

  // Dark to light as the eye sees it, in grey, too (cividis).
  const RAMP = [[0, 32, 77], [64, 77, 107], [124, 123, 120], [187, 175, 109], [255, 234, 70]];
  function colourOf(rate) {
    const place = Math.min(rate, 0.9999) * (RAMP.length - 1), start = Math.floor(place);
    const mixed = RAMP[start].map((one, i) => Math.round(one + (RAMP[start + 1][i] - one) * (place - start)));
    return `rgb(${mixed})`;
  }
  function rowsOf() {
    const levels = new Map();
    for (const cell of shownCells()) {
      if (cell.filter === NONE || cell.threat === state.threat) {
        levels.set(`${cell.filter}|${cell.strength}`, [cell.filter, cell.strength]);
      }
    }
    const filters = [...new Set([...levels.values()].map(([name]) => name))];
    return [...levels.values()].sort((one, other) =>
      filters.indexOf(one[0]) - filters.indexOf(other[0]) || valueOf(one[1]) - valueOf(other[1]));
  }
  // Whether a cell leads all others of other filters, beyond chance: on the same images.
  function leads(cell) {
    const next = rivalsOf(cell).find((one) => one.against === "next_best");
    return next ? next.difference_low > 0 : null;
  }
  const rivalsOf = (cell) => (data.rivals && data.rivals[cell.place]) || [];
  function renderMap() {
    drawOnce(at("map"), [state.dataset, state.model, state.seed, state.attack, state.threat, widths.map], drawMap);
  }
  function drawMap() {
    const host = at("map"), rows = rowsOf(), budgets = optionsOf("budget");
    const cellOf = ([filter, strength], budget) => find({ filter, strength, budget });
    const best = budgets.map((budget) => bestOf(rows.filter(([filter]) => filter !== NONE)
      .map((row) => cellOf(row, budget)).filter(Boolean)));
    const longest = Math.max(...rows.map((row) => filterLabel(...row).length));
    const room = widths.map, left = Math.min(longest * 6.6 + 8, room * 0.42);
    const side = Math.max(Math.min((room - left - 4) / budgets.length, 72), 24), line = 23;
    const isSlanted = budgets.some((budget) => shorten(valueOf(budget)).length * 7 > side), top = isSlanted ? 44 : 22;
    const title = `What is left: ${rateName()} in percent, ${THREATS[state.threat]}`;
    const svg = canvasOf(left + side * budgets.length + 4, top + rows.length * line + 24, title);
    budgets.forEach((budget, column) => {
      const x = left + side * (column + 0.5) + (isSlanted ? 4 : 0), y = top - 7;
      svg.append(writeAt(x, y, budget === FIXED ? "" : shorten(valueOf(budget)), {
        "text-anchor": isSlanted ? "start" : "middle", "font-size": 11, fill: GREY,
        transform: isSlanted ? `rotate(-90 ${x} ${y})` : null,
      }));
    });
    rows.forEach((row, number) => {
      const y = top + number * line;
      svg.append(writeAt(left - 6, y + 16, filterLabel(...row), {
        "text-anchor": "end", "font-size": 11.5,
        textLength: filterLabel(...row).length * 6.6 > left - 8 ? left - 10 : null, lengthAdjust: "spacingAndGlyphs",
      }));
      budgets.forEach((budget, column) => {
        const cell = cellOf(row, budget);
        if (cell) svg.append(drawSquare(cell, left + side * column, y, side, line, number, column, best.includes(cell)));
      });
    });
    const [name] = budgets[0].split("~");
    svg.append(writeAt(left + (side * budgets.length) / 2, top + rows.length * line + 17,
      name === FIXED ? "" : SYMBOLS[name] || name, { "text-anchor": "middle" }));
    // The frame is drawn last: it lies on its neighbours.
    svg.append(make("g", { class: "frame", "pointer-events": "none" },
      make("rect", { x: 1, y: 1, width: side - 2, height: line - 2, fill: "none", stroke: "#fff", "stroke-width": 5 }),
      make("rect", { width: side, height: line, fill: "none", stroke: CHOSEN, "stroke-width": 3 })));
    captioned(host, title, "A star is the highest of its column behind a filter: ★ if it leads the best cell of another " +
      "filter beyond chance (95 %, on the same images), ☆ if it may be luck or nothing was compared.", svg, "map");
  }
  function drawSquare(cell, x, y, width, height, row, column, isBest) {
    const rate = cell.accuracy, isAhead = isBest && leads(cell);
    const label = `${cellLabel(cell)}: ${percent(rate)}, ${interval(cell, "accuracy")}` +
      (isBest ? `, the highest of its column${isAhead ? ", beyond chance" : ""}` : "");
    const fill = rate > 0.48 ? "#000" : "#fff";
    return markOf("g", cell, row, column, label, { "data-x": x, "data-y": y },
      make("title", {}, label),
      make("rect", { x: x + 0.5, y: y + 0.5, width: width - 1, height: height - 1, fill: colourOf(rate) }),
      writeAt(x + width / 2, y + 16, `${isBest && width > 30 ? (isAhead ? "★ " : "☆ ") : ""}${Math.round(rate * 100)}`, {
        "text-anchor": "middle", "font-size": 11.5, fill, "font-weight": isBest ? 700 : null,
        "text-decoration": isBest && width <= 30 ? "underline" : null,
      }));
  }

  // --- the chosen cell

  const chosen = () => find({});
  function tableOf(caption, heads, rows, attributes = {}) {
    const cellOf = (name, value, column) => make(name, {
      scope: name === "th" ? (column ? "col" : "row") : null,
      class: column && !(value instanceof Node) ? "number" : null,
    }, value);
    return make("table", attributes,
      caption && make("caption", {}, caption),
      heads && make("thead", {}, make("tr", {}, ...heads.map((head, i) =>
        make("th", { scope: "col", class: i ? "number" : null }, head)))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((value, i) =>
        i ? cellOf("td", value, i) : make("th", { scope: "row" }, value))))));
  }
  function figuresOf(cell) {
    const clean = data.clean.find((row) => ["dataset", "model", "seed", "filter", "strength"]
      .every((name) => row[name] === cell[name]));
    const rate = (label, name, count, of) => cell[name] != null &&
      [label, percent(cell[name]), interval(cell, name), cell[count] == null ? "" : `${cell[count]} of ${cell[of]}`];
    const mean = (label, name, unit) => cell[name] != null && [label, shorten(cell[name]), unit,
      cell[`${name}_max`] == null ? "" : `largest ${shorten(cell[`${name}_max`])}`];
    const parts = Object.keys(cell).filter((name) => name.startsWith("n_fooled_by_") && cell[name] != null);
    return [
      rate(rateName(), "accuracy", "n_correct", "n"),
      rate("attack success, of those right when clean, without a filter", "attack_success", "n_fooled", "n_correct_clean"),
      clean && [cell.filter === NONE ? "clean accuracy" : "clean accuracy, through the filter", percent(clean.accuracy), interval(clean, "accuracy"), `${clean.n_correct} of ${clean.n}`],
      rate("accuracy, 8 bits", "accuracy_8bit", "n_correct_8bit", "n"),
      rate("rejected", "rejected", "n_rejected", "n"),
      rate("proved safe", "certified", "n_certified", "n_proofs"),
      rate("not fooled by any attack", "attacked", "n_unfooled", "n_attacked"),
      mean("mean ℓ∞", "linf", "of the pixel range"),
      mean("mean ℓ2", "l2", ""),
      mean("pixels changed", "l0", ""),
      mean("mean confidence", "confidence", ""),
      ...parts.map((name) => [`first fooled by ${name.slice(12)}`, String(cell[name]), "", ""]),
    ].filter(Boolean);
  }
  function classesOf(cell) {
    const counts = (data.by_class && data.by_class[cell.place]) || [];
    if (!counts.length) return null;
    const sorted = [...counts].sort((one, other) => one[2] / one[1] - other[2] / other[1] || one[0] - other[0]);
    const lowest = sorted.filter(([, n, right]) => right * sorted[0][1] === sorted[0][2] * n)
      .map(([label]) => className(cell.dataset, label));
    const others = lowest.length > 3 ? ` and ${lowest.length - 3} more` : "";
    const rows = sorted.map(([label, n, right]) => [
      className(cell.dataset, label),
      make("meter", { min: 0, max: 1, value: right / n, "aria-hidden": "true" }),
      percent(right / n), `${right} of ${n}`]);
    return make("div", {}, fold("classes", true, `By class; lowest: ${lowest.slice(0, 3).join(", ")}${others}`,
      () => [tableOf(null, ["class", "", rateName(), ""], rows, { class: "classes" })]),
    fold("class-by-budget", false, "By class and budget", () => [classGrid(cell)]));
  }
  // Rates of each class at each budget, in percent.
  function classGrid(cell) {
    const budgets = optionsOf("budget").map((budget) => find({ budget })).filter(Boolean);
    const columns = budgets.map((one) => new Map(data.by_class[one.place].map(([label, n, right]) => [label, right / n])));
    const labels = data.by_class[cell.place].map(([label]) => label);
    const rows = labels.map((label) => [className(cell.dataset, label), ...budgets.map((one, i) => {
      const rate = columns[i].get(label);
      if (rate === undefined) return "–";
      const colour = rate > 0.48 ? "#000" : "#fff";
      return make("span", { class: "rate", style: `background: ${colourOf(rate)}; color: ${colour}` }, String(Math.round(rate * 100)));
    })]);
    return make("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "By class and budget" },
      tableOf(`${capital(rateName())} in percent`, ["class", ...budgets.map((one) => levelLabel(one.budget))], rows, { class: "classes" }));
  }
  // What can be folded stays as it was left, and is made when it is opened.
  const folds = {};
  function fold(name, isOpen, summary, content) {
    // The page knows before the event does, which comes late on a busy machine.
    const open = document.querySelector(`[data-fold="${name}"]`)?.open ?? folds[name] ?? isOpen;
    const made = make("details", { open, "data-fold": name }, make("summary", {}, summary), ...(open ? content() : []));
    made.ontoggle = () => {
      folds[name] = made.open;
      if (made.open && made.childElementCount === 1) made.append(...content().filter(Boolean));
    };
    return made;
  }
  const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value * 100).toFixed(1)}`;
  // How a cell compares with its rivals, on the same images.
  function rivalList(cell) {
    const rivals = rivalsOf(cell);
    if (!rivals.length) return null;
    const names = { none: "no filter", best: "the best here", next_best: "the best of another filter" };
    const rows = rivals.map((one) => {
      const other = one.other_filter === NONE ? "" : `, ${filterLabel(one.other_filter, one.other_strength)}`;
      const isSure = one.difference_low > 0 || one.difference_high < 0;
      return [`against ${names[one.against]}${other}`, `${signed(one.difference)} points`,
        `${signed(one.difference_low)} … ${signed(one.difference_high)}`, isSure ? "differs" : "may be chance"];
    });
    return make("div", {}, make("h3", {}, "Does it differ? On the same images"),
      make("div", { class: "wide" }, tableOf(null, ["", rateName(), "95 % interval", ""], rows, { class: "figures" })));
  }
  // Where one step fools more than many do.
  function remarkOf(cell) {
    if (data.attacks[cell.attack].family !== "iterative") return null;
    const norm = data.attacks[cell.attack].norm;
    const stronger = Object.keys(data.attacks).filter((name) => norm && data.attacks[name].norm === norm &&
      data.attacks[name].family === "single_step").map((attack) => find({ attack }))
      .find((one) => one && one.accuracy < cell.accuracy);
    if (!stronger) return null;
    const why = cell.threat === BLIND && cell.filter !== NONE
      ? " Its steps fit the model without the filter, and a filter can undo what is fitted closely." : "";
    return make("p", { class: "remark" }, `${stronger.attack}, a single step, leaves fewer right here: ${percent(stronger.accuracy)}.${why}`);
  }
  const concerns = (check, cell) => ["dataset", "model", "seed", "threat", "attack", "filter", "strength"]
    .every((name) => check[name] === undefined || String(check[name]) === String(cell[name]));
  const ORDER = { fail: 0, warn: 1, pass: 2 };
  function checkList(checks, withSubject) {
    const said = (check) => !withSubject ? "" :
      " (" + ["dataset", "model", "seed", "threat", "attack", "filter", "strength"]
        .filter((name) => check[name] !== undefined).map((name) => check[name]).join(" ") + ")";
    return make("ul", { class: "checks" }, ...checks.map((check) => make("li", {},
      make("span", { class: `verdict ${check.verdict}` }, check.verdict), " ",
      make("strong", {}, check.check), said(check), `: ${check.sentence.replace(/\w+~[\d.]*\d/g, levelLabel)}`)));
  }
  function checksOf(cell) {
    const about = data.checks.filter((check) => check.verdict in ORDER && concerns(check, cell))
      .sort((one, other) => ORDER[one.verdict] - ORDER[other.verdict]);
    const count = (verdict) => about.filter((one) => one.verdict === verdict).length;
    const [fail, warn, pass] = Object.keys(ORDER).map(count);
    return make("div", {}, checkList(about.filter((one) => one.verdict !== "pass"), false),
      fold("checks", false, `Checks: ${pass} pass, ${warn} warn, ${fail} fail`, () => scopesOf(cell).flatMap(([scope, isOf]) => {
        const passed = about.filter((one) => one.verdict === "pass" && isOf(one));
        return passed.length ? [make("h3", {}, scope), checkList(passed, false)] : [];
      })));
  }
  // What checks are about: none is about one budget alone.
  function scopesOf(cell) {
    const filter = filterLabel(cell.filter, cell.strength);
    const knows = cell.filter === NONE ? "" : `, ${cell.threat}`;
    return [
      [`Of ${attackLabel(cell.attack)}, ${filter}${knows}: the curve of all budgets, or the budget that is named`,
        (check) => check.attack !== undefined],
      [`Of ${filter}, whatever the attack`, (check) => check.attack === undefined && check.filter !== undefined],
      [`Of the model ${cell.model}`, (check) => check.attack === undefined && check.filter === undefined],
    ];
  }
  function madeBy(cell) {
    const made = data.made[cell.place];
    if (!made) return null;
    const show = (number, words) => {
      if (number == null) return [];
      const one = data.makers[number];
      const settings = one.settings && JSON.stringify(JSON.parse(one.settings), null, 1);
      const versions = Object.entries(JSON.parse(one.versions || "{}")).map((pair) => pair.join(" ")).join(", ");
      return [make("h3", {}, `${words}, by code ${one.code}`), make("pre", {}, settings), make("p", { class: "soft" }, versions)];
    };
    return fold("made", false, "Made by: settings, code, versions",
      () => [...show(made[1], "Attacked"), ...show(made[0], "Scored")]);
  }
  // The table that a condensed cell is a row of.
  const tableFor = (cell) =>
    data.configuration.replace(/[^/]*$/, cell.seed === "mean" ? "seeds.csv" : "worst_case.csv");
  function commandOf(cell) {
    const path = isCondensed(cell) ? tableFor(cell) : data.metrics.replace(/\{(\w+)\}/g, (_, name) => cell[name]);
    return `snakemake --cores all --configfile ${data.configuration} --force ${path}`;
  }
  // What a condensed cell is, since it is compared with no other.
  function condensedOf(cell) {
    if (!isCondensed(cell)) return null;
    const what = [isWorstCase(cell) && "the worst case over attacks, example by example",
      cell.seed === "mean" && "the mean over seeds"].filter(Boolean).join(", and ");
    return make("p", { class: "soft" }, `This is ${what}: a row of ${tableFor(cell)}. ` +
      "Of a single attack and seed there are images, too, and comparisons on the same images.");
  }
  function renderCell() {
    const cell = chosen(), host = at("cell");
    const heads = ["", "", "95 % interval", ""];
    host.replaceChildren(
      make("h2", { id: "cell-title" }, ...whole(cellLabel(cell))),
      make("p", { class: "big", id: "figure" }, percent(cell.accuracy)),
      make("p", {}, `${rateName()}, 95 % interval ${interval(cell, "accuracy")}, of ${cell.n} images`),
      ...[condensedOf(cell), remarkOf(cell), rivalList(cell)].filter(Boolean),
      make("h3", {}, "All figures"),
      make("div", { class: "wide" }, tableOf(null, heads, figuresOf(cell), { class: "figures" })),
      ...[classesOf(cell), checksOf(cell), madeBy(cell)].filter(Boolean),
      make("h3", {}, `Make this ${isCondensed(cell) ? "table" : "cell"} again`),
      make("pre", { id: "command" }, commandOf(cell)),
      make("button", { type: "button", id: "copy", onclick: () => copy(commandOf(cell), "The command") }, "Copy the command"));
    at("said").textContent = `${cellLabel(cell)}: ${percent(cell.accuracy)}`;
  }

  // --- images

  // Width and height of a PNG, out of its header.
  function sizeOf(sprite) {
    const head = atob(sprite.slice(22, 54));
    const number = (start) => [0, 1, 2, 3].reduce((sum, i) => sum * 256 + head.charCodeAt(start + i), 0);
    return [number(16), number(20)];
  }
  const differences = new Map();
  async function drawDifference(clean, attacked) {
    const key = `${clean}|${attacked}`;
    if (differences.has(key)) return differences.get(key);
    const [before, after] = await Promise.all([clean, attacked].map(async (number) => {
      const image = new Image();
      image.src = data.sprites[number];
      await image.decode();
      const canvas = make("canvas", { width: image.width, height: image.height });
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      return [canvas, context.getImageData(0, 0, image.width, image.height)];
    }));
    const [canvas, shown] = after, other = before[1].data, pixels = shown.data;
    let largest = 1;
    for (let i = 0; i < pixels.length; i++) largest = Math.max(largest, Math.abs(pixels[i] - other[i]));
    for (let i = 0; i < pixels.length; i++) {
      pixels[i] = i % 4 === 3 ? 255 : 128 + (127 * (pixels[i] - other[i])) / largest;
    }
    canvas.getContext("2d").putImageData(shown, 0, 0);
    differences.set(key, canvas.toDataURL());
    return differences.get(key);
  }
  const classesShown = () => ["all", ...[...new Set(Object.values(labelsOf()))].sort((a, b) => a - b)];
  // The label of each example of the data set, by its index.
  function labelsOf() {
    const examples = data.examples[state.dataset] || [];
    return Object.fromEntries(examples.map((index, i) => [index, String(data.labels[state.dataset][i])]));
  }
  function saidOf(cell, place) {
    const followed = data.followed[cell.place];
    if (!followed || followed.right[place] == null) return null;
    const isRejected = followed.rejected && followed.rejected[place];
    return {
      isRight: Boolean(followed.right[place]),
      words: isRejected ? "rejected" : className(cell.dataset, followed.prediction[place]),
      probability: followed.probability[place],
    };
  }
  // Whether an example is wrong through this filter without an attack.
  const cleanKey = (...names) => JSON.stringify(names.map(String));
  const cleanRight = new Map(data.clean_right.map((row) => [cleanKey(...row.slice(0, -1)), row.at(-1)]));
  function isWrongClean(cell, place) {
    const right = cleanRight.get(cleanKey(cell.dataset, cell.model, cell.seed, cell.filter, cell.strength));
    return Boolean(right && right[place] === 0);
  }
  function cardOf(cell, place, index, label, kinds, size) {
    const said = saidOf(cell, place), [width, height, count] = size;
    const words = `class ${className(cell.dataset, label)} → ${said.words} (${said.probability} %)`;
    return make("button", {
      type: "button", class: "card", "data-example": index, "aria-pressed": String(String(index) === state.example),
      onclick: () => choose({ example: String(index) }),
    }, make("strong", {}, `#${index}: ${words}`), ...kinds.map((kind) => make("span", {},
      make("span", {
        class: `picture ${kind}`,
        style: `aspect-ratio: ${width} / ${height}; ` +
          `background-size: ${count * 100}% 100%; background-position: ${count > 1 ? (100 * place) / (count - 1) : 0}% 0`,
      }), kind)));
  }
  // A rule a kind: the browser reads each sprite once, not once a picture.
  const pictures = new CSSStyleSheet();
  document.adoptedStyleSheets = [pictures];
  const ruleOf = (kind, sprite) => `.picture.${kind} { background-image: url("${sprite}"); }`;
  let turn = 0;
  function renderImages() {
    const cell = chosen(), host = at("images"), examples = data.examples[cell.dataset] || [];
    const [attacked, filtered] = data.images[cell.place] || [], clean = data.clean_images[cell.dataset];
    if (!data.followed[cell.place]) {
      const folder = data.configuration.replace(/tables\/[^/]*$/, "figures");
      const why = isFooling()
        ? `Fooling images have galleries: see ${folder}/${cell.dataset}/${cell.model}/${cell.attack}/.`
        : isCondensed(cell) ? "A worst case over attacks and a mean over seeds have none: choose an attack and a seed."
          : "None were kept of this cell.";
      host.replaceChildren(make("h2", { id: "images-title" }, "Images"), make("p", {}, why));
      return;
    }
    const numbers = { clean, attacked, difference: clean != null && attacked != null ? -1 : null, filtered };
    const kinds = Object.keys(numbers).filter((kind) => numbers[kind] != null);
    const count = examples.length, labels = labelsOf();
    const [width, height] = clean == null ? [count, 1] : sizeOf(data.sprites[clean]);
    pictures.replaceSync(kinds.filter((kind) => numbers[kind] >= 0)
      .map((kind) => ruleOf(kind, data.sprites[numbers[kind]])).join(""));
    const mine = ++turn;
    if (numbers.difference) {
      drawDifference(clean, attacked).then((made) => {
        if (mine === turn) pictures.insertRule(ruleOf("difference", made));
      });
    }
    const groups = { Fooled: [], "Wrong without an attack, too": [], "Not fooled": [] };
    examples.forEach((index, place) => {
      const said = saidOf(cell, place);
      if (!said || (state.class !== "all" && labels[index] !== state.class)) return;
      const name = said.isRight ? "Not fooled" : isWrongClean(cell, place) ? "Wrong without an attack, too" : "Fooled";
      groups[name].push(
        cardOf(cell, place, index, Number(labels[index]), kinds, [width / count, height, count]));
    });
    const select = make("select", { id: "class", "aria-label": "class of the images" },
      ...classesShown().map((label) => make("option", { value: label, selected: label === state.class },
        label === "all" ? "all classes" : className(cell.dataset, Number(label)))));
    select.onchange = () => choose({ class: select.value });
    const missing = [];
    if (attacked == null && !data.left_out) missing.push(String(cell.seed) !== optionsOf("seed")[0]
      ? "Attacked images are shown of the first seed."
      : "The study does not keep what an aware attacker makes (keep_aware: false): images are clean ones, answers those to the attacked ones.");
    if (data.left_out) missing.push(`${data.left_out} strips of images are left out: the page's budget is spent.`);
    host.replaceChildren(
      make("h2", { id: "images-title" }, ...whole(`Images: ${cellLabel(cell)}`)),
      make("p", { class: "soft" }, "Chosen by class, some that fall early and some late, without looking at any filter. " +
        "The difference is scaled to its largest; grey is none. A card follows its example below."),
      ...missing.map((words) => make("p", { class: "soft" }, words)), select,
      ...Object.entries(groups).filter(([name, cards]) => cards.length || !name.startsWith("Wrong")).flatMap(([name, cards]) => [
        make("h3", {}, `${name} (${cards.length})`), make("div", { class: "cards" }, ...cards)]));
  }

  // One example through all filters and budgets: where it falls.
  function renderExample() {
    const host = at("example");
    host.hidden = !data.followed[chosen().place];
    if (host.hidden) return;
    drawOnce(host, [state.dataset, state.model, state.seed, state.attack, state.threat, state.example], drawExample);
  }
  function drawExample() {
    const host = at("example"), examples = data.examples[state.dataset] || [];
    const place = examples.indexOf(Number(state.example)), index = state.example;
    const budgets = optionsOf("budget");
    const rows = rowsOf().map(([filter, strength], row) => {
      const said = budgets.map((budget) => {
        const cell = find({ filter, strength, budget });
        return cell && { cell, ...saidOf(cell, place) };
      });
      const fallen = said.findIndex((one) => one && one.isRight === false);
      const isWrong = fallen >= 0 && isWrongClean(said[fallen].cell, place);
      return [filterLabel(filter, strength), ...said.map((one, column) => {
        if (!one || one.words === undefined) return "–";
        const words = `${cellLabel(one.cell)}: taken for ${one.words} (${one.probability} %), ${one.isRight ? "right" : isWrong ? "wrong without an attack, too" : "fooled"}`;
        return markOf("button", one.cell, row, column, words, {
          type: "button", title: words, class: one.isRight ? "right" : isWrong ? "wrong" : "fooled",
        }, `${one.isRight ? "" : isWrong ? "– " : "✗ "}${one.words}`);
      }), fallen < 0 ? "stands" : isWrong ? "wrong when clean" : levelLabel(budgets[fallen]) || "falls"];
    });
    const heads = ["", ...budgets.map((budget) => levelLabel(budget)), "falls at"];
    host.replaceChildren(
      make("h2", { id: "example-title" }, `Example #${index}, class ${className(state.dataset, Number(labelsOf()[index]))}, through all filters`),
      make("p", { class: "soft" }, `${attackLabel(state.attack)}, ${THREATS[state.threat]}. What it is taken for; ✗ and dark where it is fooled, – and grey where it is wrong without an attack, too.`),
      make("div", { class: "wide" }, tableOf(null, heads, rows, { class: "grid" })));
    rove(host);
  }

  // --- the rest of the page

  function renderChoices() {
    const labels = {
      dataset: "data set", seed: "seed", budget: "budget", strength: "strength", filter: "filter",
      model: "model", attack: "attack", threat: "attacker",
    };
    const words = {
      budget: (one) => levelLabel(one) || "fixed", strength: (one) => levelLabel(one) || "fixed",
      attack: attackLabel, threat: (one) => THREATS[one], seed: (one) => (one === "mean" ? "mean over seeds" : one), filter: (one) => (one === NONE ? "no filter" : one),
      model: (one) => (data.names[one] && data.names[one] !== one ? `${one}: ${data.names[one]}` : one),
    };
    const all = CHOICES.map(optionsOf), offered = JSON.stringify(all);
    if (drawn.choices === offered) {
      for (const name of CHOICES) at(`choose-${name}`).value = state[name];
      return;
    }
    drawn.choices = offered;
    at("choices").replaceChildren(...CHOICES.map((name, i) => {
      const options = all[i].map((one) =>
        make("option", { value: one, selected: one === state[name] }, (words[name] || String)(one)));
      const select = make("select", { id: `choose-${name}`, disabled: options.length < 2 }, ...options);
      select.onchange = () => choose({ [name]: select.value });
      return make("label", {}, labels[name], select);
    }));
  }
  function renderTable() {
    const host = at("as-table");
    if (!host.open) return;
    const rows = shownCells().map((cell) => [
      cellLabel(cell), percent(cell.accuracy), interval(cell, "accuracy"), percent(cell.attack_success), String(cell.n)]);
    host.querySelector("div").replaceChildren(
      tableOf(null, ["cell", rateName(), "95 % interval", "attack success", "images"], rows));
  }
  function renderVerdicts() {
    const judged = data.checks.filter((check) => check.verdict in ORDER && check.verdict !== "pass");
    const groups = new Map();
    for (const check of judged) {
      const name = `${check.verdict}: ${check.check}`;
      groups.set(name, [...(groups.get(name) || []), check]);
    }
    at("verdicts").replaceChildren(
      make("h2", { id: "verdicts-title" }, "Checks of the whole study that did not pass"),
      ...[...groups].map(([name, checks]) => make("details", { open: checks.length < 4 },
        make("summary", {}, `${name} (${checks.length})`), checkList(checks, true))),
      ...(judged.length ? [] : [make("p", {}, "All passed.")]));
    const counts = ["fail", "warn", "pass"].map((verdict) =>
      `${data.checks.filter((check) => check.verdict === verdict).length} ${verdict}`);
    at("summary").replaceChildren(`${cells.filter((cell) => !isCondensed(cell)).length} cells. `,
      make("a", { href: "#verdicts", onclick: (event) => jump(event, "verdicts") }, `Checks: ${counts.join(", ")}`),
      `. epsigma ${data.versions.epsigma}.`);
  }
  function save(name, type, content) {
    const address = URL.createObjectURL(new Blob([content], { type }));
    make("a", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }
  function saveCsv() {
    const quoted = (value) => {
      const text = value == null ? "" : String(value);
      return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const names = data.cells.columns;
    const rows = shownCells().map((cell) => names.map((name) => quoted(cell[name])).join(","));
    save("cells.csv", "text/csv", [names.join(","), ...rows, ""].join("\n"));
  }
  async function copy(text, what) {
    try {
      await navigator.clipboard.writeText(text);
      at("said").textContent = `${what} is copied.`;
    } catch {
      window.prompt(`${what}, to copy:`, text);
    }
  }
  // The address is the view's: links within the page leave it alone.
  function jump(event, id) {
    event.preventDefault();
    at(id).focus();
    at(id).scrollIntoView();
  }
  // What has the focus has it again when all is drawn anew.
  function focused() {
    const has = document.activeElement, host = has && has.closest("[id]:not(button)");
    if (!has || !host) return () => {};
    const attribute = ["data-key", "data-example"].find((name) => has.hasAttribute(name));
    const way = attribute ? `#${host.id} [${attribute}="${CSS.escape(has.getAttribute(attribute))}"]` : has.id && `#${has.id}`;
    return () => {
      const again = way && document.querySelector(way);
      if (again && again !== document.activeElement) again.focus({ preventScroll: true });
    };
  }
  function render() {
    const restore = focused();
    measure();
    renderChoices();
    renderCurves();
    renderMap();
    renderCell();
    restore();
  }
  function renderRest() {
    const restore = focused();
    renderImages();
    renderExample();
    renderTable();
    restore();
  }

  at("csv").onclick = saveCsv;
  at("link").onclick = () => {
    followNow();
    copy(location.href, "The address");
  };
  at("as-table").ontoggle = renderTable;
  at("skip").onclick = (event) => jump(event, "cell");
  window.addEventListener("hashchange", () => {
    if (location.hash === written) return;
    followNow();
    read();
    render();
    renderRest();
  });
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth !== width) {
      width = window.innerWidth;
      measure();
      renderCurves();
      renderMap();
    }
  });
  read();
  renderVerdicts();
  render();
  renderRest();
})();
