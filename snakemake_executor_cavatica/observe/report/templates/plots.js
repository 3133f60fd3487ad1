// --- a box plot for each figure, with a row for each rule ---

const ROW_HEIGHT = 26;
const TIMES = [1, 10, 60, 600, 3600, 36000, 360000];
const AMOUNTS = [0.01, 0.1, 1, 10, 100, 1000];

const PLOTS = [
  { name: "duration", title: "Duration", note: "of jobs that were done", format: duration, steps: TIMES },
  { name: "queue", title: "Queue", note: "waiting for an instance", format: duration, steps: TIMES },
  { name: "memory", title: "Memory", note: "peak, of what was asked", format: percent, whole: 100 },
  { name: "cpu", title: "CPU", note: "cores busy, of those that were asked", format: percent, whole: 100 },
  { name: "cost", title: "Cost", note: data.currency + " for each attempt", format: money, steps: AMOUNTS },
];

function makePlots() {
  const parent = document.getElementById("rule-plots");
  const missing = [];
  const zero = [];
  for (const plot of PLOTS) {
    if (!data.boxes[plot.name]) {
      missing.push(plot.title.toLowerCase());
      continue;
    }
    plot.values = boxValues(plot);
    if (plot.values.points.every((point) => point.value === 0)) {
      zero.push(plot.title.toLowerCase());
      continue;
    }
    const figure = element("figure");
    const caption = element("figcaption", plot.title);
    const scale = plot.values.isWide ? ", logarithmic" : "";
    caption.append(element("small", plot.note + scale));
    const place = element("div", undefined, "plot");
    place.id = "plot-" + plot.name;
    figure.append(caption, place);
    parent.append(figure);
    drawings.push({ place, draw: (width) => drawBoxes(plot, place, width) });
  }
  if (zero.length) parent.after(element("p", "Nothing but 0 for each attempt: " + zero.join(", ") + ".", "soft"));
  if (missing.length) parent.after(element("p", "Not known of any job: " + missing.join(", ") + ".", "soft"));
}

function boxValues(plot) {
  const values = columns[plot.name];
  const rules = data.rules.map((_, rule) => rule).filter((rule) => data.boxes[plot.name][rule]);
  const places = new Map(rules.map((rule, place) => [rule, place]));
  const points = [];
  for (let row = 0; row < count; row += 1) {
    if (values[row] === null) continue;
    // Beside each other by a share that looks random, but is the same each time.
    const jitter = ((row * 0.6180339887) % 1) - 0.5;
    points.push({ row, value: values[row], place: places.get(columns.rule[row]) + 0.5 + jitter * 0.62 });
  }
  const boxes = rules.map((rule, place) => {
    const [low, first, median, third, high] = data.boxes[plot.name][rule];
    return { low, first, median, third, high, place: place + 0.5 };
  });
  // On a logarithmic scale, what is less than a step of the first kind counts as that.
  const least = plot.steps ? plot.steps[0] : 0;
  const medians = boxes.map((box) => Math.max(box.median, least));
  const isWide = Boolean(plot.steps) && Math.max(...medians) > 40 * Math.min(...medians);
  const most = points.reduce((sofar, point) => Math.max(sofar, point.value), plot.whole || 0);
  return { points, boxes, isWide, most, least, labels: rules.map((rule) => data.rules[rule]) };
}

function drawBoxes(plot, place, width) {
  const { points, boxes, isWide, most, least, labels } = plot.values;
  const room = labelRoom(labels, width * 0.34);
  const inner = width - room - 18;
  const height = labels.length * ROW_HEIGHT;
  const domain = isWide ? [least, most] : [0, most || 1];
  const x = (field) => ({ scale: "x", field });
  const y = (field, offset) => ({ scale: "y", field, offset });
  const rule = (from, to) => ({ y: y("place"), x: x(from), x2: x(to), stroke: { value: tone("ink") }, strokeOpacity: { value: 0.7 } });
  const spec = {
    width: inner,
    height,
    padding: { left: room + 8, right: 10, top: 2, bottom: 24 },
    autosize: "none",
    config: plotConfig(),
    data: [
      { name: "points", values: points },
      { name: "boxes", values: boxes },
      { name: "labels", values: labels.map((label, number) => ({ label, place: number + 0.5 })) },
      { name: "whole", values: plot.whole ? [{ value: plot.whole }] : [] },
    ],
    scales: [
      { name: "x", type: isWide ? "log" : "linear", domain, range: [0, inner], clamp: true, nice: false, zero: false },
      { name: "y", type: "linear", domain: [0, labels.length], range: [0, height], zero: false },
    ],
    axes: [
      { orient: "bottom", scale: "x", grid: true, values: ticks(plot, domain, inner, isWide), encode: { labels: { update: { text: { signal: "plotLabel_" + plot.name + "(datum.value)" } } } }, labelOverlap: true, labelFlush: 30 },
    ],
    marks: [
      { type: "rule", from: { data: "whole" }, encode: { enter: { x: x("value"), y: { value: 0 }, y2: { value: height }, stroke: { value: tone("soft") }, strokeDash: { value: [3, 3] } } } },
      { type: "symbol", name: "dots", from: { data: "points" }, encode: { enter: { x: x("value"), y: y("place"), size: { value: points.length > 2000 ? 6 : 16 }, fill: { value: tone("accent") }, fillOpacity: { value: points.length > 2000 ? 0.25 : 0.45 } } } },
      { type: "rule", from: { data: "boxes" }, interactive: false, encode: { enter: rule("low", "first") } },
      { type: "rule", from: { data: "boxes" }, interactive: false, encode: { enter: rule("third", "high") } },
      { type: "rect", from: { data: "boxes" }, interactive: false, encode: { enter: { x: x("first"), x2: x("third"), y: y("place", -7), height: { value: 14 }, fill: { value: tone("accent") }, fillOpacity: { value: 0.16 }, stroke: { value: tone("ink") }, strokeOpacity: { value: 0.7 }, cornerRadius: { value: 2 } } } },
      { type: "rule", from: { data: "boxes" }, interactive: false, encode: { enter: { x: x("median"), y: y("place", -7), y2: y("place", 7), stroke: { value: tone("ink") }, strokeWidth: { value: 2 } } } },
      { type: "text", from: { data: "labels" }, interactive: false, encode: { enter: { x: { value: -8 }, y: y("place"), text: { field: "label" }, align: { value: "right" }, baseline: { value: "middle" }, limit: { value: room }, fill: { value: tone("ink") } } } },
    ],
  };
  vega.expressionFunction("plotLabel_" + plot.name, plot.format);
  return showPlot(spec, place, points.length, (item) => (item.mark.name === "dots" ? item.datum.row : null));
}

function ticks(plot, domain, width, isWide) {
  if (isWide) return plot.steps.filter((step) => step >= domain[0] && step <= domain[1]);
  if (plot.format === duration) return timeTicks(domain[1], Math.max(2, width / 90));
  return d3Ticks(domain[1], Math.max(2, width / 70));
}

function d3Ticks(most, wanted) {
  const power = Math.pow(10, Math.floor(Math.log10(most / wanted)));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => most / one <= wanted);
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, number) => Number((number * step).toPrecision(12)));
}

const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];

function timeTicks(most, wanted, least = 0) {
  if (most - least < 2) return d3Ticks(most, wanted);
  const step = TIME_STEPS.find((one) => (most - least) / one <= wanted) || TIME_STEPS.at(-1);
  const found = [];
  for (let at = Math.ceil(least / step) * step; at <= most; at += step) found.push(at);
  return found;
}

// Draw a plot, and tell what is under the pointer.
function showPlot(spec, place, marks, rowOf) {
  const view = new vega.View(vega.parse(spec), { renderer: marks > 1500 ? "canvas" : "svg", container: place, hover: false });
  view.run();
  const rowAt = (item) => (item && item.datum ? rowOf(item) : null);
  view.addEventListener("pointermove", (event, item) => {
    const row = rowAt(item);
    place.style.cursor = row === null ? "" : "pointer";
    showTip(event, row === null ? "" : told(row));
  });
  view.addEventListener("click", (event, item) => {
    const row = rowAt(item);
    if (row !== null && !place.dataset.dragged) goTo(row);
  });
  place.onpointerleave = (event) => showTip(event, "");
  return view;
}
