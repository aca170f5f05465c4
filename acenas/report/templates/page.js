// What answers a touch: tables that sort, a filter, buttons that copy, charts (by uPlot). Texts of a run become
// `textContent` and pictures `<img>`, never markup. Without scripts, or where a browser cannot unpack the data, the static
// figures stand.
"use strict";
if (window.DecompressionStream) document.documentElement.classList.add("live");

const FADED = "#80808a",
  BLUE = "#2B8FC9",
  ORANGE = "#B07800",
  GREEN = "#009E73",
  RED = "#D55E00";
const find = (selector, place = document) => [...place.querySelectorAll(selector)];
const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const shown = (value, unit = "") =>
  value == null ? "–" : unit === "%" ? `${value.toFixed(2)} %` : `${+value.toPrecision(5)} ${unit}`.trim();
const button = (text, act, properties = {}) =>
  make("button", {type: "button", textContent: text, onclick: act, ...properties});

// --- tables, filter, copies ---

const value = cell => (cell.dataset.value === undefined ? cell.textContent : parseFloat(cell.dataset.value));
const compare = (a, b) =>
  typeof a === "number" && typeof b === "number"
    ? (isNaN(a) ? -Infinity : a) - (isNaN(b) ? -Infinity : b)
    : String(a).localeCompare(String(b));

function sort(head) {
  const rising = head.getAttribute("aria-sort") === "descending";
  for (const other of head.parentNode.children) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const body = head.closest("table").tBodies[0],
    place = head.cellIndex;
  const rows = [...body.rows].sort((a, b) => compare(value(a.cells[place]), value(b.cells[place])));
  body.append(...(rising ? rows : rows.reverse()));
}

const matches = (text, wanted) => wanted.every(word => text.toLowerCase().includes(word));
const words = text => text.toLowerCase().split(/\s+/).filter(Boolean);
const textOf = row => find("[title]", row).reduce((text, named) => `${text} ${named.title}`, row.textContent);

function copier(text, what = "copy", properties = {className: "copy"}) {
  return button(
    what,
    async event => {
      const pressed = event.currentTarget;
      let copied = true;
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        // an old browser, one that asks first, or a file that is opened without a server
        const area = make("textarea", {value: text, className: "unseen"});
        document.body.append(area);
        area.select();
        copied = document.execCommand("copy");
        area.remove();
        pressed.focus();
      }
      pressed.textContent = copied ? "copied" : "this browser does not let it be copied";
      setTimeout(() => (pressed.textContent = what), 1500);
    },
    properties,
  );
}

// The string of an architecture, or the beginning and end of it that are shown: a click copies it.
const string = (arch, what = arch) => copier(arch, what, {className: "string", title: arch});

// --- keys ---

const live = make("p", {className: "unseen"}); // what screen readers say of a point that keys have moved to
live.setAttribute("aria-live", "polite");
const ARROWS = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowDown: [1, -1], ArrowUp: [1, 1]};
const MOVES = {...ARROWS, Home: [0, -Infinity], End: [0, Infinity]};

// By keys on `element`, `go(axis, by)` moves along x (0) or y (1) and returns what is there in words, as `pin()` does of
// what it pins; null where a key means nothing.
function keys(element, {go, pin = () => null, leave = () => {}}) {
  element.tabIndex = 0;
  element.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const [axis, by] = MOVES[event.key] ?? [];
    const told = by ? go(axis, event.shiftKey ? 10 * by : by) : ["Enter", " "].includes(event.key) ? pin() : null;
    if (event.key === "Escape") leave();
    if (told === null) return;
    live.textContent = told;
    event.preventDefault();
  });
  element.addEventListener("blur", leave);
}

// Leads from point to point, `[x, y]` of each (null for none): from a place to another, so many further along an axis.
function stepper(points) {
  const there = [...points.keys()].filter(place => points[place] && points[place][1] != null);
  const orders = [0, 1].map(axis => [...there].sort((a, b) => points[a][axis] - points[b][axis]));
  const ranks = orders.map(order => new Map(order.map((place, rank) => [place, rank])));
  return (from, axis, by) =>
    orders[axis][Math.max(0, Math.min(there.length - 1, (ranks[axis].get(from) ?? -by) + by))] ?? null;
}

// --- charts ---

const plots = [];

// Where a logarithmic axis has lines: at powers of ten, and where there are few of these in between.
function powers(u, axis, min, max) {
  const decades = Math.log10(max / min),
    between = decades > 3 ? [1] : decades > 1 ? [1, 2, 5] : [1, 2, 3, 4, 5, 6, 7, 8, 9];
  const found = [];
  for (let power = Math.floor(Math.log10(min)); power <= Math.log10(max); power++)
    found.push(...between.map(each => each * 10 ** power).filter(each => each >= min && each <= max));
  return found.length > 1 ? found : [min, max];
}

// A chart of `data` by `series`; `x` and `y` have a `label` and the `range` that is seen without zoom.
function plot(
  holder,
  x,
  y,
  series,
  data,
  {draw = () => {}, moved = () => {}, clicked = () => {}, right = 20, bands} = {},
) {
  let zoom = {},
    pressed = [0, 0];
  const lines = {stroke: () => style("--line"), width: 1},
    font = "12px system-ui";
  const axis = (label, more) => ({
    label,
    labelSize: 22,
    font,
    labelFont: font,
    stroke: () => style("--ink"),
    grid: lines,
    ticks: lines,
    ...more,
  });
  const size = () => ({width: holder.clientWidth, height: 320});
  const look = (u, wish) => {
    zoom = wish;
    u.batch(() =>
      Object.entries({x, y}).forEach(([key, {range}]) => {
        const [min, max] = zoom[key] ?? range;
        u.setScale(key, {min, max});
      }),
    );
  };
  const u = new uPlot(
    {
      ...size(),
      series,
      bands,
      padding: [10, right, 0, 0],
      legend: {show: false},
      scales: {
        x: {time: false, distr: x.distr ?? 1, range: () => zoom.x ?? x.range},
        y: {range: () => zoom.y ?? y.range},
      },
      axes: [
        axis(() => x.label, {
          values: (_, splits) => splits.map(at => (at == null ? "" : String(+at.toPrecision(4)))),
          ...(x.distr === 3 ? {splits: powers, filter: (_, splits) => splits} : {}),
        }),
        axis(y.label, {size: 56}),
      ],
      cursor: {y: false, points: {show: false}, drag: {x: true, y: true, uni: 20, setScale: false}},
      hooks: {
        destroy: [() => watch.disconnect()],
        draw: [draw],
        setCursor: [moved],
        setSelect: [
          ({select: {left, top, width, height}}) => {
            if (width < 4 || height < 4) return;
            const place = {
              x: [u.posToVal(left, "x"), u.posToVal(left + width, "x")],
              y: [u.posToVal(top + height, "y"), u.posToVal(top, "y")],
            };
            u.setSelect({left: 0, top: 0, width: 0, height: 0}, false);
            look(u, place);
          },
        ],
      },
    },
    data,
    holder,
  );
  u.over.addEventListener("dblclick", () => look(u, {}));
  u.over.addEventListener("mousedown", event => (pressed = [event.clientX, event.clientY]));
  u.over.addEventListener("click", event => {
    // the end of a drag is none
    if (Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) < 4) clicked(u);
  });
  const watch = new ResizeObserver(() => u.setSize(size()));
  watch.observe(holder);
  holder.setAttribute("role", "application"); // keys are ours; `keys` says what they do
  holder.setAttribute("aria-roledescription", "chart");
  holder.setAttribute("aria-describedby", "keys");
  plots.push(u);
  return u;
}

// Markers as the figures have them, by matplotlib's names: each adds a shape to a path.
const polygon = corners => (path, x, y, r) => {
  corners.forEach(([across, down], i) => path[i ? "lineTo" : "moveTo"](x + r * across, y + r * down));
  path.closePath();
};
const around = (count, radius, turn = 0) =>
  [...Array(count).keys()].map(i => {
    const angle = (2 * Math.PI * i) / count + turn - Math.PI / 2;
    return [radius(i) * Math.cos(angle), radius(i) * Math.sin(angle)];
  });
const PLUS = [[-0.35, -1], [0.35, -1], [0.35, -0.35], [1, -0.35], [1, 0.35], [0.35, 0.35]];
const plus = [...PLUS, ...PLUS.map(([across, down]) => [-across, -down])];
const MARKERS = {
  o: (path, x, y, r) => {
    path.moveTo(x + r, y);
    path.arc(x, y, r, 0, 2 * Math.PI);
  },
  s: polygon(around(4, () => 1.25, Math.PI / 4)),
  D: polygon(around(4, () => 1.25)),
  "^": polygon(around(3, () => 1.3)),
  v: polygon(around(3, () => 1.3, Math.PI)),
  P: polygon(plus),
  X: polygon(plus.map(([across, down]) => [(across - down) * 0.8, (across + down) * 0.8])),
  "*": polygon(around(10, i => (i % 2 ? 0.55 : 1.35))),
};

// The points of a series as markers: each, or about `most` of them.
const marked = (marker, most = Infinity) => (u, series, first, last) => {
  const xs = u.data[0],
    ys = u.data[series],
    {left, top, width, height} = u.bbox,
    fill = new Path2D(),
    clip = new Path2D(),
    size = (u.series[series].points.size / 2) * devicePixelRatio;
  clip.rect(left - size, top - size, width + 2 * size, height + 2 * size);
  const places = [];
  for (let i = first; i <= last; i++) if (ys[i] != null) places.push(i);
  const every = Math.max(1, Math.floor(places.length / most));
  for (let n = 0; n < places.length; n += every)
    MARKERS[marker](fill, u.valToPos(xs[places[n]], "x", true), u.valToPos(ys[places[n]], "y", true), size);
  return {fill, stroke: fill, clip, flags: 3};
};
const dots = (colour, size, marker = "o") => ({
  paths: () => null,
  points: {show: true, size, width: 0, fill: colour, paths: marked(marker)},
});
const line = (colour, more = {}) => ({stroke: colour, width: 2, points: {show: false}, spanGaps: true, ...more});
const beads = (colour, marker, most) => ({
  points: {show: true, size: 7, width: 0, fill: colour, paths: marked(marker, most)},
});
const steps = uPlot.paths.stepped({align: 1}),
  stepsBefore = uPlot.paths.stepped({align: -1});

function tip(u) {
  const box = make("div", {className: "tip", hidden: true});
  u.over.append(box);
  return rows => {
    box.hidden = rows.length === 0;
    box.replaceChildren(...rows);
    box.style.left = `${Math.max(0, Math.min(u.cursor.left + 12, u.over.clientWidth - box.offsetWidth))}px`;
  };
}

// Keys move the cursor of a chart of curves from x to x; its tip is what is said.
function readable(u, holder) {
  const aside = () => u.setCursor({left: -10, top: -10});
  keys(holder, {
    go: (axis, by) => {
      const xs = u.data[0],
        at = u.cursor.left >= 0 ? u.cursor.idx : by > 0 ? -1 : xs.length;
      if (axis === 0) {
        const next = Math.max(0, Math.min(xs.length - 1, at + by));
        u.setCursor({left: u.valToPos(xs[next], "x"), top: 1});
      }
      return find(".tip > *", u.over)
        .map(row => row.textContent)
        .join("; ");
    },
    leave: aside,
  });
}

// Names at the ends of curves, `[name, value, colour, marker]`, moved apart.
function names(u, ends) {
  const {
      ctx,
      bbox: {left, top, width, height},
    } = u,
    unit = devicePixelRatio,
    high = 13 * unit;
  const places = ends
    .filter(([, at]) => at != null)
    .map(([name, at, colour, marker]) => [name, u.valToPos(at, "y", true), colour, marker])
    .sort((a, b) => a[1] - b[1]);
  places.forEach((place, i) => (place[1] = Math.max(place[1], (places[i - 1]?.[1] ?? top - high) + high)));
  const below = Math.max(0, (places.at(-1)?.[1] ?? 0) - top - height);
  ctx.save();
  Object.assign(ctx, {font: `${12 * unit}px system-ui`, textBaseline: "middle", textAlign: "left"});
  for (const [name, at, colour, marker] of places) {
    const shape = new Path2D();
    MARKERS[marker](shape, left + width + 8 * unit, at - below, 3.5 * unit);
    ctx.fillStyle = colour;
    ctx.fill(shape);
    ctx.fillStyle = style("--ink");
    ctx.fillText(name, left + width + 15 * unit, at - below);
  }
  ctx.restore();
}
const swatch = ({colour, marker}) => {
  const sign = make("i");
  sign.dataset.marker = marker;
  sign.style.background = colour;
  return sign;
};
const short = (name, most) =>
  name.length <= most ? name : `${name.slice(0, most / 2 - 1)}…${name.slice(1 - most / 2)}`;

// --- the page of a run ---

// `data.arch`, `data.values` (by what they are): by predicted rank; `data.trained`: [place, value, round, reason].
function run(data) {
  const ranked = data.rank.filter(rank => rank !== null).length,
    rank = data.rank.slice(0, ranked);
  const observed = data.values[data.label],
    trainings = data.trained,
    given = new Set(data.given),
    when = new Map();
  trainings.forEach(([place], n) => when.set(place, [...(when.get(place) ?? []), n]));
  const last = place => trainings[when.get(place)?.at(-1)]?.[1];
  const ofTrained = rank.map((_, place) => (when.has(place) ? (last(place) ?? null) : null));
  const only = place => rank.map((_, other) => (other === place ? observed[place] : null));
  let found = rank.map(() => null),
    pinned = data.returned,
    hovered = null;

  const known = observed
    .slice(0, ranked)
    .filter(each => each !== null)
    .sort((a, b) => a - b);
  const edge = known[Math.floor(known.length * (data.sign > 0 ? 0.05 : 0.95))] ?? 0;
  const far = Math[data.sign > 0 ? "max" : "min"](...[...known, ...ofTrained].filter(each => each !== null));
  const margin = 0.05 * Math.abs(far - edge) || 0.05;
  const extent = [Math.min(edge, far) - margin, Math.max(edge, far) + margin];

  const [first, second, third] = find(".chart:not(#front .chart, #curves .chart)");
  const near = (u, xs, columns) => {
    const {left, top} = u.cursor,
      reach = 24;
    let best = null,
      least = reach;
    if (!(left >= 0)) return null;
    for (
      let i = Math.max(0, u.valToIdx(u.posToVal(left - reach, "x")));
      i < xs.length && u.valToPos(xs[i], "x") <= left + reach;
      i++
    )
      for (const [column, weight] of columns) {
        if (column[i] == null) continue;
        const away = weight * Math.hypot(u.valToPos(xs[i], "x") - left, u.valToPos(column[i], "y") - top);
        if (away < least) [best, least] = [i, away];
      }
    return best;
  };
  const ring = name => make("div", {className: `ring ${name}`, hidden: true});
  const ringed = []; // charts, where a place lies in them, and their rings
  const mark = () => {
    for (const [u, where, rings] of ringed)
      [hovered, pinned].forEach((place, i) => {
        const at = place === null ? null : where(place);
        const [left, top] = at === null || at[1] == null ? [-1, -1] : [u.valToPos(at[0], "x"), u.valToPos(at[1], "y")];
        rings[i].hidden = !(left >= 0 && left <= u.over.clientWidth && top >= 0 && top <= u.over.clientHeight);
        Object.assign(rings[i].style, {left: `${left}px`, top: `${top}px`});
      });
  };
  const chart = (holder, x, y, series, columns, pick, where, drawn = () => {}) => {
    const draw = u => (drawn(u), mark());
    const u = plot(holder, x, y, series, columns, {draw, moved: u => hover(pick(u)), clicked: u => pin(pick(u))});
    const rings = [ring("hovered"), ring("pinned")];
    u.over.append(...rings);
    ringed.push([u, where, rings]);
    let step = null;
    keys(holder, {
      go: (axis, by) => {
        step ??= stepper(data.arch.map((_, place) => where(place)));
        hover(step(hovered ?? pinned, axis, by));
        return hovered === null ? null : inWords(hovered);
      },
      pin: () => {
        if (hovered === null) return null;
        pin(hovered);
        return `${pinned === data.returned ? "The returned architecture" : "Pinned"}: ${inWords(pinned)}`;
      },
      leave: () => hover(null),
    });
    return u;
  };

  const scatter = chart(
    first,
    {label: "predicted rank (1 is best)", distr: 3, range: [0.8, (rank.at(-1) ?? 1) * 1.2]},
    {label: data.label, range: extent},
    [{}, dots(FADED, 3), dots(GREEN, 6, "P"), dots(ORANGE, 7), dots(BLUE, 10, "D"), dots(RED, 13, "*")],
    [
      rank,
      observed.slice(0, ranked),
      found,
      ofTrained,
      only(data.best),
      ofTrained.map((each, place) => (place === data.returned ? each : null)),
    ],
    u =>
      near(u, rank, [
        [observed, 1],
        [ofTrained, 0.5],
      ]),
    place => (place < ranked ? [rank[place], last(place) ?? observed[place]] : null),
  );

  const count = trainings.map((_, n) => n + 1),
    values = trainings.map(training => training[1]);
  const settled = [...data.would.slice(Math.floor(count.length / 10)), data.best_value].filter(each => each !== null);
  const room = 0.6 * (Math.max(...settled) - Math.min(...settled)) || 0.05;
  // Along trainings, or along the epochs that were paid by the end of each.
  const [along] = find("#along select"),
    paid = data.paid ?? count,
    counts = () => (along?.value === "epochs" ? paid : count),
    axis = () => ({
      label: along?.value === "epochs" ? "epochs, of all trainings" : "architectures trained",
      range: [0, counts().at(-1)],
    }),
    trainedAxis = axis(),
    roundsOf = () => [data.rounds[0].map(trained => (trained ? counts()[trained - 1] : 0)), ...data.rounds.slice(1)];
  const curve = chart(
    second,
    trainedAxis,
    {label: data.axis, range: [Math.min(...settled) - room, Math.max(...settled) + room]},
    [{}, dots(ORANGE, 6), line(BLUE, {paths: steps}), line(FADED, {dash: [6, 4], width: 1})],
    [counts(), values, data.would, count.map(() => data.best_value)],
    u => (u.cursor.idx == null ? null : trainings[near(u, counts(), [[values, 1]]) ?? u.cursor.idx][0]),
    place => (when.has(place) ? [counts()[when.get(place).at(-1)], last(place)] : null),
  );

  const told = plot(
    third,
    trainedAxis,
    {label: "NDCG@10, Kendall", range: [Math.min(0, ...data.rounds[2]), 1.02]},
    [{}, line(GREEN, beads(GREEN, "o")), line(ORANGE, {dash: [6, 3], ...beads(ORANGE, "s")})],
    roundsOf(),
    {
      right: 90,
      draw: u =>
        names(
          u,
          [
            ["NDCG@10", 1, GREEN, "o"],
            ["Kendall", 2, ORANGE, "s"],
          ].map(([n, i, ...look]) => [n, data.rounds[i].at(-1), ...look]),
        ),
      moved: u =>
        say(
          u.cursor.idx == null || u.cursor.left < 0
            ? []
            : [
                `after ${data.rounds[0][u.cursor.idx]} trainings`,
                `NDCG@10 ${shown(data.rounds[1][u.cursor.idx])}`,
                `Kendall ${shown(data.rounds[2][u.cursor.idx])}`,
              ].map(text => make("div", {textContent: text})),
        ),
    },
  );
  const say = tip(told);
  readable(told, third);
  along?.addEventListener("change", () => {
    Object.assign(trainedAxis, axis());
    curve.setData([counts(), ...curve.data.slice(1)]);
    told.setData(roundsOf());
    mark();
  });

  const trained = data.curves?.length ? onTheirWay({data, trainings, chart, lit: () => [pinned, hovered]}) : null;

  // What is known of one architecture, beside the charts.
  const panels = find(".details");
  const guess = data.front?.predicted;
  const guessed = place => {
    if (guess?.value[place] == null) return [];
    const [value, low, high] = [guess.value, ...guess.sides].map(column => shown(column[place], data.unit).split(" ")[0]);
    return [
      [guess.label, `${value} (${low} to ${high})`],
      ...Object.entries(guess.costs).map(([name, column]) => [`predicted ${name}`, shown(column[place])]),
    ];
  };
  const factsOf = place => [
    ["predicted rank", shown(data.rank[place])],
    ...guessed(place),
    ...Object.entries(data.values).map(([name, column]) => [
      name,
      shown(column[place], name.endsWith("(%)") ? "%" : ""),
    ]),
    ...(when.get(place) ?? []).map(n => [
      `training ${n + 1}, round ${trainings[n][2]}`,
      data.why?.[n] ?? `${shown(trainings[n][1], data.unit)} (${trainings[n][3]})`,
    ]),
    ...(when.has(place) ? [] : [["trained", given.has(place) ? "elsewhere (given)" : "never"]]),
  ];
  const inWords = place =>
    [...factsOf(place).map(([name, text]) => `${name.replace(" (%)", "")} ${text}`), data.arch[place]].join(", ");
  function tell(place) {
    const arch = data.arch[place],
      facts = factsOf(place);
    const member = data.front?.members.indexOf(arch) ?? -1;
    for (const panel of panels) panel.replaceChildren(
      make("h3", {
        textContent:
          (place === data.returned ? "The returned architecture" : place === pinned ? "Pinned" : "An architecture") +
          (guess?.value[place] == null ? "" : ", predicted") +
          (member < 0 ? "" : `, member ${member} of the front`),
      }),
      ...(data.pictures[place] ? [make("img", {src: data.pictures[place], alt: `picture of ${arch}`})] : []),
      make("p", {}, make("code", {}, string(arch))),
      make(
        "dl",
        {},
        ...facts.map(([name, text]) =>
          make("div", {}, make("dt", {textContent: name}), make("dd", {textContent: text.replace(/ %$/, "")})),
        ),
      ),
      make(
        "p",
        {},
        copier(arch, "copy its string"),
        ...(data.train
          ? [" ", copier(data.train.replace("ARCHITECTURE", arch), "copy the command that trains it")]
          : []),
      ),
    );
  }
  const rows = find("#trained tbody tr"),
    placeOf = row => trainings[row.cells[0].dataset.value - 1][0];
  const show = () => {
    mark();
    trained?.redraw(false);
    for (const row of find("#trained tbody tr, #members tbody tr")) {
      const place = row.place ?? placeOf(row);
      row.classList.toggle("hovered", place === hovered);
      row.classList.toggle("pinned", place === pinned);
      find("button", row)[0].setAttribute("aria-pressed", place === pinned);
    }
    tell(hovered ?? pinned);
  };
  function hover(place) {
    if (place === hovered) return;
    hovered = place;
    show();
  }
  function pin(place) {
    pinned = place === null || place === pinned ? data.returned : place;
    hovered = null;
    show();
  }
  const touchable = row => {
    const place = row.place ?? placeOf(row),
      head = row.cells[0],
      last = row.lastElementChild;
    last.replaceChildren(string(find("[title]", last)[0]?.title ?? last.textContent, last.textContent));
    head.replaceChildren(button(head.textContent, () => pin(place), {title: "pin it in the charts"}));
    row.addEventListener("mouseenter", () => hover(place));
    row.addEventListener("mouseleave", () => hover(null));
  };
  rows.forEach(touchable);
  for (const code of find(".cells code")) code.replaceChildren(string(code.textContent));
  const tried = new Set([...when.keys(), ...given]);
  if (data.front) front({data, values: data.values[data.front.y], chart, ringed, tried, near, touchable});
  show();

  // The search marks matches of the whole space in the chart, and lists the best of those that were not trained.
  const more = make("tbody"),
    table = find("#trained table")[0],
    heads = [...table.tHead.rows[0].cells].map(cell => cell.textContent);
  table.append(more);
  return text => {
    const wanted = words(text),
      places = wanted.length ? rank.map((_, place) => place).filter(place => matches(data.arch[place], wanted)) : [];
    found = rank.map(() => null);
    for (const place of places) found[place] = observed[place];
    scatter.data[2] = found;
    scatter.setData(scatter.data, false);
    scatter.redraw();
    const untrained = places.filter(place => !when.has(place));
    more.replaceChildren(
      ...untrained.slice(0, 30).map(place =>
        Object.assign(
          make(
            "tr",
            {},
            ...heads.map(head => {
              const cell =
                head === "training"
                  ? "–"
                  : head === "architecture"
                    ? data.arch[place]
                    : head === "predicted rank"
                      ? data.rank[place]
                      : head === "reason"
                        ? "not trained"
                        : shown(data.values[head]?.[place]);
              return make("td", {
                textContent: cell,
                className: ["architecture", "reason"].includes(head) ? "text" : "",
              });
            }),
          ),
          {place},
        ),
      ),
    );
    [...more.rows].forEach(touchable);
    rows.forEach(row => (row.hidden = !matches(textOf(row), wanted)));
    show();
    return wanted.length
      ? `${places.length} of ${ranked} architectures match` +
          (untrained.length > 30 ? "; of those not trained, the table has the 30 best" : "")
      : "";
  };
}

// --- the curves of trainings ---

// Draws `data.curves`: [training, state, epochs, values], each a line; those that are pointed at or pinned lie above.
function onTheirWay({data, trainings, chart, lit}) {
  const [holder] = find("#curves .chart"),
    looks = {trained: [`${BLUE}b0`, 1.5], stopped: [`${FADED}70`, 1], failed: [`${RED}b0`, 1.5]};
  const lines = data.curves.map(([n, state, xs, ys]) => ({place: trainings[n][0], state, xs, ys})),
    byPlace = new Map(lines.map(each => [each.place, each]));
  const seen = lines.flatMap(({ys}) => ys).sort((a, b) => data.sign * (a - b)),
    ends = [seen[Math.floor(seen.length * 0.1)], seen.at(-1)],
    margin = 0.05 * Math.abs(ends[1] - ends[0]) || 0.05;
  const least = lines.reduce((low, {xs}) => Math.min(low, xs[0]), Infinity),
    most = lines.reduce((high, {xs}) => Math.max(high, xs.at(-1)), 0);

  const stroke = (u, {state, xs, ys}, bold) => {
    const {ctx} = u,
      [colour, width] = looks[state],
      place = i => [u.valToPos(xs[i], "x", true), u.valToPos(ys[i], "y", true)];
    ctx.beginPath();
    xs.forEach((_, i) => ctx[i ? "lineTo" : "moveTo"](...place(i)));
    Object.assign(ctx, {strokeStyle: bold ? style("--ink") : colour, lineWidth: (bold ? 3 : width) * devicePixelRatio});
    ctx.stroke();
    if (state === "trained") return;
    ctx.beginPath(); // it ended there
    ctx.arc(...place(xs.length - 1), (bold ? 4 : 2) * devicePixelRatio, 0, 2 * Math.PI);
    ctx.fillStyle = ctx.strokeStyle;
    ctx.fill();
  };
  const order = ["stopped", "failed", "trained"];
  lines.sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state));
  const drawn = u => {
    const {
      ctx,
      bbox: {left, top, width, height},
    } = u;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    lines.forEach(each => stroke(u, each, false));
    for (const place of lit()) if (byPlace.has(place)) stroke(u, byPlace.get(place), true);
    ctx.restore();
  };

  // The nearest line, by its distance to the cursor.
  const pick = u => {
    const {left, top} = u.cursor;
    let best = null,
      nearest = 24;
    if (!(left >= 0)) return null;
    for (const {place, xs, ys} of lines) {
      let before = null;
      for (let i = 0; i < xs.length; i++) {
        const here = [u.valToPos(xs[i], "x"), u.valToPos(ys[i], "y")],
          [x, y] = before ?? here,
          [across, down] = [here[0] - x, here[1] - y],
          share = Math.max(0, Math.min(1, ((left - x) * across + (top - y) * down) / (across ** 2 + down ** 2 || 1)));
        const away = Math.hypot(x + share * across - left, y + share * down - top);
        if (away < nearest) [best, nearest] = [place, away];
        before = here;
      }
    }
    return best;
  };
  return chart(
    holder,
    {label: "epochs", distr: 3, range: [least / 1.1, most * 1.1]},
    {label: data.label, range: [Math.min(...ends) - margin, Math.max(...ends) + margin]},
    [{}, dots("transparent", 1)],
    [[least, most], [null, null]],
    pick,
    place => (byPlace.has(place) ? [byPlace.get(place).xs.at(-1), byPlace.get(place).ys.at(-1)] : null),
    drawn,
  );
}

// --- the front of a run ---

// The chart of the front, its axes and the table of its members, beside the other charts of `run`.
function front({data, values, chart, ringed, tried, near, touchable}) {
  const {costs, members, knee, predicted, train} = data.front,
    places = new Map(data.arch.map((arch, place) => [arch, place]));
  const [box] = find("#front"),
    [select] = find("select", box),
    [log] = find("input[type=checkbox]", box),
    [unfit, count] = find("[role=status]", box);
  const found = members.map(arch => places.get(arch)),
    truth = data.front.true.map(arch => places.get(arch)),
    bend = new Set(knee.map(arch => places.get(arch)));
  const better = (a, b) => a !== null && (b === null || data.sign * (a - b) > 0);

  // Of what was not trained values are known or predicted: the buttons of the legend switch them.
  const shows = {predicted: predicted !== null, known: predicted === null},
    guess = predicted?.value ?? values.map(() => null);
  const y = place => (shows.known || tried.has(place) ? values[place] : null) ?? (shows.predicted ? guess[place] : null);

  const seen = [...values, ...guess].filter(each => each !== null).sort((a, b) => data.sign * (a - b));
  const worst = [seen[Math.floor(seen.length * 0.05)], ...found.map(place => values[place])];
  const ends = [...worst.filter(each => each != null), seen.at(-1) ?? 0],
    margin = 0.05 * (Math.max(...ends) - Math.min(...ends)) || 0.05;

  let u = null;
  function draw() {
    const cost = costs[select.selectedIndex],
      xs = data.values[cost.name].map((value, place) => value ?? predicted?.costs[cost.name]?.[place] ?? null);
    const known = [...xs.keys()].filter(place => xs[place] !== null && (values[place] ?? guess[place]) !== null);
    const low = known.filter(place => xs[place] <= 0).length;
    log.disabled = low > 0;
    if (low) log.checked = false;
    unfit.textContent = low
      ? `${low} of ${known.length} architectures have zero or less of ${cost.name}: no logarithmic axis shows them.`
      : "";
    const order = known.sort((a, b) => xs[a] - xs[b]),
      rank = new Map(order.map((place, i) => [place, i]));
    // The best of what is at least as cheap, and beyond the dearest as good as there.
    const best = of => {
      const column = order.map(() => null);
      let value = null;
      for (const place of of.filter(each => rank.has(each)).sort((a, b) => cost.sign * (xs[a] - xs[b]))) {
        if (better(values[place], value)) value = values[place];
        column[rank.get(place)] = value;
      }
      column[cost.sign > 0 ? order.length - 1 : 0] ??= value;
      return column;
    };
    const only = there => order.map(place => (there(place) ? values[place] : null)),
      among = new Set(found),
      path = {paths: cost.sign > 0 ? steps : stepsBefore};
    const at = order.map(place => xs[place]),
      trained = only(place => tried.has(place)),
      of = only(place => among.has(place));
    const [least, most] = [at[0] ?? 0, at.at(-1) ?? 1],
      room = 0.03 * (most - least || Math.abs(most) || 1);
    let [holder] = find(".chart", box);
    if (u) {
      ringed.splice(
        ringed.findIndex(([other]) => other === u),
        1,
      );
      plots.splice(plots.indexOf(u), 1);
      u.destroy();
      const fresh = make("div", {className: "chart", ariaLabel: holder.ariaLabel});
      holder.replaceWith(fresh);
      holder = fresh;
    }
    u = chart(
      holder,
      {
        label: cost.name + (cost.sign > 0 ? "" : " (more is better)"),
        distr: log.checked ? 3 : 1,
        range: log.checked ? [least / 1.15, most * 1.15] : [least - room, most + room],
      },
      {label: data.front.y, range: [Math.min(...ends) - margin, Math.max(...ends) + margin]},
      [
        {},
        dots(`${FADED}80`, 3),
        dots(`${GREEN}80`, 3),
        dots(ORANGE, 7),
        line(BLUE, path),
        line(() => style("--ink"), {dash: [6, 4], width: 1.5, ...path}),
        dots(BLUE, 8),
        dots(RED, 12, "^"),
      ],
      [
        at,
        only(() => shows.known),
        order.map(place => (shows.predicted ? guess[place] : null)),
        trained,
        best(found),
        best(truth),
        of,
        only(place => bend.has(place)),
      ],
      plot => {
        const i = near(plot, at, [
          [plot.data[1], 1],
          [plot.data[2], 1],
          [trained, 0.5],
          [of, 0.1], // its points are larger
        ]);
        return i === null ? null : order[i];
      },
      place => (rank.has(place) ? [xs[place], y(place)] : null),
    );
  }
  for (const each of find("button[data-shows]", box)) {
    const press = () => each.setAttribute("aria-pressed", shows[each.dataset.shows]);
    each.addEventListener("click", () => {
      shows[each.dataset.shows] = !shows[each.dataset.shows];
      press();
      draw();
    });
    press();
  }
  select.append(...costs.map(({name}) => make("option", {textContent: name})));
  select.addEventListener("change", draw);
  log.addEventListener("change", draw);
  if (costs.length === 1) select.parentNode.hidden = true;
  draw();

  const rows = find("#members tbody tr"),
    [search] = find("input[type=search]", box);
  for (const row of rows) {
    const member = row.cells[0].dataset.value;
    row.place = found[member];
    touchable(row);
    if (train) row.lastElementChild.before(make("td", {}, copier(train.replace("MEMBER", member), "copy the command")));
  }
  if (train)
    for (const head of find("#members thead tr"))
      head.lastElementChild.before(make("th", {scope: "col", textContent: "to train it"}));
  search.addEventListener("input", () => {
    const wanted = words(search.value);
    rows.forEach(row => (row.hidden = !matches(textOf(row), wanted)));
    count.textContent = wanted.length ? `${rows.filter(row => !row.hidden).length} of ${rows.length} members` : "";
  });
}

// --- the page of a comparison ---

function comparison(data) {
  const off = new Set(),
    charts = [];
  let wanted = [];
  const named = data.methods.map(method => method.name);
  const on = name => !off.has(name) && (matches(name, wanted) || !named.some(other => matches(other, wanted)));

  for (const [holder, chart] of find(".chart").map((holder, i) => [holder, data.charts[i]])) {
    const drawn = data.methods.filter(({name}) => chart.lines[name]);
    const columns = uPlot.join(drawn.map(({name}) => chart.lines[name])); // of each: mean, low, high
    const series = [{}],
      bands = [];
    const path = chart.steps ? {paths: chart.steps === "after" ? steps : stepsBefore} : {};
    for (const {colour, dash, marker} of drawn) {
      const start = series.length;
      series.push(
        line(colour, {dash, ...beads(colour, marker, 8), ...path}),
        line("transparent", path),
        line("transparent", path),
      );
      bands.push({series: [start + 2, start + 1], fill: `${colour}26`});
    }
    const truth = chart.true ? columns.length : 0; // where it is among the columns, which are all at the same costs
    if (truth) {
      series.push(line(() => style("--ink"), {dash: [6, 4], width: 1.5, ...path}));
      columns.push(chart.true);
    }
    if (chart.best !== null) {
      series.push(line(FADED, {width: 1}));
      columns.push(columns[0].map(() => chart.best));
    }
    const until = (column, i) => {
      while (i >= 0 && column[i] == null) i--;
      return i < 0 ? null : column[i];
    };
    const visible = () => drawn.map((method, i) => [method, 1 + 3 * i]).filter(([{name}]) => on(name));
    const most = holder.clientWidth < 450 ? 12 : 20,
      widest = Math.max(truth ? 10 : 0, ...drawn.map(({name}) => short(name, most).length));
    const u = plot(
      holder,
      {label: chart.x, range: [columns[0][0], columns[0].at(-1)]},
      chart,
      series,
      columns,
      {
        bands,
        right: 28 + 7 * widest,
        draw: u =>
          names(
            u,
            [
              ...visible(),
              ...(truth ? [[{name: "true front", colour: style("--ink"), marker: "o"}, truth]] : []),
            ].map(([{name, colour, marker}, at]) => [
              short(name, most),
              until(columns[at], columns[at].length - 1),
              colour,
              marker,
            ]),
          ),
        moved: u => {
          const i = u.cursor.idx;
          if (i == null || u.cursor.left < 0) return say([]);
          const rows = visible()
            .map(([method, at]) => [method, ...[0, 1, 2].map(each => (chart.steps ? columns[at + each][i] : until(columns[at + each], i)))])
            .filter(row => row[1] != null)
            .sort((a, b) => chart.sign * (b[1] - a[1]));
          say([
            make("b", {
              textContent: chart.steps
                ? `${chart.x} ${+columns[0][i].toPrecision(4)}: what half of the seeds reach`
                : `after ${columns[0][i]} ${chart.unit}`,
            }),
            ...(columns[truth]?.[i] == null || !truth
              ? []
              : [make("div", {textContent: `true front: ${columns[truth][i].toFixed(chart.digits)}`})]),
            ...rows.map(([method, mean, low, high]) =>
              make(
                "div",
                {},
                swatch(method),
                `${short(method.name, 40)}: ${mean.toFixed(chart.digits)}` +
                  (high == null
                    ? ""
                    : chart.steps
                      ? ` (quartiles ${low == null ? "–" : low.toFixed(chart.digits)}, ${high.toFixed(chart.digits)})`
                      : ` ± ${(high - mean).toFixed(chart.digits)}`),
              ),
            ),
          ]);
        },
      },
    );
    const say = tip(u);
    readable(u, holder);
    charts.push(() =>
      u.batch(() =>
        drawn.forEach(({name}, i) => {
          for (const each of [0, 1, 2]) u.setSeries(1 + 3 * i + each, {show: on(name)});
        }),
      ),
    );
  }

  const update = () => {
    charts.forEach(each => each());
    for (const row of find("tbody tr, figure:has(> figcaption), g[data-method]")) {
      const method = row.dataset.method ?? find("[data-method]", row)[0]?.dataset.method;
      row.toggleAttribute("hidden", (method !== undefined && off.has(method)) || !matches(textOf(row), wanted));
    }
  };
  const boxes = data.methods.map(method => {
    const {name} = method,
      box = make("input", {type: "checkbox", checked: true});
    box.addEventListener("change", () => {
      off[box.checked ? "delete" : "add"](name);
      update();
    });
    return [box, make("label", {title: name}, box, swatch(method), short(name, 40))];
  });
  const every = button("all or none", () => {
    const wish = boxes.some(([box]) => !box.checked);
    boxes.forEach(([box], i) => {
      box.checked = wish;
      off[wish ? "delete" : "add"](named[i]);
    });
    update();
  });
  find("#methods")[0].append(...boxes.map(each => each[1]), every);

  // A configuration, and its rows.
  const rowsOf = shape =>
    find("[data-method]")
      .filter(other => other.dataset.method === shape.dataset.method)
      .map(other => other.closest("tr") ?? other);
  const light = (shape, lit) => rowsOf(shape).forEach(each => each.classList.toggle("hovered", lit));
  const pin = shape => {
    const there = !shape.classList.contains("pinned");
    rowsOf(shape).forEach(each => each.classList.toggle("pinned", there));
    return `${there ? "Pinned" : "Let go"}: ${textOf(shape)}`;
  };
  for (const figure of find("figure:has(> .parallel)")) {
    const shapes = find("g[data-method]", figure),
      result = shape => find("polyline", shape)[0].points,
      step = stepper(shapes.map(shape => [0, -[...result(shape)].at(-1).y]));
    let now = null;
    const go = to => {
      if (now) light(now, false);
      if ((now = to)) light(now, true);
    };
    for (const shape of shapes) {
      shape.addEventListener("mouseenter", () => go(shape));
      shape.addEventListener("mouseleave", () => go(null));
      shape.addEventListener("click", () => pin(shape));
    }
    keys(figure, {
      go: (axis, by) => {
        if (axis === 0) return null; // it scrolls
        go(shapes[step(shapes.indexOf(now), axis, by)]);
        return textOf(now);
      },
      pin: () => now && pin(now),
      leave: () => go(null),
    });
  }
  return text => {
    wanted = words(text);
    update();
    return "";
  };
}

document.addEventListener("DOMContentLoaded", async () => {
  find("main")[0].append(live);
  for (const head of find("th[aria-sort]")) head.replaceChildren(button(head.textContent, () => sort(head)));
  for (const code of find("code[data-copy]")) code.after(" ", copier(code.textContent, code.dataset.copy));
  if (!window.DecompressionStream) return;
  const packed = Uint8Array.from(atob(find("#data")[0].textContent), each => each.charCodeAt(0));
  const data = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
  const search = (data.methods ? comparison : run)(data),
    box = find("#filter")[0],
    said = find("#found")[0];
  box.addEventListener("input", () => (said.textContent = search(box.value)));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach(u => u.redraw()));
  document.documentElement.dataset.ready = "yes";
});
