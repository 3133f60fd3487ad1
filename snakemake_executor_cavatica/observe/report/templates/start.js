// --- when plots are drawn: once they are seen, and anew when the page changes ---

const drawings = [];

function redraw(drawing) {
  if (drawing.view) drawing.view.finalize();
  drawing.place.querySelectorAll("svg, canvas").forEach((one) => one.remove());
  drawing.width = drawing.place.clientWidth;
  drawing.view = drawing.draw(drawing.width);
}

function redrawAll() {
  for (const drawing of drawings) if (drawing.view) redraw(drawing);
}

makeTable();
makeTimeline();
makePlots();

const observer = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    observer.unobserve(entry.target);
    redraw(drawings.find((drawing) => drawing.place === entry.target));
  }
}, { rootMargin: "300px" });
for (const drawing of drawings) observer.observe(drawing.place);

let settled = null;
window.addEventListener("resize", () => {
  clearTimeout(settled);
  settled = setTimeout(() => {
    for (const drawing of drawings) if (drawing.view && drawing.width !== drawing.place.clientWidth) redraw(drawing);
  }, 150);
});
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);

// On paper all is there, in the colours of paper.
function toPaper() {
  document.documentElement.classList.add("paper");
  for (const drawing of drawings) redraw(drawing);
}

function toScreen() {
  document.documentElement.classList.remove("paper");
  redrawAll();
}

window.matchMedia("print").addEventListener("change", (event) => (event.matches ? toPaper() : toScreen()));
window.addEventListener("afterprint", toScreen);
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((one) => { one.open = true; });
  toPaper();
});
