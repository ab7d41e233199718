/**
 * `deno task bench:conditions`: how Toro and PyTorch fare where a benchmark's conditions are not ideal. Nanoseconds per
 * element from 10⁴ to 10⁸ elements, and what a second process that keeps one core busy costs.
 */
import { option } from "../../ffi/library.ts";
import { families } from "./families.ts";
import { torchPython } from "./setup_torch.ts";
import { alternate, median } from "./timing.ts";
import { Torch } from "./torch.ts";

const SIZES = [1e4, 1e5, 1e6, 1e7, 1e8];
const SCALED = ["add {}", "exp {}", "copy {}"];
const CONTENDED: readonly (readonly [family: string, dims: number[]])[] = [
  ["matmul {} x {} x {}", [1024, 1024, 1024]],
  ["add {}", [1 << 24]],
  ["softmax {} x {} x {}", [64, 512, 512]],
  ["layer norm {} x {}, both ways", [4096, 512]],
  ["attention {} x {} x {} x {}", [8, 8, 512, 64]],
  ["network 784-512-256-10 on {}, a step of AdamW", [128]],
];

const unknown = [...SCALED, ...CONTENDED.map(([name]) => name)].filter((name) =>
  !(name in families)
);
if (unknown.length > 0) throw new Error(`No such rows: ${unknown.join("; ")}`);

option("threads", 2);
const torch = new Torch(await torchPython(), {});

/** Milliseconds of an iteration on both sides, medians of five. */
async function measure(family: string, dims: number[]): Promise<[number, number]> {
  await torch.ask({ do: "prepare", family, dims });
  const { toroMs, torchMs } = await alternate(families[family].prepare(...dims), torch, 5);
  return [median(toroMs), median(torchMs)];
}

console.log(
  "ns per element" + " ".repeat(6) + SIZES.map((n) => n.toExponential(0).padStart(9)).join(""),
);
for (const family of SCALED) {
  const times: [number, number][] = [];
  for (const n of SIZES) times.push(await measure(family, [n]));
  const line = (side: 0 | 1) =>
    times.map((ms, i) => (ms[side] * 1e6 / SIZES[i]).toFixed(3).padStart(9)).join("");
  console.log(family.replace(" {}", "").padEnd(12) + "Toro    " + line(0));
  console.log(" ".repeat(12) + "PyTorch " + line(1));
}

/** Keeps one core busy until it is killed. */
function busy(): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), { args: ["eval", "while (true);"] }).spawn();
}

console.log("\nslower beside a busy process     Toro  PyTorch   then PyTorch ÷ Toro");
for (const [family, dims] of CONTENDED) {
  const alone = await measure(family, dims);
  const other = busy();
  let beside: [number, number];
  try {
    beside = await measure(family, dims);
  } finally {
    other.kill("SIGKILL");
    await other.status;
  }
  const left = [...dims], name = family.replaceAll("{}", () => String(left.shift()));
  const [a, b] = [beside[0] / alone[0], beside[1] / alone[1]];
  console.log(
    `${name.slice(0, 32).padEnd(32)}${a.toFixed(2).padStart(6)}${b.toFixed(2).padStart(9)}${
      (beside[1] / beside[0]).toFixed(2).padStart(14)
    }`,
  );
}
await torch.close();
