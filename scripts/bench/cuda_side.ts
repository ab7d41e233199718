/**
 * Toro's side of `deno task bench --device cuda` as a process: reads requests as JSON lines and answers each with one, as
 * cuda_torch.py does for PyTorch.
 */
import { cuda, type Tensor } from "@toro/toro";
import { cudaFamilies } from "./cuda_families.ts";

interface Request {
  do: "device" | "prepare" | "time";
  family?: string;
  dims?: number[];
  times?: number;
}

let iteration: (() => Tensor) | null = null;

/** Milliseconds of the device for one of so many iterations. */
function time(times: number): number {
  const start = new cuda.Event({ enableTiming: true }),
    end = new cuda.Event({ enableTiming: true });
  cuda.synchronize();
  start.record();
  for (let i = 0; i < times; i++) iteration!();
  end.record();
  end.synchronize();
  return start.elapsedTime(end) / times;
}

function answer(request: Request): unknown {
  switch (request.do) {
    case "device":
      return `${cuda.deviceName()}, driver for CUDA ${cuda.facts().driver}`;
    case "prepare": {
      iteration = null;
      iteration = cudaFamilies[request.family!].prepare(...request.dims!);
      const x = iteration().detach().to("float64");
      return [x.sum().item(), x.abs().sum().item()];
    }
    case "time":
      return time(request.times!);
  }
}

const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream());
let rest = "";
for await (const part of lines) {
  const parts = (rest + part).split("\n");
  rest = parts.pop()!;
  for (const line of parts) {
    let result: unknown;
    try {
      result = { value: answer(JSON.parse(line)) };
    } catch (error) {
      result = { error: error instanceof Error ? error.message : String(error) };
    }
    console.log(JSON.stringify(result));
  }
}
