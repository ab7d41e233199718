/**
 * The native libraries that were released for this version of Toro, by platform, each pinned by its
 * SHA-256. What the installer fetches and what the loader opens outside a checkout must match. A
 * release adds its rows here before the version is published.
 */

/** One released library. */
export interface Release {
  /** Its file name, in `.toro/` and in the per-user cache alike. */
  file: string;
  /** The SHA-256 of the file, in lower-case hexadecimal. */
  sha256: string;
  /** Where the installer fetches it. */
  url: string;
}

/** Released libraries by platform (`linux-x86_64`); a platform without a row has none. */
export type Releases = Readonly<Record<string, Release>>;

/** The version the table speaks of, the one in deno.json. */
export const version = "0.1.0";

/** The released libraries of {@linkcode version}. */
export const releases: Releases = {};
