// SPDX-License-Identifier: Apache-2.0
// What every chart shares: its frame of axes, its size, its readout, the keyboard.

import { colour } from "./theme.js";

export const THIN = "\u2009";

export function kwh(wh, digits = 2) {
  return `${(wh / 1000).toFixed(digits)}${THIN}kWh`;
}

export function watts(power) {
  if (power === null || power === undefined) return "–";
  return Math.abs(power) < 1000
    ? `${power}${THIN}W`
    : `${(power / 1000).toFixed(2)}${THIN}kW`;
}

export function endText(zone, load) {
  // The end of a region's last told half-hour; with its date when it is not of today.
  const today = load.now_end_s >= load.today.start_s[0];
  const dated = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };
  return clockText(zone, load.now_end_s, today ? undefined : dated);
}

export function clockText(zone, seconds, options) {
  return new Intl.DateTimeFormat("en-AU", {
    timeZone: zone,
    hourCycle: "h23",
    ...(options ?? { hour: "2-digit", minute: "2-digit" }),
  }).format(new Date(seconds * 1000));
}

export async function columns(address) {
  const answer = await fetch(address, { headers: { Accept: "application/json" } });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error ?? `The server answered ${answer.status}.`);
  return body;
}

export function say(element, ...parts) {
  const line = element.parentElement.querySelector("[data-readout]");
  if (!line) return;
  line.replaceChildren(
    ...parts.map((part, index) => {
      if (index > 0) return document.createTextNode(part);
      const strong = document.createElement("b");
      strong.textContent = part;
      return strong;
    }),
  );
}

function axis(extra) {
  return {
    stroke: colour("ink-2"),
    grid: { stroke: colour("line"), width: 1 },
    ticks: { show: false },
    font: "12px system-ui, sans-serif",
    ...extra,
  };
}

export function frame(element, { series, data, unit, hooks, range, stroke, cursorMove, ticks }) {
  const zone = element.dataset.zone;
  const plot = new uPlot(
    {
      width: Math.max(200, element.clientWidth),
      height: Number(element.dataset.height),
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), zone),
      padding: [10, 26, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        points: { show: stroke === true, size: 7 },
        drag: { x: matchMedia("(pointer: fine)").matches, y: false },
      },
      scales: {
        x: { time: true, range: range ? () => range : undefined },
        y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.08 : 1] },
      },
      axes: [
        axis({
          grid: { show: false },
          space: 48,
          size: 28,
          ...(ticks ?? {
            values: (_plot, moments) =>
              moments.map((moment) => {
                const text = clockText(zone, moment);
                return text === "00:00"
                  ? clockText(zone, moment, { day: "numeric", month: "short" })
                  : text;
              }),
          }),
        }),
        axis({
          size: 64,
          space: 36,
          values: (_plot, values) => {
            const step = values.length > 1 ? values[1] - values[0] : 1;
            const digits = Number.isInteger(step) ? 0 : step >= 0.1 ? 1 : 2;
            return values.map((value, index) =>
              index === values.length - 1
                ? `${value.toFixed(digits)} ${unit}`
                : value.toFixed(digits),
            );
          },
        }),
      ],
      series,
      hooks: { ...hooks, setCursor: cursorMove ? [cursorMove] : [] },
    },
    data,
    element,
  );
  element.classList.remove("loading");
  return plot;
}

// Arrow keys walk along the chart, Enter chooses, as the mouse does.
export function keyboard(element, plot, choose) {
  element.tabIndex = 0;
  element.onkeydown = (event) => {
    const count = plot.data[0].length;
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) {
      const from = plot.cursor.idx ?? (step > 0 ? -1 : count);
      const index = Math.min(count - 1, Math.max(0, from + step));
      plot.setCursor({ left: plot.valToPos(plot.data[0][index], "x") + 1, top: 10 });
      event.preventDefault();
    } else if (event.key === "Enter" && choose && plot.cursor.idx != null) {
      choose(plot.cursor.idx);
    }
  };
}
