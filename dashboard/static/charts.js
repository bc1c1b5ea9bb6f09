"use strict";
// Charts: drawn by Chart.js from the JSON in each figure, in the colours of the page, and anew when those change.
//
// {"type": "bar" | "line" | "doughnut", "labels": [...], "stacked": true?, "unit": "points"?, "title": "Points"? (of the figures' axis),
//  "series": [{"label": "Awarded", "data": [...], "tone": "good" | "gold" | ..., "tones": [...]?,
//              "type": "line"?, "axis": "right"?, "dashed": true?}]}

const drawn = new Map(); // figure → chart

const tokens = { good: "--good", watch: "--watch", bad: "--bad", info: "--info", accent: "--accent", edge: "--edge",
  quiet: "--quiet", line: "--line", surface: "--surface" };

// Only where a property is used as a colour is it known which of its two it is.
function colour(name, within) {
  const probe = document.createElement("span");
  probe.hidden = true;
  if (!tokens[name]) probe.className = `tone-${name}`;
  probe.style.color = `var(${tokens[name] ?? "--tone"})`;
  within.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const faint = (found) => found.replace("rgb(", "rgba(").replace(")", ", 0.14)");

const whole = new Intl.NumberFormat("en-GB");
const short = new Intl.NumberFormat("en-GB", { notation: "compact", maximumSignificantDigits: 3 });

function draw(figure) {
  erase(figure);
  const spec = JSON.parse(figure.querySelector("script").textContent);
  const place = figure.querySelector(".canvas");
  const canvas = document.createElement("canvas");
  place.replaceChildren(canvas);
  Chart.defaults.color = colour("quiet", figure);
  Chart.defaults.borderColor = colour("line", figure);
  Chart.defaults.font.family = getComputedStyle(figure).fontFamily;
  Chart.defaults.animation = false;
  drawn.set(figure, new Chart(canvas, { type: spec.type, data: dataOf(spec, figure), options: optionsOf(spec) }));
}

function dataOf(spec, figure) {
  const datasets = spec.series.map((series) => {
    const one = colour(series.tone ?? "accent", figure);
    const isLine = (series.type ?? spec.type) === "line";
    return {
      ...series,
      ...(series.axis === "right" ? { yAxisID: "right" } : {}),
      backgroundColor: series.tones?.map((tone) => colour(tone, figure)) ?? (isLine ? faint(one) : one),
      borderColor: isLine ? one : colour("surface", figure),
      borderWidth: isLine ? 2 : spec.type === "doughnut" ? 2 : 0,
      borderRadius: isLine ? 0 : 3,
      maxBarThickness: 40,
      fill: isLine && spec.series.length === 1,
      borderDash: series.dashed ? [5, 4] : [],
      pointRadius: isLine && series.data.length === 1 ? 3 : 0,
      pointHitRadius: 12,
      tension: series.tension ?? 0.25,
      stepped: series.stepped ?? false,
    };
  });
  return { labels: spec.labels, datasets };
}

function optionsOf(spec) {
  const label = (item) => ` ${item.dataset.label ?? item.label}: ${whole.format(item.raw)}${spec.unit ? ` ${spec.unit}` : ""}`;
  const plugins = {
    legend: { display: spec.series.length > 1 || spec.type === "doughnut", position: "bottom", labels: { boxWidth: 10, boxHeight: 10 } },
    tooltip: { callbacks: { label }, boxPadding: 4 },
  };
  const common = { maintainAspectRatio: false, plugins, interaction: { mode: "index", intersect: false } };
  if (spec.type === "doughnut") return { ...common, cutout: "68%", interaction: { mode: "nearest" } };
  const across = spec.horizontal === true;
  const ticks = { maxRotation: 0, autoSkipPadding: 16 };
  const names = { grid: { display: false }, stacked: spec.stacked, ticks: { ...ticks, autoSkip: !across } };
  const figures = {
    stacked: spec.stacked,
    beginAtZero: spec.zero !== false,
    border: { display: false },
    title: { display: Boolean(spec.title), text: spec.title },
    ticks: { maxTicksLimit: 6, callback: (value) => short.format(value) },
  };
  const scales = across ? { x: figures, y: names } : { x: names, y: figures };
  // What is of another size than the rest has an axis of its own.
  if (spec.series.some((series) => series.axis === "right")) {
    scales.right = { ...figures, axis: "y", position: "right", stacked: false, beginAtZero: false, grid: { display: false } };
  }
  return { ...common, indexAxis: across ? "y" : "x", scales };
}

function erase(figure) {
  drawn.get(figure)?.destroy();
  drawn.delete(figure);
}

const figuresIn = (root) => root.querySelectorAll?.("figure.chart") ?? [];

// In the page's own letters, which come a moment later.
document.addEventListener("DOMContentLoaded", () => document.fonts.ready.then(() => figuresIn(document).forEach(draw)));
document.addEventListener("htmx:before:swap", (event) => figuresIn(event.detail?.ctx?.target ?? event.target).forEach(erase));
document.addEventListener("htmx:after:swap", () => {
  for (const figure of figuresIn(document)) if (!drawn.has(figure)) draw(figure);
  for (const figure of drawn.keys()) if (!figure.isConnected) erase(figure);
});
const again = () => figuresIn(document).forEach(draw);
// Paper is white, whichever colours the page has.
let chosen;
addEventListener("beforeprint", () => {
  chosen = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
  again();
});
addEventListener("afterprint", () => {
  if (chosen) document.documentElement.dataset.theme = chosen;
  else delete document.documentElement.dataset.theme;
  again();
});
document.addEventListener("colours", again);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
