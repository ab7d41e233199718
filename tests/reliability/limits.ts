/**
 * Saves where the system does not let them: a full disk, a limit on a file's size, a folder that may not be written, a
 * file system that is read-only. Each is an error of Toro's, the old file stays whole, nothing is left beside it.
 */
import { assert } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { checkpoint } from "@toro/toro";
import { litterIn } from "./kill.ts";
import { uniform, valueOf } from "./states.ts";
import { inFolder } from "../folder.ts";

/** What one of these came to. */
export interface Limited {
  name: string;
  /** The error of the save; null where this machine does not let the limit be set. */
  error: string | null;
}

const script = fromFileUrl(new URL("./limit_script.ts", import.meta.url));
const MIB = 2 ** 20;

async function run(
  command: string[],
): Promise<{ success: boolean; stdout: string; stderr: string }> {
  const { success, stdout, stderr } = await new Deno.Command(command[0], { args: command.slice(1) })
    .output();
  const text = new TextDecoder();
  return { success, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

async function succeeds(...command: string[]): Promise<boolean> {
  try {
    return (await run(command)).success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Saves in a process that is started by `before`, and says what came of it. */
async function save(name: string, path: string, bytes: number, before: string[]): Promise<Limited> {
  const told = await run([
    ...before,
    Deno.execPath(),
    "run",
    "-A",
    "--no-check",
    script,
    path,
    String(bytes),
  ]);
  assert(told.success, `${name}: the process ended: ${told.stderr}`);
  const error: string | null = JSON.parse(told.stdout);
  assert(error !== null, `${name}: the save was reported done`);
  assert(error.startsWith(`CheckpointError: Cannot save ${path}: `), `${name}: ${error}`);
  assert(valueOf(await checkpoint.load(path)) === 0, `${name}: the old file is gone`);
  const left = litterIn(path.slice(0, path.lastIndexOf("/")));
  assert(left.length === 0, `${name}: it left ${left.join(", ")}`);
  return { name, error };
}

/** A folder, and a state's path in it. */
function withPath<T>(body: (folder: string, path: string) => Promise<T>): Promise<T> {
  return inFolder((folder) => body(folder, join(folder, "state.safetensors")));
}

/** A disk of one megabyte, which is full, and then read-only. */
export function smallDisk(): Promise<Limited[]> {
  return withPath(async (folder, path) => {
    const names = ["full disk", "read-only file system"];
    if (!await succeeds("mount", "-t", "tmpfs", "-o", "size=1m", "toro", folder)) {
      return names.map((name) => ({ name, error: null }));
    }
    try {
      await checkpoint.save(path, uniform(0, 100_000));
      const full = await save(names[0], path, 4 * MIB, []);
      assert(await succeeds("mount", "-o", "remount,ro", folder));
      return [full, await save(names[1], path, 1000, [])];
    } finally {
      assert(await succeeds("umount", folder));
    }
  });
}

/** A limit on the size of files. */
export function fileSizeLimit(): Promise<Limited> {
  return withPath(async (_, path) => {
    await checkpoint.save(path, uniform(0, 1000));
    // Deno keeps files of its own, which must fit.
    return await save("limit on a file's size", path, 48 * MIB, [
      "bash",
      "-c",
      `ulimit -f ${40 * 1024}; exec "$@"`,
      "bash",
    ]);
  });
}

/** A folder that may not be written; as root another user's process is started. */
export function closedFolder(): Promise<Limited> {
  return withPath(async (folder, path) => {
    const name = "folder without permission";
    await checkpoint.save(path, uniform(0, 1000));
    await Deno.chmod(path, 0o444);
    await Deno.chmod(folder, 0o555);
    const user = Deno.uid() === 0
      ? ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
      : [];
    if (user.length > 0 && !await succeeds(...user, Deno.execPath(), "--version")) {
      return { name, error: null };
    }
    try {
      return await save(name, path, 1000, user);
    } finally {
      await Deno.chmod(folder, 0o755);
    }
  });
}
