/**
 * Which charts a training history gives: each quantity once, its train and valid lines together.
 */
import { type Chart, type Series, valueText } from "./charts.ts";
import type { EarlyStopping, EpochRecord } from "./training_monitor.ts";

/** What a record holds beside the metrics. */
export const NOT_METRICS: ReadonlySet<string> = new Set([
  "epoch",
  "run",
  "time",
  "steps",
  "seconds",
  "stepMs",
  "dataMs",
]);

/** A record's value as a number, NaN where there is none. */
export function numberOf(value: unknown): number {
  return typeof value === "number" ? value : NaN;
}

const TRAIN = /^train(?=[_A-Z])_?/, VALID = /^val(id|idation)?(?=[_A-Z])_?/;

/** `validLoss` → `valid`, `trainAuc` and `loss` → `train`, within a chart of one quantity. */
function split(name: string): { quantity: string; part: "train" | "valid" } {
  const part = VALID.test(name) ? "valid" : "train";
  const rest = name.replace(VALID, "").replace(TRAIN, "");
  return { quantity: rest.charAt(0).toLowerCase() + rest.slice(1), part };
}

/** The charts of a history: each quantity once, its train and valid lines together. */
export function panels(
  history: readonly EpochRecord[],
  names: readonly string[],
  stopping?: EarlyStopping,
  best?: { epoch: number; value: number } | null,
): Chart[] {
  const line = (name: string, label: string): Series => ({
    name: label,
    points: history
      .filter((record) => name in record)
      .map((record) => [record.epoch, numberOf(record[name])]),
  });
  const isRate = (name: string) => name === "lr" || name === "learningRate";
  const quantities = new Map<string, string[]>();
  for (const name of names) {
    if (isRate(name) || NOT_METRICS.has(name)) continue;
    const { quantity } = split(name);
    quantities.set(quantity, [...quantities.get(quantity) ?? [], name]);
  }
  const charts: Chart[] = [], xLabel = "epoch";
  // The loss leads, then the metric that is watched, then the others in their order.
  const watched = stopping ? split(stopping.metric).quantity : "";
  const rank = (quantity: string) => quantity === "loss" ? 0 : quantity === watched ? 1 : 2;
  for (const [quantity, members] of [...quantities].sort(([a], [b]) => rank(a) - rank(b))) {
    const series = members.map((name) => line(name, split(name).part));
    const alone = members.length === 1 && split(members[0]).part === "valid";
    const chart: Chart = { title: titleOf(alone ? `valid_${quantity}` : quantity), xLabel, series };
    if (stopping && best && members.includes(stopping.metric)) {
      chart.mark = { x: best.epoch, y: best.value, text: `best ${valueText(best.value)}` };
    }
    charts.push(chart);
  }
  const rate = names.find(isRate);
  if (rate) charts.push({ title: "Learning rate", xLabel, series: [line(rate, rate)] });
  const losses = quantities.get("loss") ?? [];
  const train = losses.find((name) => split(name).part === "train"),
    valid = losses.find((name) => split(name).part === "valid");
  if (train && valid) {
    const both = history.filter((record) => train in record && valid in record);
    const points = both.map((record) =>
      [record.epoch, numberOf(record[valid]) - numberOf(record[train])] as const
    );
    charts.push({
      title: "Valid loss minus train loss",
      xLabel,
      series: [{ name: "gap", points }],
      zero: true,
    });
  }
  if (names.includes("stepMs") && charts.length !== 4) {
    const series = [line("stepMs", "step"), line("dataMs", "data")];
    charts.push({ title: "Time a step", unit: "ms", xLabel, series, zero: true });
  }
  return charts;
}

/** `validAuc` → `Valid AUC`. */
function titleOf(name: string): string {
  const words = name.replaceAll(/([a-z0-9])([A-Z])/g, "$1 $2").replaceAll("_", " ")
    .replaceAll(/([a-zA-Z]{2})(\d+)\b/g, "$1 $2").toLowerCase();
  const text = words.replaceAll(
    /\b(auc|roc|ndcg|hr|mse|rmse|mae|f1|map|mrr)(?=\d*\b)/g,
    (word) => word.toUpperCase(),
  );
  return text.charAt(0).toUpperCase() + text.slice(1);
}
