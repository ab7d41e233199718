/**
 * Names in saved states are PyTorch's: `weightDecay` is `weight_decay`, `TMax` is `T_max`.
 *
 * @module
 */

/** PyTorch's name of an option. */
export function snakeCase(name: string): string {
  const capital = /^T([A-Z0-9].*)$/.exec(name);
  if (capital !== null) return `T_${capital[1].toLowerCase()}`;
  return name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
}

/** Toro's name of one of PyTorch's: each inner underscore goes, and the next letter is raised. */
export function camelCase(name: string): string {
  return name.replace(/(?<=[^_])_(.)/g, (_, c: string) => c.toUpperCase());
}
