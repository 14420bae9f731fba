const quiet = { actions: false, renderer: "svg", config: CONFIG, loader: { load: () => Promise.reject("no network") } };

/** A map: all points, and over them the one that is looked at with its nearest. */
function mapOf(size, highest) {
  const colour = {
    field: "label", type: "nominal", legend: null,
    scale: { domain: MAP.groups.map((_, place) => place), range: MAP.groups.map((group) => group[1]) },
  };
  const reach = { x: MAP.span / 2 + 20, y: highest + 20 }, middle = MAP.span / 2;
  const place = (axis) => ({
    field: axis, type: "quantitative", axis: null, scale: { domain: [middle - reach[axis], middle + reach[axis]], zero: false },
  });
  const at = { x: place("x"), y: place("y") };
  const few = MAP.columns.name.length <= 4000;
  return {
    width: size, height: (size * reach.y) / reach.x, padding: 0,
    params: [{ name: "row", value: -1 }, { name: "nearest", value: [] }],
    data: { name: "points" },
    layer: [
      { mark: { type: "circle", size: few ? 22 : 8, opacity: few ? 0.7 : 0.5 }, encoding: { ...at, color: colour } },
      {
        transform: [{ filter: "indexof(nearest, datum.number) >= 0" }],
        mark: { type: "point", filled: false, size: 110, strokeWidth: 2.5, color: "#e11d48" }, encoding: at,
      },
      {
        transform: [{ filter: "datum.number === row" }],
        mark: { type: "point", shape: "diamond", filled: true, size: 170, color: "#e11d48" }, encoding: at,
      },
    ],
  };
}

/** Draws both maps and has a pointer on one, or the number in the field, mark the row on both. */
async function drawMaps() {
  const { name, label, original, prefix, originalNearest, prefixNearest } = MAP.columns;
  const sides = [["original", original, originalNearest], ["prefix", prefix, prefixNearest]];
  const field = document.getElementById("row"), says = document.getElementById("row-says");
  const highest = Math.max(...[...original, ...prefix].map(([, y]) => Math.abs(y - MAP.span / 2)));
  const views = [];
  const mark = (number) => {
    sides.forEach(([, , nearest], side) => views[side].signal("row", number).signal("nearest", nearest[number]).runAsync());
    const kept = prefixNearest[number].filter((other) => originalNearest[number].includes(other)).length;
    says.textContent = `${name[number]}, ${MAP.groups[label[number]][0]}: ${kept} of its ${originalNearest[number].length} nearest kept`;
    field.value = number;
  };
  for (const [side, places] of sides) {
    const box = document.getElementById(`map-${side}`);
    const spec = mapOf(Math.floor(box.clientWidth), highest);
    spec.datasets = { points: places.map(([x, y], number) => ({ number, x, y, label: label[number] })) };
    const { view } = await vegaEmbed(box, spec, { ...quiet, renderer: "canvas" });
    view.addEventListener("pointermove", (_, item) => {
      if (item && item.datum && item.datum.number !== undefined && item.datum.number !== Number(field.value || -1)) mark(item.datum.number);
    });
    views.push(view);
  }
  field.addEventListener("input", () => {
    const number = Math.trunc(field.valueAsNumber);
    if (number >= 0 && number < name.length) mark(number);
  });
}

/** Draws from the top down, and lets the browser show each chart before the next: who reads the first need not wait. */
async function drawAll() {
  for (const [number, spec] of CHARTS.entries()) {
    await vegaEmbed(`#chart-${number}`, spec, quiet);
    document.body.dataset.drawn = number + 1;
    await new Promise((next) => setTimeout(next));
  }
  if (MAP) await drawMaps();
  document.body.dataset.drawn = "all";
}

drawAll();
