/**
 * The command: `deno run -A jsr:@toro/toro/cli doctor`, and `inspect FILE`, for which `--allow-read=FILE` and
 * `--allow-ffi=LIBRARY` are enough.
 *
 * @module
 */
import { Command } from "@cliffy/command";
import { doctor } from "./doctor.ts";
import { inspect } from "./inspect.ts";

if (import.meta.main) {
  await new Command()
    .name("toro")
    .version("0.1.0")
    .description("Deep learning for Deno.")
    .command("doctor", "Print versions, platform, library and devices.")
    .action(() => {
      if (!doctor()) Deno.exit(1);
    })
    .command(
      "inspect <file:string>",
      "Read a file of weights whole, check it, and say what it holds.",
    )
    .action(async (_options, file) => {
      if (!await inspect(file)) Deno.exit(1);
    })
    .parse(Deno.args);
}
