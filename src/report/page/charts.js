"use strict";
// Line charts by uPlot, of reports and of the page.
globalThis.tinderboxCharts = (() => {
  // Okabe and Ito's colours, which the colour-blind can tell apart; lighter ones on a dark page.
  const ON_LIGHT = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f"];
  const ON_DARK = ["#56b4e9", "#ff8a3d", "#2fd0a0", "#e39bc6", "#f2b93b", "#8fa8ff", "#a8a8a8"];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isThere = (value) => value !== null && value !== undefined;

  const text = (value, digits) => {
    if (!isThere(value)) return "–";
    return Math.abs(value) < 1e6 ? value.toFixed(digits) : value.toExponential(2);
  };
  // A loss that explodes has more digits than there is room for.
  const short = (tick) => (Math.abs(tick) < 1e6 ? String(Number(tick.toPrecision(6))) : tick.toExponential(0));

  /** A range of percentages: a little room around the values, but no more than there can be. */
  const percent = (_, low, high) => {
    const room = Math.max(1, 0.08 * (high - low));
    return [Math.max(0, low - room), Math.min(100, high + room)];
  };

  /** What uPlot draws of curves, whose `points` are [x, y]. */
  const joined = (curves) => uPlot.join(curves.map(({ points }) => [points.map(([x]) => x), points.map(([, y]) => y)]));

  // The value that the legend shows: where the pointer is, or the last one before it on the way to another; else the last of all.
  const shown = (values, at) => {
    if (!isThere(at)) return values.findLast(isThere);
    return values.slice(at).some(isThere) ? values.slice(0, at + 1).findLast(isThere) : undefined;
  };

  /**
   * Draws a chart into an element, as wide as that is.
   *
   * `x` has a `label`, `text` of a position, whether positions are whole numbers (`isWhole`), and maybe a `range`; `y` has
   * `digits`, and maybe a `range` or whether it is a `log` axis; every curve has a `label`, `points`, and maybe `number`, its
   * place among the colours, whether it `hasMarks`, and whether it is `dashed`. With `zooms` a stretch that is dragged over is shown
   * larger, and all of it after a double click.
   */
  function draw(into, { title, height, ink, zooms, x, y, curves }) {
    const colours = dark.matches ? ON_DARK : ON_LIGHT;
    const line = getComputedStyle(document.body).getPropertyValue("--line");
    const stroke = getComputedStyle(document.body).getPropertyValue(ink);
    const axis = { stroke, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui" };
    const options = {
      title, height, width: Math.max(240, into.clientWidth),
      cursor: { focus: { prox: 24 }, drag: { x: Boolean(zooms), y: false } },
      focus: { alpha: 0.35 },
      scales: {
        x: { time: false, ...(x.range && { range: x.range }) },
        y: { ...(y.log && { distr: 3 }), ...(y.range && { range: y.range }) },
      },
      axes: [
        { ...axis, ...(x.isWhole && { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] }) },
        // As wide as the longest number.
        { ...axis, values: (_, ticks) => ticks.map((tick) => (isThere(tick) ? short(tick) : "")), size: (_, texts) => Math.max(58, 16 + 7 * Math.max(0, ...(texts ?? []).map((text) => text.length))) },
      ],
      series: [
        { label: x.label, value: ({ data }, position) => (isThere(position ?? data[0].at(-1)) ? x.text(position ?? data[0].at(-1)) : "–") },
        ...curves.map(({ label, number, hasMarks, dashed }, i) => {
          const place = number ?? i;
          return {
            label, width: 2, spanGaps: true, stroke: colours[place % colours.length],
            dash: dashed || place >= colours.length ? [6, 4] : undefined,
            points: { show: hasMarks },
            value: ({ data }, _, curve, at) => text(shown(data[curve], at), y.digits),
          };
        }),
      ],
    };
    return new uPlot(options, joined(curves), into);
  }

  return { dark, draw, joined, percent };
})();
