/** `deno task doctor`: what a bug report needs. Prints and changes nothing. */
import { doctor } from "../src/cli/doctor.ts";

if (!doctor()) Deno.exit(1);
