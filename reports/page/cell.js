// One run's record, opened by its address: #cell-<key>.

function answer(run, value) {
  const task = text(run, "name");
  const classes = Object.hasOwn(DATA.labels, task) ? DATA.labels[task] : [];
  const name = Number.isInteger(value) ? classes[value] : undefined;
  if (name !== undefined) return `${value} (${name})`;
  return Array.isArray(value) ? items(value.map((item) => anything(item))) : anything(value);
}

function prediction(run, row) {
  const [said, right] = [row.get("prediction") ?? null, row.get("label") ?? null];
  const judged = Number.isInteger(said) && Number.isInteger(right);
  const verdict = judged ? ` – ${said === right ? "right" : "wrong"}` : null;
  return [
    `${exact(row.get("split") ?? "")} ${exact(row.get("row") ?? "")}`,
    terms([
      ["predicted", answer(run, said), verdict],
      [Array.isArray(right) ? "references" : "label", answer(run, right)],
    ]),
  ];
}

function predictions(run) {
  const rows = run[FIELD.predictions].map(named);
  if (!rows.length) return null;
  const made = part("Predictions", small("The first rows, by split and number."),
    terms(rows.map((row) => prediction(run, row))));
  made.className = "predictions";
  return made;
}

function command(name, written) {
  const said = node("span", { role: "status" });
  const act = async () => {
    said.textContent = (await copied(written, dialog)) ? "copied" : "not copied: select it";
  };
  return node("div", { class: "command" }, node("p", null, name),
    node("pre", { tabindex: "0" }, node("code", null, written)),
    button("Copy", act, { "aria-label": `Copy: ${name}` }), said);
}

function again(run) {
  const row = run[FIELD.again] === null ? null : text(run, "again");
  const made = text(run, "status") === "ok";
  if (!made && !row) return null;
  const itself = DATA.reproduce.replace("%key%", () => run[FIELD.key]);
  return part("Run it again",
    made ? command("This run, compared bit by bit", itself) : null,
    row ? command("All runs of this row", row) : null,
    small("Data or a model that are not found by themselves are named with --data and --model."));
}

function wrong(run) {
  if (text(run, "status") === "ok") return null;
  const trace = (error) => node("details", null,
    node("summary", null, "Traceback"), node("pre", { tabindex: "0" }, error));
  return part("What happened",
    node("p", { class: "why" }, text(run, "reason") || "no reason given"),
    run[FIELD.error] ? trace(run[FIELD.error]) : null);
}

const dialog = find("#cell");
const known = () => numbered.get(location.hash.replace(/^#cell-/, ""));

function show(run) {
  const [label, task, , seed] = COLUMNS.map((column) => column(run));
  const parts = [wrong, metrics, costs, log, again, settings, circumstances];
  find("#cell-title").textContent = `${label} on ${task}, seed ${exact(seed)}`;
  find(".record", dialog).replaceChildren(
    node("p", { class: "lead" }, status(run), ` · ${text(run, "model")} · `,
      node("code", null, run[FIELD.key])),
    node("div", { class: "parts" }, parts.map((make) => make(run))),
    predictions(run) ?? "",
  );
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  find("#cell-title").focus();
}

// `cells` of an entry of the history: how many records were opened on top of the page.
let above = 0;

function follow() {
  const run = known();
  if (!run) return dialog.close();
  if (history.state === null) history.replaceState({ cells: dialog.open ? above + 1 : 1 }, "");
  above = history.state.cells;
  return show(run);
}

if (known() && history.state === null) {
  const { hash } = location; // so that the way back from a shared address leads to the page
  history.replaceState(null, "", location.href.replace(/#.*$/, ""));
  history.pushState({ cells: 1 }, "", hash);
}
if (known()) follow();
window.addEventListener("hashchange", follow);
dialog.addEventListener("close", () => {
  if (known()) history.go(-history.state.cells);
});
