/**
 * JSON in files that somebody else may have written: nested no deeper than it has to be, no key twice; and its values in
 * error texts.
 *
 * @module
 */
import { CheckpointError } from "../errors.ts";

/** A JSON text whose nesting and keys are looked at first: `JSON.parse` takes the last of two equal keys. */
export function parseJson(json: Uint8Array | string, mostDepth: number): unknown {
  const text = typeof json === "string"
    ? json
    : new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(json);
  checkKeys(text, mostDepth);
  return JSON.parse(text);
}

/** Runs what reads a text; whatever goes wrong is a CheckpointError that begins with `what`. */
export function parsing<T>(what: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    throw new CheckpointError(`${what}: ${(cause as Error).message}`, { cause });
  }
}

/** Fails where a JSON text is nested deeply or an object has a key twice. What is no JSON is for `JSON.parse` to say. */
function checkKeys(text: string, mostDepth: number): void {
  /** Of each open object its keys, of a list null. An object takes over the set of the last one at its depth. */
  const open: (Set<string> | null)[] = [], sets: Set<string>[] = [];
  for (let at = 0; at < text.length; at++) {
    const c = text.charCodeAt(at);
    if (c === 0x7b || c === 0x5b) {
      const depth = open.length;
      if (depth === mostDepth) {
        throw new CheckpointError(`it is nested more than ${mostDepth} levels deep`);
      }
      (sets[depth] ??= new Set()).clear();
      open.push(c === 0x7b ? sets[depth] : null);
    } else if (c === 0x7d || c === 0x5d) open.pop();
    else if (c === 0x22) {
      const start = at + 1;
      at = endOfText(text, start);
      const keys = open.at(-1);
      let next = at + 1;
      while (" \t\n\r".includes(text[next])) next++;
      // A text before a colon is a key.
      if (!keys || text[next] !== ":") continue;
      const raw = text.slice(start, at), key = raw.includes("\\") ? JSON.parse(`"${raw}"`) : raw;
      if (keys.has(key)) throw new CheckpointError(`it has the key ${cut(key)} twice`);
      keys.add(key);
    }
  }
}

/** Where the quote is that ends a text in JSON, or the end. */
function endOfText(json: string, start: number): number {
  for (let at = start;;) {
    const quote = json.indexOf('"', at);
    if (quote < 0) return json.length;
    // It counts unless an odd number of backslashes stands before it.
    let before = quote;
    while (before > start && json.charCodeAt(before - 1) === 0x5c) before--;
    if ((quote - before) % 2 === 0) return quote;
    at = quote + 1;
  }
}

/** A value of a file for an error text. */
export function brief(value: unknown): string {
  return value === undefined ? "nothing" : cut(JSON.stringify(value));
}

/** A name of a file for an error text. */
export function cut(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
