/** States of which each value says which save it belongs to, so that a mixture shows. */
import { full, Tensor } from "@toro/toro";

/** A state that is `k` throughout: so many tensors of so many bytes in all, numbers and texts. */
export function uniform(k: number, bytes: number = 64 * 1024): Record<string, unknown> {
  const count = 6, rows = Math.max(1, Math.floor(bytes / count / 4 / 16));
  const tensors = Object.fromEntries(
    Array.from({ length: count }, (_, i) => [`t${i}`, full([rows, 16], k)]),
  );
  return {
    first: k,
    tensors,
    deep: { list: [k, `${k}`], counter: full([3], k).to("int64") },
    last: k,
  };
}

/** The `k` of a state; an error where it is none throughout. */
export function valueOf(state: Record<string, unknown>): number {
  const k = state.first as number;
  const walk = (value: unknown, path: string): void => {
    const holds = value instanceof Tensor
      ? value.toTypedArray().every((x) => Number(x) === k)
      : typeof value === "object" && value !== null
      ? true
      : Number(value) === k;
    if (!holds) throw new Error(`a mixture: ${path} belongs to another save than ${k}`);
    if (typeof value === "object" && value !== null && !(value instanceof Tensor)) {
      for (const [key, each] of Object.entries(value)) walk(each, `${path}.${key}`);
    }
  };
  if (!Number.isInteger(k)) throw new Error(`the state has no number but ${k}`);
  walk(state, "state");
  return k;
}
