// --- a bar for each attempt: waiting, then running, in the colour of its state ---

const TALLEST = 900;
const TALLEST_ON_PAPER = 620;
const TALLEST_ROW = 16;
const line = data.timeline;
const whole = { begin: 0, end: Math.max(1, line.end - line.begin) };
const zoom = { begin: 0, end: whole.end, top: 0, bottom: 0, rule: null };
let layout = [];

function bands() {
  let first = 0;
  return line.bands.map(([label, rows]) => {
    const band = { label, first, rows };
    first += rows;
    return band;
  });
}

const allBands = bands();
const allRows = allBands.reduce((sum, band) => sum + band.rows, 0);

function zoomOut() {
  const band = zoom.rule === null ? null : allBands[zoom.rule];
  zoom.begin = 0;
  zoom.end = whole.end;
  zoom.top = band ? band.first : 0;
  zoom.bottom = band ? band.first + band.rows : allRows;
  document.getElementById("timeline-all").hidden = true;
}

function makeTimeline() {
  const place = document.getElementById("timeline-plot");
  const untimed = columns.bar.filter((bar) => bar === null).length;
  if (untimed) {
    const are = untimed === 1 ? " attempt has" : " attempts have";
    document.getElementById("timeline-note").textContent = untimed + are + " no times on record, and no bar.";
  }
  if (untimed === count) {
    document.querySelectorAll("#timeline .legend, #timeline .tools").forEach((one) => { one.hidden = true; });
    return;
  }
  makeLegend();
  zoomOut();
  const drawing = { place, draw: (width) => drawTimeline(place, width) };
  drawings.push(drawing);
  if (line.byRule) {
    const choice = document.getElementById("timeline-rule");
    choice.parentElement.hidden = false;
    allBands.forEach((band, number) => choice.append(option(String(number), band.label)));
    choice.addEventListener("input", () => {
      zoom.rule = choice.value === "" ? null : Number(choice.value);
      zoomOut();
      redraw(drawing);
    });
  }
  document.getElementById("timeline-all").addEventListener("click", () => {
    zoomOut();
    redraw(drawing);
  });
  letDrag(place, drawing);
}

function makeLegend() {
  const legend = document.querySelector("#timeline .legend");
  const states = new Set(columns.state.map((state) => data.texts[state]));
  legend.append(element("span", "waiting", "queued"));
  for (const state of states) {
    if (state !== "queued" && state !== "submitted") legend.append(element("span", state, state));
  }
}

// Where rows are: as high as there is room, but each band as high as its name.
function layOut() {
  const shown = allBands.filter((band) => band.first < zoom.bottom && band.first + band.rows > zoom.top);
  const rows = zoom.bottom - zoom.top;
  const isPaper = document.documentElement.classList.contains("paper");
  const rowHeight = Math.min(TALLEST_ROW, (isPaper ? TALLEST_ON_PAPER : TALLEST) / rows);
  let top = 0;
  const stretches = shown.map((band) => {
    const first = Math.max(band.first, zoom.top);
    const last = Math.min(band.first + band.rows, zoom.bottom);
    const height = Math.max(TALLEST_ROW, (last - first) * rowHeight);
    const stretch = { label: band.label, first, last, top, height, rowHeight: Math.min(TALLEST_ROW, height / (last - first)) };
    top += height;
    return stretch;
  });
  return { stretches, height: top };
}

function drawTimeline(place, width) {
  const { stretches, height } = layOut();
  layout = stretches;
  const room = labelRoom(stretches.map((one) => one.label), width * (width < 600 ? 0.3 : 0.26));
  const inner = width - room - 18;
  const scale = inner / (zoom.end - zoom.begin);
  const x = (moment) => (moment - line.begin - zoom.begin) * scale;
  const { waiting, running } = timelineBars(x, inner);
  const labels = stretches.map((one) => ({ label: one.label, y: one.top + one.height / 2 }));
  const edges = line.byRule ? stretches.slice(1).map((one) => ({ y: one.top })) : [];
  const runs = line.runs.slice(1).map(([begin]) => ({ x: x(begin) })).filter((run) => run.x >= 0 && run.x <= inner);
  const spec = {
    width: inner,
    height,
    padding: { left: room + 8, right: 10, top: 22, bottom: 4 },
    autosize: "none",
    config: plotConfig(),
    data: [
      { name: "waiting", values: waiting },
      { name: "running", values: running },
      { name: "labels", values: labels },
      { name: "edges", values: edges },
      { name: "runs", values: runs },
    ],
    scales: [{ name: "x", type: "linear", domain: [zoom.begin, zoom.end], range: [0, inner], nice: false, zero: false }],
    axes: [
      { orient: "top", scale: "x", grid: true, values: timeTicks(zoom.end, Math.max(2, inner / 90), zoom.begin), encode: { labels: { update: { text: { signal: "elapsed(datum.value)" } } } }, labelFlush: 30, labelOverlap: true },
    ],
    marks: [
      { type: "rule", from: { data: "edges" }, interactive: false, encode: { enter: { x: { value: -room - 8 }, x2: { value: inner }, y: { field: "y" }, stroke: { value: tone("line") } } } },
      {
        type: "group",
        clip: true,
        encode: { enter: { width: { value: inner }, height: { value: height } } },
        marks: [barMarks("waiting"), barMarks("running")],
      },
      { type: "rule", from: { data: "runs" }, interactive: false, encode: { enter: { x: { field: "x" }, y: { value: 0 }, y2: { value: height }, stroke: { value: tone("ink") }, strokeDash: { value: [2, 3] } } } },
      { type: "text", from: { data: "labels" }, interactive: false, encode: { enter: { x: { value: -8 }, y: { field: "y" }, text: { field: "label" }, align: { value: "right" }, baseline: { value: "middle" }, limit: { value: room }, fill: { value: tone("ink") } } } },
    ],
  };
  vega.expressionFunction("elapsed", duration);
  place.dataset.left = room + 8;
  place.dataset.height = height;
  return showPlot(spec, place, waiting.length + running.length, (item) => item.datum.row ?? null);
}

function barMarks(name) {
  return {
    type: "rect",
    from: { data: name },
    encode: { enter: { x: { field: "x" }, x2: { field: "x2" }, y: { field: "y" }, height: { field: "height" }, fill: { field: "fill" } } },
  };
}

function timelineBars(x, inner) {
  const waiting = [];
  const running = [];
  const fills = new Map();
  const fill = (name) => fills.get(name) ?? fills.set(name, tone(name)).get(name);
  const places = new Map();
  for (const one of layout) for (let row = one.first; row < one.last; row += 1) places.set(row, one);
  for (let row = 0; row < count; row += 1) {
    const bar = columns.bar[row];
    const stretch = bar === null ? undefined : places.get(bar[3]);
    if (stretch === undefined) continue;
    const [begin, start, end] = bar.slice(0, 3).map(x);
    if (end < -1 || begin > inner) continue;
    const gap = stretch.rowHeight > 4 ? 1 : 0;
    const y = stretch.top + (bar[3] - stretch.first) * stretch.rowHeight + gap;
    const height = stretch.rowHeight - 2 * gap;
    const state = text("state", row);
    if (start > begin) waiting.push({ row, x: begin, x2: start, y, height, fill: fill("queued") });
    if (state === "queued" || state === "submitted") continue;
    running.push({ row, x: Math.min(start, end - 1), x2: Math.max(end, start + 1), y, height, fill: fill(state) });
  }
  return { waiting, running };
}

// The row at a height.
function rowAt(y) {
  const stretch = layout.findLast((one) => one.top <= y) || layout[0];
  return Math.min(stretch.last, stretch.first + (y - stretch.top) / stretch.rowHeight);
}

// --- looking closer ---

function letDrag(place, drawing) {
  let from = null;
  const box = element("div", undefined, "brush");
  const at = (event) => {
    const frame = place.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  };
  place.addEventListener("pointerdown", (event) => {
    delete place.dataset.dragged;
    if (event.pointerType !== "touch" && event.button === 0) from = at(event);
  });
  window.addEventListener("pointermove", (event) => {
    if (from === null) return;
    const to = at(event);
    if (Math.abs(to[0] - from[0]) < 6) return;
    place.dataset.dragged = "yes";
    showBrush(box, place, from, to);
  });
  window.addEventListener("pointerup", (event) => {
    if (from === null) return;
    const begun = from;
    from = null;
    box.remove();
    if (place.dataset.dragged) {
      zoomTo(place, begun, at(event));
      redraw(drawing);
    }
  });
}

// A flat brush is about time only.
function brushed(place, from, to) {
  const isFlat = Math.abs(to[1] - from[1]) < 14;
  const height = Number(place.dataset.height);
  const tops = isFlat ? [22, 22 + height] : [from[1], to[1]].sort((a, b) => a - b);
  const sides = [from[0], to[0]].sort((a, b) => a - b);
  const left = Number(place.dataset.left);
  return {
    left: Math.max(sides[0], left),
    right: Math.min(sides[1], place.clientWidth - 10),
    top: Math.max(tops[0], 22),
    bottom: Math.min(tops[1], 22 + height),
  };
}

function showBrush(box, place, from, to) {
  const { left, right, top, bottom } = brushed(place, from, to);
  Object.assign(box.style, { left: left + "px", top: top + "px", width: Math.max(0, right - left) + "px", height: Math.max(0, bottom - top) + "px" });
  place.append(box);
}

function zoomTo(place, from, to) {
  const { left, right, top, bottom } = brushed(place, from, to);
  const origin = Number(place.dataset.left);
  const seconds = (zoom.end - zoom.begin) / (place.clientWidth - origin - 10);
  const begin = zoom.begin + (left - origin) * seconds;
  const end = zoom.begin + (right - origin) * seconds;
  if (end - begin < 0.01) return;
  const first = Math.floor(rowAt(top - 22));
  const last = Math.ceil(rowAt(bottom - 22));
  Object.assign(zoom, { begin, end, top: first, bottom: Math.max(last, first + 1) });
  document.getElementById("timeline-all").hidden = false;
}
