/**
 * Gradients of slices of one tensor, taken together: they are put side by side once all have come, rather than each into
 * zeros of its own that are then added up.
 *
 * @module
 */
import { run } from "../ffi/instruction.ts";
import { OP } from "../ffi/opcodes.gen.ts";
import { Block, PENDING, type Pending, Storage } from "./memory.ts";
import { contiguousStrides, numelOf, sameShape } from "./shape.ts";
import { empty, Tensor } from "./tensor.ts";

/** The gradient of what `view` shows of a tensor: the places from `from` to before `to` of a dim. */
export interface Window {
  readonly g: Tensor;
  readonly view: (whole: Tensor) => Tensor;
  readonly dim: number;
  readonly from: number;
  readonly to: number;
}

/** Gradients of some windows of a tensor that has the shape given; zero outside of them. */
class Windows implements Pending {
  readonly shape: readonly number[];
  readonly windows: Window[];

  constructor(shape: readonly number[], windows: Window[]) {
    this.shape = shape;
    this.windows = windows;
  }

  /** What the gradients are kept in. */
  parts(): readonly Storage[] {
    return this.windows.map(({ g }) => g.storage);
  }

  /** Makes the tensor's bytes. */
  settle(storage: Storage): void {
    const { info } = this.windows[0].g;
    const whole = empty(this.shape, info, storage.device);
    const { meet, fill } = this.#cover();
    if (meet || !fill) run("fill", OP.fill, [whole], [], [info.code, 0]);
    for (const w of this.windows) {
      if (meet) addWindow(whole, w);
      else run("copy", OP.copy, [w.view(whole)], [w.g], [info.code]);
    }
    storage.block = whole.storage.block;
    storage.byteOffset = whole.storage.byteOffset;
    storage.state &= ~PENDING;
    storage.pending = null;
  }

  /** Whether a place may be in several windows, and whether every place is in one. */
  #cover(): { meet: boolean; fill: boolean } {
    const [{ dim }] = this.windows;
    if (this.windows.some((w) => w.dim !== dim)) return { meet: true, fill: false };
    let end = 0, meet = false, fill = true;
    for (const w of this.windows.toSorted((a, b) => a.from - b.from)) {
      meet ||= w.from < end;
      fill &&= w.from <= end;
      end = Math.max(end, w.to);
    }
    return { meet, fill: fill && end === this.shape[dim] };
  }
}

function addWindow(whole: Tensor, { g, view }: Window): void {
  const at = view(whole);
  run("add", OP.add, [at], [at, g], [whole.info.code]);
}

function tensorOf(pending: Windows): Tensor {
  const { shape, windows: [{ g: { info, storage: { device } } }] } = pending;
  const storage = new Storage(new Block(-1, 0), 0, numelOf(shape) * info.size, device);
  storage.state = PENDING;
  storage.pending = pending;
  return new Tensor(storage, info, shape, contiguousStrides(shape), 0);
}

/** A tensor of zeros but for a window, whose bytes are made when somebody reads them. */
export function tensorOfWindow(shape: readonly number[], window: Window): Tensor {
  return tensorOf(new Windows(shape, [window]));
}

function windowsOf(t: Tensor): Windows | null {
  const { pending } = t.storage;
  return pending instanceof Windows && sameShape(pending.shape, t.shape) ? pending : null;
}

/** The sum of two gradients that both are windows, or null. */
export function joinWindows(a: Tensor, b: Tensor): Tensor | null {
  const wa = windowsOf(a), wb = windowsOf(b);
  if (wa === null || wb === null || a.info !== b.info) return null;
  return tensorOf(new Windows(a.shape, [...wa.windows, ...wb.windows]));
}

/** Adds windows to a tensor in place, be it windows itself; whether b was windows. */
export function addWindows(a: Tensor, b: Tensor): boolean {
  const more = windowsOf(b);
  if (more === null || a.info !== b.info) return false;
  const own = windowsOf(a);
  for (const w of more.windows) {
    if (own === null) addWindow(a, w);
    else own.windows.push(w);
  }
  return true;
}

/** What a gradient that is windows will be read from. */
export function sourcesOf(g: Tensor): readonly Storage[] {
  const { pending } = g.storage;
  return pending instanceof Windows ? pending.parts() : [];
}

/** Makes the bytes of a gradient that was windows so far: nobody may change what they come from before. */
export function settleWindows(g: Tensor | null | undefined): void {
  if (g?.storage.pending instanceof Windows) g.storage.settle("backward");
}
