/** Good files of every kind, which a fuzzer damages: as they are, or inside, with lengths and checksums made right again. */
import { arange, checkpoint, nn, ones, optim, type Tensor, tensor, zeros } from "@toro/toro";
import type { ByteSource } from "../../../src/checkpoint/disk.ts";
import { readWhole, readZip, ZipWriter } from "../../../src/checkpoint/zip.ts";
import { join, u64, utf8 } from "./bytes.ts";
import { safetensors, seal, sealed } from "./safetensors_files.ts";
import { ALL_DTYPES } from "../folders.ts";

/** A good file and what may be damaged of it. */
export interface Seed {
  readonly name: string;
  /** How the file's name ends. */
  readonly ending: string;
  /** What is damaged. */
  readonly inner: Uint8Array<ArrayBuffer>;
  /** The file around it. */
  wrap(inner: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>;
  /** Whether nothing may change unseen: a damaged file is refused, or means the same. */
  readonly isSealed: boolean;
}

const asItIs = (bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => bytes;

/** A state with everything that a checkpoint may hold. */
function everything(): Record<string, unknown> {
  return {
    tensors: Object.fromEntries(
      ALL_DTYPES.map((dtype) => [dtype, tensor([[0, 1], [1, 1]], { dtype })]),
    ),
    view: arange(6).reshape([2, 3]).transpose(0, 1),
    none: zeros([0, 3]),
    scalar: ones([]),
    numbers: [1, -0, NaN, Infinity, 1e-300, 2n ** 63n],
    array: new Float64Array([1, 2]),
    map: new Map<unknown, unknown>([[1, "a"], ["k", { deep: tensor([7]) }]]),
    odd: { $tensor: "x", "a.b": 1, text: 'a " and \u{1f600}', nothing: null, yes: true },
  };
}

/** The length and header of a safetensors file, and its data. */
function takeApart(
  file: Uint8Array<ArrayBuffer>,
): { header: Uint8Array<ArrayBuffer>; data: Uint8Array<ArrayBuffer> } {
  const length = Number(new DataView(file.buffer).getBigUint64(0, true));
  return { header: file.slice(8, 8 + length), data: file.slice(8 + length) };
}

/** Bytes as a file's. */
export function sourceOf(bytes: Uint8Array): ByteSource {
  const readBytes = (at: number, length: number) => {
    if (at < 0 || length < 0 || at + length > bytes.length) {
      throw new RangeError("bytes that are not there");
    }
    return bytes.slice(at, at + length);
  };
  return {
    size: bytes.length,
    readBytes,
    readInto: (at, buffer) => buffer.set(readBytes(at, buffer.length)),
  };
}

/** A zip archive whose lengths and CRCs are right, whatever is in it. */
export function archive(
  entries: Iterable<readonly [string, Uint8Array<ArrayBuffer>]>,
): Uint8Array<ArrayBuffer> {
  const pieces: Uint8Array[] = [];
  const zip = new ZipWriter((bytes) => pieces.push(bytes.slice()));
  for (const [name, bytes] of entries) zip.add(name, bytes.length, [bytes]);
  zip.finish();
  return join(...pieces);
}

/** An archive of which one entry is damaged, and the others are as they were. */
function archived(
  name: string,
  ending: string,
  file: Uint8Array<ArrayBuffer>,
  isDamaged: (entry: string) => boolean,
): Seed {
  const source = sourceOf(file);
  const entries = [...readZip(source)].map(([entry, at]) =>
    [entry, readWhole(source, at)] as const
  );
  const at = entries.findIndex(([entry]) => isDamaged(entry));
  return {
    name,
    ending,
    inner: entries[at][1],
    wrap: (inner) => archive(entries.with(at, [entries[at][0], inner])),
    isSealed: false,
  };
}

/** The seeds. `folder` is for files that are made on the way. */
export async function seeds(folder: string): Promise<Seed[]> {
  const path = `${folder}/seed`;
  await checkpoint.save(`${path}.safetensors`, everything());
  const saved = await Deno.readFile(`${path}.safetensors`);
  const { header, data } = takeApart(saved);
  // A model and its optimiser after a step, which is what most files of PyTorch's hold.
  const model = new nn.Sequential(new nn.Linear(2, 3), new nn.BatchNorm1d(3));
  const optimizer = new optim.Adam(model.parameters());
  model.forward(ones([4, 2])).sum().backward();
  optimizer.step();
  await checkpoint.saveTorch(`${path}.pth`, {
    model: model.stateDict(),
    optimizer: optimizer.stateDict(),
    shared: [arange(4), arange(4).reshape([2, 2]).transpose(0, 1)],
    note: "text",
    numbers: [1, 2.5, -3, 2 ** 40, true, null],
  });
  await checkpoint.saveNumpy(`${path}.npy`, arange(6).reshape([2, 3]));
  await checkpoint.saveNumpy(`${path}.npz`, { a: arange(6).reshape([2, 3]), b: ones([]) });
  const [pth, npy, npz] = [".pth", ".npy", ".npz"].map((ending) =>
    Deno.readFileSync(path + ending)
  );
  const golden = (name: string) =>
    Deno.readFileSync(new URL(`../../golden/torch/${name}`, import.meta.url));
  const x = (dtype: string, shape: number[], from: number, to: number) => ({
    dtype,
    shape,
    data_offsets: [from, to],
  });
  const plain = {
    __metadata__: { format: "pt", note: "plain" },
    a: x("F32", [2, 2], 0, 16),
    b: x("I64", [1], 16, 24),
    c: x("BOOL", [3], 24, 27),
    "": x("BF16", [0], 27, 27),
  };
  return [
    { name: "checkpoint", ending: ".safetensors", inner: saved, wrap: asItIs, isSealed: true },
    {
      name: "checkpoint header",
      ending: ".safetensors",
      inner: header,
      wrap: (inner) => seal(join(u64(inner.length), inner, data)),
      isSealed: false,
    },
    {
      name: "checkpoint state",
      ending: ".safetensors",
      inner: utf8(
        '{"x":{"$tensor":"x"},"m":{"$map":[[1,2],["k",{"$number":"NaN"}]]},"b":{"$bigint":"12"},"o":{"$object":{"$a":[1,null,true]}},"u":{"$undefined":true}}',
      ),
      wrap: (inner) => sealed(new TextDecoder().decode(inner), 8),
      isSealed: false,
    },
    {
      name: "safetensors",
      ending: ".safetensors",
      inner: safetensors(plain, 27),
      wrap: asItIs,
      isSealed: false,
    },
    {
      name: "safetensors header",
      ending: ".safetensors",
      inner: utf8(JSON.stringify(plain)),
      wrap: (inner) => join(u64(inner.length), inner, new Uint8Array(27)),
      isSealed: false,
    },
    { name: "torch", ending: ".pth", inner: pth, wrap: asItIs, isSealed: false },
    archived("torch pickle", ".pth", pth, (entry) => entry.endsWith("/data.pkl")),
    ...["values.pth", "run_adamw.pth", "protocol5.pth", "protocol4.pth"].map((name) =>
      archived(`torch pickle ${name}`, ".pth", golden(name), (entry) => entry.endsWith("/data.pkl"))
    ),
    { name: "npy", ending: ".npy", inner: npy, wrap: asItIs, isSealed: false },
    { name: "npz", ending: ".npz", inner: npz, wrap: asItIs, isSealed: false },
    {
      name: "npz deflated",
      ending: ".npz",
      inner: golden("compressed.npz"),
      wrap: asItIs,
      isSealed: false,
    },
    archived("npz array", ".npz", npz, (entry) => entry === "a.npy"),
  ];
}

/** Whether two values of a state are the same, tensors by type, shape and bytes. */
export function isSame(a: unknown, b: unknown): boolean {
  return text(a) === text(b);
}

function text(value: unknown): string {
  return JSON.stringify(value, function (key, each) {
    // A Tensor's own way of becoming JSON is no concern here.
    const given = this[key] ?? each;
    if (isTensor(given)) {
      return [given.dtype, given.shape, plainText(given.contiguous().toTypedArray())];
    }
    if (given instanceof Map) return ["map", ...given];
    if (ArrayBuffer.isView(given)) return plainText(given as Float64Array);
    if (typeof given === "bigint") return `${given}n`;
    if (typeof given === "number") return Object.is(given, -0) ? "-0" : String(given);
    return given;
  });
}

function isTensor(value: unknown): value is Tensor {
  return typeof value === "object" && value !== null && "toTypedArray" in value;
}

function plainText(array: ArrayLike<number | bigint>): string {
  return `${array.constructor.name} ${Array.from(array, String).join(",")}`;
}
