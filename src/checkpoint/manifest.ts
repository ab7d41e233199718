/**
 * Where a checkpoint comes from: versions, device, seed, command and revision, as far as the permissions at hand tell.
 *
 * @module
 */
import { libraryInfo, option } from "../../ffi/library.ts";
import { version } from "../../ffi/releases.ts";
import { initialSeed } from "../random.ts";

/** What a checkpoint says of its making. */
export interface Manifest {
  /** Toro's version. */
  readonly toro: string;
  /** The hash of the native library's table of ops. */
  readonly library: string;
  /** Deno's version. */
  readonly deno: string;
  /** What computed. */
  readonly device: string;
  /** The processor and its level of SIMD. */
  readonly processor: string;
  /** Threads of the kernels. */
  readonly threads: number;
  /** The seed of the random numbers. */
  readonly seed: string;
  /** The script, where it may be known, and its arguments. */
  readonly command: readonly string[];
  /** The Git revision of the working folder, where it may be read. */
  readonly revision: string | null;
  /** When it was written. */
  readonly time: string;
}

type Lasting = Omit<Manifest, "seed" | "time" | "threads">;
let lasting: Lasting | null = null;

/** The manifest of a file that is written now. Asks for no permission. */
export function manifest(): Manifest {
  lasting ??= facts();
  return {
    ...lasting,
    threads: option("threads"),
    seed: String(initialSeed()),
    time: new Date().toISOString(),
  };
}

function facts(): Lasting {
  const { hash, processor, simd } = libraryInfo();
  const script = mayRead() ? [Deno.mainModule] : [];
  return {
    toro: version,
    library: hash,
    deno: Deno.version.deno,
    device: "cpu",
    processor: `${processor} (${simd})`,
    command: [...script, ...Deno.args],
    revision: revision(),
  };
}

function mayRead(path?: string): boolean {
  return Deno.permissions.querySync({ name: "read", path }).state === "granted";
}

/** The text of a file that may be read and is there. */
function textOf(path: string): string | null {
  if (!mayRead(path)) return null;
  try {
    return Deno.readTextFileSync(path).trim();
  } catch {
    return null;
  }
}

const HASH = /^[0-9a-f]{40,64}$/;

/** The commit that is checked out in the working folder or the nearest one above it that is a repository. */
function revision(): string | null {
  for (let above = ""; above.length <= 3 * 16; above += "../") {
    const git = `${above}.git`;
    // A worktree has a file there that says where its folder is.
    const link = /^gitdir: (.+)$/.exec(textOf(git) ?? "")?.[1];
    const folder = link === undefined ? git : link.startsWith("/") ? link : above + link;
    const head = textOf(`${folder}/HEAD`);
    if (head === null) continue;
    if (HASH.test(head)) return head;
    const name = /^ref: (\S+)$/.exec(head)?.[1];
    if (name === undefined) return null;
    const shared = textOf(`${folder}/commondir`);
    const common = shared === null
      ? folder
      : shared.startsWith("/")
      ? shared
      : `${folder}/${shared}`;
    const direct = textOf(`${folder}/${name}`) ?? textOf(`${common}/${name}`);
    if (direct !== null) return HASH.test(direct) ? direct : null;
    const packed = textOf(`${common}/packed-refs`)?.split("\n") ?? [];
    const line = packed.find((each) => each.endsWith(` ${name}`));
    return line?.split(" ")[0] ?? null;
  }
  return null;
}
