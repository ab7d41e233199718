/**
 * Offline stand-in for `jsr:@std/cli/parse-args`: the options of `parseArgs` that Toro uses, with
 * the results of the real one. Names with dots are plain names here.
 *
 * @module
 */

type Names<N extends string> = N | readonly N[];

/** How {@linkcode parseArgs} reads its words. */
export interface ParseOptions<
  B extends string = string,
  S extends string = string,
  C extends string = string,
  N extends string = string,
  D extends Record<string, unknown> = Record<string, unknown>,
  A extends Record<string, Names<string>> = Record<string, Names<string>>,
  Dash extends boolean = boolean,
> {
  /** Flags without a value: true when given, else false. */
  boolean?: Names<B>;
  /** Flags whose value stays text, digits too. */
  string?: Names<S>;
  /** Flags that may come several times; their values make an array. */
  collect?: Names<C>;
  /** Flags that `--no-name` sets to false. */
  negatable?: Names<N>;
  /** Values for flags that are not given. */
  default?: D;
  /** Other names of a flag; each gets the same value. */
  alias?: A;
  /** Whether what follows `--` goes to the result's `"--"` instead of `_`. */
  "--"?: Dash;
  /** Whether reading stops at the first word that is no flag. */
  stopEarly?: boolean;
  /** Called with every word that is not declared; false drops it. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

type Value<K extends string, T, C> = K extends C ? T[] : T;

type Strings<S extends string, C, D> =
  & {
    [K in S as K extends C | keyof D ? K : never]: Value<K, string, C>;
  }
  & { [K in S as K extends C | keyof D ? never : K]?: string };

type Booleans<B extends string, C> = { [K in B]: Value<K, boolean, C> };

type Collected<C extends string, B, S> = { [K in Exclude<C, B | S>]: unknown[] };

type Defaults<D, B, S, C> = {
  [K in keyof D]: K extends B | S | C ? unknown : D[K];
};

type Aliases<T, A> = {
  [
    K in keyof A & keyof T as A[K] extends readonly (infer N extends string)[] ? N
      : A[K] extends string ? A[K]
      : never
  ]: T[K];
};

type Flat<T> = { [K in keyof T]: T[K] };

type Declared<B extends string, S extends string, C extends string, D> =
  & Strings<S, C, D>
  & Booleans<B, C>
  & Collected<C, B, S>
  & Defaults<D, B, S, C>;

/** What {@linkcode parseArgs} returns: a property per flag, and the other words under `_`. */
export type Args<
  // deno-lint-ignore no-explicit-any
  T = Record<string, any>,
  Dash extends boolean = false,
> = Flat<
  // deno-lint-ignore ban-types
  T & { _: (string | number)[] } & (Dash extends true ? { "--": string[] } : {})
>;

/** Reads words such as `--epochs 3 -v --name=a file` into an object. */
export function parseArgs<
  const B extends string = never,
  const S extends string = never,
  const C extends string = never,
  const N extends string = never,
  // deno-lint-ignore ban-types
  D extends Record<string, unknown> = {},
  // deno-lint-ignore ban-types
  const A extends Record<string, Names<string>> = {},
  Dash extends boolean = false,
>(
  args: readonly string[],
  options: ParseOptions<B, S, C, N, D, A, Dash> = {},
): Args<
  // deno-lint-ignore no-explicit-any
  [B | S | C] extends [never] ? Record<string, any>
    : Declared<B, S, C, D> & Aliases<Declared<B, S, C, D>, A> & Record<string, unknown>,
  Dash
> {
  const others = aliasMap(options.alias ?? {});
  const booleans = withAliases(options.boolean, others);
  const strings = withAliases(options.string, others);
  const collect = withAliases(options.collect, others);
  const negatable = withAliases(options.negatable, others);
  const result: Record<string, unknown> = {};
  const plain: (string | number)[] = [];

  const dashes = args.indexOf("--");
  const words = dashes < 0 ? [...args] : args.slice(0, dashes);
  const rest = dashes < 0 ? [] : args.slice(dashes + 1);

  const set = (name: string, given: string | boolean, arg: string, collects = true) => {
    const declared = [booleans, strings, collect].some((names) => names.has(name)) ||
      others.has(name);
    if (!declared && options.unknown?.(arg, name, given) === false) return;
    const value = typeof given === "string" && !strings.has(name) ? number(given) : given;
    for (const key of [name, ...others.get(name) ?? []]) {
      if (!(collects && collect.has(key))) result[key] = value;
      else if (Array.isArray(result[key])) (result[key] as unknown[]).push(value);
      else result[key] = [value];
    }
  };
  /** The value of a flag without `=`: the next word where it may be one. */
  const next = (
    name: string,
    i: number,
    flag: RegExp,
  ): [value: string | boolean, taken: number] => {
    const word = words[i + 1];
    const isValue = word !== undefined && word !== "" && !flag.test(word);
    if (isValue && !booleans.has(name)) return [word, 1];
    if (word === "true" || word === "false") return [word === "true", 1];
    return [strings.has(name) ? "" : true, 0];
  };

  for (let i = 0; i < words.length; i++) {
    const word = words[i];
    const long = /^--([^=]+)(?:=([\s\S]*))?$/.exec(word);
    const short = /^-([^-][\s\S]*)$/.exec(word);
    if (long) {
      const [, name, value] = long;
      const negated = name.startsWith("no-") && negatable.has(name.slice(3));
      if (value !== undefined) set(name, booleans.has(name) ? value !== "false" : value, word);
      else if (negated) set(name.slice(3), false, word, false);
      else {
        const [value, taken] = next(name, i, /^-/);
        set(name, value, word);
        i += taken;
      }
    } else if (short) {
      const letters = short[1];
      let at = 0;
      // Letters before the last are flags of their own, until one is followed by a value.
      for (; at < letters.length - 1; at++) {
        const after = letters.slice(at + 1);
        if (
          /[A-Za-z]/.test(letters[at]) &&
          (after[0] === "=" || /^-?\d+(\.\d*)?(e-?\d+)?$/.test(after))
        ) {
          break;
        }
        set(letters[at], strings.has(letters[at]) ? "" : true, word);
      }
      if (at < letters.length - 1) set(letters[at], letters.slice(at + 1).replace(/^=/, ""), word);
      else {
        const [value, taken] = next(letters[at], i, /^--?[^-]/);
        set(letters[at], value, word);
        i += taken;
      }
    } else if (options.unknown?.(word) !== false) {
      plain.push(strings.has("_") ? word : number(word));
      if (options.stopEarly) {
        plain.push(...words.slice(i + 1));
        break;
      }
    } else if (options.stopEarly) {
      plain.push(...words.slice(i + 1));
      break;
    }
  }

  for (const [name, value] of Object.entries(options.default ?? {})) {
    for (const key of [name, ...others.get(name) ?? []]) {
      if (!Object.hasOwn(result, key)) result[key] = value;
    }
  }
  for (const name of booleans) {
    if (!Object.hasOwn(result, name)) result[name] = collect.has(name) ? [] : false;
  }
  for (const name of strings) {
    if (!Object.hasOwn(result, name) && collect.has(name)) result[name] = [];
  }
  if (options["--"]) result["--"] = rest;
  else plain.push(...rest);
  // deno-lint-ignore no-explicit-any
  return { ...result, _: plain } as any;
}

/** For each name the other names that stand for the same flag. */
function aliasMap(alias: Record<string, Names<string>>): Map<string, string[]> {
  const others = new Map<string, string[]>();
  for (const [name, given] of Object.entries(alias)) {
    const names = [name, ...(Array.isArray(given) ? given : [given])];
    for (const one of names) others.set(one, names.filter((other) => other !== one));
  }
  return others;
}

function withAliases(names: Names<string> | undefined, others: Map<string, string[]>): Set<string> {
  const given = names === undefined ? [] : Array.isArray(names) ? names : [names as string];
  return new Set(given.flatMap((name) => [name, ...others.get(name) ?? []]));
}

function number(text: string): string | number {
  return /\S/.test(text) && Number.isFinite(Number(text)) ? Number(text) : text;
}
