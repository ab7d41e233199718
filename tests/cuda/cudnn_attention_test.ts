/**
 * Attention by cuDNN's graphs, on a stand-in that checks what it is told and computes every operation on the CPU: forward
 * and backward are the CPU's, whoever of library and own kernels does either; what it refuses the own kernels do, and what
 * fails is an error. Mistakes with graphs are planted, and each is said. Whether the real library takes them
 * `deno task test:cudnn` asks it.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { buildPlantedCudnn } from "../../scripts/emulator.ts";
import { inFolder } from "../folder.ts";
import { assertFails, root, runScript } from "./script.ts";

/** What a script printed as JSON, the graphs that cuDNN logged, whether the own kernels attended, and who waited how often. */
interface Report {
  out: unknown;
  graphs: string[];
  own: boolean;
  waits: number;
}

/** Runs a script with the library on, unless the environment says otherwise. Nothing may be wrong with any call. */
async function run(source: string, env: Record<string, string> = {}): Promise<Report> {
  const { out, log } = await runScript(source, env);
  assert(!log.includes("is wrong"), log);
  return {
    out,
    graphs: [...log.matchAll(/^emulator: cudnnBackendExecute of (.*)$/gm)].map((m) => m[1]),
    own: /^emulator: attention/m.test(log),
    waits: [...log.matchAll(/^emulator: wait$/gm)].length,
  };
}

/**
 * `attend(form)`: how far result and gradients on the device are from the CPU's, as parts of the largest one. Between forward
 * and backward `between` is called.
 */
const attend = `
  import { cuda, F, manualSeed, randn, type DType, type Tensor } from "${root}mod.ts";
  interface Form {
    q: number[]; k: number[]; v?: number[]; dtype?: DType; view?: (t: Tensor) => Tensor;
    options?: { isCausal?: boolean; scale?: number; enableGqa?: boolean; attnMask?: Tensor };
  }
  function attend({ q, k, v = k, dtype = "bfloat16", view = (t) => t, options }: Form, between = () => {}): number {
    manualSeed(3);
    const values = [q, k, v].map((shape) => randn(shape).to(dtype));
    let g: Tensor | undefined;
    const on = (device: string) => {
      const leaves = values.map((t) => t.to(device).detach().requiresGrad_());
      const attnMask = options?.attnMask?.to(device);
      const [a, b, c] = leaves.map(view);
      const y = F.scaledDotProductAttention(a, b, c, { ...options, attnMask });
      if (device !== "cpu") between();
      g ??= randn(y.shape).to(dtype);
      y.backward(g.to(device));
      return [y, ...leaves.map((t) => t.grad!)].map((t) => t.detach().to("cpu").float());
    };
    const want = on("cpu"), got = on("cuda");
    return Math.max(...got.map((t, i) => {
      return t.sub(want[i]).abs().max().item() / want[i].abs().max().item();
    }));
  }
`;
const near = (dtype: string) => dtype === "float16" ? 4e-3 : 3e-2;

Deno.test("every form that the library takes is the CPU's, forward and backward", async () => {
  const { out, graphs, own } = await run(`${attend}
    const heads = (t: Tensor) => t.transpose(1, 2);
    const forms: Form[] = [
      { q: [2, 2, 64, 64], k: [2, 2, 64, 64], options: { isCausal: true } },
      { q: [1, 2, 64, 128], k: [1, 2, 128, 128], options: { scale: 0.3 } },
      { q: [1, 2, 128, 16], k: [1, 2, 64, 16], options: { isCausal: true } },
      { q: [1, 2, 64, 24], k: [1, 2, 128, 24], v: [1, 2, 128, 8], options: { isCausal: true } },
      { q: [2, 64, 3, 16], k: [2, 128, 3, 16], view: heads },
      { q: [2, 4, 64, 16], k: [2, 2, 64, 16], options: { enableGqa: true, isCausal: true } },
      { q: [2, 3, 64, 16], k: [2, 1, 128, 16], options: { enableGqa: true, scale: -0.2 } },
      { q: [2, 64, 4, 16], k: [2, 128, 2, 16], view: heads, options: { enableGqa: true } },
      { q: [3, 64, 32], k: [3, 64, 32] },
      { q: [64, 2, 3, 8], k: [64, 2, 3, 8], view: (t) => t.permute([1, 2, 0, 3]) },
    ];
    const off = forms.flatMap((form) =>
      (["bfloat16", "float16"] as const).map((dtype) => [dtype, attend({ ...form, dtype })])
    );
    console.log(JSON.stringify(off));
  `);
  (out as [string, number][]).forEach(([dtype, off], i) =>
    assert(off < near(dtype), `form ${i >> 1} of ${dtype} is ${off} off`)
  );
  assert(!own);
  assertEquals(graphs.length, 40);
  // Forward and backward of each; a mask of later keys is four operations, heads that share keys are two more.
  const shapes = "first 4x1x64x64 (4096x4096x64x1) by 4x1x64x64 (4096x4096x1x64)";
  assertEquals(graphs.slice(0, 4), [
    `14 operations, 2 products, ${shapes}, type 9`,
    `21 operations, 5 products, ${shapes}, type 9`,
    `14 operations, 2 products, ${shapes}, type 2`,
    `21 operations, 5 products, ${shapes}, type 2`,
  ]);
  for (
    const part of [
      // Views go as they lie.
      "first 2x3x64x16 (3072x16x48x1) by 2x3x16x128 (6144x16x1x48)",
      "first 6x1x64x8 (8x3072x48x1) by 6x1x8x64 (8x3072x1x48)",
      // Groups share a head of keys.
      "first 4x2x64x16 (2048x1024x16x1) by 4x1x16x64 (1024x1024x1x16)",
      "first 2x3x64x16 (3072x1024x16x1) by 2x1x16x128 (2048x2048x1x16)",
      "first 2x4x64x16 (4096x16x64x1) by 2x2x16x128 (4096x16x1x32)",
    ]
  ) {
    assertEquals(graphs.filter((g) => g.includes(part)).length, 4, part);
  }
});

Deno.test("without the library the own kernels attend", async () => {
  for (const names of ["0", "cublasLt"]) {
    const { out, graphs, own } = await run(
      `${attend} console.log(attend({ q: [1, 2, 64, 16], k: [1, 2, 64, 16] }));`,
      { TORO_CUDA_LIBRARIES: names },
    );
    assert(out as number < near("bfloat16"));
    assertEquals([graphs, own], [[], true]);
  }
});

Deno.test("each goes backward from what the other gave", async () => {
  const { out, graphs, own } = await run(`${attend}
    const set = (value: string) => Deno.env.set("EMULATOR_CUDNN", value);
    const off = [true, false].flatMap((isCausal) => {
      const form: Form = { q: [1, 2, 64, 32], k: [1, 2, 128, 32], options: { isCausal } };
      const refuse = "cudnnBackendExecute=3000";
      set("");
      const mine = attend(form, () => set(refuse));
      form.options!.scale = 0.1;
      form.q = form.k = [1, 3, 64, 32];
      set(refuse);
      return [mine, attend(form, () => set(""))];
    });
    console.log(JSON.stringify(off));
  `);
  for (const off of out as number[]) assert(off < near("bfloat16"), `${out}`);
  assert(own);
  assertEquals(graphs.map((g) => g.includes("5 products")), [false, true, false, true]);
});

Deno.test("what it would not take, or what is not said of it, is the own kernels'", async () => {
  const { out, graphs, own } = await run(`${attend}
    import { rand } from "${root}mod.ts";
    const k = [1, 2, 64, 16];
    const seen = rand([64, 64]).gt(0.4);
    seen.select(0, 3).fill_(false);
    const forms: Form[] = [
      { q: [1, 2, 65, 16], k },
      { q: [1, 2, 1, 16], k },
      { q: k, k: [1, 2, 77, 16] },
      { q: [1, 2, 64, 20], k: [1, 2, 64, 20] },
      { q: [1, 2, 64, 264], k: [1, 2, 64, 264] },
      { q: k, k, dtype: "float32" },
      { q: k, k, options: { attnMask: seen } },
      { q: k, k, options: { attnMask: randn([64, 64]) } },
      // Elements that share a place, columns that are no neighbours, rows and a beginning beside 16 bytes.
      { q: [1, 1, 64, 16], k: [1, 1, 64, 16], view: (t) => t.expand([2, 3, 64, 16]) },
      { q: [1, 2, 16, 64], k: [1, 2, 16, 64], view: (t) => t.transpose(2, 3) },
      { q: [1, 2, 64, 20], k: [1, 2, 64, 20], view: (t) => t.narrow(3, 0, 16) },
      { q: [1, 2, 64, 32], k: [1, 2, 64, 32], view: (t) => t.narrow(3, 4, 16) },
      // Three dims of a batch that cannot be two.
      { q: [2, 64, 2, 2, 16], k: [2, 64, 2, 2, 16], view: (t) => t.permute([2, 0, 3, 1, 4]) },
      { q: [2, 64, 4, 2, 16], k: [2, 64, 2, 2, 16], options: { enableGqa: true }, view: (t) => t.permute([3, 0, 2, 1, 4]) },
    ];
    console.log(JSON.stringify(forms.map((form) => attend(form))));
  `);
  for (const off of out as number[]) assert(off < near("bfloat16"), `${out}`);
  assertEquals([graphs, own], [[], true]);
});

const once = `${attend}
  let out: unknown;
  try {
    out = attend({ q: [1, 2, 64, 16], k: [1, 2, 64, 16], options: { isCausal: true } });
  } catch (error) { out = String(error); }
  console.log(JSON.stringify(out));
`;

Deno.test("what the library refuses the own kernels do", async () => {
  const refusals = [
    "cudnnBackendCreateDescriptor=3000",
    "cudnnBackendSetAttribute:17=2000",
    "cudnnBackendFinalize:13=2003",
    "cudnnBackendFinalize:15=3001",
    "cudnnBackendFinalize:4=3000",
    "cudnnBackendFinalize:5=3000",
    "cudnnBackendGetAttribute:4=3005",
    "cudnnBackendExecute=3000",
  ];
  for (const refusal of refusals) {
    const { out, graphs, own } = await run(once, { EMULATOR_CUDNN: refusal });
    assert(out as number < near("bfloat16") && own, `${refusal}: ${out}`);
    assertEquals(graphs, []);
  }
  // A workspace for which there is no room, and one that is too much.
  for (const bytes of [600 << 20, 2 ** 31]) {
    const env = { EMULATOR_CUDNN_WORKSPACE: String(bytes), EMULATOR_MEMORY: String(512 << 20) };
    const { out, graphs, own } = await run(once, env);
    assert(out as number < near("bfloat16") && own, `${bytes} bytes: ${out}`);
    assertEquals(graphs, []);
  }
});

Deno.test("a call that fails is an error that names it and its status", async () => {
  for (
    const [planted, message] of [
      [
        "cudnnBackendExecute=5000",
        "cudnnBackendExecute failed: CUDNN_STATUS_EXECUTION_FAILED (5000): as planted",
      ],
      [
        "cudnnBackendExecute=2000",
        "cudnnBackendExecute failed: CUDNN_STATUS_BAD_PARAM (2000): as planted",
      ],
      [
        "cudnnBackendFinalize:5=1001",
        "cudnnBackendFinalize failed: CUDNN_STATUS_NOT_INITIALIZED (1001): as planted",
      ],
      [
        "cudnnBackendCreateDescriptor:17=4003",
        "cudnnBackendCreateDescriptor failed: CUDNN_STATUS_OTHER (4003): as planted",
      ],
    ]
  ) {
    assertFails(planted, message, (await run(once, { EMULATOR_CUDNN: planted })).out);
  }
});

Deno.test("a plan is made once, of the first shapes only; a loop asks for no memory and waits for nothing", async () => {
  const { out, graphs, own, waits } = await run(`${attend}
    import { scope } from "${root}mod.ts";
    const shape = [1, 1, 64, 16];
    const [q, k, v, g] = [1, 2, 3, 4].map(() => randn(shape).to("bfloat16").to("cuda"));
    for (const t of [q, k, v]) t.requiresGrad_();
    const step = () => scope(() => {
      F.scaledDotProductAttention(q, k, v, { isCausal: true }).backward(g);
      for (const t of [q, k, v]) {
        t.grad!.dispose();
        t.grad = null;
      }
    });
    step();
    step();
    // From here on no plan can be made.
    Deno.env.set("EMULATOR_CUDNN", "cudnnBackendFinalize:5=5000");
    const before = cuda.memory();
    for (let i = 0; i < 5; i++) step();
    const after = cuda.memory();
    Deno.env.set("EMULATOR_CUDNN", "");
    const few = randn([1, 1, 64, 8]).to("bfloat16").to("cuda");
    const wide = Array.from({ length: 70 }, (_, i) => {
      const [a, b] = [8 + i % 8 * 8, 8 + (i >> 3) * 8].map((width) => few.expand([1, 1, 64, 8]).repeat([1, 1, 1, width / 8]));
      return F.scaledDotProductAttention(a, a, b);
    });
    console.log(JSON.stringify([after.allocations - before.allocations, wide.length]));
  `);
  assertEquals(out, [0, 70]);
  assertEquals(graphs.length, 14 + 62);
  assert(own);
  // Operands go up without waiting.
  assertEquals(waits, 0);
});

Deno.test("each device has plans of its own", async () => {
  const { out, graphs, own } = await run(
    `${attend}
    const of = (device: string) => {
      const x = randn([1, 1, 64, 8]).to("float16").to(device);
      return Number.isFinite(F.scaledDotProductAttention(x, x, x).sum().item());
    };
    console.log(JSON.stringify(["cuda:0", "cuda:1", "cuda:0", "cuda:1"].map(of)));
  `,
    { EMULATOR_DEVICES: "2" },
  );
  assertEquals(out, [true, true, true, true]);
  assertEquals([graphs.length, own], [4, false]);
});

Deno.test("NVRTC is opened for what the library compiles, and what it refuses without it the own kernels do", async () => {
  const look = async (env: Record<string, string>) => {
    const source = `${attend}
      const off = attend({ q: [1, 2, 64, 16], k: [1, 2, 64, 16] });
      const { name, version, reason } = cuda.libraries()[3];
      console.log(JSON.stringify([name, version, reason, off]));
    `;
    const { out, own } = await run(source, { EMULATOR_CUDNN_COMPILES: "1", ...env });
    const [name, version, reason, off] = out as [string, string | null, string | null, number];
    assert(name === "NVRTC" && off < near("bfloat16"), `${out}`);
    return { version, reason, own };
  };
  assertEquals(await look({}), { version: "13.2", reason: null, own: false });
  await inFolder(async (folder) => {
    const emulator = Deno.env.get("TORO_CUDA_PATH")!;
    for await (const { name } of Deno.readDir(emulator)) {
      if (/^lib(cu|toro).*\.so/.test(name)) {
        await Deno.symlink(`${emulator}/${name}`, `${folder}/${name}`);
      }
    }
    const { version, reason, own } = await look({ TORO_CUDA_PATH: folder });
    assert(version === null && own);
    assertMatch(reason!, /libnvrtc/);
  });
});

const found = `${attend}
  const off = attend({ q: [1, 2, 64, 16], k: [1, 2, 64, 16] });
  const { name, version, reason } = cuda.libraries()[2];
  console.log(JSON.stringify([name, version ?? reason, off]));
`;

/** What the library says of its attention, which must work all the same; whether the own kernels did it. */
async function look(env: Record<string, string>): Promise<[string, boolean]> {
  const { out, own } = await run(found, env);
  const [name, says, off] = out as [string, string, number];
  assert(off < near("bfloat16"), `${off}`);
  assertEquals(name, "cuDNN attention");
  return [says, own];
}

Deno.test("its version is told, and why it is not used", async () => {
  assertEquals(await look({}), ["9.28.1", false]);
  assertEquals(await look({ EMULATOR_CUDNN_VERSION: "91501" }), ["9.15.1", false]);
  assertEquals(await look({ EMULATOR_CUDNN_VERSION: "91500" }), [
    "it is version 9.15.0, and attention needs 9.15.1",
    true,
  ]);
  assertEquals(await look({ TORO_CUDA_LIBRARIES: "cuBLASLt" }), [
    "TORO_CUDA_LIBRARIES does not name it",
    true,
  ]);
});

Deno.test("a library that lacks graphs, their part or cuBLASLt does not attend", () =>
  inFolder(async (folder) => {
    const emulator = Deno.env.get("TORO_CUDA_PATH")!;
    const source = new URL("../../native/emulator/cudnn.cpp", import.meta.url).pathname;
    const driver = `${emulator}/libcuda.so.1`, cnn = `${folder}/libcudnn_cnn.so.9`;
    const args = ["-std=c++20", "-O1", "-shared", "-fPIC", source, driver, "-o", cnn];
    assert((await new Deno.Command("g++", { args }).output()).success);
    for (const name of ["libcudnn.so.9", "libcudnn_cnn.so.9"]) {
      if (name !== "libcudnn_cnn.so.9") await Deno.symlink(cnn, `${folder}/${name}`);
    }
    await Deno.symlink(driver, `${folder}/libcuda.so.1`);
    const env = { TORO_CUDA_PATH: folder, LD_LIBRARY_PATH: folder };
    // A machine may have either.
    const first = await look(env);
    assertMatch(first[0], /^it needs cuBLASLt: |libcudnn_graph\.so\.9|it lacks cudnn/);
    await Deno.symlink(`${emulator}/libcublasLt.so.13`, `${folder}/libcublasLt.so.13`);
    const second = await look(env);
    assertMatch(second[0], /libcudnn_graph\.so\.9|it lacks cudnn/);
    await Deno.symlink(cnn, `${folder}/libcudnn_graph.so.9`);
    const third = await look(env);
    assertEquals(third[0], "it lacks cudnnBackendCreateDescriptor");
    assertEquals([first[1], second[1], third[1]], [true, true, true]);
  }));

const planted: Record<string, RegExp> = {
  no_stream: /the handle has no stream/,
  stride_of_zero: /dim 1 has a stride of 0/,
  empty_dim: /dim 0 has 0 elements/,
  three_dims: /3 sizes and 3 strides in place of four/,
  unknown_type: /a type of number 99/,
  without_sizes: /a descriptor of kind 17 without attribute 902/,
  wrong_form: /attribute 902 is of type 3, not 1/,
  same_number: /two tensors of number 1/,
  odd_alignment: /an alignment of 12/,
  unknown_attribute: /a descriptor of kind 17 has no attribute 777/,
  never_finished: /attribute 1520 is not finished/,
  sums_in_half: /a product summed in type 2/,
  product_of_float32: /a product of types 0 and 2/,
  wrong_product: /1x2x4x8 by 1x2x16x4 gives 1x2x4x4/,
  value_of_two: /a value of 8 elements/,
  set_when_finished: /attribute 901 of a descriptor that is finished/,
  finished_twice: /a descriptor of kind 17 is finished twice/,
  unknown_part: /SetAttribute is wrong: .* was not made, or is destroyed/,
  read_before_made: /tensor 102 is read before it is made/,
  made_twice: /tensor 102 is made twice/,
  written_value: /a value is written/,
  math_in_half: /mode 1 in type 2/,
  without_b: /mode 1 without b and without t/,
  without_t: /mode 601 with b and without t/,
  without_axis: /mode 501 without an axis/,
  numbers_as_floats: /mode 501 of type 0 gives type 0/,
  truth_as_float: /mode 303 of type 4 gives type 0/,
  unknown_mode: /a mode of number 12/,
  unknown_reduction: /a reduction of number 7/,
  wrong_reduction: /1x2x4x4 is made 1x2x3x1/,
  wrong_spread: /x of 1x2x4x4 and b of none give y of 1x2x4x8/,
  without_handle: /a descriptor of kind 15 without attribute 800/,
  wrong_handle: /SetAttribute is wrong: .* is something else/,
  tensor_as_operation: /a descriptor of kind 17 as attribute 801/,
  unknown_heuristic: /a heuristic of number 9/,
  asked_too_early: /a descriptor of kind 4 that is not finished/,
  results_elsewhere: /a descriptor of kind 2 for a configuration/,
  plan_of_another: /the plan is another handle's/,
  refusing_engine: /refused: cudnnBackendFinalize gives 3000/,
  sums_by_time: /cudnnBackendExecute is wrong: engine 1/,
  size_as_number: /attribute 402 of type 11 of a descriptor of kind 5/,
  small_workspace: /the workspace: \d+ bytes at .* are not in one device allocation/,
  no_workspace: /the workspace: \d+ bytes at .* are not in one device allocation/,
  operand_too_short: /tensor 1: 128 bytes at .* are not in one device allocation/,
  off_its_place: /cudnnBackendExecute is wrong: tensor 1 at/,
  memory_of_the_process: /tensor 1: 128 bytes at .* are not in one device allocation/,
  value_on_the_device: /tensor 5 is a value, and in device memory/,
  no_value: /tensor 5 has no value/,
  tensor_left_out: /tensor 6 is not given/,
  tensor_too_many: /7 tensors are given, of which the graph has 6/,
  tensor_given_twice: /tensor 1 is given twice/,
  virtual_given: /tensor 101 is given/,
  place_left_out: /6 numbers for 5 places/,
  pack_not_finished: /a descriptor that is not finished/,
  pack_for_plan: /descriptors of kinds 5 and 15/,
  destroyed_tensor: /cudnnBackendExecute is wrong: .* is destroyed/,
  destroyed_plan: /cudnnBackendExecute is wrong: .* is destroyed/,
  destroyed_twice: /cudnnBackendDestroyDescriptor is wrong: .* is destroyed/,
  destroyed_handle: /cudnnBackendExecute is wrong: .* is destroyed/,
};

Deno.test("every mistake with a graph that is planted is caught, and nothing without one", async () => {
  const [, program] = await buildPlantedCudnn();
  const make = async (name: string, form: string) => {
    const { code, stderr } = await new Deno.Command(program, {
      args: [name, form],
      env: { EMULATOR_LOG: "0", EMULATOR_CUDNN: "" },
    }).output();
    return { code, text: new TextDecoder().decode(stderr) };
  };
  for (const [name, says] of Object.entries(planted)) {
    const { code, text } = await make(name, "wrong");
    assertEquals(code, 4, name);
    assertMatch(text, says, name);
  }
  assertEquals(await make("none", "right"), { code: 0, text: "" });
  const source = await Deno.readTextFile(
    new URL("../../native/emulator/planted_cudnn_graph.cpp", import.meta.url),
  );
  const mistakes = new Set([...source.matchAll(/is\("(\w+)"\)/g)].map((m) => m[1]));
  assertEquals([...mistakes].sort(), Object.keys(planted).sort());
});
