// Tables that sort by the number behind a place and can be narrowed to some methods.

const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

// What has no value stands last in either direction.
function ordered(items, key, down) {
  const keyed = items.map((item) => [key(item), item]);
  const none = (value) => value === null || value === undefined || Number.isNaN(value);
  const compare = ([a], [b]) => {
    if (none(a) || none(b)) return none(a) - none(b);
    const order = typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b);
    return down ? -order : order;
  };
  return keyed.sort(compare).map(([, item]) => item);
}

// Puts a button into every heading; calls back with the column and the direction, -1 for none.
function sortable(headings, changed) {
  let at = -1;
  let down = false;
  const apply = () => {
    headings.forEach((heading, i) => {
      if (i === at) heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      else heading.removeAttribute("aria-sort");
    });
    changed(at, down);
  };
  headings.forEach((heading, i) => {
    const act = () => {
      down = at === i ? !down : heading.dataset.kind === "number"; // the largest first
      at = i;
      apply();
    };
    heading.replaceChildren(button(heading.textContent, act, { class: "sort" }));
  });
  return () => {
    at = -1;
    apply();
  };
}

function place(row, column) {
  const cell = row.cells[column];
  if (column === 0) return cell.textContent;
  return cell.dataset.number === undefined ? null : Number(cell.dataset.number);
}

function results(section) {
  const body = find("tbody.ours", section);
  const rows = [...body.rows];
  const theirs = all("tbody.papers tr:not(.apart)", section);
  const controls = find(".controls", section);
  const [input, count] = [find("input", controls), find("output", controls)];
  const narrow = () => {
    const wanted = input.value.trim().toLowerCase();
    for (const row of [...rows, ...theirs])
      row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
    const left = rows.filter((row) => !row.hidden).length;
    count.value = `${left} of ${rows.length} ${rows.length === 1 ? "row" : "rows"}`;
    const printed = theirs.filter((row) => !row.hidden).length;
    for (const line of all("tbody.papers .apart", section)) line.hidden = !printed;
    find(".none", section).hidden = left + printed > 0;
  };
  const unsort = sortable(all("thead th", section), (column, down) => {
    body.append(...(column < 0 ? rows : ordered(rows, (row) => place(row, column), down)));
  });
  input.addEventListener("input", narrow);
  find(".unsort", controls).addEventListener("click", unsort);
  find(".clear", controls).addEventListener("click", () => {
    input.value = "";
    narrow();
    input.focus();
  });
  narrow();
  controls.hidden = false;
}

all("section.results").forEach(results);
