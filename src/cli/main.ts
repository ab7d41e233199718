/**
 * The command: `deno run -A jsr:@toro/toro/cli doctor`.
 *
 * @module
 */
import { Command } from "@cliffy/command";
import { doctor } from "./doctor.ts";

if (import.meta.main) {
  await new Command()
    .name("toro")
    .version("0.1.0")
    .description("Deep learning for Deno.")
    .command("doctor", "Print versions, platform, library and devices.")
    .action(() => {
      if (!doctor()) Deno.exit(1);
    })
    .parse(Deno.args);
}
