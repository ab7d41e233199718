/**
 * What a file of weights holds, after all of it was read and checked.
 *
 * @module
 */
import { inspect as inspectFile, type Inspection } from "../checkpoint/mod.ts";
import { ToroError } from "../errors.ts";

/** So many tensors are listed one by one. */
const MOST = 100;

/** The facts as lines of text. */
export function describe(facts: Inspection): string[] {
  const { path, format, tensors } = facts;
  const bytes = tensors.reduce((n, t) => n + t.bytes, 0);
  const pairs: [string, string][] = [
    ["file", path],
    ["format", format],
    ["bytes", facts.fileBytes.toLocaleString("en")],
    ["tensors", `${tensors.length.toLocaleString("en")} of ${bytes.toLocaleString("en")} bytes`],
    ["dtypes", dtypesOf(facts)],
    [
      "checksums",
      facts.checksums === 0 ? "none in this format" : `${facts.checksums} verified`,
    ],
    ...Object.entries(facts.metadata).map(([name, text]): [string, string] => [name, brief(text)]),
  ];
  const rows = tensors.slice(0, MOST).map(({ name, dtype, shape }) => [
    brief(name),
    dtype,
    `[${shape.join(", ")}]`,
  ]);
  const lines = [...table(pairs), "", ...table(rows)];
  if (tensors.length > MOST) lines.push(`… and ${tensors.length - MOST} more`);
  return lines.map((line) => line.trimEnd());
}

function dtypesOf({ tensors }: Inspection): string {
  const counts = new Map<string, number>();
  for (const { dtype } of tensors) counts.set(dtype, (counts.get(dtype) ?? 0) + 1);
  return [...counts].map(([dtype, n]) => `${n} ${dtype}`).join(", ") || "none";
}

/** A file's text as it is shown: not all of a long one. */
function brief(text: string): string {
  return printable(text.length > 100 ? `${text.slice(0, 97)}...` : text);
}

/** A text without control characters, which could act on the terminal. */
function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}]/gu,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => widths[i] = Math.max(widths[i] ?? 0, cell.length));
  }
  return rows.map((row) => row.map((cell, i) => cell.padEnd(widths[i])).join("  "));
}

/** Prints what a file holds, or why it is refused; returns whether it is whole. */
export async function inspect(path: string): Promise<boolean> {
  try {
    console.log(describe(await inspectFile(path)).join("\n"));
    return true;
  } catch (error) {
    if (!(error instanceof ToroError)) throw error;
    console.error(error.message.split("\n").map(printable).join("\n"));
    return false;
  }
}
