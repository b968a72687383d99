// The parts of a record, each as elements.

const words = (name) => name.replaceAll("_", " ");
const part = (name, ...children) => node("section", null, node("h3", null, name), ...children);
const small = (told) => node("p", { class: "small" }, told);
const items = (found) => node("ul", null, found.map((told) => node("li", null, told)));

function terms(pairs) {
  const pair = ([name, ...told]) =>
    node("div", null, node("dt", null, name), node("dd", null, told.flat()));
  return node("dl", null, pairs.map(pair));
}

// "lora[rank=8,inner=x[a=1]]" -> ["lora", [["rank", "8"], ["inner", "x[a=1]"]]]
function options(written) {
  const found = written.match(/^([^[\]]*)\[(.*)\]$/s);
  if (!found) return [written, []];
  const pieces = [""];
  let depth = 0;
  for (const c of found[2]) {
    depth += (c === "[") - (c === "]");
    if (c === "," && depth === 0) pieces.push("");
    else pieces[pieces.length - 1] += c;
  }
  const pair = (piece) => {
    const at = piece.indexOf("=");
    return at < 0 ? [piece, ""] : [piece.slice(0, at), piece.slice(at + 1)];
  };
  return [found[1], pieces.filter(Boolean).map(pair)];
}

function setting(written) {
  const [name, chosen] = options(written);
  if (!chosen.length) return [name];
  return [name, terms(chosen.map(([option, value]) => [words(option), setting(value)]))];
}

function settings(run) {
  const plain = ["label", "model", "version"].map((field) => [field, text(run, field)]);
  const spelled = ["method", "task", "recipe"].map((field) => [field, setting(text(run, field))]);
  return part("Settings", terms([...plain, ["seed", exact(run[FIELD.seed])], ...spelled]));
}

function metrics(run) {
  const primary = text(run, "primary");
  const found = [...named(run[FIELD.metrics])];
  if (!found.length) return null;
  const told = found.map(([name, value]) => [
    name === primary ? `${name} (primary)` : name,
    value === null ? "undefined" : String(value),
  ]);
  return part("Metrics", terms(told));
}

function costs(run) {
  const found = named(run[FIELD.cost]);
  if (!found.size) return null;
  const beside = (told) => node("span", { class: "exact" }, told);
  const told = arranged(found).map(([name, value]) => {
    const [short, whole] = [human(name, value), exact(value)];
    const whose = name === "peak_memory_bytes" && !found.has("memory_source");
    return [
      words(name),
      typeof value === "object" && value !== null ? anything(value) : short,
      short === whole ? null : beside(whole),
      whose ? beside("the whole resident set") : null,
    ];
  });
  return part("Costs", terms(told));
}

// Whatever JSON has; mappings as lists of terms, flat ones inside others in a line.
function anything(value, inside = false) {
  if (value === null || typeof value !== "object") return [exact(value)];
  const pairs = Object.entries(value);
  if (!pairs.length) return ["none"];
  const flat = pairs.every(([, item]) => item === null || typeof item !== "object");
  if (Array.isArray(value))
    return [flat ? value.map(exact).join(", ") : items(value.map((item) => anything(item)))];
  const line = ([name, item]) => `${words(name)} ${exact(item)}`;
  if (flat && inside) return [pairs.map(line).join(", ")];
  return [terms(pairs.map(([name, item]) => [words(name), anything(item, true)]))];
}

function parent(key) {
  if (!numbered.has(key)) return [node("code", null, key), " (not on this page)"];
  return node("a", { href: address(key) }, `${text(numbered.get(key), "label")}, ${key}`);
}

function circumstances(run) {
  const found = [...named(run[FIELD.where])];
  const parents = text(run, "parents");
  return part("Circumstances", terms([
    ["data stamp", text(run, "data")],
    ...(parents.length ? [["builds on", items(parents.map(parent))]] : []),
    ...found.map(([name, value]) => [words(name), anything(pooled(value))]),
  ]));
}

function curve(run) {
  const [steps, losses] = run[FIELD.losses];
  if (steps.length < 2) return null;
  const [low, high] = [Math.min(...losses), Math.max(...losses)];
  const [width, height] = [320, 80];
  const x = (step) => ((step - steps[0]) / (steps.at(-1) - steps[0] || 1)) * width;
  const y = (loss) => height - ((loss - low) / (high - low || 1)) * height;
  const points = steps.map((step, i) => `${x(step).toFixed(1)},${y(losses[i]).toFixed(1)}`);
  const told = (i) => `${losses.at(i)} at step ${steps.at(i)}`;
  const ends = `Loss from ${told(0)} to ${told(-1)}`;
  const box = { viewBox: `-3 -3 ${width + 6} ${height + 6}`, role: "img", "aria-label": ends };
  return node("figure", { class: "loss" },
    drawn("svg", box, drawn("polyline", { points: points.join(" "), class: "curve" })),
    node("figcaption", null, `${ends}; lowest ${low}, highest ${high}.`));
}

function grid(rows) {
  const names = [...new Set(rows.flatMap((row) => [...row.keys()]))];
  const kind = (value) => (typeof value === "number" ? { class: "number" } : {});
  const head = (name) => node("th", { scope: "col", ...kind(rows[0].get(name)) }, name);
  const cell = (value) => node("td", kind(value), anything(value));
  const row = (found) => node("tr", null, names.map((name) => cell(found.get(name) ?? "")));
  return node("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Log" },
    node("table", null,
      node("thead", null, node("tr", null, names.map(head))),
      node("tbody", null, rows.map(row))));
}

function log(run) {
  const rows = run[FIELD.log].map(named);
  if (!rows.length) return null;
  return part("Log", curve(run), small("Its last lines, to six digits."), grid(rows));
}
