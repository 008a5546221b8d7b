// SPDX-License-Identifier: Apache-2.0
// The charts.  Measured solid, estimated hatched, suspect outlined, missing a gap with a dotted
// base line, an unfinished day open at the top.

import { clockText, columns, endText, frame, keyboard, kwh, say, watts } from "./frame.js";
import { colour, hatch, onThemeChange } from "./theme.js";

const REASONS = [
  [16, "edited by a person"],
  [2, "estimated: straight line between its neighbours"],
  [4, "estimated: mean of like days"],
  [8, "scaled to the register difference"],
  [32, "a validation rule objects"],
  [64, "the meter was without power"],
  [128, "the meter's clock was doubtful"],
];
const WORDS = { m: "measured", s: "suspect", e: "estimated", d: "edited", x: "missing, asked for again" };

function reason(quality, state) {
  const named = REASONS.filter(([bit]) => quality & bit).map(([, text]) => text);
  return named.length ? named.join(", ") : (WORDS[state] ?? "");
}

function missingMark(pen, left, right, base) {
  pen.save();
  pen.strokeStyle = colour("look");
  pen.lineWidth = 3 * devicePixelRatio;
  pen.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
  pen.beginPath();
  pen.moveTo(left, base - pen.lineWidth / 2);
  pen.lineTo(right, base - pen.lineWidth / 2);
  pen.stroke();
  pen.restore();
}

function block(pen, box, style) {
  const { left, right, top, base } = box;
  if (style === "hatched" || style === "outlined") {
    pen.fillStyle = colour("surface");
    pen.fillRect(left, top, right - left, base - top);
    if (style === "hatched") {
      pen.fillStyle = hatch("import");
      pen.fillRect(left, top, right - left, base - top);
    }
    pen.lineWidth = devicePixelRatio;
    pen.strokeStyle = colour("import");
    const half = pen.lineWidth / 2;
    pen.strokeRect(left + half, top + half, right - left - 2 * half, base - top - half);
  } else {
    pen.fillStyle = colour("import");
    pen.fillRect(left, top, right - left, base - top);
  }
  if (style === "suspect") {
    pen.lineWidth = 2 * devicePixelRatio;
    pen.strokeStyle = colour("look");
    pen.strokeRect(left + 1, top + 1, right - left - 2, base - top - 1);
  }
}

const STYLES = { m: "solid", s: "suspect", e: "hatched", d: "outlined" };

function drawSlots(plot, shown) {
  const pen = plot.ctx;
  const base = plot.valToPos(0, "y", true);
  const gap = Math.max(1, devicePixelRatio);
  pen.save();
  pen.beginPath();
  pen.rect(plot.bbox.left, plot.bbox.top, plot.bbox.width, plot.bbox.height);
  pen.clip();
  shown.start_s.forEach((start, index) => {
    const left = Math.round(plot.valToPos(start, "x", true)) + gap / 2;
    const right = Math.round(plot.valToPos(start + shown.period_s, "x", true)) - gap / 2;
    const state = shown.state[index];
    if (state === "x") missingMark(pen, left, right, base);
    const value = shown.value[index];
    if (value === null) return;
    const top = Math.min(plot.valToPos(value / 1000, "y", true), base - devicePixelRatio);
    block(pen, { left, right, top, base }, STYLES[state]);
  });
  pen.restore();
}

async function drawDay(element) {
  const shown = await columns(element.dataset.src);
  const zone = element.dataset.zone;
  const choose = (index) => {
    const target = document.querySelector("#interval");
    if (!element.dataset.select || !target || shown.state[index] === "f") return;
    const address = `${element.dataset.select}?start_us=${shown.start_s[index] * 1_000_000}`;
    htmx.ajax("GET", address, { target: "#interval", swap: "innerHTML" });
  };
  const last = shown.start_s.at(-1) + shown.period_s;
  const plot = frame(element, {
    unit: "kWh",
    data: [shown.start_s, shown.value.map((value) => (value === null ? null : value / 1000))],
    series: [{}, { paths: () => null, points: { show: false } }],
    range: null,
    hooks: { draw: [(drawn) => drawSlots(drawn, shown)] },
    cursorMove: (drawn) => {
      // A slot reaches from its start to its end: the cursor is in the one that began last.
      const at = drawn.cursor.left < 0 ? null : drawn.posToVal(drawn.cursor.left, "x");
      const index = at === null ? null : shown.start_s.findLastIndex((start) => start <= at);
      element.chosen = index !== null && index >= 0 ? index : null;
      if (element.chosen === null) return summary();
      const from = clockText(zone, shown.start_s[index]);
      const to = clockText(zone, shown.start_s[index] + shown.period_s);
      const state = shown.state[index];
      if (state === "f" || state === "b") {
        return say(element, `${from}–${to}`, state === "f" ? " · not here yet" : " · before installation");
      }
      const value = shown.value[index];
      const parts = value === null ? "" : ` · ${kwh(value, 3)}`;
      return say(element, `${from}–${to}`, `${parts} · ${reason(shown.quality[index], state)}`);
    },
  });
  plot.setScale("x", { min: shown.start_s[0], max: last });
  const summary = () => {
    const age = shown.last_end_s === null ? "no value yet" : `to ${clockText(zone, shown.last_end_s)}`;
    say(element, kwh(shown.total, 2), ` · ${age} · half-hours`);
  };
  summary();
  plot.over.addEventListener("click", () => element.chosen !== null && choose(element.chosen));
  keyboard(element, plot, choose);
  return plot;
}

function drawDays(plot, shown, width) {
  const pen = plot.ctx;
  const base = plot.valToPos(0, "y", true);
  shown.start_s.forEach((_start, index) => {
    if (shown.empty[index]) return;
    const middle = plot.valToPos(index, "x", true);
    const half = width(plot) / 2;
    const left = Math.round(middle - half);
    const right = Math.round(middle + half);
    const measured = shown.measured[index];
    const estimated = shown.estimated[index];
    const top = plot.valToPos(measured / 1000, "y", true);
    if (!shown.finished[index]) {
      openBar(pen, { left, right, top: plot.valToPos((measured + estimated) / 1000, "y", true), base });
    } else {
      if (measured) block(pen, { left, right, top, base }, "solid");
      if (estimated) {
        const above = plot.valToPos((measured + estimated) / 1000, "y", true);
        block(pen, { left, right, top: above, base: top }, "hatched");
      }
    }
    if (shown.missing[index]) missingMark(pen, left, right, base);
  });
}

function openBar(pen, { left, right, top, base }) {
  const fade = pen.createLinearGradient(0, base, 0, top);
  fade.addColorStop(0, colour("import"));
  fade.addColorStop(1, colour("import-soft"));
  pen.fillStyle = fade;
  pen.fillRect(left, top, right - left, base - top);
  const reach = 10 * devicePixelRatio; // the sides go on: there is more to come
  pen.strokeStyle = colour("import");
  pen.lineWidth = 1.5 * devicePixelRatio;
  pen.setLineDash([3 * devicePixelRatio, 2 * devicePixelRatio]);
  pen.beginPath();
  for (const side of [left + pen.lineWidth / 2, right - pen.lineWidth / 2]) {
    pen.moveTo(side, top);
    pen.lineTo(side, top - reach);
  }
  pen.stroke();
  pen.setLineDash([]);
}

async function drawBars(element) {
  const shown = await columns(element.dataset.src);
  const zone = element.dataset.zone;
  const count = shown.start_s.length;
  const totals = shown.start_s.map((_start, index) =>
    shown.empty[index] ? null : (shown.measured[index] + shown.estimated[index]) / 1000,
  );
  const name = (index, options) => clockText(zone, shown.start_s[index] + 43_200, options);
  const width = (plot) => Math.max(3, (plot.bbox.width / count) * 0.68);
  const plot = frame(element, {
    unit: "kWh",
    data: [shown.start_s.map((_start, index) => index), totals],
    series: [{}, { paths: () => null, points: { show: false } }],
    hooks: { draw: [(drawn) => drawDays(drawn, shown, width)] },
    ticks: {
      splits: () => shown.start_s.map((_start, index) => index).filter((index) => count < 10 || index % 7 === 0),
      values: (_plot, places) =>
        places.map((index) => name(index, count < 10 ? { weekday: "short" } : { day: "numeric", month: "short" })),
    },
    cursorMove: (drawn) => {
      const index = drawn.cursor.left < 0 ? null : drawn.cursor.idx;
      element.chosen = index;
      if (index === null || index === undefined) return summary();
      const day = name(index, { weekday: "short", day: "numeric", month: "short" });
      if (shown.empty[index]) return say(element, day, " · nothing here");
      const parts = [` · ${kwh(shown.measured[index] + shown.estimated[index])}`];
      if (shown.estimated[index]) parts.push(` · ${kwh(shown.estimated[index])} estimated`);
      if (shown.missing[index]) parts.push(` · ${shown.missing[index]} ${shown.missing[index] === 1 ? "half-hour" : "half-hours"} missing`);
      if (!shown.finished[index]) parts.push(" · not finished");
      return say(element, day, parts.join(""));
    },
  });
  plot.setScale("x", { min: -0.6, max: count - 0.4 });
  const summary = () => {
    const whole = shown.finished.filter((done, index) => done && !shown.empty[index]).length;
    say(element, `${whole} whole ${whole === 1 ? "day" : "days"}`, ` · choose one to see its half-hours`);
  };
  summary();
  const open = (index) => {
    location.href = `?span=day&day=${shown.day[index]}`;
  };
  plot.over.addEventListener("click", () => element.chosen != null && !shown.empty[element.chosen] && open(element.chosen));
  keyboard(element, plot, open);
  return plot;
}

async function drawLoad(element) {
  const names = JSON.parse(element.dataset.regions);
  if (names.length === 0) return null;
  const zone = element.dataset.zone;
  const loads = await Promise.all(
    names.map((name) => columns(`/api/regions/${encodeURIComponent(name)}/load`)),
  );
  const kilowatts = (values) => values.map((value) => (value === null ? null : value / 1000));
  const moments = loads[0].today.start_s;
  const before = loads.map(() => ({
    stroke: colour("line-strong"),
    width: 1,
    dash: [4, 4],
    paths: heldForAHalfHour,
    points: { show: false },
    spanGaps: false,
  }));
  const today = loads.map((_load, index) => ({
    stroke: colour(`region-${Number(element.dataset.colour ?? (index % 4) + 1)}`),
    width: 2,
    paths: heldForAHalfHour,
    points: { show: false },
    spanGaps: false,
  }));
  const plot = frame(element, {
    unit: "kW",
    stroke: true,
    data: [
      moments,
      ...loads.map((load) => align(kilowatts(load.before.power_w), moments.length)),
      ...loads.map((load) => kilowatts(load.today.power_w)),
    ],
    series: [{}, ...before, ...today],
    hooks: {},
    cursorMove: (drawn) => {
      const index = drawn.cursor.left < 0 ? null : drawn.cursor.idx;
      if (index === null || index === undefined) return summary();
      const told = loads.map((load, number) => {
        const value = load.today.power_w[index];
        return value === null ? `${names[number]} –` : `${names[number]} ${watts(value)} (${load.today.meters[index]} of ${load.homes})`;
      });
      return say(element, clockText(zone, moments[index]), ` · ${told.join(" · ")}`);
    },
  });
  plot.setScale("x", { min: moments[0], max: moments.at(-1) + 1800 });
  const summary = () => {
    // A region whose concentrator is cut off told its last half-hour earlier than the others.
    const until = (load) => ` to ${endText(zone, load)}`;
    const ends = new Set(loads.map((load) => load.now_end_s));
    const told = loads.map(
      (load, number) =>
        `${names[number]} ${watts(load.now_w)}${ends.size > 1 && load.now_end_s !== null ? until(load) : ""}`,
    );
    const [end] = ends;
    const when = end === null ? " · nothing told yet" : ` · half-hour${until(loads[0])}`;
    say(element, told.join(" · "), ends.size > 1 ? " · half-hours" : when);
  };
  summary();
  keyboard(element, plot, null);
  return plot;
}

function heldForAHalfHour(plot, number, first, last) {
  // uPlot's own steps end where the last value starts; a half-hour's value holds to its end.
  const stroke = new Path2D();
  const [starts, values] = [plot.data[0], plot.data[number]];
  let down = false;
  for (let index = first; index <= last; index += 1) {
    if (values[index] === null || values[index] === undefined) {
      down = false;
      continue;
    }
    const height = plot.valToPos(values[index], plot.series[number].scale, true);
    const left = plot.valToPos(starts[index], "x", true);
    if (down) stroke.lineTo(left, height);
    else stroke.moveTo(left, height);
    stroke.lineTo(plot.valToPos(starts[index] + 1800, "x", true), height);
    down = true;
  }
  return { stroke, fill: null, clip: null, band: null, gaps: null, flags: 1 };
}

function align(values, count) {
  // A day of 23 or 25 hours beside one of 24: cut or padded at its end.
  return values.length >= count ? values.slice(0, count) : [...values, ...Array(count - values.length).fill(null)];
}

const DRAW = { day: drawDay, bars: drawBars, load: drawLoad };

export async function draw(element) {
  const kind = DRAW[element.dataset.chart];
  if (!kind || element.busy) return;
  element.busy = true;
  try {
    const old = element.plot;
    const kept = [...element.childNodes];
    element.plot = await kind(element);
    old?.destroy();
    for (const node of kept) node.remove?.();
    element.dataset.drawn = String(Number(element.dataset.drawn ?? 0) + 1);
  } catch (error) {
    if (!element.plot) {
      const line = document.createElement("p");
      line.className = "empty";
      line.textContent = `The chart cannot be drawn: ${error.message} Reload the page to try again.`;
      element.replaceChildren(line);
    }
  } finally {
    element.busy = false;
  }
}

export function drawAll() {
  for (const element of document.querySelectorAll("[data-chart]")) draw(element);
}

export function keepDrawn() {
  drawAll();
  onThemeChange(drawAll);
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) {
      width = innerWidth;
      drawAll();
    }
  });
}
