/**
 * Files that appear whole or not at all, written out of native storages: aside, flushed, then put in place. Steps can be
 * collected and run by a thread of their own. Errors are NativeErrors that name the file; who knows the action says so.
 */
import { basename, dirname, join } from "node:path";
import { checkedPath } from "./files.ts";
import { allocate, failure, free, job, jobAsync, write } from "./library.ts";

/** A run of bytes in a storage. */
export interface Source {
  /** The storage. */
  readonly handle: number;
  /** The first byte. */
  readonly at: number;
  /** How many there are. */
  readonly bytes: number;
  /** Whether a run that has a checksum ends with it. */
  readonly ends: boolean;
}

/** The first bytes of a file, in which the end puts checksums. */
export interface Head {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where those of the runs go, with a blank between any two. */
  readonly sums: number;
  /** Where that of these bytes goes, taken with zeros in its place. */
  readonly sum: number;
}

/** What a writer is asked for. */
export interface WriterOptions {
  /** Flushes file and folder to the disk; default true. */
  durable?: boolean;
  /** No other writer with this option works in the folder meanwhile; default false. */
  lock?: boolean;
}

type Step = Record<string, unknown> & { kind: string };

function run({ kind, ...fields }: Step): unknown {
  return job(kind, fields).json;
}

/**
 * A file that is being written beside its place. `end` puts it there; disposal before that leaves everything as it was.
 * `steps` collects what is to be done instead of doing it, for `startInBackground`.
 */
export class FileWriter implements Disposable {
  readonly #id: number;
  readonly #steps: Step[] | null;
  #ended = false;
  /** The path of the file. */
  readonly path: string;

  /** Begins a file; the folder must be there. Needs write permission for the folder. */
  constructor(
    path: string | URL,
    { durable = true, lock = false }: WriterOptions = {},
    steps: Step[] | null = null,
  ) {
    this.path = checkedPath(path, "write");
    // The file beside has another name.
    checkedPath(join(dirname(this.path), `.${basename(this.path)}.tmp`), "write");
    this.#steps = steps;
    const begun = run({ kind: "writeBegin", path: this.path, durable, lock });
    this.#id = (begun as { id: number }).id;
  }

  #do(step: Step): unknown {
    if (this.#steps === null) return run(step);
    this.#steps.push(step);
    return null;
  }

  /** Writes the first bytes. At once: they are no larger than a header. */
  head({ bytes, sums, sum }: Head): void {
    withStorage(
      bytes,
      (handle) => run({ kind: "writeHead", id: this.#id, handle, bytes: bytes.length, sums, sum }),
    );
  }

  /** Appends parts of storages. */
  write(parts: readonly Source[]): void {
    const fields = parts.map(({ handle, at, bytes, ends }) => [handle, at, bytes, ends]);
    this.#do({ kind: "writeParts", id: this.#id, parts: fields });
  }

  /** Appends bytes, at once. */
  writeBytes(bytes: Uint8Array<ArrayBuffer>): void {
    if (bytes.length === 0) return;
    withStorage(bytes, (handle) => {
      const parts = [[handle, 0, bytes.length, false]];
      run({ kind: "writeParts", id: this.#id, parts });
    });
  }

  /** Puts the file in its place, and then removes what it stands for now. */
  end(remove: readonly string[] = []): void {
    this.#ended = true;
    this.#do({
      kind: "writeEnd",
      id: this.#id,
      remove: remove.map((p) => checkedPath(p, "write")),
    });
  }

  /** The step that leaves everything as it was. */
  get undo(): Step {
    return { kind: "writeAbort", id: this.#id };
  }

  /** Leaves everything as it was, unless the end was reached. */
  [Symbol.dispose](): void {
    if (!this.#ended) run(this.undo);
  }
}

function withStorage(bytes: Uint8Array, use: (handle: number) => void): void {
  const handle = allocate(bytes.length, 0);
  if (handle < 0) throw failure(-handle);
  try {
    write(handle, 0, bytes);
    use(handle);
  } finally {
    free([handle]);
  }
}

/** Steps that run beside the script. The process does not end before they have. */
export class Background {
  readonly #id: number;

  /** Runs the steps one after another on a thread of their own, and after a failure those that undo. */
  constructor(steps: readonly Step[], undo: readonly Step[]) {
    this.#id = (job("start", { steps, undo }).json as { id: number }).id;
  }

  /** Waits without blocking. Throws what went wrong. */
  async wait(): Promise<void> {
    await jobAsync("wait", { id: this.#id });
  }

  /** Waits. Throws what went wrong. */
  waitSync(): void {
    job("wait", { id: this.#id });
  }
}

/** Removes what killed writers left in a folder. */
export function cleanFolder(path: string): void {
  job("clean", { path: checkedPath(path, "write") });
}

export type { Step };
