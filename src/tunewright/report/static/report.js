(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("curves").textContent);
  const words = data.words;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  let drawn = [];

  function axes(values) {
    const font = "12px " + getComputedStyle(document.body).fontFamily;
    const common = { stroke: colour("quiet"), font, grid: { stroke: colour("line"), width: 1 }, ticks: { show: false } };
    return [
      { ...common, size: 28, space: 60, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000] },
      { ...common, size: 64, space: 36, values },
    ];
  }

  function markBest(best) {
    return (plot) => {
      if (best === null) return;
      const ctx = plot.ctx, ratio = devicePixelRatio, box = plot.bbox;
      const x = Math.round(plot.valToPos(best, "x", true));
      ctx.save();
      ctx.strokeStyle = ctx.fillStyle = colour("good");
      ctx.lineWidth = 1.5 * ratio;
      ctx.setLineDash([4 * ratio, 4 * ratio]);
      ctx.beginPath();
      ctx.moveTo(x, box.top);
      ctx.lineTo(x, box.top + box.height);
      ctx.stroke();
      ctx.font = "600 " + 12 * ratio + "px " + getComputedStyle(document.body).fontFamily;
      const isRight = x > box.left + box.width / 2;
      ctx.textAlign = isRight ? "right" : "left";
      ctx.textBaseline = "top";
      ctx.fillText(words.best, x + (isRight ? -6 : 6) * ratio, box.top + 4 * ratio);
      ctx.restore();
    };
  }

  function plot(id, height, series, columns, options) {
    const place = document.getElementById(id);
    if (!place || !columns[0].length) return;
    const steps = columns[0];
    const chart = new uPlot({
      width: place.clientWidth,
      height,
      scales: { x: { time: false, range: () => [Math.min(0, steps[0]), Math.max(1, steps[steps.length - 1])] }, y: options.y || {} },
      axes: axes(options.values),
      series: [{ label: words.step }, ...series],
      legend: { show: options.legend },
      cursor: { y: false, points: { size: 7 } },
      padding: [10, 16, 0, 0],
      hooks: { draw: options.draw || [], ready: options.ready || [] },
    }, columns, place);
    drawn.push({ chart, place, height });
  }

  function draw() {
    drawn.forEach(({ chart }) => chart.destroy());
    drawn = [];
    const loss = data.loss, digits = (_, v) => (v === null ? "–" : v.toPrecision(4));
    const hasRun = loss.smooth !== null;
    const train = { label: words.train, stroke: hasRun ? colour("tuned") + "55" : colour("tuned"), width: hasRun ? 1 : 2, value: digits, points: { show: loss.steps.length < 20 }, spanGaps: true };
    const held = { label: words.held_out, stroke: colour("c6"), width: 2, value: digits, spanGaps: true, points: { show: true, size: 8, fill: colour("card"), stroke: colour("c6"), width: 2 } };
    const series = [train], columns = [loss.steps, loss.train];
    if (hasRun) {
      series.push({ label: words.smooth, stroke: colour("tuned"), width: 2, value: digits, points: { show: false }, spanGaps: true });
      columns.push(loss.smooth);
    }
    if (loss.held_out.some((value) => value !== null)) {
      series.push(held);
      columns.push(loss.held_out);
    }
    plot("loss-plot", 300, series, columns, {
      legend: true,
      draw: [markBest(loss.best)],
      ready: [(chart) => chart.setLegend({ idx: loss.steps.indexOf(loss.best === null ? loss.steps.at(-1) : loss.best) })],
    });
    const rate = { label: words.rate, stroke: colour("c4"), width: 2, points: { show: false }, fill: colour("c4") + "22" };
    plot("rate-plot", 120, [rate], [data.rate.steps, data.rate.rate], {
      legend: false,
      y: { range: (_, low, high) => [0, high * 1.08 || 1] },
      values: (_, ticks) => ticks.map((v) => (v ? Number(v.toPrecision(2)).toExponential() : "0")),
    });
  }

  function resize() {
    drawn.forEach(({ chart, place, height }) => {
      if (chart.width !== place.clientWidth && place.clientWidth) chart.setSize({ width: place.clientWidth, height });
    });
  }

  // Without a clipboard, as in an old browser or a page from an address that is not secure, the text is marked to be copied.
  async function copy(text, button) {
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = words.copied;
      setTimeout(() => { button.textContent = words.copy; }, 1500);
    } catch {
      getSelection().selectAllChildren(text);
    }
  }

  document.querySelectorAll(".copied").forEach((place) => {
    const text = document.createElement("span"), button = document.createElement("button");
    text.append(...place.childNodes);
    button.type = "button";
    button.className = "copy";
    button.textContent = words.copy;
    button.addEventListener("click", () => copy(text, button));
    place.append(text);
    (place.tagName === "PRE" ? place : place.parentNode).append(button);
  });

  draw();
  addEventListener("resize", resize);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  matchMedia("print").addEventListener("change", draw);
})();
