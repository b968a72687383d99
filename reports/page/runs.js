// The list of all runs: sorted, narrowed, and drawn a page at a time.

const DATA = JSON.parse(find("#data").textContent);
const AT_ONCE = 200; // rows
const FIELD = Object.fromEntries(DATA.fields.map((name, i) => [name, i]));
const pooled = (number) => DATA.pool[number];
const text = (run, field) => pooled(run[FIELD[field]]);
const numbered = new Map(DATA.cells.map((run) => [run[FIELD.key], run]));

// [number of the names, value, value, ...] -> a Map; no name of a record can reach a prototype.
const named = ([names, ...values]) => new Map(pooled(names).map((name, i) => [name, values[i]]));
const title = (name) => (Object.hasOwn(DATA.titles, name) ? DATA.titles[name] : name);
const address = (key) => `#cell-${key}`;
const finite = (value) => (isNumber(value) ? Number(value) : null);

const COLUMNS = [
  (run) => text(run, "label"),
  (run) => title(text(run, "name")),
  (run) => text(run, "model"),
  (run) => run[FIELD.seed],
  (run) => finite(named(run[FIELD.metrics]).get(text(run, "primary"))),
  (run) => text(run, "primary"),
  (run) => text(run, "status"),
  (run) => finite(named(run[FIELD.cost]).get("trained_params")),
  (run) => finite(named(run[FIELD.cost]).get("train_seconds")),
  (run) => run[FIELD.key],
];

function status(run) {
  const told = text(run, "status");
  const known = ["ok", "skipped", "failed"].includes(told) ? ` ${told}` : "";
  return node("span", { class: `status${known}` }, told);
}

function line(run) {
  const [label, task, model, seed, value, metric, , trained, seconds, key] = COLUMNS.map((column) =>
    column(run),
  );
  const number = (told) => node("td", { class: "number" }, told);
  return node(
    "tr",
    null,
    node("th", { scope: "row" }, node("a", { href: address(key) }, label)),
    node("td", null, task),
    node("td", null, model),
    number(String(seed)),
    number(score(value)),
    node("td", null, metric),
    node("td", null, status(run)),
    number(trained === null ? "–" : exact(trained)),
    number(seconds === null ? "–" : duration(seconds)),
    node("td", null, node("code", null, key)),
  );
}

const list = { sorted: DATA.cells, shown: DATA.cells, start: 0 };
const inputs = {
  text: find("#runs-text"),
  name: find("#runs-task"),
  model: find("#runs-model"),
  status: find("#runs-status"),
};

function draw() {
  const total = list.shown.length;
  const end = Math.min(list.start + AT_ONCE, total);
  find("#runs-table tbody").replaceChildren(...list.shown.slice(list.start, end).map(line));
  find("#runs .none").hidden = total > 0;
  find("#runs-count").value = `${exact(total)} of ${exact(DATA.cells.length)} runs`;
  find("#runs .pager").hidden = total <= AT_ONCE;
  const from = exact(list.start + 1);
  find("#runs .pager span").textContent = `${from}–${exact(end)} of ${exact(total)}`;
  find("#runs .before").disabled = list.start === 0;
  find("#runs .after").disabled = end === total;
}

function narrow() {
  const wanted = inputs.text.value.trim().toLowerCase();
  const same = (run, field) => !inputs[field].value || text(run, field) === inputs[field].value;
  list.shown = list.sorted.filter(
    (run) =>
      same(run, "name") &&
      same(run, "model") &&
      same(run, "status") &&
      (text(run, "label").toLowerCase().includes(wanted) || run[FIELD.key].includes(wanted)),
  );
  list.start = 0;
  draw();
}

function fill(select, field) {
  const found = new Set(DATA.cells.map((run) => run[FIELD[field]]));
  const values = [...found].map(pooled).sort(collator.compare);
  const told = (value) => (field === "name" ? title(value) : value);
  select.replaceChildren(
    node("option", { value: "" }, "all"),
    ...values.map((value) => node("option", { value }, told(value))),
  );
}

function turn(by) {
  list.start += by * AT_ONCE;
  draw();
  const box = find("#runs .scroll");
  box.scrollTop = 0;
  box.scrollIntoView({ block: "nearest" });
}

const unsort = sortable(all("#runs-table thead th"), (column, down) => {
  list.sorted = column < 0 ? DATA.cells : ordered(DATA.cells, COLUMNS[column], down);
  narrow();
});
for (const field of ["name", "model", "status"]) fill(inputs[field], field);
for (const input of Object.values(inputs)) input.addEventListener("input", narrow);
find("#runs .unsort").addEventListener("click", unsort);
find("#runs .clear").addEventListener("click", () => {
  for (const input of Object.values(inputs)) input.value = "";
  narrow();
  inputs.text.focus();
});
find("#runs .before").addEventListener("click", () => turn(-1));
find("#runs .after").addEventListener("click", () => turn(1));
narrow();
find("#runs .scripted").hidden = false;
find("#runs .unscripted").remove();
