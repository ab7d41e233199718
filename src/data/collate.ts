/**
 * Examples put together into batches.
 *
 * @module
 */
import type { Scalar } from "../dtype.ts";
import { DataError, show } from "../errors.ts";
import { isOptions } from "../options.ts";
import { moved, pinned } from "../ops/transfer.ts";
import { stack, tensor } from "../ops/mod.ts";
import { sameShape, shapeText } from "../shape.ts";
import { Tensor } from "../tensor.ts";

/**
 * What a batch of examples of type T is: numbers, booleans, bigints and tensors become tensors with a new first dim,
 * strings an array, tuples and plain records the same field by field. Anything else needs a `collate` of its own.
 */
export type Collated<T> = T extends Tensor | number | boolean | bigint ? Tensor
  : T extends string ? string[]
  // deno-lint-ignore no-explicit-any
  : T extends readonly any[] ? { -readonly [K in keyof T]: Collated<T[K]> }
  // deno-lint-ignore no-explicit-any
  : T extends (...args: any[]) => unknown ? never
  : T extends object ? { -readonly [K in keyof T]: Collated<T[K]> }
  : never;

/**
 * Puts examples together as a loader does without `collate`.
 *
 * Errors: DataError that names the field and the example where shapes, fields or kinds differ, or where the kind has no
 * rule.
 */
export function defaultCollate<T>(examples: readonly T[]): Collated<T> {
  if (!Array.isArray(examples)) {
    throw new DataError(`Cannot collate ${show(examples)}: it must be an array of examples`, {
      op: "collate",
    });
  }
  if (examples.length === 0) {
    throw new DataError("Cannot collate: there is no example", { op: "collate" });
  }
  return collate(examples, "") as Collated<T>;
}

/** A batch with its tensors on a device, or else in pinned memory where asked for; what is no tensor stays. */
export function onDevice(batch: unknown, device: number, pin = false): unknown {
  if (device === 0 && !pin) return batch;
  if (batch instanceof Tensor) {
    return pin && device === 0 && batch.storage.device === 0 ? pinned(batch) : moved(batch, device);
  }
  if (Array.isArray(batch)) return batch.map((part) => onDevice(part, device, pin));
  if (!isOptions(batch)) return batch;
  return Object.fromEntries(
    Object.entries(batch).map(([k, part]) => [k, onDevice(part, device, pin)]),
  );
}

function collate(values: readonly unknown[], path: string): unknown {
  const first = values[0], where = path === "" ? "examples" : `field ${path}`;
  const check = (same: (value: unknown) => boolean): void => {
    const i = values.findIndex((value) => !same(value));
    if (i < 0) return;
    throw new DataError(
      `Cannot collate ${where}: example 0 of the batch is ${show(first)}, example ${i} is ${
        show(values[i])
      }`,
      {
        op: "collate",
      },
    );
  };
  if (first instanceof Tensor) {
    check((value) => value instanceof Tensor && value.dtype === first.dtype);
    const i = values.findIndex((value) => !sameShape((value as Tensor).shape, first.shape));
    if (i < 0) return stack(values as Tensor[], 0);
    const other = values[i] as Tensor;
    throw new DataError(
      `Cannot collate ${where}: example 0 of the batch has shape ${
        shapeText(first.shape)
      }, example ${i} has ${shapeText(other.shape)}`,
      { op: "collate", hint: "pad to one length, or pass a collate function to the loader" },
    );
  }
  const kind = typeof first;
  if (kind === "number" || kind === "boolean" || kind === "bigint") {
    check((value) => value !== null && Object(value).constructor === Object(first).constructor);
    return tensor(values as Scalar[]);
  }
  if (kind === "string") {
    check((value) => typeof value === "string");
    return [...values];
  }
  const join = (key: string | number) => path === "" ? String(key) : `${path}.${key}`;
  if (Array.isArray(first)) {
    check((value) => Array.isArray(value) && value.length === first.length);
    return first.map((_, i) => collate(values.map((value) => (value as unknown[])[i]), join(i)));
  }
  if (isOptions(first)) {
    const keys = Object.keys(first);
    check((value) =>
      isOptions(value) && Object.keys(value).length === keys.length &&
      keys.every((k) => Object.hasOwn(value, k))
    );
    return Object.fromEntries(
      keys.map((
        key,
      ) => [
        key,
        collate(values.map((value) => (value as Record<string, unknown>)[key]), join(key)),
      ]),
    );
  }
  throw new DataError(`Cannot collate ${where}: ${show(first)} has no rule`, {
    op: "collate",
    hint: "pass a function: new data.DataLoader(dataset, { collate: (examples) => … })",
  });
}
