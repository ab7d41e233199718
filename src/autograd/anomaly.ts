/**
 * Looking for anomalies: while it is on, each op remembers the line of the user's code that made it, and backward stops
 * at the first gradient that is NaN and names that line.
 *
 * @module
 */
import { setTracer } from "../autograd.ts";
import { ArgumentError, AutogradError, show } from "../errors.ts";
import { Mode } from "../mode.ts";
import { bind, parseSignature } from "../op.ts";
import type { Tensor } from "../tensor.ts";

/** Options of `detectAnomaly`. */
export interface AnomalyOptions {
  /** Whether gradients are looked at for NaN; default true. Without it only errors are traced. */
  checkNan?: boolean;
}

const anomalies = new Mode<{ readonly checkNan: boolean }>((inUse) =>
  setTracer(inUse ? trace : null)
);

/** Frames of the stack that are looked through for the user's own. */
const DEPTH = 200;

/** The folder of Toro's own sources, as frames of a stack name it. */
const OWN = new URL("..", import.meta.url).href;

interface Frame {
  getFileName(): string | null;
  getLineNumber(): number | null;
  getColumnNumber(): number | null;
  getFunctionName(): string | null;
}

/** The user's line that leads here, as `file:line:column`; null where no anomalies are looked for. */
function trace(): string | null {
  if (anomalies.value() === undefined) return null;
  const E = Error as unknown as {
    stackTraceLimit: number;
    prepareStackTrace?: (error: Error, frames: Frame[]) => unknown;
  };
  const { stackTraceLimit, prepareStackTrace } = E;
  E.stackTraceLimit = DEPTH;
  E.prepareStackTrace = (_, frames) => frames;
  const frames = new Error().stack as unknown as Frame[];
  E.stackTraceLimit = stackTraceLimit;
  E.prepareStackTrace = prepareStackTrace;
  for (const f of frames) {
    const name = f.getFileName();
    if (name === null || !/^(\/|file:|https?:|data:|blob:)/.test(name)) continue;
    const file = name.startsWith("/") ? `file://${name}` : name;
    if (file.startsWith(OWN)) continue;
    const within = f.getFunctionName();
    return `${file}:${f.getLineNumber()}:${f.getColumnNumber()}${within ? ` (in ${within})` : ""}`;
  }
  return "an unknown line";
}

let hasNan: (t: Tensor) => boolean = () => false;

/** ops/engine.ts hands in how a tensor is looked through. */
export function setNanCheck(given: (t: Tensor) => boolean): void {
  hasNan = given;
}

/** Fails where one of a node's gradients holds a NaN. */
export function checkAnomaly(
  op: string,
  made: string,
  results: readonly (Tensor | null)[],
): void {
  if (anomalies.value()?.checkNan !== true) return;
  const at = results.findIndex((g) => g !== null && g !== undefined && hasNan(g));
  if (at < 0) return;
  throw new AutogradError(
    `Cannot run backward through ${op}, which was made at ${made}: its gradient of input ${at} holds a NaN`,
    { op },
  );
}

const SIGNATURE = parseSignature("detectAnomaly(body=null, checkNan=true)");

/**
 * Runs a synchronous or asynchronous function, or the rest of a block (`using _ = autograd.detectAnomaly()`), while
 * looking for anomalies: an op whose gradient holds a NaN, or whose backward fails, is named together with the line of
 * your own code that made it. Forward and backward must both be inside. Slow; for debugging.
 *
 * Errors: AutogradError from `backward()`.
 *
 * ```ts
 * import { autograd, tensor } from "@toro/toro";
 * const x = tensor([0], { requiresGrad: true });
 * try {
 *   autograd.detectAnomaly(() => x.sqrt().mul(0).sum().backward());
 * } catch (error) {
 *   console.log(String(error)); // Cannot run backward through sqrt, which was made at file:///…/example.ts:4:33
 * }
 * ```
 */
export function detectAnomaly(options?: AnomalyOptions): Disposable;
/** Looks for anomalies while a function runs. */
export function detectAnomaly<T>(body: () => T, options?: AnomalyOptions): T;
export function detectAnomaly<T>(
  first?: (() => T) | AnomalyOptions,
  options?: AnomalyOptions,
): T | Disposable {
  const given = typeof first === "function" ? [first, options] : [null, first];
  const [body, checkNan] = bind(SIGNATURE, given) as [(() => T) | null, boolean];
  if (typeof checkNan !== "boolean") {
    throw new ArgumentError(
      `Cannot detectAnomaly with checkNan ${show(checkNan)}: it must be true or false`,
      { op: "detectAnomaly" },
    );
  }
  return body === null ? anomalies.enter({ checkNan }) : anomalies.run({ checkNan }, body);
}
