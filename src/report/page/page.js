"use strict";
// Draws the three charts of a report. Everything else on the page is there without scripts.
const { runs } = JSON.parse(document.getElementById("data").textContent);
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

function draw() {
  drawn.forEach((plot) => plot.destroy());
  const last = Math.max(...runs.map((run) => run.metrics.length));
  const overTime = timeSwitch.checked;
  // Where the epochs of a run are: at their numbers, or at the seconds from its beginning to their ends.
  const positions = (run) => {
    let seconds = 0;
    return run.metrics.map((epoch, i) => (overTime ? (seconds += epoch.seconds) : i + 1));
  };
  drawn = CHARTS.map(([key, title, digits]) => {
    const place = document.getElementById(key);
    const log = logSwitch.checked && key !== "test_accuracy";
    const curves = runs.map((run) => {
      const x = positions(run), values = run.metrics.map((epoch) => epoch[key]);
      return { label: run.name, hasMarks: last < 3, points: values.map((y, i) => [x[i], log && y <= 0 ? null : y]) };
    });
    return tinderboxCharts.draw(place, {
      title, ink: "--faint", zooms: true, height: Math.round(Math.min(360, Math.max(220, place.clientWidth * 0.45))),
      x: {
        label: overTime ? "seconds" : "epoch", text: (x) => (overTime ? x.toFixed(x < 100 ? 1 : 0) : String(x)),
        isWhole: !overTime, range: last === 1 && !overTime ? [0.5, 1.5] : undefined,
      },
      y: { digits, log, range: key === "test_accuracy" ? tinderboxCharts.percent : undefined },
      curves,
    });
  });
}

draw();
logSwitch.addEventListener("change", draw);
timeSwitch.addEventListener("change", draw);
tinderboxCharts.dark.addEventListener("change", draw);
let resized;
addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(draw, 100); });
