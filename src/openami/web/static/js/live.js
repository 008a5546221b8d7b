// SPDX-License-Identifier: Apache-2.0
// Live values of one meter by server-sent events; the browser comes back by itself when cut off.

import { clockText } from "./frame.js";

export function follow(address, { onLive, onChange, onState }) {
  const source = new EventSource(address);
  let last = 0;
  source.addEventListener("live", (event) => {
    last = performance.now();
    onState?.(true);
    onLive(JSON.parse(event.data));
  });
  for (const kind of ["interval", "command", "attachment", "finding"]) {
    source.addEventListener(kind, (event) => onChange?.(kind, JSON.parse(event.data)));
  }
  source.addEventListener("error", () => onState?.(false));
  setInterval(() => {
    if (performance.now() - last > 15_000) onState?.(false);
  }, 5000);
  addEventListener("pagehide", () => source.close());
  return source;
}

export function age(zone, values) {
  if (values.at_us === null) return "waiting for the meter";
  return clockText(zone, values.at_us / 1e6, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

// Collects calls into one, at most every `pause` milliseconds.
export function calmly(action, pause) {
  let waiting = null;
  return () => {
    waiting ??= setTimeout(() => {
      waiting = null;
      action();
    }, pause);
  };
}
