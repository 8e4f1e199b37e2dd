// The page's own script: curves, keys, copying, and what to say when the server is gone. Everything else is htmx and HTML.
(() => {
  "use strict";
  const words = JSON.parse(document.getElementById("words").textContent);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

  // Curves of a run: asked for again when its step has changed, at most every second.
  const status = document.getElementById("status");
  let plots = [], curves = null, wanted = "", drawn = "", isAsking = false;

  function series(label, stroke, extra) {
    return { label, stroke, width: 2, spanGaps: true, value: (_, v) => (v === null ? "–" : v.toPrecision(4)), points: { show: false }, ...extra };
  }

  function plot(id, height, lines, columns, last) {
    const place = document.getElementById(id);
    if (!place || !columns[0].length) return;
    const axis = { stroke: colour("quiet"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "12px " + getComputedStyle(document.body).fontFamily };
    const chart = new uPlot({
      width: Math.max(200, place.clientWidth), height, padding: [10, 16, 0, 0],
      scales: { x: { time: false, range: () => [0, Math.max(1, last)] } },
      axes: [{ ...axis, size: 28 }, { ...axis, size: 64 }],
      series: [{ label: curves.words.step }, ...lines], cursor: { y: false },
    }, columns, place);
    plots.push({ chart, place, height });
  }

  function draw() {
    plots.forEach(({ chart }) => chart.destroy());
    plots = [];
    if (!curves || !curves.loss.steps.length) return;
    document.getElementById("no-curve").hidden = true;
    const loss = curves.loss, steps = loss.steps, isShort = steps.length < 20;
    const isLive = ["queued", "preparing", "running"].includes(curves.state);
    const last = Math.max(steps[steps.length - 1], isLive ? curves.promised_steps : 0);
    const lines = [series(curves.words.train, loss.smooth ? colour("tuned") + "55" : colour("tuned"), { width: loss.smooth ? 1 : 2, points: { show: isShort } })];
    const columns = [steps, loss.train];
    if (loss.smooth) { lines.push(series(curves.words.smooth, colour("tuned"))); columns.push(loss.smooth); }
    if (loss.held_out.some((value) => value !== null)) {
      lines.push(series(curves.words.held_out, colour("c6"), { points: { show: true, size: 7 } }));
      columns.push(loss.held_out);
    }
    plot("live-loss", 300, lines, columns, last);
    if (document.getElementById("rate").open) plot("live-rate", 140, [series(curves.words.rate, colour("c4"))], [curves.rate.steps, curves.rate.rate], last);
  }

  async function ask() {
    if (!status || isAsking) return;
    const card = status.querySelector("[data-state]");
    if (card) wanted = card.dataset.step + card.dataset.state;
    if (wanted === drawn && curves) return;
    isAsking = true;
    try {
      const answer = await fetch(status.dataset.curve);
      if (answer.ok) { curves = await answer.json(); drawn = wanted; draw(); }
    } catch { /* the server is gone: said below */ }
    setTimeout(() => { isAsking = false; ask(); }, 1000);
  }

  if (status) {
    ask();
    document.addEventListener("htmx:after:swap", ask);
    document.addEventListener("htmx:sse:after:message", ask);
    status.addEventListener("end", () => location.reload());
    document.getElementById("rate").addEventListener("toggle", draw);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    addEventListener("resize", () => plots.forEach(({ chart, place, height }) => {
      if (place.clientWidth && place.clientWidth !== chart.width) chart.setSize({ width: place.clientWidth, height });
    }));
  }

  // Without a clipboard, as in an old browser, the text is marked to be copied.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.copy[data-copies]");
    if (!button) return;
    const text = document.getElementById(button.dataset.copies);
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = words.copied;
      setTimeout(() => { button.textContent = words.copy; }, 1500);
    } catch {
      getSelection().selectAllChildren(text);
    }
  });

  // Keys: g and a letter for a page, / for the search, ? for this list; a page marks its own with data-key.
  const places = { r: "/", d: "/data", p: "/plan", c: "/compare", m: "/machine" };
  let isGoing = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    const key = event.key, isPlace = isGoing && key in places;
    isGoing = key === "g";
    if (isPlace) { location.href = places[key]; return; }
    if (key === "?") { document.getElementById("keys").showModal(); event.preventDefault(); return; }
    const target = key === "/" ? document.querySelector("input[type=search]") : document.querySelector(`[data-key="${CSS.escape(key)}"]`);
    if (!target) return;
    event.preventDefault();
    if (key === "/") target.focus(); else target.click();
  });

  // What a dead server leaves unsaid.
  const lost = document.getElementById("lost");
  const tell = (isLost) => { lost.hidden = !isLost; lost.textContent = isLost ? words.lost : ""; };
  document.addEventListener("htmx:error", () => tell(true));
  document.addEventListener("htmx:sse:error", () => tell(true));
  document.addEventListener("htmx:sse:after:message", () => tell(false));
  document.addEventListener("htmx:after:request", () => tell(false));
})();
