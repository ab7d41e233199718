/**
 * The library between a process and its files (shim.c), and the page of memory through which a test talks to it.
 *
 * @module
 */
import { fromFileUrl, join } from "@std/path";

/** The kinds of calls that it knows, as shim.c numbers them. */
export const KINDS = {
  open: 1,
  write: 2,
  sync: 3,
  rename: 4,
  close: 5,
  syncFolder: 6,
  unlink: 7,
  truncate: 8,
  read: 9,
  lock: 10,
} as const;

/** The name of a kind. */
export type Kind = keyof typeof KINDS;

const NAMES = new Map<number, Kind>(
  Object.entries(KINDS).map(([name, number]) => [number, name as Kind]),
);

/** Errors that disks give. */
export const ERRNO = { ENOSPC: 28, EIO: 5, EROFS: 30, EDQUOT: 122, EACCES: 13, EINTR: 4 } as const;

const PAGE_BYTES = 65536;
const LOG = 16;

/** Whether the shim can be built here. */
export const hasCompiler: boolean = Deno.build.os === "linux" &&
  await new Deno.Command("gcc", { args: ["--version"], stdout: "null", stderr: "null" }).output()
    .then(({ success }) => success, () => false);

/** Builds the library in a folder; returns its path. */
export async function buildShim(folder: string): Promise<string> {
  const source = fromFileUrl(new URL("./shim.c", import.meta.url)), path = join(folder, "shim.so");
  const { success, stderr } = await new Deno.Command("gcc", {
    args: ["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", path, source, "-ldl"],
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return path;
}

/** What a process under the shim is started with. */
export function shimEnv(shim: string, folder: string, page: string): Record<string, string> {
  // After what this process was given: a sanitizer's runtime wants to be the first.
  const preload = [Deno.env.get("LD_PRELOAD"), shim].filter(Boolean).join(":");
  return { LD_PRELOAD: preload, TORO_SHIM_FOLDER: folder, TORO_SHIM_PAGE: page };
}

/** The page of words that both sides read and write. */
export class Page {
  readonly #file: Deno.FsFile;
  readonly #word = new DataView(new ArrayBuffer(8));

  /** Opens a page, or makes one. */
  constructor(readonly path: string) {
    this.#file = Deno.openSync(path, { read: true, write: true, create: true });
    if (this.#file.statSync().size < PAGE_BYTES) this.#file.truncateSync(PAGE_BYTES);
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file.close();
  }

  #get(index: number): number {
    this.#file.seekSync(8 * index, Deno.SeekMode.Start);
    this.#file.readSync(new Uint8Array(this.#word.buffer));
    return Number(this.#word.getBigInt64(0, true));
  }

  #set(index: number, value: number): void {
    this.#word.setBigInt64(0, BigInt(value), true);
    this.#file.seekSync(8 * index, Deno.SeekMode.Start);
    this.#file.writeSync(new Uint8Array(this.#word.buffer));
  }

  /** Lets the n-th call from now fail, if it is of one of the kinds; `errno` null lets a write do half instead. */
  arm(n: number, errno: number | null, goOn: boolean, kinds: readonly Kind[]): void {
    this.disarm();
    this.#set(2, errno ?? 0);
    this.#set(3, Number(goOn));
    this.#set(5, kinds.reduce((bits, kind) => bits | 1 << KINDS[kind], 0));
    this.#set(0, n);
  }

  /** Lets nothing fail, and counts and logs from the beginning. */
  disarm(): void {
    for (const index of [0, 1, 4, 8]) this.#set(index, 0);
  }

  /** Failures since it was armed. */
  get failed(): number {
    return this.#get(4);
  }

  /** Calls since it was armed. */
  get calls(): number {
    return this.#get(1);
  }

  /** Whether a save is between its first write and the folder's sync. */
  get isInside(): boolean {
    return this.#get(6) !== 0;
  }

  /** Calls since the first write of the save. */
  get steps(): number {
    return this.#get(9);
  }

  /** A number that a script under test leaves for the one that watches it. */
  get note(): number {
    return this.#get(10);
  }

  set note(value: number) {
    this.#set(10, value);
  }

  /** The calls since `disarm` in their order. */
  log(): Kind[] {
    return Array.from(
      { length: Math.min(this.#get(8), PAGE_BYTES / 8 - LOG) },
      (_, i) => NAMES.get(this.#get(LOG + i))!,
    );
  }
}
