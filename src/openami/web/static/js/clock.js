// SPDX-License-Identifier: Apache-2.0
// The calendar chip: runs on between the server's answers, at the calendar's speed.

const chip = document.querySelector("[data-now-us]");
if (chip) {
  const zone = chip.dataset.zone;
  const shown = chip.querySelector("[data-clock]");
  const format = new Intl.DateTimeFormat("en-AU", {
    timeZone: zone,
    weekday: "short",
    day: "2-digit",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
  let base = Number(chip.dataset.nowUs) / 1000;
  let speed = Number(chip.dataset.speed);
  let since = performance.now();

  const show = () => {
    const parts = Object.fromEntries(
      format
        .formatToParts(new Date(base + (performance.now() - since) * speed))
        .map((part) => [part.type, part.value]),
    );
    const weekday = "weekday" in chip.dataset ? `${parts.weekday} ` : "";
    shown.textContent = `${weekday}${parts.day} ${parts.month} ${parts.hour}:${parts.minute}`;
  };
  const ask = async () => {
    const answer = await fetch("/api/clock");
    if (!answer.ok) return;
    const clock = await answer.json();
    base = clock.now_us / 1000;
    speed = clock.speed;
    since = performance.now();
  };
  setInterval(show, 1000);
  setInterval(() => ask().catch(() => {}), 30_000);
}
