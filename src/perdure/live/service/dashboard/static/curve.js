"use strict";
/* The prequential accuracy as a chart, with marks for what happened meanwhile. */

(() => {
  const SIGNS = { drift: "▼", promotion: "▲", rollback: "◀" };
  const LANES = 4;
  let plot = null;
  let held = null;
  let axis = "seq";

  const colour = (name) => {
    const probe = document.createElement("span");
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const percent = (share, digits = 1) => `${(share * 100).toFixed(digits)} %`;
  const when = (at) => new Date(at * 1000).toISOString().slice(0, 19).replace("T", " ");

  const read = () => {
    const data = document.getElementById("curve-data");
    return data && JSON.parse(data.textContent);
  };

  const columns = () => [held[axis], held.windowed, held.fading];

  /* Accuracy near 1 deserves the room: the scale begins below the lowest point. */
  const range = () => {
    const low = Math.min(...held.windowed, ...held.fading);
    const high = Math.max(...held.windowed, ...held.fading);
    const room = Math.max(0.02, (high - low) * 0.12);
    return [Math.max(0, low - room), Math.min(1.06, high + room)];
  };

  /* A mark stands where its row does, on either axis. */
  const placeOf = (seq) => {
    let low = 0;
    let high = held.seq.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (held.seq[middle] < seq) low = middle + 1;
      else high = middle;
    }
    return held[axis][low];
  };

  const flagOf = (one, lane) => {
    const flag = document.createElement("button");
    const drift = one.kind === "drift";
    flag.type = "button";
    flag.className = "mark-flag";
    flag.textContent = drift ? SIGNS.drift : `${SIGNS[one.kind]} ${one.label}`;
    flag.title = `${one.kind}: ${drift ? `${one.label}, ` : ""}${one.text} (row ${one.seq}, ${when(one.at)} UTC)`;
    flag.setAttribute("aria-label", flag.title);
    flag.style[drift ? "top" : "bottom"] = `${lane * 1.1}rem`;
    return flag;
  };

  /* Flags that would lie on each other take a lane of their own; after LANES of them, none. */
  const placeMarks = (u) => {
    u.over.querySelectorAll(".mark").forEach((mark) => mark.remove());
    const lanes = { drift: [], other: [] };
    for (const one of held.marks) {
      const left = u.valToPos(placeOf(one.seq), "x");
      if (left < -1 || left > u.over.clientWidth + 1) continue;
      const mark = document.createElement("div");
      mark.className = `mark mark-${one.kind}`;
      mark.style.left = `${left}px`;
      const [taken, width] = one.kind === "drift" ? [lanes.drift, 11] : [lanes.other, 34];
      let lane = 0;
      while (left - (taken[lane] ?? -Infinity) < width) lane += 1;
      if (lane < LANES) {
        mark.append(flagOf(one, lane));
        taken[lane] = left;
      }
      u.over.append(mark);
    }
  };

  const tip = () => {
    const box = document.createElement("div");
    box.className = "tip";
    box.hidden = true;
    return {
      hooks: {
        init: (u) => u.over.append(box),
        setCursor: (u) => {
          const i = u.cursor.idx;
          box.hidden = i === null || i === undefined || u.cursor.left < 0;
          if (box.hidden) return;
          const strong = document.createElement("b");
          strong.textContent = percent(held.windowed[i]);
          box.replaceChildren(
            strong, ` windowed, ${percent(held.fading[i])} fading`, document.createElement("br"),
            `row ${held.seq[i].toLocaleString("en").replaceAll(",", " ")}, v${held.version[i]}`,
            document.createElement("br"), `${when(held.at[i])} UTC`,
          );
          const right = u.cursor.left > u.over.clientWidth / 2;
          box.style.left = right ? "" : `${u.cursor.left + 14}px`;
          box.style.right = right ? `${u.over.clientWidth - u.cursor.left + 14}px` : "";
          box.style.top = "1.6rem";
        },
        draw: placeMarks,
      },
    };
  };

  const options = (chart) => {
    const soft = colour("soft");
    const side = { stroke: soft, grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    return {
      width: chart.clientWidth,
      height: chart.clientHeight,
      padding: [18, 14, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
      scales: { x: { time: axis === "at" }, y: { range } },
      axes: [
        { ...side, size: 30, space: 70, values: axis === "at" ? undefined : (u, ticks) => ticks.map((row) => (Number.isInteger(row) ? row.toLocaleString("en").replaceAll(",", " ") : "")) },
        { ...side, size: 50, values: (u, ticks) => ticks.map((share) => (share > 1.0001 ? "" : percent(share, ticks[1] - ticks[0] < 0.0099 ? 1 : 0))) },
      ],
      series: [
        {},
        { stroke: colour("accent"), width: 2, points: { show: false } },
        { stroke: soft, width: 1.25, dash: [5, 4], points: { show: false } },
      ],
      plugins: [tip()],
    };
  };

  const describe = (chart) => {
    const marks = held.marks.filter((mark) => mark.kind === "drift").length;
    chart.setAttribute("role", "group");
    chart.setAttribute("aria-label", `Accuracy of answers: ${percent(held.windowed.at(-1))} now, ${marks} drift${marks === 1 ? "" : "s"}; the table below has the numbers`);
  };

  const build = () => {
    const chart = document.getElementById("chart");
    held = read();
    plot?.destroy();
    plot = null;
    if (!chart || !held) return;
    plot = new uPlot(options(chart), columns(), chart);
    describe(chart);
  };

  const renew = () => {
    const chart = document.getElementById("chart");
    const fresh = read();
    if (!plot || !chart?.contains(plot.root)) return build();
    held = fresh;
    plot.setData(columns());
    describe(chart);
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-axis]");
    if (!button) return;
    axis = button.dataset.axis;
    for (const one of button.parentElement.children) one.setAttribute("aria-pressed", String(one === button));
    build();
  });
  document.addEventListener("perdure:renewed", renew);
  document.addEventListener("perdure:theme", build);
  window.addEventListener("resize", () => {
    const chart = document.getElementById("chart");
    if (plot && chart) plot.setSize({ width: chart.clientWidth, height: chart.clientHeight });
  });
  build();
})();
