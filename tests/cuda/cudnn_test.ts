/**
 * Convolutions by cuDNN, on a stand-in that checks what it is told and computes on the CPU: every case of the table's
 * convolutions and their gradients give what the CPU gives, with the library and without it; what it refuses the own
 * kernels do, and what fails is an error. Mistakes with it are planted, and each is said.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { buildPlantedCudnn } from "../../scripts/emulator.ts";
import { inFolder } from "../folder.ts";
import { assertFails, root, runScript } from "./script.ts";

/** What a script printed as JSON, the calls that cuDNN logged, and whether the own kernels convolved. */
interface Report {
  out: unknown;
  calls: string[];
  own: boolean;
}

/** Runs a script with the library on, unless the environment says otherwise. Nothing may be wrong with any call. */
async function run(source: string, env: Record<string, string> = {}): Promise<Report> {
  const { out, log } = await runScript(source, env);
  assert(!log.includes("is wrong"), log);
  return {
    out,
    calls: [...log.matchAll(/^emulator: cudnn(\w+ .*)$/gm)].map((m) => m[1]),
    own: /^emulator: conv/m.test(log),
  };
}

const cases = `
  import { cases } from "${root}tests/ops/case_table.ts";
  import { assertSame, dtypesOf, gradientsOf, runForm, toleranceOf } from "${root}tests/ops/check.ts";
  import "${root}mod.ts";
  const names = Object.keys(cases).filter((name) => name.startsWith("conv"));
  let count = 0;
  for (const name of names) {
    const entry = cases[name];
    for (const c of entry.cases) {
      for (const dtype of dtypesOf(entry, c)) {
        for (const layout of ["contiguous", "permuted", "gapped", "expanded"] as const) {
          const on = (device: number) => {
            const outcome = runForm(name, c, { dtype, layout, device, grad: dtype !== "int64" });
            return [outcome.results, gradientsOf(outcome, name)] as const;
          };
          const [want, wantGrads] = on(0), [got, gotGrads] = on(1);
          assertSame(got, want, toleranceOf(entry, dtype));
          assertSame(gotGrads, wantGrads, toleranceOf(entry, dtype), { what: "gradient" });
          count++;
        }
      }
    }
  }
  console.log(JSON.stringify({ names, count }));
`;

Deno.test("the convolutions of the case table, in every dtype and layout, are the CPU's, and so are gradients", async () => {
  const { out, calls } = await run(cases);
  const { names, count } = out as { names: string[]; count: number };
  assertEquals(names.length, 6);
  assert(count > 300, `${count} forms`);
  for (
    const call of ["ConvolutionForward", "ConvolutionBackwardData", "ConvolutionBackwardFilter"]
  ) {
    for (const type of ["0, math 3", "1, math 0", "2, math 1", "9, math 1"]) {
      const found = calls.filter((c) => c.startsWith(`${call} `) && c.endsWith(`type ${type}`));
      assert(found.length >= 10, `${found.length} calls of ${call} for type ${type}`);
    }
  }
  assert(calls.some((c) => c.startsWith("AddTensor")));
  for (const part of ["groups 2", "groups 3", "stride 2x1", "dilation 1x2", "padding 1x1x1"]) {
    assert(calls.some((c) => c.includes(part)), part);
  }
});

Deno.test("without the library the same cases are the own kernels' work", async () => {
  for (const names of ["0", "cublasLt"]) {
    const { out, calls, own } = await run(cases, { TORO_CUDA_LIBRARIES: names });
    assert((out as { count: number }).count > 300);
    assertEquals([calls, own], [[], true]);
  }
});

/** A convolution forward and backward on the device: how far it is from the CPU's. */
const network = `
  import { cuda, F, manualSeed, randn, tensor } from "${root}mod.ts";
  const all = (precision: "highest" | "high" = "highest") => {
    manualSeed(1);
    cuda.setFloat32MatmulPrecision(precision);
    const values = [randn([2, 4, 6, 5]), randn([6, 2, 3, 3]), randn([6])];
    const [want, got] = ["cpu", "cuda"].map((device) => {
      const [x, w, b] = values.map((t) => t.to(device).detach().requiresGrad_());
      const y = F.conv2d(x, w, b, { groups: 2, padding: 1, stride: 2 });
      y.mul(y).sum().backward();
      return [y, x.grad!, w.grad!, b.grad!].map((t) => t.detach().to("cpu"));
    });
    return got.map((t, i) => t.sub(want[i]).abs().max().item());
  };
`;
const says = `${network}
  let out: unknown;
  try { out = all(); } catch (error) { out = String(error); }
  console.log(JSON.stringify(out));
`;
const isNear = (out: unknown) => Array.isArray(out) && out.every((x) => x < 1e-4);

Deno.test("one dim is told as two; a transposed convolution is a gradient; bias is added", async () => {
  const { out, calls, own } = await run(`
    import { F, ones } from "${root}mod.ts";
    const on = (...shape: number[]) => ones(shape, { device: "cuda" });
    const sums = [
      F.conv1d(on(2, 3, 7), on(4, 3, 3), on(4), { padding: 1, dilation: 2 }),
      F.conv3d(on(1, 2, 3, 4, 5), on(2, 2, 2, 2, 2)),
      F.convTranspose2d(on(1, 2, 3, 3), on(2, 3, 2, 2), on(3), { stride: 2, padding: 1 }),
    ].map((y) => y.sum().item());
    console.log(JSON.stringify(sums));
  `);
  assertEquals(out, [352, 768, 144]);
  assertEquals(calls, [
    "ConvolutionForward x 2x3x1x7, w 4x3x1x3, y 2x4x1x5, stride 1x1, padding 0x1, dilation 1x2, groups 1, type 0, math 3",
    "AddTensor of 4 channels",
    "ConvolutionForward x 1x2x3x4x5, w 2x2x2x2x2, y 1x2x2x3x4, stride 1x1x1, padding 0x0x0, dilation 1x1x1, groups 1, type 0, math 3",
    "ConvolutionBackwardData x 1x3x4x4, w 2x3x2x2, y 1x2x3x3, stride 2x2, padding 1x1, dilation 1x1, groups 1, type 0, math 3",
    "AddTensor of 3 channels",
  ]);
  assert(!own);
});

Deno.test("TF32 is used where it is allowed only", async () => {
  const { out, calls } = await run(
    `${network} console.log(JSON.stringify([all(), all("high"), all()]));`,
  );
  const [exact, rough, again] = out as number[][];
  assert(isNear(exact) && isNear(again), `${exact}`);
  assert(rough[0] > 1e-5 && rough.every((x) => x < 0.3), `${rough}`);
  const math = calls.filter((c) => c.startsWith("Conv")).map((c) => c.at(-1));
  assertEquals(math, ["3", "3", "3", "0", "0", "0", "3", "3", "3"]);
});

Deno.test("what the library refuses the own kernels do", async () => {
  const refusals = [
    "cudnnSetTensorNdDescriptor=3004",
    "cudnnSetConvolutionNdDescriptor=2000",
    "cudnnGetConvolutionForwardAlgorithm_v7=3000,cudnnGetConvolutionBackwardDataAlgorithm_v7=2000,cudnnGetConvolutionBackwardFilterAlgorithm_v7=3003",
    "cudnnConvolutionForward=3000,cudnnConvolutionBackwardData=3001,cudnnConvolutionBackwardFilter=3002",
    "cudnnAddTensor=3000",
    "cudnnCreate=1001",
    "cudnnSetStream=1001",
  ];
  for (const refusal of refusals) {
    const { out, own } = await run(says, { EMULATOR_CUDNN: refusal });
    assert(isNear(out) && own, `${refusal}: ${out}`);
  }
  // A workspace for which there is no room, and one that is too much.
  for (const bytes of [600 << 20, 2 ** 31]) {
    const env = { EMULATOR_CUDNN_WORKSPACE: String(bytes), EMULATOR_MEMORY: String(512 << 20) };
    const { out, own, calls } = await run(says, env);
    assert(isNear(out) && own, `${bytes} bytes: ${out}`);
    assertEquals(calls, []);
  }
});

Deno.test("each device has a handle of its own", async () => {
  const { out, calls } = await run(
    `
    import { F, ones } from "${root}mod.ts";
    const sums = [0, 1, 0, 1].map((i) => {
      const on = (...shape: number[]) => ones(shape, { device: "cuda:" + i });
      return F.conv2d(on(1, 2, 4, 4), on(3, 2, 3, 3)).sum().item();
    });
    console.log(JSON.stringify(sums));
  `,
    { EMULATOR_DEVICES: "2" },
  );
  assertEquals(out, [216, 216, 216, 216]);
  assertEquals(calls.length, 4);
});

Deno.test("views go to the library with their strides where the weight is dense", async () => {
  const { out, calls, own } = await run(`
    import { F, manualSeed, randn, type Tensor } from "${root}mod.ts";
    manualSeed(1);
    const forms: [shape: number[], view: (t: Tensor) => Tensor][] = [
      [[1, 5, 4], (t) => t.permute([0, 2, 1])],
      [[2, 6, 5, 4], (t) => t.permute([0, 3, 1, 2])],
      [[4, 4, 6, 8], (t) => t.narrow(0, 1, 2).narrow(3, 0, 5)],
      [[4, 2, 3, 6, 4], (t) => t.transpose(0, 1)],
    ];
    const off = forms.map(([shape, view], i) => {
      const conv = [F.conv1d, F.conv2d, F.conv3d][shape.length - 3];
      const values = [randn(shape), randn([3, 4, 3, 3, 3].slice(0, shape.length))];
      const [want, got] = ["cpu", "cuda"].map((device) => {
        const [x, w] = values.map((t) => t.to(device).detach().requiresGrad_());
        const y = conv(view(x), w, null, { padding: 1, stride: 1 + i % 2 });
        y.mul(y).sum().backward();
        return [y, x.grad!, w.grad!].map((t) => t.detach().to("cpu"));
      });
      return Math.max(...got.map((t, k) => t.sub(want[k]).abs().max().item()));
    });
    console.log(JSON.stringify(off));
  `);
  assert(isNear(out), `${out}`);
  assertEquals(calls.length, 12);
  assert(!own);
});

Deno.test("operands that lie as it does not take them are the own kernels'", async () => {
  const { out, calls, own } = await run(`
    import { F, manualSeed, randn } from "${root}mod.ts";
    manualSeed(1);
    const w = randn([3, 2, 3, 3]), b = randn([3]);
    const views = [
      (t: typeof w) => t.expand([2, 2, 6, 6]),
      (t: typeof w) => t.narrow(3, 1, 5),
    ];
    const off = [randn([1, 2, 6, 6]), randn([2, 2, 6, 6])].map((x, i) => {
      const view = views[i], want = F.conv2d(view(x), w, b);
      const got = F.conv2d(view(x.to("cuda")), w.to("cuda"), b.to("cuda"));
      return got.to("cpu").sub(want).abs().max().item();
    });
    console.log(JSON.stringify(off));
  `);
  assert(isNear(out), `${out}`);
  assertEquals([calls, own], [[], true]);
});

Deno.test("a call that fails is an error that names it and its status", async () => {
  for (
    const [planted, message] of [
      [
        "cudnnConvolutionForward=5000",
        "cudnnConvolutionForward failed: CUDNN_STATUS_EXECUTION_FAILED (5000): as planted",
      ],
      [
        "cudnnConvolutionBackwardData=2000",
        "cudnnConvolutionBackwardData failed: CUDNN_STATUS_BAD_PARAM (2000): as planted",
      ],
      [
        "cudnnConvolutionBackwardFilter=4000",
        "cudnnConvolutionBackwardFilter failed: CUDNN_STATUS_OTHER (4000): as planted",
      ],
      [
        "cudnnGetConvolutionForwardAlgorithm_v7=1001",
        "cudnnGetConvolutionForwardAlgorithm_v7 failed: CUDNN_STATUS_NOT_INITIALIZED (1001): as planted",
      ],
      [
        "cudnnCreateTensorDescriptor=4003",
        "cudnnCreateTensorDescriptor failed: CUDNN_STATUS_OTHER (4003): as planted",
      ],
    ]
  ) {
    assertFails(planted, message, (await run(says, { EMULATOR_CUDNN: planted })).out);
  }
});

const found = `${network}
  console.log(JSON.stringify({ libraries: cuda.libraries(), off: all() }));
`;
interface Found {
  libraries: { name: string; version: string | null; reason: string | null }[];
  off: number[];
}

Deno.test("versions are told, and why a library is not used", async () => {
  const look = async (env: Record<string, string>) => {
    const { out, own } = await run(found, env);
    const { libraries, off } = out as Found;
    assert(isNear(off), `${off}`);
    const [lt, dnn] = libraries;
    assertEquals([lt.name, dnn.name], ["cuBLASLt", "cuDNN"]);
    assertEquals(own, dnn.version === null);
    return [lt.version ?? lt.reason, dnn.version ?? dnn.reason];
  };
  assertEquals(await look({}), ["13.0.0", "9.28.1"]);
  assertEquals(await look({ TORO_CUDA_LIBRARIES: "cuDNN" }), [
    "TORO_CUDA_LIBRARIES does not name it",
    "9.28.1",
  ]);
  assertEquals(
    (await look({ EMULATOR_CUDNN_VERSION: "100203" }))[1],
    "it is version 10.2.3, and Toro knows 9",
  );
});

Deno.test("a library that lacks an entry point or a part is none", () =>
  inFolder(async (folder) => {
    const source = `${folder}/cudnn.c`, emulator = Deno.env.get("TORO_CUDA_PATH")!;
    await Deno.writeTextFile(source, "unsigned long cudnnGetVersion(void) { return 92801; }\n");
    const build = async (name: string) => {
      const args = ["-shared", "-fPIC", source, "-o", `${folder}/${name}`];
      assert((await new Deno.Command("gcc", { args }).output()).success);
    };
    // The driver is the emulator's; nothing else of it may be found.
    await Deno.symlink(`${emulator}/libcuda.so.1`, `${folder}/libcuda.so.1`);
    const look = async () => {
      const { out, own } = await run(found, { TORO_CUDA_PATH: folder });
      const { libraries, off } = out as Found;
      assert(own && isNear(off));
      return libraries[1].reason!;
    };
    // A machine may have the part.
    await build("libcudnn.so.9");
    assertMatch(await look(), /libcudnn_cnn\.so\.9|it lacks cudnn/);
    await build("libcudnn_cnn.so.9");
    assertEquals(await look(), "it lacks cudnnGetErrorString");
  }));

const planted: Record<string, RegExp> = {
  no_context: /cudnnCreate is wrong: no context is current/,
  no_stream: /the handle has no stream/,
  destroyed_handle: /was not made, or is destroyed/,
  destroyed_description: /was not made, or is destroyed/,
  destroyed_twice: /cudnnDestroyTensorDescriptor is wrong: .* is destroyed/,
  never_set: /a description that was not set/,
  operands_in_disorder: /is something else/,
  three_dims: /cudnnSetTensorNdDescriptor is wrong: 3 dims/,
  empty_dim: /dim 3 has 0 elements/,
  stride_of_zero: /dim 1 has a stride of 0/,
  shared_places: /elements share places along dim 1/,
  wrong_type: /types 0, 0, 2/,
  wrong_format: /a format of number 1/,
  sums_in_half: /type 0 is summed in 2/,
  wrong_channels: /w of 3 and 1/,
  wrong_groups: /2 groups/,
  wrong_output: /3 windows of 3 in 4 along dim 1/,
  stride_of_none: /dim 1: padding 0, stride 0, dilation 1/,
  unknown_math: /a math type of number 9/,
  algorithm_that_refuses: /cudnnConvolutionForward is wrong: algorithm 4/,
  no_workspace: /the workspace: 289 bytes at .* are not in one device allocation/,
  small_workspace: /a workspace of 288 bytes, 289 are wanted/,
  workspace_beyond_its_memory: /the workspace: 290 bytes/,
  off_its_place: /cudnnConvolutionForward is wrong: x at/,
  operand_too_short: /x: 128 bytes at .* are not in one device allocation/,
  memory_of_the_process: /x: 128 bytes at .* are not in one device allocation/,
  result_unwritten_before: /wrong: y\[0\] is -?nan/,
};

Deno.test("every mistake with the library that is planted is caught, and nothing without one", async () => {
  const [program] = await buildPlantedCudnn();
  const make = async (name: string, form: string) => {
    const { code, stderr } = await new Deno.Command(program, {
      args: [name, form],
      env: { EMULATOR_LOG: "0", EMULATOR_CUDNN: "" },
    }).output();
    return { code, text: new TextDecoder().decode(stderr) };
  };
  for (const [name, says] of Object.entries(planted)) {
    assertMatch((await make(name, "wrong")).text, says, name);
  }
  assertEquals(await make("none", "right"), { code: 0, text: "" });
  const source = await Deno.readTextFile(
    new URL("../../native/emulator/planted_cudnn.cpp", import.meta.url),
  );
  const mistakes = new Set([...source.matchAll(/is\("(\w+)"\)/g)].map((m) => m[1]));
  assertEquals([...mistakes].sort(), Object.keys(planted).sort());
});
