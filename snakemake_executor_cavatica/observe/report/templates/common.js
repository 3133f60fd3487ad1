"use strict";
// The attempts are columns of one table; texts that many have are there once, by number.
const data = JSON.parse(document.getElementById("data").textContent);
const columns = data.columns;
const count = columns.title.length;

function text(column, row) {
  const number = columns[column][row];
  return number === null ? "" : data.texts[number];
}

function element(name, content, className) {
  const made = document.createElement(name);
  if (content !== undefined) made.textContent = content; // never as markup
  if (className) made.className = className;
  return made;
}

function option(value, label) {
  const made = element("option", label);
  made.value = value;
  return made;
}

// --- values as people read them ---

function duration(seconds) {
  if (seconds === null) return "";
  const whole = Math.round(seconds);
  if (whole < 60) return seconds > 0 && seconds < 10 && seconds % 1 ? seconds.toFixed(1) + " s" : whole + " s";
  const units = [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]];
  const [large, largeName, small, smallName] = units.find((unit) => whole >= unit[0]);
  const few = Math.floor((whole % large) / small);
  return Math.floor(whole / large) + " " + largeName + (few ? " " + few + " " + smallName : "");
}

function bytes(number) {
  if (number === null) return "";
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (number >= 1024 && unit < units.length - 1) {
    number /= 1024;
    unit += 1;
  }
  return (unit === 0 || number >= 10 ? Math.round(number) : number.toFixed(1)) + " " + units[unit];
}

function memory(mib) {
  return mib === null ? "" : bytes(mib * 1024 * 1024);
}

function percent(share) {
  return share === null ? "" : Math.round(share) + " %";
}

function money(amount) {
  return amount === null ? "" : amount.toFixed(2);
}

function clock(seconds) {
  if (seconds === null) return "";
  return new Date((seconds + data.offset) * 1000).toISOString().slice(0, 19).replace("T", " ");
}

// --- what follows the pointer ---

const tip = document.getElementById("tip");

function showTip(event, words) {
  if (!words) {
    tip.hidden = true;
    return;
  }
  tip.textContent = words;
  tip.hidden = false;
  const left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8);
  const below = event.clientY + 16;
  const fits = below + tip.offsetHeight < window.innerHeight;
  tip.style.left = Math.max(8, left) + "px";
  tip.style.top = (fits ? below : event.clientY - tip.offsetHeight - 10) + "px";
}

function told(row) {
  const attempt = columns.number[row] > 1 ? ", attempt " + columns.number[row] : "";
  const lines = [columns.title[row] + attempt, text("state", row)];
  if (text("reason", row)) lines[1] += ": " + text("reason", row);
  if (columns.queue[row] !== null) lines.push("waited " + duration(columns.queue[row]));
  if (columns.ran[row] !== null) lines.push("ran " + duration(columns.ran[row]));
  if (columns.peak_mib[row] !== null) {
    const asked = columns.memory_mib[row] === null ? "" : " of " + memory(columns.memory_mib[row]);
    lines.push("used " + memory(columns.peak_mib[row]) + asked);
  }
  if (columns.cost[row] !== null) lines.push("cost " + money(columns.cost[row]) + " " + data.currency);
  return lines.join("\n");
}

// --- colours, as the style has them now ---

function tone(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif";

function plotConfig() {
  const axis = {
    labelColor: tone("soft"),
    labelFont: FONT,
    labelFontSize: 12,
    domain: false,
    ticks: false,
    labelPadding: 6,
    gridColor: tone("line"),
  };
  return { background: null, axis, text: { font: FONT, fontSize: 12 } };
}

const measure = document.createElement("canvas").getContext("2d");

// How much room labels need, and at most.
function labelRoom(labels, most) {
  measure.font = "12px " + FONT;
  const widths = labels.map((label) => measure.measureText(label).width);
  return Math.min(most, Math.ceil(Math.max(0, ...widths)) + 2);
}
