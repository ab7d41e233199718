/** `deno task bench --device cuda` at tiny dims: every row is prepared and timed. It says nothing of speed. */
import { assert, assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { cudaFamilies } from "../../scripts/bench/cuda_families.ts";
import { inFolder } from "../folder.ts";

Deno.test("every row of the benchmark on CUDA runs, alone and by the own kernels", () =>
  inFolder(async (folder) => {
    const json = `${folder}/bench.json`;
    const script = fromFileUrl(new URL("../../scripts/bench/main.ts", import.meta.url));
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", script, "--device", "cuda", "--tiny", "--json", json],
      env: { TORO_CUDA_LIBRARIES: "" },
    }).output();
    const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    assertEquals(code, 0, text);
    const { rows } = JSON.parse(await Deno.readTextFile(json));
    assertEquals(rows.length, Object.values(cudaFamilies).flatMap(({ tiny }) => tiny).length);
    for (const { name, ms } of rows) {
      assert(typeof ms.toro === "number", `${name}: ${ms.toro}`);
      if (/^(matmul|conv|attention)/.test(name)) {
        assert(typeof ms.own === "number", `${name}: ${ms.own}`);
      }
    }
    assert(
      (await Deno.readTextFile(`${folder}/bench.md`)).includes("| recommender 50 x 8, batch 16 |"),
    );
  }));
