/**
 * Where the native library lies. Looks, never asks: a place counts only when the permission it needs
 * is granted already, so that a script is never stopped by a prompt. Opening the file and the error
 * that lists the places are in library.ts.
 */
import { createHash } from "node:crypto";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type Release, type Releases, releases as pinned, version } from "./releases.ts";

/** One place that did not give the library. */
export interface Tried {
  /** The variable, file or folder that was looked at. */
  place: string;
  /** Why the library was not taken from it. */
  reason: string;
  /** The flag that would have let Toro look there or open what is there. */
  flag?: string;
}

/** The library's path and the place it was found at, or every place that was tried. */
export type Located =
  | { path: string; place: "TORO_LIB" | "checkout" | ".toro" | "cache" }
  | { tried: Tried[] };

/** What a search assumes; the defaults are this process and this version of Toro. */
export interface LocateOptions {
  /** The pinned libraries. */
  releases?: Releases;
  /** Operating system and processor, as in `linux-x86_64`. */
  platform?: string;
  /** The URL of the module inside `ffi/`, which tells a checkout from a package. */
  moduleUrl?: string;
}

/** The platform this process runs on, as the table of releases names it. */
export const platform: string = `${Deno.build.os}-${Deno.build.arch}`;

/** The platforms Toro is built and tested for. */
const supported = ["linux-x86_64"];

/**
 * Looks for the library: `TORO_LIB`, then the checkout, then `.toro/` in the working folder and its
 * parents, then the per-user cache. The first place that has it wins; a `TORO_LIB` that is set is
 * never passed over. Files in `.toro/` and the cache count only with the pinned SHA-256.
 */
export function locate(options: LocateOptions = {}): Located {
  const { releases = pinned, moduleUrl = import.meta.url } = options;
  const target = options.platform ?? platform;
  const tried: Tried[] = [];
  const no = (place: string, reason: string, flag?: string) => {
    tried.push(flag ? { place, reason, flag } : { place, reason });
  };

  const given = variable("TORO_LIB");
  if (given) {
    const path = resolve(given);
    const place = `TORO_LIB=${given}`;
    if (!may("ffi", path)) no(place, "may not be opened", `--allow-ffi=${path}`);
    else if (!isThere(path)) no(place, "there is no such file");
    else return { path, place: "TORO_LIB" };
    return { tried };
  }
  if (given === undefined) no("TORO_LIB", "may not be read", "--allow-env=TORO_LIB");
  else no("TORO_LIB", "is not set");

  if (!supported.includes(target)) {
    const names = target.replace("darwin", "macOS").replace("windows", "Windows")
      .replace("linux", "Linux").replace("-", " ");
    return {
      tried: [{
        place: names,
        reason: "is not supported yet; Toro's library is built and tested for Linux x86-64",
      }],
    };
  }

  if (moduleUrl.startsWith("file:")) {
    const root = dirname(dirname(fileURLToPath(moduleUrl)));
    const path = join(root, "native", "target", "release", "libtoro.so");
    if (!may("ffi", path)) no(path, "may not be opened", `--allow-ffi=${path}`);
    else if (!isThere(path)) no(path, "is not built; `deno task build` does it");
    else return { path, place: "checkout" };
  } else {
    no("checkout", "Toro was not imported from one");
  }

  const release = Object.hasOwn(releases, target) ? releases[target] : undefined;
  if (!release) {
    const reason = `Toro ${version} pins no released library, so nothing there is trusted`;
    no(".toro/", reason);
    no("per-user cache", reason);
    return { tried };
  }

  const folders = parents(Deno.cwd()).map((folder) => join(folder, ".toro"));
  // Told once for the nearest folder, unless one further up has something to say.
  const reports = folders.map((folder) => check(join(folder, release.file), release));
  for (const [i, report] of reports.entries()) {
    if (!report) return { path: join(folders[i], release.file), place: ".toro" };
    if (i === 0 || report.reason !== absent && report.reason !== unreadable) tried.push(report);
  }

  const home = variable("HOME");
  if (!home) {
    if (home === undefined) no("per-user cache", "HOME may not be read", "--allow-env=HOME");
    else no("per-user cache", "HOME is not set");
    return { tried };
  }
  const path = join(cacheFolder(home), release.file);
  const report = check(path, release);
  if (!report) return { path, place: "cache" };
  tried.push(report);
  return { tried };
}

/** The folder of the per-user cache. Only HOME decides, so that few permissions find it again. */
export function cacheFolder(home: string): string {
  return join(home, ".cache", "toro");
}

/** One line per place, for the text of an error. */
export function explain(tried: Tried[]): string {
  return tried.map(({ place, reason, flag }) =>
    `- ${place}: ${reason}${flag ? ` (${flag} would allow it)` : ""}`
  ).join("\n");
}

/** The SHA-256 of bytes in hexadecimal. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

const absent = "there is no such file";
const unreadable = "may not be read, so its SHA-256 cannot be checked";

/** Why a released library at this path cannot be opened, or nothing when it can. */
function check(path: string, release: Release): Tried | undefined {
  if (!may("read", path)) return { place: path, reason: unreadable, flag: `--allow-read=${path}` };
  if (!isThere(path)) return { place: path, reason: absent };
  if (!may("ffi", path)) {
    return { place: path, reason: "may not be opened", flag: `--allow-ffi=${path}` };
  }
  let found: string;
  try {
    found = sha256(Deno.readFileSync(path));
  } catch (error) {
    return { place: path, reason: error instanceof Error ? error.message : String(error) };
  }
  if (found === release.sha256) return undefined;
  return {
    place: path,
    reason: `its SHA-256 is ${found}, not the pinned ${release.sha256}`,
  };
}

/** A variable's value, an empty text when it is unset, undefined when it may not be read. */
function variable(name: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable: name });
  return state === "granted" ? Deno.env.get(name) ?? "" : undefined;
}

function may(name: "ffi" | "read", path: string): boolean {
  return Deno.permissions.querySync({ name, path }).state === "granted";
}

/** Whether the file exists. Without read permission the dynamic linker is asked. */
function isThere(path: string): boolean {
  if (may("read", path)) {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  }
  try {
    // Stays open: a library that is closed and opened again would start its threads twice.
    Deno.dlopen(path, {});
    return true;
  } catch (error) {
    // Anything else than a missing file is for the caller's own attempt to report.
    return !(error instanceof Error && error.message.includes("No such file"));
  }
}

/** A folder and all folders above it. */
function parents(folder: string): string[] {
  const list = [folder];
  for (let above = dirname(folder); above !== folder; above = dirname(folder)) {
    list.push(above);
    folder = above;
  }
  return list;
}
