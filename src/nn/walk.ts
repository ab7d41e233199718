/**
 * Finds what a module owns: submodules, parameters and buffers in its own fields, in arrays, Maps and plain objects,
 * nested. No module is known here by name; state keys are written here.
 *
 * @module
 */
import { ArgumentError } from "../errors.ts";
import { isOptions } from "../options.ts";
import { Tensor } from "../tensor.ts";
import type { Module } from "./module.ts";
import { Buffer, Parameter } from "./parameter.ts";

/** A thing that a module owns. */
export type Owned = Module | Parameter | Buffer;

/** Something found, under its state key. */
export interface Found {
  /** Path parts joined by dots, as `stateDict` writes them. */
  readonly key: string;
  /** The path as code writes it, for error texts. */
  readonly path: string;
  readonly value: Owned;
}

/** A path part as state keys have it: `inProjWeight` → `in_proj_weight`; with an underscore or a leading capital verbatim. */
export function keyPart(part: string): string {
  let key = keyParts.get(part);
  if (key === undefined) {
    const verbatim = part.includes("_") || /^[A-Z]/.test(part);
    key = verbatim ? part : part.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
    keyParts.set(part, key);
  }
  return key;
}

/** Field names are few, and each step walks over all of them. */
const keyParts = new Map<string, string>();

let moduleClass: abstract new () => Module;

/** module.ts hands its class in, so that neither file needs the other to be ready first. */
export function setModuleClass(given: abstract new () => Module): void {
  moduleClass = given;
}

function isModule(value: unknown): value is Module {
  return value instanceof moduleClass;
}

/** The entries of a container of any kind; null for what is none. */
function entriesOf(value: object): Iterable<[string | number, unknown]> | null {
  if (Array.isArray(value)) return value.entries();
  if (value instanceof Map) {
    return [...value].filter(([k]) => typeof k === "string" || typeof k === "number");
  }
  return isModule(value) || isOptions(value) ? Object.entries(value) : null;
}

/**
 * Everything below a module in the order of its fields. `every` follows every path; otherwise each module, parameter
 * and buffer comes once, under its first key. `deep` false stops at submodules.
 *
 * Errors: ArgumentError for a cycle and for two fields with one key; both name the paths.
 */
export function walk(
  root: Module,
  { every = false, deep = true }: { every?: boolean; deep?: boolean } = {},
): Found[] {
  const found: Found[] = [];
  const seen = new Set<object>([root]);
  const above = new Map<object, string>([[root, ""]]);
  const paths = new Map<string, string>();

  const visit = (value: unknown, key: string, path: string): void => {
    if (typeof value !== "object" || value === null) return;
    const isTensor = value instanceof Tensor;
    if (isTensor && !(value instanceof Parameter || value instanceof Buffer)) return;
    const module = !isTensor && isModule(value);
    const entries = isTensor ? null : entriesOf(value);
    if (!isTensor && entries === null) return;
    if (above.has(value)) {
      const start = above.get(value)!;
      throw new ArgumentError(
        `Cannot walk ${nameOf(root)}: ${path} leads back to ${
          start === "" ? "the module itself" : start
        }, which is a cycle`,
        {
          op: "Module",
          hint: "keep a way back to a parent in a #private field, which is not searched",
        },
      );
    }
    if (isTensor || module) {
      if (!every && seen.has(value)) return;
      seen.add(value);
      const other = paths.get(key);
      if (other !== undefined) {
        throw new ArgumentError(
          `Cannot walk ${nameOf(root)}: ${other} and ${path} have the same state key ${key}`,
          {
            op: "Module",
            hint: "rename one of the fields",
          },
        );
      }
      paths.set(key, path);
      found.push({ key, path, value: value as Owned });
      if (isTensor || !deep) return;
    }
    above.set(value, path);
    descend(entries!, key, path, Array.isArray(value));
    above.delete(value);
  };

  const descend = (
    entries: Iterable<[string | number, unknown]>,
    key: string,
    path: string,
    indexed: boolean,
  ): void => {
    for (const [name, value] of entries) {
      if (typeof value !== "object" || value === null) continue;
      const part = keyPart(String(name));
      visit(
        value,
        key === "" ? part : `${key}.${part}`,
        indexed || /^\d+$/.test(String(name))
          ? `${path}[${name}]`
          : path === ""
          ? String(name)
          : `${path}.${name}`,
      );
    }
  };

  descend(entriesOf(root)!, "", "", false);
  return found;
}

function nameOf(module: Module): string {
  return module.constructor.name;
}
