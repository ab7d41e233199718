/** Tensors on CUDA devices: moving, mixing, memory, files, modules, loaders. */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import {
  arange,
  checkpoint,
  cuda,
  data,
  DeviceError,
  F,
  IndexError,
  manualSeed,
  nn,
  ones,
  optim,
  OutOfMemoryError,
  resetPeakMemory,
  type Tensor,
  tensor,
  zeros,
} from "@toro/toro";
import { inFolder } from "../folder.ts";

Deno.test("there and back, with gradients", () => {
  const x = tensor([[1, 2], [3, 4]], { requiresGrad: true });
  const y = x.to("cuda").mul(3).to("cpu");
  assertEquals(y.toArray(), [[3, 6], [9, 12]]);
  y.backward(ones([2, 2]));
  assertEquals([x.grad!.device, x.grad!.toArray()], ["cpu", [[3, 3], [3, 3]]]);
  const z = tensor([1, 2], { device: "cuda:0", dtype: "bfloat16", requiresGrad: true });
  assertEquals([z.device, z.dtype, z.toArray()], ["cuda:0", "bfloat16", [1, 2]]);
  z.exp().backward(ones([2], { device: "cuda", dtype: "bfloat16" }));
  assertEquals(z.grad!.device, "cuda:0");
  const t = arange(6).reshape([2, 3]).transpose(0, 1);
  assertEquals(t.to("cuda").toArray(), [[0, 3], [1, 4], [2, 5]]);
  assert(x.to("cpu") === x);
  assertEquals(zeros([0, 3]).to("cuda").add(1).toArray(), []);
});

Deno.test("operands on two devices: both are named", () => {
  const a = ones([2]), b = ones([2], { device: "cuda" });
  assertThrows(
    () => b.add(a),
    DeviceError,
    "Cannot add input on cuda:0 and other on cpu: they must be on one device",
  );
  assertThrows(() => ones([1], { device: "cuda:7" }), DeviceError, "there is 1 device");
});

Deno.test("memory: blocks are used again, and running out is an error with figures", () => {
  const before = cuda.memory();
  const x = zeros([1 << 20], { device: "cuda" });
  const during = cuda.memory();
  assertEquals(during.liveBytes - before.liveBytes, 1 << 22);
  x.dispose();
  cuda.synchronize();
  assertEquals(cuda.memory().liveBytes, before.liveBytes);
  assertEquals(cuda.memory().totalBytes, during.totalBytes);
  const error = assertThrows(() => zeros([1 << 28, 4096], { device: "cuda" }), OutOfMemoryError);
  assertMatch(
    error.message,
    /Cannot allocate \d+ bytes: \d+ live, \d+ cached and \d+ peak bytes on a device of which \d+ of \d+ bytes are free/,
  );
  assertEquals(ones([2], { device: "cuda" }).toArray(), [1, 1]);
});

Deno.test("copy_ takes its source from another device, with its gradient", () => {
  const x = tensor([1, 2], { requiresGrad: true });
  const y = zeros([2, 2], { device: "cuda" }).copy_(x);
  assertEquals([y.device, y.toArray()], ["cuda:0", [[1, 2], [1, 2]]]);
  y.sum().backward();
  assertEquals([x.grad!.device, x.grad!.toArray()], ["cpu", [2, 2]]);
  assertEquals(zeros([2]).copy_(y.detach().at(0)).toArray(), [1, 2]);
});

Deno.test("a module moves with its gradients and stays the same object", () => {
  const layer = new nn.Linear(2, 2);
  const { weight } = layer;
  weight.grad = ones([2, 2]);
  layer.to("cuda");
  assert(layer.weight === weight);
  assertEquals([weight.device, weight.grad!.device], ["cuda:0", "cuda:0"]);
  layer.to({ device: "cpu", dtype: "float64" });
  assertEquals([weight.device, weight.dtype, weight.grad!.dtype], ["cpu", "float64", "float64"]);
});

Deno.test("checkpoints of tensors on a device", () =>
  inFolder(async (folder) => {
    const path = `${folder}/state.safetensors`;
    const x = arange(6).to("cuda");
    await checkpoint.save(path, { x, y: x.reshape([2, 3]).transpose(0, 1) });
    for (const lazy of [false, true]) {
      for (const mapLocation of ["cpu", "cuda"]) {
        const found = await checkpoint.load<{ x: Tensor; y: Tensor }>(path, { lazy, mapLocation });
        assertEquals(found.x.device, mapLocation === "cpu" ? "cpu" : "cuda:0");
        assertEquals(found.y.toArray(), [[0, 3], [1, 4], [2, 5]]);
      }
    }
  }));

Deno.test("data that break a rule: who waits next is told, and once", () => {
  const on = { device: "cuda" } as const;
  const rows = tensor([1, 2, 3], { ...on, dtype: "int64" });
  const broken: [() => unknown, RegExp][] = [
    [() => rows.floorDivide(tensor([1, 0, 3], { ...on, dtype: "int64" })), /divided by zero/],
    [() => rows.remainder(rows.sub(2)), /divided by zero/],
    [() => rows.fmod(rows.sub(1)), /divided by zero/],
    [() => rows.div(rows.sub(3), { roundingMode: "trunc" }), /divided by zero/],
    [
      () => nn.functional.binaryCrossEntropy(tensor([1.5], on), tensor([1.0], on)),
      /not from 0 to 1, as probabilities are/,
    ],
    [() => tensor([1, -1], on).multinomial(1), /weights of row 0 must be finite, not negative/],
    [() => tensor([1, 0], on).multinomial(2), /row 0 has too few weights above zero for 2/],
    [() => nn.functional.oneHot(rows, { numClasses: 3 }), /index 3 is out of range for 3/],
  ];
  for (const [run, message] of broken) {
    run();
    assertMatch(assertThrows(() => cuda.synchronize(), Error).message, message);
    cuda.synchronize();
  }
  // In float numbers there is a quotient by zero.
  assertEquals(tensor([1, 2], on).floorDivide(tensor([0, 2], on)).toArray(), [Infinity, 1]);
});

Deno.test("a model and its optimiser go on from a checkpoint on the other device, and copies cross", () =>
  inFolder(async (folder) => {
    const make = (device: string) => {
      manualSeed(1);
      const model = new nn.Sequential(new nn.Embedding(30, 4), new nn.Linear(4, 2));
      model.to(device);
      const optimizer = new optim.AdamW(model.parameters(), { lr: 0.1 });
      const step = () => {
        optimizer.zeroGrad();
        model.forward(tensor([3n, 7n, 3n], { device })).square().sum().backward();
        optimizer.step();
      };
      return { model, optimizer, step };
    };
    type Made = ReturnType<typeof make>;
    const values = ({ model }: Made) => [...model.parameters()].map((p) => p.toArray());
    const plain = make("cpu");
    for (let i = 0; i < 5; i++) plain.step();
    for (const [from, to] of [["cuda", "cpu"], ["cpu", "cuda"], ["cuda", "cuda"]]) {
      const path = `${folder}/${from}_${to}.safetensors`, first = make(from), second = make(to);
      for (let i = 0; i < 3; i++) first.step();
      const model = first.model.stateDict(), optimizer = first.optimizer.stateDict();
      await checkpoint.save(path, { model, optimizer });
      const state = await checkpoint.load<{ model: never; optimizer: never }>(path);
      second.model.loadStateDict(state.model);
      second.optimizer.loadStateDict(state.optimizer);
      for (let i = 0; i < 2; i++) second.step();
      const got = values(second).flat(2) as number[], want = values(plain).flat(2) as number[];
      got.forEach((x, i) =>
        assert(Math.abs(x - want[i]) < 1e-5, `${from} to ${to}: [${i}] ${x}, not ${want[i]}`)
      );
    }
    const x = zeros([2, 2], { device: "cuda" }), y = ones([2], { requiresGrad: true });
    x.copy_(y);
    x.mul(3).sum().backward();
    assertEquals([x.device, x.toArray(), y.grad!.toArray()], ["cuda:0", [[1, 1], [1, 1]], [6, 6]]);
  }));

Deno.test("a loader hands its batches out on the device", () => {
  const examples = [{ x: 1, name: "a" }, { x: 2, name: "b" }];
  const loader = new data.DataLoader(examples, { batchSize: 2, device: "cuda" });
  for (const { x, name } of loader) {
    assertEquals([x.device, x.toArray(), name], ["cuda:0", [1, 2], ["a", "b"]]);
  }
});

Deno.test("pinned memory: what a device reads later, and what comes back later", () => {
  const x = arange(1000), pinned = x.pinMemory();
  assertEquals([x.isPinned(), pinned.isPinned(), pinned.pinMemory() === pinned], [
    false,
    true,
    true,
  ]);
  assertEquals(pinned.toArray(), x.toArray());
  assertEquals([pinned.device, pinned.add(1).isPinned()], ["cpu", false]);
  const there = pinned.to("cuda", { nonBlocking: true });
  const back = there.mul(2).to("cpu", { nonBlocking: true });
  assertEquals([back.isPinned(), back.device], [true, "cpu"]);
  assertEquals(back.toArray(), x.mul(2).toArray());
  // The memory of a tensor that is let go stays until the device has read it.
  const sum = x.add(5).pinMemory();
  const moved = sum.to("cuda", { nonBlocking: true });
  sum.dispose();
  const other = zeros([1000], { dtype: "int64" }).pinMemory();
  assertEquals(moved.toArray(), x.add(5).toArray());
  assertEquals(other.toArray()[999 as never], 0);
  // Without nonBlocking the source may change at once.
  const source = arange(4).pinMemory(), copy = source.to("cuda");
  source.fill_(0);
  assertEquals(copy.toArray(), [0, 1, 2, 3]);
  const strided = arange(6).reshape([2, 3]).transpose(0, 1);
  assertEquals(strided.pinMemory().to("cuda", { nonBlocking: true }).toArray(), strided.toArray());
  assertEquals(zeros([0]).pinMemory().to("cuda", { nonBlocking: true }).toArray(), []);
  assertThrows(() => there.pinMemory(), DeviceError, "Cannot pinMemory a tensor on cuda:0");
  assert(cuda.memory().pinnedBytes > 0);
});

Deno.test("gradients pass through pinned memory and both ways", () => {
  const x = tensor([1, 2], { requiresGrad: true });
  const y = x.pinMemory().to("cuda", { nonBlocking: true }).mul(3).to("cpu", { nonBlocking: true });
  y.sum().backward();
  assertEquals(x.grad!.toArray(), [3, 3]);
});

Deno.test("a large tensor passes through pinned memory in parts", () => {
  const n = (20 << 20) / 4, x = arange(n, { dtype: "int32" });
  const back = x.to("cuda").to("cpu");
  assert(back.eq(x).all().item() === 1);
});

Deno.test("events: places in the work of a device, and times between them", () => {
  const start = new cuda.Event({ enableTiming: true }),
    end = new cuda.Event({ enableTiming: true });
  assert(start.query(), "nothing to wait for");
  start.record();
  const x = ones([1000], { device: "cuda" }).mul(2);
  end.record("cuda:0");
  end.synchronize();
  assertEquals([start.query(), end.query()], [true, true]);
  const ms = start.elapsedTime(end);
  assert(ms >= 0 && ms < 60_000, `${ms}`);
  assertEquals(x.sum().item(), 2000);
  end.record();
  while (!end.query());
  const plain = new cuda.Event();
  plain.record();
  assertThrows(
    () => start.elapsedTime(plain),
    DeviceError,
    "Cannot elapsedTime: endEvent was made without enableTiming",
  );
  assertThrows(
    () => start.elapsedTime(new cuda.Event({ enableTiming: true })),
    DeviceError,
    "Cannot elapsedTime: endEvent was not recorded",
  );
  assertThrows(() => start.record(7), DeviceError, "there is 1 device");
});

Deno.test("an index out of range that an event waits for is its error", () => {
  const event = new cuda.Event();
  F.oneHot(tensor([9], { device: "cuda", dtype: "int64" }), 3);
  event.record();
  assertThrows(() => event.synchronize(), IndexError, "index 9 is out of range for 3 on cuda:0");
});

Deno.test("peaks start anew, and a steady loop asks the driver for nothing", () => {
  const step = () => ones([5000], { device: "cuda" }).mul(2).dispose();
  for (let i = 0; i < 3; i++) step();
  cuda.synchronize();
  resetPeakMemory();
  const before = cuda.memory();
  assertEquals(before.peakBytes, before.liveBytes);
  assertEquals(before.reservedPeakBytes, before.liveBytes + before.cachedBytes);
  const x = ones([1 << 20], { device: "cuda" });
  assertEquals(cuda.memory().peakBytes - before.liveBytes, 1 << 22);
  x.dispose();
  const after = cuda.memory();
  for (let i = 0; i < 10; i++) zeros([1 << 20], { device: "cuda" }).dispose();
  if (Deno.env.get("TORO_CUDA_CACHE") !== "0") {
    assertEquals(cuda.memory().allocations, after.allocations);
  }
});

Deno.test("a loader pins batches that stay on the CPU", () => {
  const loader = new data.DataLoader({ x: arange(4) }, { batchSize: 2, pinMemory: true });
  for (const { x } of loader) assert(x.isPinned());
});
