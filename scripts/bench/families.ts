/** All families of `deno task bench`. */
import type { Family } from "./family.ts";
import { modelFamilies } from "./model_families.ts";
import { netFamilies } from "./net_families.ts";
import { opFamilies } from "./op_families.ts";

export const families: Record<string, Family> = {
  ...modelFamilies,
  ...netFamilies,
  ...opFamilies,
};
