/**
 * Offline stand-in for `jsr:@std/path`: the functions Toro uses, on top of `node:path`.
 * The signatures are those of the real package; which functions there are is in ../README.md.
 *
 * @module
 */
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** The parts of a path, as {@linkcode parse} returns them. */
export interface ParsedPath {
  root: string;
  dir: string;
  base: string;
  ext: string;
  name: string;
}

/** The character between two parts of a path. */
export const SEPARATOR: "/" | "\\" = path.sep;

/** The character between two paths in a list such as `PATH`. */
export const DELIMITER: ":" | ";" = path.delimiter;

/** The last part of a path, without `suffix` when it ends in it. */
export function basename(path_: string | URL, suffix = ""): string {
  return path.basename(text(path_), suffix);
}

/** The folder a path lies in. */
export function dirname(path_: string | URL): string {
  return path.dirname(text(path_));
}

/** The extension of a path with its dot, or an empty string. */
export function extname(path_: string | URL): string {
  return path.extname(text(path_));
}

/** The path a `file:` URL stands for. */
export function fromFileUrl(url: string | URL): string {
  const parsed = new URL(url);
  if (parsed.protocol !== "file:") {
    throw new TypeError(`URL must be a file URL: received "${parsed.protocol}"`);
  }
  return fileURLToPath(parsed);
}

/** The `file:` URL of an absolute path. */
export function toFileUrl(path_: string): URL {
  if (!path.isAbsolute(path_)) {
    throw new TypeError(`Path must be absolute: received "${path_}"`);
  }
  return pathToFileURL(path_);
}

/** Whether a path begins at the root. */
export function isAbsolute(path_: string): boolean {
  return path.isAbsolute(path_);
}

/** Puts parts together with separators and normalizes the result. */
export function join(path_: string | URL, ...paths: string[]): string {
  return path.join(text(path_), ...paths);
}

/** Takes `.`, `..` and doubled separators out of a path. */
export function normalize(path_: string | URL): string {
  return path.normalize(text(path_));
}

/** Takes a path apart into root, folder, base name, extension and name. */
export function parse(path_: string): ParsedPath {
  return path.parse(path_);
}

/** Puts a path together from parts, the inverse of {@linkcode parse}. */
export function format(pathObject: Partial<ParsedPath>): string {
  return path.format(pathObject);
}

/** The way from `from` to `to`. */
export function relative(from: string, to: string): string {
  return path.relative(from, to);
}

/** The absolute path that the segments, read from right to left, lead to. */
export function resolve(...pathSegments: string[]): string {
  return path.resolve(...pathSegments);
}

function text(path_: string | URL): string {
  return path_ instanceof URL ? fromFileUrl(path_) : path_;
}
