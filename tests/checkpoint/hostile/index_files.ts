/** Hostile indexes of sharded files, in the Hugging Face layout. */
import type { Hostile } from "./bytes.ts";

/** The files. */
export const indexFiles: readonly Hostile[] = [];
