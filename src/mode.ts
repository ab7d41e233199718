/**
 * Modes that hold for a function, synchronous or asynchronous, or for the rest of a block: recording, autocasting, looking
 * for anomalies. Their state lives in AsyncLocalStorage cells that disposal marks dead, so that nothing leaks to tasks
 * started elsewhere, nor to the caller after an `await`.
 *
 * @module
 */
import { AsyncLocalStorage } from "node:async_hooks";

interface Cell<T> {
  readonly value: T;
  readonly parent: Cell<T> | undefined;
  dead: boolean;
}

/** One mode with its values. */
export class Mode<T> {
  readonly #storage = new AsyncLocalStorage<Cell<T>>();
  /** How many cells are not dead anywhere; while there is none, nobody need ask for the value. */
  live = 0;

  /** Calls `onChange` when the mode begins or ends to be in use somewhere. */
  constructor(private readonly onChange: ((inUse: boolean) => void) | null = null) {}

  /** The value here and now; undefined where none was set. */
  value(): T | undefined {
    let cell = this.#storage.getStore();
    while (cell !== undefined && cell.dead) cell = cell.parent;
    return cell?.value;
  }

  #open(value: T): Cell<T> {
    if (this.live++ === 0) this.onChange?.(true);
    return { value, parent: this.#storage.getStore(), dead: false };
  }

  #end(cell: Cell<T>): void {
    if (cell.dead) return;
    cell.dead = true;
    if (--this.live === 0) this.onChange?.(false);
  }

  /** Sets the value until the result is disposed of. */
  enter(value: T): Disposable {
    const cell = this.#open(value);
    this.#storage.enterWith(cell);
    return { [Symbol.dispose]: () => this.#end(cell) };
  }

  /** Sets the value for a function; where that gives a promise, until it settles. */
  run<R>(value: T, body: () => R): R {
    const cell = this.#open(value);
    let result: R;
    try {
      result = this.#storage.run(cell, body);
    } catch (error) {
      this.#end(cell);
      throw error;
    }
    if (result instanceof Promise) return result.finally(() => this.#end(cell)) as R;
    this.#end(cell);
    return result;
  }
}
