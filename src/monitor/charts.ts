/**
 * Line charts as SVG text: axes with round ticks, lines with their names at the end, and a grid
 * of charts. No dependency; the font is the one that the native PNG writer carries.
 *
 * @module
 */

/** One line: a name and points; a point whose y is not finite interrupts it. */
export interface Series {
  /** Stands at the line's end when there is more than one line. */
  name: string;
  /** `[x, y]` in ascending x. */
  points: readonly (readonly [x: number, y: number])[];
}

/** What a chart shows. */
export interface Chart {
  /** Above the chart. */
  title: string;
  /** Below the x axis. */
  xLabel?: string;
  /** The unit after the title, such as `ms`. */
  unit?: string;
  /** The lines. */
  series: readonly Series[];
  /** A point to be marked, such as the best epoch. */
  mark?: { x: number; y: number; text: string };
  /** Draws a line at y = 0 and takes 0 into the range. */
  zero?: boolean;
}

/** Size of a grid of charts, in pixels. */
export interface GridOptions {
  /** Charts side by side. */
  columns?: number;
  /** Width of one chart. */
  width?: number;
  /** Height of one chart. */
  height?: number;
  /** Stands above all of them. */
  title?: string;
}

const COLOURS = ["#1f5fa8", "#d2600a", "#2b8a4b", "#9c2f6e", "#6a58a5", "#7a6a16", "#4d4d4d"];
const FONT = "'DejaVu Sans', Verdana, sans-serif";
const INK = "#222222", FAINT = "#666666", GRID = "#e4e4e4", AXIS = "#9a9a9a";
const TICK_SIZE = 11, LABEL_SIZE = 11, TITLE_SIZE = 14, HEAD_SIZE = 17;

/** Points kept of one line: two a pixel column are enough for the eye. */
const MOST_POINTS = 1500;

/** Up to so many points, each gets a dot. */
const FEW_POINTS = 12;

/** Width of a text in DejaVu Sans, a little too wide rather than too narrow. */
function textWidth(text: string, size: number): number {
  let width = 0;
  for (const letter of text) {
    width += /[il.,:;|'!jI1 ]/.test(letter) ? 0.42 : /[mwMW]/.test(letter) ? 0.98 : 0.66;
  }
  return width * size;
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll(
    '"',
    "&quot;",
  );
}

/** A coordinate, to a hundredth of a pixel. */
function at(value: number): string {
  return String(Math.round(value * 100) / 100);
}

/**
 * Round values that span `low` to `high`, about `count` of them: steps are 1, 2 or 5 times a
 * power of ten, and of whole numbers when `whole`.
 */
export function ticks(low: number, high: number, count: number, whole = false): number[] {
  if (!(high > low)) return [low];
  const raw = (high - low) / Math.max(1, count), power = 10 ** Math.floor(Math.log10(raw));
  let step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999)!;
  if (whole) step = Math.max(1, Math.round(step));
  const first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
  // Multiples of the step, not repeated sums, and without -0.
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step + 0);
}

/** Texts for ticks: equal decimals, or a power of ten where numbers are tiny or huge. */
export function tickTexts(values: readonly number[]): string[] {
  const largest = Math.max(...values.map(Math.abs));
  if (largest === 0) return values.map(() => "0");
  const step = values.length > 1 ? Math.abs(values[1] - values[0]) : largest;
  if (largest < 1e-3 || largest >= 1e6) {
    const digits = Math.max(
      0,
      Math.floor(Math.log10(largest)) - Math.floor(Math.log10(step) + 1e-9),
    );
    return values.map((value) => value === 0 ? "0" : exponent(value, Math.min(digits, 6)));
  }
  const decimals = Math.min(10, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
  return values.map((value) => sign(value.toFixed(decimals)));
}

function exponent(value: number, digits: number): string {
  const [mantissa, power] = value.toExponential(digits).split("e");
  return `${sign(String(Number(mantissa)))}e${sign(String(Number(power)))}`;
}

/** A true minus sign, as wide as the plus. */
function sign(text: string): string {
  return text.replace("-", "−");
}

/** A value beside a mark or in a line: whole numbers as they are, others to about four digits. */
export function valueText(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) return sign(String(value));
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return exponent(value, 2);
  return sign(size >= 100 ? value.toFixed(1) : size >= 10 ? value.toFixed(2) : value.toFixed(4));
}

/** Smallest and largest finite value, or null when there is none. */
function extent(values: Iterable<number>): [number, number] | null {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low <= high ? [low, high] : null;
}

/** Of many points, the lowest and highest of each run, so that no peak is lost. */
function thin(points: Series["points"]): Series["points"] {
  if (points.length <= MOST_POINTS) return points;
  const run = Math.ceil(2 * points.length / MOST_POINTS), kept: (readonly [number, number])[] = [];
  for (let start = 0; start < points.length; start += run) {
    const part = points.slice(start, start + run);
    let low = part[0], high = part[0];
    for (const point of part) {
      if (!(point[1] >= low[1])) low = point;
      if (!(point[1] <= high[1])) high = point;
    }
    kept.push(...(low === high ? [low] : low[0] < high[0] ? [low, high] : [high, low]));
  }
  return kept;
}

interface TextOptions {
  size?: number;
  fill?: string;
  anchor?: "start" | "middle" | "end";
  /** Keeps lines that run behind it at a distance. */
  halo?: boolean;
}

function text(x: number, y: number, content: string, options: TextOptions = {}): string {
  const { size = TICK_SIZE, fill = FAINT, anchor = "start", halo = false } = options;
  const aligned = anchor === "start" ? "" : ` text-anchor="${anchor}"`;
  const rim = halo
    ? ` stroke="white" stroke-width="6" stroke-linejoin="round" paint-order="stroke"`
    : "";
  return `<text x="${at(x)}" y="${at(y)}" font-size="${size}" fill="${fill}"${aligned}${rim}>${
    escape(content)
  }</text>`;
}

/** Moves label heights apart until neighbours are `gap` apart, inside `low` to `high`. */
function spread(heights: readonly number[], gap: number, low: number, high: number): number[] {
  const order = heights.map((_, i) => i).sort((a, b) => heights[a] - heights[b]);
  const moved = [...heights];
  let floor = low;
  for (const i of order) {
    moved[i] = Math.max(moved[i], floor);
    floor = moved[i] + gap;
  }
  let ceiling = high;
  for (const i of order.toReversed()) {
    moved[i] = Math.min(moved[i], ceiling);
    ceiling = moved[i] - gap;
  }
  return moved;
}

/** The inside of one chart, `width` by `height` pixels. */
function draw(chart: Chart, width: number, height: number): string {
  const series = chart.series.filter((line) => line.points.some(([, y]) => Number.isFinite(y)));
  const out: string[] = [];
  const title = chart.unit ? `${chart.title} (${chart.unit})` : chart.title;
  const xs = extent(series.flatMap((line) => line.points.map(([x]) => x)));
  const values = extent(series.flatMap((line) => line.points.map(([, y]) => y)));
  if (xs === null || values === null) {
    return text(58, 24, title, { size: TITLE_SIZE, fill: INK }) +
      text(width / 2, height / 2, "no values yet", { anchor: "middle" });
  }
  let [low, high] = values;
  if (chart.zero) [low, high] = [Math.min(low, 0), Math.max(high, 0)];
  const margin = high > low ? 0.06 * (high - low) : Math.abs(high) * 0.1 || 1;
  // Values of one sign stay on their side of zero.
  const flat = low === high;
  low = low >= 0 && low - margin < 0 ? 0 : low - margin;
  high = high <= 0 && high + margin > 0 && !flat ? 0 : high + margin;
  const whole = series.every((line) => line.points.every(([x]) => Number.isInteger(x)));
  const [xLow, xHigh] = xs[1] > xs[0] ? xs : [xs[0] - 0.5, xs[0] + 0.5];

  const yTicks = ticks(low, high, Math.max(3, Math.round((height - 90) / 42)));
  const yTexts = tickTexts(yTicks);
  const named = series.length > 1;
  const nameWidth = named
    ? Math.max(...series.map((line) => textWidth(line.name, LABEL_SIZE))) + 12
    : 0;
  const left = Math.max(58, Math.max(...yTexts.map((t) => textWidth(t, TICK_SIZE))) + 18);
  const right = Math.max(22, nameWidth + 10), top = 42, bottom = 46;
  const plotWidth = width - left - right, plotHeight = height - top - bottom;
  const x = (value: number) => left + plotWidth * (value - xLow) / (xHigh - xLow);
  const y = (value: number) => top + plotHeight * (1 - (value - low) / (high - low));

  out.push(text(left, 24, title, { size: TITLE_SIZE, fill: INK }));
  yTicks.forEach((tick, i) => {
    out.push(`<path d="M${at(left)} ${at(y(tick))}h${at(plotWidth)}" stroke="${GRID}"/>`);
    out.push(text(left - 8, y(tick) + 4, yTexts[i], { anchor: "end" }));
  });
  const xTicks = xs[1] > xs[0]
    ? ticks(xLow, xHigh, Math.max(2, Math.floor(plotWidth / 55)), whole)
    : [xs[0]];
  const xTexts = tickTexts(xTicks), base = top + plotHeight;
  out.push(`<path d="M${at(left)} ${at(base)}h${at(plotWidth)}" stroke="${AXIS}"/>`);
  xTicks.forEach((tick, i) => {
    out.push(`<path d="M${at(x(tick))} ${at(base)}v4" stroke="${AXIS}"/>`);
    out.push(text(x(tick), base + 17, xTexts[i], { anchor: "middle" }));
  });
  if (chart.xLabel) {
    out.push(text(left + plotWidth / 2, base + 36, chart.xLabel, { anchor: "middle" }));
  }
  if (chart.zero && low < 0 && high > 0) {
    out.push(
      `<path d="M${at(left)} ${at(y(0))}h${
        at(plotWidth)
      }" stroke="${AXIS}" stroke-dasharray="4 3"/>`,
    );
  }

  const ends: number[] = [];
  series.forEach((line, i) => {
    const colour = COLOURS[i % COLOURS.length];
    let path = "", dots = "", open = false;
    const points = thin(line.points);
    points.forEach(([px, py], j) => {
      if (!Number.isFinite(py)) return void (open = false);
      path += `${open ? "L" : "M"}${at(x(px))} ${at(y(py))}`;
      const alone = !open && !Number.isFinite(points[j + 1]?.[1] ?? NaN);
      if (alone || points.length <= FEW_POINTS) {
        dots += `<circle cx="${at(x(px))}" cy="${at(y(py))}" r="2.5" fill="${colour}"/>`;
      }
      open = true;
    });
    out.push(
      `<path d="${path}" fill="none" stroke="${colour}" stroke-width="1.8" stroke-linejoin="round"/>${dots}`,
    );
    ends.push(y(line.points.findLast(([, py]) => Number.isFinite(py))![1]));
  });
  if (named) {
    spread(ends, LABEL_SIZE + 4, top + 4, base - 2).forEach((height, i) => {
      const fill = COLOURS[i % COLOURS.length];
      out.push(text(left + plotWidth + 8, height + 4, series[i].name, { size: LABEL_SIZE, fill }));
    });
  }
  const mark = chart.mark;
  if (mark && Number.isFinite(mark.y) && mark.x >= xLow && mark.x <= xHigh) {
    const wide = textWidth(mark.text, LABEL_SIZE), px = x(mark.x), py = y(mark.y);
    const start = Math.min(Math.max(px - wide / 2, left + 2), left + plotWidth - wide);
    // On the side from which no line comes: above the highest point, below another where there is room.
    const isHighest = series.every(({ points }) => points.every(([, y]) => !(y > mark.y)));
    const above = isHighest || base - py < 26;
    out.push(
      `<circle cx="${at(px)}" cy="${
        at(py)
      }" r="4" fill="white" stroke="${INK}" stroke-width="1.4"/>`,
    );
    const options = { size: LABEL_SIZE, fill: INK, halo: true };
    out.push(text(start, above ? py - 10 : py + 20, mark.text, options));
  }
  return out.join("\n");
}

function page(width: number, height: number, body: string): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${FONT}">
<rect width="100%" height="100%" fill="white"/>
${body}
</svg>
`;
}

/**
 * One chart as SVG text.
 *
 * ```ts
 * import { monitor } from "@toro/toro";
 *
 * const svg = monitor.lineChart({
 *   title: "Loss",
 *   xLabel: "epoch",
 *   series: [{ name: "train", points: [[0, 0.7], [1, 0.5]] }, { name: "valid", points: [[0, 0.72], [1, 0.6]] }],
 * });
 * console.log(svg.startsWith("<svg")); // true
 * ```
 */
export function lineChart(chart: Chart, width: number = 560, height: number = 360): string {
  return page(width, height, draw(chart, width, height));
}

/** Several charts in a grid as SVG text, two side by side unless told otherwise. */
export function chartGrid(charts: readonly Chart[], options: GridOptions = {}): string {
  const { columns = 2, width = 520, height = 330, title } = options;
  const across = Math.max(1, Math.min(columns, charts.length)), head = title ? 40 : 0;
  const cells = charts.map((chart, i) => {
    const left = (i % across) * width, top = head + Math.floor(i / across) * height;
    return `<g transform="translate(${left} ${top})">\n${draw(chart, width, height)}\n</g>`;
  });
  if (title) cells.unshift(text(24, 30, title, { size: HEAD_SIZE, fill: INK }));
  return page(
    width * across,
    head + height * Math.max(1, Math.ceil(charts.length / across)),
    cells.join("\n"),
  );
}
