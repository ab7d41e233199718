/** Saves once over a file and prints the error's class and text, or null: PATH BYTES. */
import { checkpoint } from "@toro/toro";
import { uniform } from "./states.ts";

const [path, bytes] = Deno.args;
let told: string | null = null;
try {
  await checkpoint.save(path, uniform(1, Number(bytes)));
} catch (error) {
  told = `${(error as Error).name}: ${(error as Error).message}`;
}
console.log(JSON.stringify(told));
