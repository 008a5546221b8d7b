// SPDX-License-Identifier: Apache-2.0
// The household app: power now, today, the region.

import { draw, keepDrawn } from "./charts.js";
import { clockText, endText, kwh, watts } from "./frame.js";
import { age, calmly, follow } from "./live.js";
import { colour, onThemeChange } from "./theme.js";

keepDrawn();

const KEPT = 180; // samples of the small line
const FIRST = 30; // it fills from the left until there are so many

const panel = document.querySelector("[data-live]");
if (panel) {
  const part = (name) => panel.querySelector(`[data-live-${name}]`);
  const line = panel.querySelector('[data-chart="spark"]');
  const zone = line.dataset.zone;
  const currency = panel.dataset.currency;
  const samples = [];

  const spark = () => {
    const dots = devicePixelRatio;
    const canvas = line.querySelector("canvas") ?? line.appendChild(document.createElement("canvas"));
    const width = line.clientWidth;
    const height = Number(line.dataset.height);
    canvas.width = width * dots;
    canvas.height = height * dots;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    if (samples.length < 2) return;
    const pen = canvas.getContext("2d");
    const high = Math.max(...samples.map((sample) => sample.power), 1) * 1.15;
    const room = Math.max(FIRST, samples.length) - 1;
    const x = (index) => (index / room) * canvas.width;
    const y = (power) => canvas.height - dots * 2 - (power / high) * (canvas.height - dots * 4);
    pen.beginPath();
    samples.forEach((sample, index) => pen[index ? "lineTo" : "moveTo"](x(index), y(sample.power)));
    pen.strokeStyle = colour("import");
    pen.lineWidth = 2 * dots;
    pen.lineJoin = "round";
    pen.stroke();
    pen.lineTo(x(samples.length - 1), canvas.height);
    pen.lineTo(0, canvas.height);
    pen.globalAlpha = 0.12;
    pen.fillStyle = colour("import");
    pen.fill();
    pen.globalAlpha = 1;
  };
  onThemeChange(spark);

  const showPower = (power) => {
    const large = power !== null && Math.abs(power) >= 1000;
    part("number").textContent = power === null ? "–" : large ? (power / 1000).toFixed(2) : String(power);
    part("unit").textContent = large ? "kW" : "W";
  };
  const refresh = calmly(() => {
    for (const element of document.querySelectorAll('[data-chart="load"]')) draw(element);
    today().catch(() => {});
  }, 1500);

  follow(panel.dataset.live, {
    onLive: (values) => {
      showPower(values.power_w);
      part("age").textContent = age(zone, values);
      part("cost").textContent = values.cost_per_hour ? `${currency}${values.cost_per_hour}` : "–";
      if (values.power_w !== null && samples.at(-1)?.at !== values.at_us) {
        samples.push({ at: values.at_us, power: values.power_w });
        if (samples.length > KEPT) samples.shift();
        spark();
      }
    },
    onChange: (kind) => kind === "interval" && refresh(),
    onState: (fresh) => {
      part("dot").className = fresh ? "dot on" : "dot look";
      panel.querySelector(".now-power").classList.toggle("old", !fresh);
    },
  });
}

const card = document.querySelector("[data-today]");
async function today() {
  const answer = await fetch(card.dataset.today);
  if (!answer.ok) return;
  const figures = await answer.json();
  const zone = document.querySelector("[data-zone]").dataset.zone;
  const part = (name) => card.querySelector(`[data-${name}]`);
  const usual = figures.usual_wh ?? 0;
  const full = Math.max(usual, figures.so_far_wh, 1);
  const around = 2 * Math.PI * 46;
  const share = figures.so_far_wh / full;
  const ring = part("ring");
  ring.setAttribute("stroke-dasharray", `${(around * share).toFixed(1)} ${around.toFixed(1)}`);
  ring.toggleAttribute("visibility", false);
  if (share < 0.005) ring.setAttribute("visibility", "hidden");
  const angle = (360 * (figures.usual_so_far_wh ?? 0)) / full;
  part("ring-usual")?.setAttribute("transform", `rotate(${angle.toFixed(1)} 56 56)`);
  part("today-kwh").textContent = (figures.so_far_wh / 1000).toFixed(1);
  part("today-cost").textContent = `${figures.currency}${figures.cost}`;
  const until = figures.until_us === null
    ? "no half-hour of today is complete yet"
    : `up to ${clockText(zone, figures.until_us / 1e6)}`;
  const mark = figures.usual_so_far_wh ? ` · the mark is usual for this time: ${kwh(figures.usual_so_far_wh, 1)}` : "";
  part("today-words").textContent = until + mark;
  part("today-unmeasured").textContent = figures.unmeasured
    ? `${figures.unmeasured} ${figures.unmeasured === 1 ? "half-hour of today is" : "half-hours of today are"} estimated or missing`
    : "";
  await region(zone);
}

async function region(zone) {
  const chart = document.querySelector('[data-chart="load"]');
  const now = document.querySelector("[data-region-now]");
  if (!chart || !now) return;
  const answer = await fetch(`/api/regions/${encodeURIComponent(chart.dataset.regions)}/load`);
  if (!answer.ok) return;
  const load = await answer.json();
  now.textContent = watts(load.now_w);
  const at = document.querySelector("[data-region-at]");
  if (at && load.now_end_s !== null) at.textContent = endText(zone, load);
}

addEventListener("load", () => {
  document.documentElement.dataset.ready = "yes";
});
