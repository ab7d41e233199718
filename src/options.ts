/**
 * Options objects of calls.
 *
 * @module
 */
import { ArgumentError, show } from "./errors.ts";

/** Whether a value is a plain options object, and no tensor, array or instance of a class. */
export function isOptions(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const proto = Object.getPrototypeOf(value);
  return proto === Object.prototype || proto === null;
}

/** The error for an option of another name than the known ones. */
export function unknownOption(
  action: string,
  key: string,
  known: readonly string[],
): ArgumentError {
  const rule = known.length > 0 ? `known are ${known.join(", ")}` : "it takes none";
  return new ArgumentError(`Cannot ${action}: unknown option ${show(key)}; ${rule}`, {
    op: action,
  });
}

/**
 * The options of a call that no signature declares, none where null or nothing was given. `action` is what errors say, as
 * in `make DataLoader`. Errors: ArgumentError for what is no options object, and for names that are not known.
 */
export function optionsOf<T extends object>(
  action: string,
  given: T | null | undefined,
  known: readonly (keyof T & string)[],
): T {
  const options = given ?? {} as T;
  if (!isOptions(options)) {
    throw new ArgumentError(`Cannot ${action} with ${show(options)}: options are an object`, {
      op: action,
    });
  }
  const strange = Object.keys(options).find((key) => !(known as readonly string[]).includes(key));
  if (strange !== undefined) throw unknownOption(action, strange, known);
  return options;
}
