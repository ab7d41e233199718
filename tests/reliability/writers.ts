/** Two processes that save to one path: what lies there is always one's or the other's, whole. */
import { assert } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { checkpoint } from "@toro/toro";
import { litterIn } from "./kill.ts";
import { uniform } from "./states.ts";

/** What the writers saw. */
export interface Written {
  saved: number;
  /** Saves that were refused because the other process was writing. */
  refused: number;
  /** Reads that found the other's state. */
  others: number;
  bad: string[];
}

/** Lets two processes save so many times each, reading after each save. */
export async function write(saves: number): Promise<Written> {
  const folder = await Deno.makeTempDir({ prefix: "toro-writers-" });
  const path = join(folder, "state.safetensors");
  const script = fromFileUrl(new URL("./writer_script.ts", import.meta.url));
  try {
    await checkpoint.save(path, uniform(0, 100_000));
    const writers = [1, 2].map((number) =>
      new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", script, path, String(number), String(saves)],
        stdin: "piped",
        stdout: "piped",
        stderr: "piped",
      }).spawn()
    );
    const outputs = writers.map((writer) => linesOf(writer.stdout));
    await Promise.all(outputs.map((output) => output.next()));
    await Promise.all(writers.map(async ({ stdin }) => {
      const pipe = stdin.getWriter();
      await pipe.write(new Uint8Array(1));
      await pipe.close();
    }));
    const all: Written = { saved: 0, refused: 0, others: 0, bad: [] };
    for (const [i, writer] of writers.entries()) {
      const [{ value }, errors] = await Promise.all([
        outputs[i].next(),
        new Response(writer.stderr).text(),
      ]);
      assert((await writer.status).success, errors);
      await outputs[i].return();
      const told: Written = JSON.parse(value!);
      all.saved += told.saved;
      all.refused += told.refused;
      all.others += told.others;
      all.bad.push(...told.bad);
    }
    const left = litterIn(folder);
    if (left.length > 0) all.bad.push(`${left.join(", ")} was left`);
    return all;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, void, void> {
  let text = "";
  for await (const part of stream.pipeThrough(new TextDecoderStream())) {
    text += part;
    for (let end; (end = text.indexOf("\n")) >= 0; text = text.slice(end + 1)) {
      yield text.slice(0, end);
    }
  }
}
