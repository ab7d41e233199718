/**
 * Interrupts: while someone watches, the first SIGINT or SIGTERM is kept for a good moment to stop, and a second one ends
 * the process at once. Macrotask turns, without which no signal arrives, are given here too.
 *
 * @module
 */
import { InterruptedError } from "./errors.ts";

/** The signals that ask a training loop to stop. */
export type StopSignal = "SIGINT" | "SIGTERM";

/** What a shell expects of a process that ended by the signal. */
const EXIT_CODES: Record<StopSignal, number> = { SIGINT: 130, SIGTERM: 143 };

let watchers = 0;
let received: StopSignal | null = null;

function handlerOf(signal: StopSignal): () => void {
  return () => {
    if (received !== null) Deno.exit(EXIT_CODES[signal]);
    received = signal;
  };
}

const handlers: Record<StopSignal, () => void> = {
  SIGINT: handlerOf("SIGINT"),
  SIGTERM: handlerOf("SIGTERM"),
};

/** Keeps signals from ending the process until the returned function is called; several may watch at once. */
export function watchSignals(): () => void {
  if (watchers++ === 0) {
    received = null;
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      Deno.addSignalListener(signal, handlers[signal]);
    }
  }
  let watching = true;
  return () => {
    if (!watching) return;
    watching = false;
    if (--watchers > 0) return;
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      Deno.removeSignalListener(signal, handlers[signal]);
    }
  };
}

/** The signal that came since watching began. */
export function pendingSignal(): StopSignal | null {
  return received;
}

const codes = new WeakMap<object, number>();
let quiet = false;

/** The error that ends a loop after a signal. Nobody catches it: the process ends with 130 or 143, without a stack trace. */
export function interrupted(signal: StopSignal, message: string): InterruptedError {
  const error = new InterruptedError(message, { op: signal });
  codes.set(error, EXIT_CODES[signal]);
  // A notebook reports it in its cell and lives on.
  if (!quiet && !isNotebook()) {
    quiet = true;
    globalThis.addEventListener("unhandledrejection", (event) => end(event, event.reason));
    globalThis.addEventListener("error", (event) => end(event, event.error));
  }
  return error;
}

function isNotebook(): boolean {
  try {
    return (Deno as { jupyter?: unknown }).jupyter !== undefined;
  } catch {
    // Elsewhere than in a notebook's kernel the getter throws.
    return false;
  }
}

function end(event: Event, reason: unknown): void {
  const code = typeof reason === "object" && reason !== null ? codes.get(reason) : undefined;
  if (code === undefined) return;
  event.preventDefault();
  console.error((reason as Error).message);
  Deno.exit(code);
}

/** The longest that a loop keeps timers, signals and messages waiting. */
const TURN_MS = 50;
let lastTurn = performance.now();

/**
 * Gives the event loop a turn when the last one is 50 ms ago: 0.1 ms then, nothing otherwise. A message wakes the loop
 * from its sleep, and so lets signals in at once, which `setImmediate` does not; a timer of 0 ms takes 2.
 */
export function turn(): Promise<void> | null {
  if (performance.now() - lastTurn < TURN_MS) return null;
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      port2.close();
      lastTurn = performance.now();
      resolve();
    };
    port2.postMessage(null);
  });
}
