/**
 * The one gate for paths that native code opens: native is not bound by Deno's permissions, so
 * each path is checked here first.
 */
import { normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { DataError, show } from "../src/errors.ts";

/**
 * The path as native may open it, after a check that this script may read or write it. Asks
 * nothing: a permission that Deno would have to prompt for counts as missing.
 *
 * A relative path stays relative, so that no permission for the working folder is needed.
 * Errors: DataError that names the flag; also for an empty path and for a URL that is not `file:`.
 */
export function checkedPath(path: string | URL, access: "read" | "write"): string {
  if (path instanceof URL && path.protocol !== "file:") {
    throw new DataError(
      `Cannot ${access} ${path}: only files are, and its URL begins with ${path.protocol}`,
    );
  }
  const given = path instanceof URL ? fileURLToPath(path) : path;
  if (typeof given !== "string" || given === "" || given.includes("\0")) {
    throw new DataError(`Cannot ${access} ${show(given)}: it is no path`);
  }
  // Resolved as Deno does before its own check, so that `..` means the same to both.
  const resolved = normalize(given);
  if (Deno.permissions.querySync({ name: access, path: resolved }).state !== "granted") {
    throw new DataError(
      `Cannot ${access} ${resolved}: this script has no ${access} permission for it`,
      {
        hint: `deno run --allow-${access}=${resolved} …`,
      },
    );
  }
  return resolved;
}
