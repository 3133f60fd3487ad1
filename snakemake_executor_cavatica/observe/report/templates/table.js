// --- the table of tasks ---

const ROWS = 100; // on a page

const COLUMNS = [
  ["Job", (row) => columns.title[row], "name"],
  ["State", (row) => text("state", row), "state"],
  ["Waited", (row) => columns.queue[row], "number"],
  ["Ran", (row) => columns.ran[row], "number"],
  ["Memory", (row) => columns.peak_mib[row], "number"],
  ["CPU", (row) => columns.cpu[row], "number"],
  ["Cost", (row) => columns.cost[row], "number"],
  ["Began", (row) => columns.started[row] ?? columns.queued[row] ?? columns.submitted[row], "number"],
];
const BEGAN = 7;

const table = { sort: BEGAN, down: false, page: 0, rows: [], open: new Set(), words: [] };

function makeTable() {
  const head = document.querySelector("table.tasks thead tr");
  COLUMNS.forEach(([label, , kind], number) => {
    const cell = element("th", undefined, kind === "number" ? "number" : "");
    cell.scope = "col";
    const button = element("button", label);
    button.type = "button";
    button.addEventListener("click", () => sortBy(number));
    cell.append(button);
    head.append(cell);
  });
  head.append(element("th", "Task"));
  const rules = document.getElementById("find-rule");
  data.rules.forEach((rule, number) => rules.append(option(String(number), rule)));
  const states = document.getElementById("find-state");
  for (const state of new Set(columns.state)) states.append(option(String(state), data.texts[state]));
  for (let row = 0; row < count; row += 1) {
    const found = [columns.title[row], text("state", row), text("reason", row), columns.task[row] || ""];
    table.words.push(found.join(" ").toLowerCase());
  }
  document.querySelector("#tasks form").addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["find", "find-rule", "find-state"]) {
    document.getElementById(id).addEventListener("input", () => filterTable());
  }
  document.getElementById("previous").addEventListener("click", () => turn(-1));
  document.getElementById("next").addEventListener("click", () => turn(1));
  filterTable();
}

function filterTable() {
  const wanted = document.getElementById("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  const rule = document.getElementById("find-rule").value;
  const state = document.getElementById("find-state").value;
  table.rows = [];
  for (let row = 0; row < count; row += 1) {
    if (rule !== "" && columns.rule[row] !== Number(rule)) continue;
    if (state !== "" && columns.state[row] !== Number(state)) continue;
    if (wanted.every((word) => table.words[row].includes(word))) table.rows.push(row);
  }
  table.page = 0;
  sortRows();
  showTable();
}

function sortBy(number) {
  const isName = number < 2;
  table.down = table.sort === number ? !table.down : !isName && number !== BEGAN;
  table.sort = number;
  table.page = 0;
  sortRows();
  showTable();
}

const collator = new Intl.Collator("en", { numeric: true });

// What is not known comes last, whichever way.
function sortRows() {
  const value = COLUMNS[table.sort][1];
  const sign = table.down ? -1 : 1;
  const keys = new Map(table.rows.map((row) => [row, value(row)]));
  table.rows.sort((a, b) => {
    const x = keys.get(a);
    const y = keys.get(b);
    if (x === null || y === null) return (x === null) - (y === null) || a - b;
    const order = typeof x === "string" ? collator.compare(x, y) : x - y;
    return sign * order || a - b;
  });
}

function turn(pages) {
  table.page += pages;
  showTable();
  document.getElementById("tasks").scrollIntoView();
}

function showTable() {
  const heads = document.querySelectorAll("table.tasks thead th");
  heads.forEach((head, number) => {
    if (number === table.sort) head.setAttribute("aria-sort", table.down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
  const begin = table.page * ROWS;
  const shown = table.rows.slice(begin, begin + ROWS);
  document.querySelector("table.tasks tbody").replaceChildren(...shown.flatMap(tableRows));
  const of = table.rows.length === count ? "" : " of " + count.toLocaleString("en");
  document.getElementById("found").textContent = table.rows.length.toLocaleString("en") + of;
  const pages = Math.max(1, Math.ceil(table.rows.length / ROWS));
  document.querySelector(".pager").hidden = pages === 1;
  document.getElementById("page").textContent = "page " + (table.page + 1) + " of " + pages;
  document.getElementById("previous").disabled = table.page === 0;
  document.getElementById("next").disabled = table.page >= pages - 1;
}

function tableRows(row) {
  const line = element("tr");
  line.dataset.row = row;
  const name = element("td", undefined, "name");
  const button = element("button", columns.title[row]);
  button.type = "button";
  button.setAttribute("aria-expanded", table.open.has(row));
  button.addEventListener("click", () => {
    if (!table.open.delete(row)) table.open.add(row);
    showTable();
  });
  name.append(button);
  if (columns.number[row] > 1) name.append(" ", element("small", "attempt " + columns.number[row]));
  const state = element("td");
  state.append(element("span", text("state", row), "state " + text("state", row)));
  if (text("reason", row)) state.append(" ", element("small", text("reason", row)));
  const began = COLUMNS[BEGAN][1](row);
  line.append(
    name,
    state,
    number("waited", duration(columns.queue[row])),
    number("ran", duration(columns.ran[row])),
    number("memory", usedOfAsked(row)),
    number("CPU", percent(columns.cpu[row])),
    number("cost", money(columns.cost[row])),
    number("", clock(began)),
    link(row),
  );
  return table.open.has(row) ? [line, details(row)] : [line];
}

function number(label, content) {
  const cell = element("td", content, "number");
  cell.dataset.label = label;
  return cell;
}

function usedOfAsked(row) {
  const used = columns.peak_mib[row];
  if (used === null) return "";
  const asked = columns.memory_mib[row];
  return memory(used) + (asked === null ? "" : " / " + memory(asked));
}

function link(row) {
  const cell = element("td", undefined, "number");
  const page = columns.page[row];
  if (page !== null) {
    const anchor = element("a", "open");
    anchor.href = page; // http or https: the others were left out
    anchor.target = "_blank";
    anchor.rel = "noopener noreferrer";
    cell.append(anchor);
  }
  return cell;
}

function details(row) {
  const isOld = columns.old[row] ? " (measured when the outputs were made, not now)" : "";
  const cpu = columns.cpu_seconds[row];
  const cores = columns.cores[row];
  const known = [
    ["Task", columns.task[row]],
    ["Has the results of task", columns.reused[row]],
    ["Shares a task", [text("shared", row), text("parent", row)].filter(Boolean).join(" ")],
    ["Kind", text("kind", row)],
    ["Run", text("run", row)],
    ["App", text("app", row)],
    ["Mode", text("mode", row)],
    ["Image", text("image", row)],
    ["Instance", [text("instance", row), ["on demand", "spot"][columns.spot[row]]].filter(Boolean).join(", ")],
    ["Asked", [cores && cores + (cores > 1 ? " threads" : " thread"), memory(columns.memory_mib[row])].filter(Boolean).join(", ")],
    ["CPU time" + isOld, duration(cpu)],
    ["Peak memory" + isOld, memory(columns.peak_mib[row])],
    ["Exit status", columns.exit[row]],
    ["Inputs", bytes(columns.bytes_in[row])],
    ["Outputs", bytes(columns.bytes_out[row])],
    ["Submitted", clock(columns.submitted[row])],
    ["Queued", clock(columns.queued[row])],
    ["Started", clock(columns.started[row])],
    ["Ended", clock(columns.ended[row])],
  ];
  const list = element("dl");
  for (const [name, value] of known) {
    if (value === null || value === "") continue;
    const pair = element("div");
    pair.append(element("dt", name), element("dd", String(value)));
    list.append(pair);
  }
  const cell = element("td");
  cell.colSpan = COLUMNS.length + 1;
  if (text("message", row)) cell.append(element("p", text("message", row)));
  if (text("stderr", row)) cell.append(element("pre", text("stderr", row)));
  cell.append(list);
  const line = element("tr", undefined, "more");
  line.append(cell);
  return line;
}

// Lead from a plot to the task in the table.
function goTo(row) {
  for (const id of ["find", "find-rule", "find-state"]) document.getElementById(id).value = "";
  filterTable();
  table.open.add(row);
  table.page = Math.floor(table.rows.indexOf(row) / ROWS);
  showTable();
  document.querySelector('tr[data-row="' + row + '"]').scrollIntoView({ block: "center" });
}
