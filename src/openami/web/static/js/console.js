// SPDX-License-Identifier: Apache-2.0
// The console: charts, live values of a meter's page, what happens in the fleet.

import { draw, keepDrawn } from "./charts.js";
import { kwh, THIN, watts } from "./frame.js";
import { age, calmly, follow } from "./live.js";

keepDrawn();

const zone = document.querySelector("[data-zone]")?.dataset.zone;
const redraw = (kind) => () => {
  for (const element of document.querySelectorAll(`[data-chart="${kind}"]`)) draw(element);
};

const panel = document.querySelector("[data-live]");
if (panel) {
  const put = (name, text) => {
    panel.querySelector(`[data-live-${name}]`).textContent = text;
  };
  follow(panel.dataset.live, {
    onLive: (values) => {
      put("age", age(zone, values));
      put("power", watts(values.power_w));
      put("voltage", values.voltage_dv === null ? "–" : `${(values.voltage_dv / 10).toFixed(1)}${THIN}V`);
      put("current", values.current_ca === null ? "–" : `${(values.current_ca / 100).toFixed(2)}${THIN}A`);
      put("register", values.register_wh === null ? "–" : kwh(values.register_wh, 3));
    },
    onChange: calmly(redraw("day"), 1500),
  });
}

if (document.querySelector('[data-chart="load"]')) {
  const again = calmly(redraw("load"), 3000);
  const source = new EventSource("/api/stream");
  source.addEventListener("interval", again);
  addEventListener("pagehide", () => source.close());
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-close]")) event.target.closest("details").open = false;
});

addEventListener("load", () => {
  document.documentElement.dataset.ready = "yes";
});
