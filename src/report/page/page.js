"use strict";
// Draws the three charts of a report. Everything else on the page is there without scripts.
const { runs } = JSON.parse(document.getElementById("data").textContent);
// Okabe and Ito's colours, lighter ones on a dark page.
const ON_LIGHT = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f"];
const ON_DARK = ["#56b4e9", "#ff8a3d", "#2fd0a0", "#e39bc6", "#f2b93b", "#8fa8ff", "#a8a8a8"];
const dark = matchMedia("(prefers-color-scheme: dark)");
const CHARTS = [
  ["train_loss", "Train loss", 5],
  ["test_loss", "Test loss", 5],
  ["test_accuracy", "Test accuracy in percent", 2],
];
const logSwitch = document.getElementById("log"), timeSwitch = document.getElementById("time");
// Losses of different kinds on one axis hide each other.
const ends = runs.map((run) => run.metrics.at(-1)?.train_loss).filter((loss) => loss > 0);
logSwitch.checked = Math.max(...ends) > 8 * Math.min(...ends);
let drawn = [];

// A little room around the values, but no more than there can be.
function percent(_, low, high) {
  const room = Math.max(1, 0.08 * (high - low));
  return [Math.max(0, low - room), Math.min(100, high + room)];
}

function draw() {
  drawn.forEach((plot) => plot.destroy());
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--faint"), line = style.getPropertyValue("--line");
  const COLOURS = dark.matches ? ON_DARK : ON_LIGHT;
  const last = Math.max(...runs.map((run) => run.metrics.length));
  const overTime = timeSwitch.checked;
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui" };
  // Where the epochs of a run are: at their numbers, or at the seconds from its beginning to their ends.
  const positions = (run) => {
    let seconds = 0;
    return run.metrics.map((epoch, i) => (overTime ? (seconds += epoch.seconds) : i + 1));
  };
  const end = Math.max(...runs.map((run) => positions(run).at(-1) ?? 0));
  const text = (x) => (overTime ? x.toFixed(x < 100 ? 1 : 0) : String(x));
  drawn = CHARTS.map(([key, title, digits]) => {
    const place = document.getElementById(key);
    const log = logSwitch.checked && key !== "test_accuracy";
    const value = (run, i) => {
      const v = run.metrics[i]?.[key];
      return v === undefined || (log && v <= 0) ? null : v;
    };
    const width = place.clientWidth;
    return new uPlot({
      title, width, height: Math.round(Math.min(360, Math.max(220, width * 0.45))),
      cursor: { focus: { prox: 24 } },
      focus: { alpha: 0.35 },
      scales: {
        x: { time: false, ...(last === 1 && !overTime ? { range: [0.5, 1.5] } : {}) },
        y: log ? { distr: 3 } : key === "test_accuracy" ? { range: percent } : {},
      },
      axes: [
        { ...axis, ...(overTime ? {} : { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] }) },
        // As wide as the longest number.
        { ...axis, size: (_, texts) => Math.max(58, 16 + 7 * Math.max(0, ...(texts ?? []).map((text) => text.length))) },
      ],
      series: [
        { label: overTime ? "seconds" : "epoch", value: (_, x) => text(x ?? end) },
        ...runs.map((run, i) => ({
          label: run.name, stroke: COLOURS[i % COLOURS.length], width: 2,
          dash: i >= COLOURS.length ? [6, 4] : undefined,
          points: { show: last < 3 },
          spanGaps: true,
          // Where the pointer is, else after the last epoch.
          value: (_, v, __, at) => (at === null || at === undefined ? run.metrics.at(-1)?.[key] : v)?.toFixed(digits) ?? "–",
        })),
      ],
    }, uPlot.join(runs.map((run) => [positions(run), run.metrics.map((_, i) => value(run, i))])), place);
  });
}

draw();
logSwitch.addEventListener("change", draw);
timeSwitch.addEventListener("change", draw);
dark.addEventListener("change", draw);
let resized;
addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(draw, 100); });
