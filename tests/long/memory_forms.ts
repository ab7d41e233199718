/**
 * Memory over 2,000 training steps in a form that never frees anything: `deno run memory_forms.ts FORM [STEPS]`.
 * Prints one JSON line: resident bytes after step 200 and at the end, handles, and collection's share of the time.
 * Forms: await (a `for await` over a loader), sync (a plain loop), small (64-element tensors), heap (beside 300 MB of
 * JavaScript objects).
 */
import { data, manualSeed, memory, nn, optim, processMemory, randn, type Tensor } from "@toro/toro";

const form = Deno.args[0], steps = Number(Deno.args[1] ?? 2000);

manualSeed(0);
const isSmall = form === "small";
const [width, batch] = isSmall ? [8, 8] : [256, 256];
const model = new nn.Sequential(
  new nn.Linear(width, width),
  new nn.BatchNorm1d(width),
  new nn.ReLU(),
  new nn.Dropout(0.1),
  new nn.Linear(width, width),
);
const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3 });
const criterion = new nn.MSELoss();

function step(x: Tensor, y: Tensor): void {
  const loss = criterion.forward(model.forward(x), y);
  loss.backward();
  nn.utils.clipGradNorm_(model.parameters(), 1);
  optimizer.step();
  optimizer.zeroGrad();
}

// Objects of different shapes and ages, as a program that holds its own data in JavaScript has them.
const held = form === "heap"
  ? Array.from({ length: 2_500_000 }, (_, i) => ({ id: i, name: `row ${i}`, next: [i, i + 1] }))
  : [];

let done = 0, early = 0, earlyHandles = 0, rested = 0;
const begin = performance.now();
function count(): void {
  if (++done !== Math.min(200, steps)) return;
  early = resident();
  earlyHandles = memory().handles;
}

/** Resident bytes once V8's compiler threads, which take tens of megabytes for a moment, are through. */
function resident(): number {
  const restMs = 500;
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, restMs);
  rested += restMs / 1e3;
  return processMemory().residentBytes;
}

if (form === "await") {
  const x = randn([64 * batch, width]);
  const loader = new data.DataLoader(new data.TensorDataset([x, x]), {
    batchSize: batch,
    shuffle: true,
  });
  while (done < steps) {
    for await (const [a, b] of loader) {
      step(a, b);
      count();
      if (done === steps) break;
    }
  }
} else {
  while (done < steps) {
    step(randn([batch, width]), randn([batch, width]));
    count();
  }
}
const seconds = (performance.now() - begin) / 1e3 - rested;
const { handles, collections, collectionMs } = memory();
console.log(JSON.stringify({
  form,
  steps,
  seconds,
  earlyBytes: early,
  lateBytes: resident(),
  earlyHandles,
  handles,
  collections,
  collectionShare: collectionMs / 1e3 / seconds,
  held: held.length,
}));
