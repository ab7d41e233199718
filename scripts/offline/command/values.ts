/** Reading flags, argument definitions and values, and the errors of a wrong command line. */

/** An error in how a command was called; `parse` prints it with the help and exits with 2. */
export class ValidationError extends Error {
  readonly exitCode: number;

  constructor(message: string, { exitCode = 2, cause }: ErrorOptions & { exitCode?: number } = {}) {
    super(message, { cause });
    this.exitCode = exitCode;
  }
}

/** One `<name:type>` or `[name:type]`. */
export interface Argument {
  name: string;
  type: string;
  optional: boolean;
  variadic: boolean;
  list: boolean;
  raw: string;
}

/** One option of a command, as its flags describe it. */
export interface Option {
  /** The long name without dashes, or the short one when there is none. */
  name: string;
  flags: string[];
  description: string;
  value?: Argument;
  default?: unknown;
  required: boolean;
  collect: boolean;
  hidden: boolean;
  negated: boolean;
  property: string;
}

/** Reads `<input:string> [rest...:number]`. */
export function parseArguments(definition: string): Argument[] {
  return (definition.match(/<[^>]+>|\[(?:[^\[\]]|\[\])+\]/g) ?? []).map((raw) => {
    const [nameAndDots, typeAndList = "string"] = raw.slice(1, -1).split(":");
    const list = typeAndList.endsWith("[]");
    return {
      name: nameAndDots.replaceAll("...", ""),
      type: list ? typeAndList.slice(0, -2) : typeAndList,
      optional: raw[0] === "[",
      variadic: nameAndDots.includes("..."),
      list,
      raw,
    };
  });
}

/** Reads `-e, --epochs <n:integer>`. */
export function parseFlags(
  source: string,
): Pick<Option, "name" | "flags" | "value" | "negated" | "property"> {
  const at = source.search(/[<\[]/);
  const flags = (at < 0 ? source : source.slice(0, at)).split(/[\s,]+/).filter(Boolean);
  const name = (flags.find((flag) => flag.startsWith("--")) ?? flags[0]).replace(/^-+/, "");
  const negated = name.startsWith("no-");
  return {
    name,
    flags,
    value: at < 0 ? undefined : parseArguments(source.slice(at))[0],
    negated,
    property: (negated ? name.slice(3) : name).replace(/-(.)/g, (_, c) => c.toUpperCase()),
  };
}

/** One word of the command line as the value its definition asks for. */
export function parseValue(label: string, argument: Argument, text: string): unknown {
  return argument.list
    ? text.split(",").map((part) => parseOne(label, argument.type, part))
    : parseOne(label, argument.type, text);
}

function parseOne(label: string, type: string, text: string): unknown {
  const wrong = (expected = "") =>
    new ValidationError(`${label} must be of type "${type}", but got "${text}".${expected}`);
  switch (type) {
    case "string":
    case "file":
      return text;
    case "number":
      if (text.trim() === "" || !Number.isFinite(Number(text))) throw wrong();
      return Number(text);
    case "integer":
      if (text.trim() === "" || !Number.isInteger(Number(text))) throw wrong();
      return Number(text);
    case "boolean":
      if (text === "true" || text === "1") return true;
      if (text === "false" || text === "0") return false;
      throw wrong(` Expected values: "true", "false", "1", "0"`);
    default:
      throw new Error(`Unknown type "${type}".`);
  }
}

/** ` Did you mean option "--epochs"?`, with the candidate that is fewest edits away. */
export function didYouMean(what: string, given: string, candidates: string[]): string {
  let best: string | undefined;
  let least = Infinity;
  for (const candidate of candidates) {
    const edits = editDistance(given.toLowerCase(), candidate.toLowerCase());
    if (edits < least) [best, least] = [candidate, edits];
  }
  return best === undefined ? "" : ` Did you mean ${what} "${best}"?`;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(
        Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)),
      );
    }
    row = next;
  }
  return row[b.length];
}
