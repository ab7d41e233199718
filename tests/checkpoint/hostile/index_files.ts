/** Hostile and odd indexes of sharded files, in the Hugging Face layout. */
import { type Hostile, utf8 } from "./bytes.ts";
import { safetensors } from "./safetensors_files.ts";

/** An index as JSON or text, and the files beside it. */
function make(
  name: string,
  refused: Hostile["refused"],
  index: unknown,
  beside: Hostile["beside"] = {},
): Hostile {
  const bytes = () =>
    index instanceof Uint8Array
      ? index
      : utf8(typeof index === "string" ? index : JSON.stringify(index));
  return { name: `index: ${name}`, ending: ".safetensors.index.json", bytes, beside, refused };
}

/** A file with tensors of one float32 each. */
const shard = (...names: string[]) => (): Uint8Array => {
  const entries = names.map((name, i) =>
    [name, { dtype: "F32", shape: [1], data_offsets: [4 * i, 4 * i + 4] }] as const
  );
  return safetensors(Object.fromEntries(entries), 4 * names.length);
};

/** Where tensor x lies. */
const map = (file: unknown): Record<string, unknown> => ({ metadata: {}, weight_map: { x: file } });

const notBeside = "names no file beside it";

/** The files. */
export const indexFiles: readonly Hostile[] = [
  make("empty", "no index", ""),
  make("no JSON", "no index", "{nope"),
  make("null", "no index", "null"),
  make("a list", "no index", "[]"),
  make("no weight_map", "no index", { metadata: {} }),
  make("a weight_map that is a list", "no index", { weight_map: ["a"] }),
  make("a weight_map that is a text", "no index", { weight_map: "a" }),
  make("metadata that are a list", "no index", { metadata: [1], weight_map: {} }),
  make("no UTF-8", "no index", new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])),
  make("200,000 brackets", "no index", `{"weight_map":${"[".repeat(200_000)}`),
  make("a folder above", notBeside, map("../file.safetensors")),
  make("a folder below", notBeside, map("a/file.safetensors")),
  make("an absolute path", notBeside, map("/etc/passwd")),
  make("backslashes", notBeside, map("..\\..\\file.safetensors")),
  make("the folder itself", notBeside, map(".")),
  make("the folder above itself", notBeside, map("..")),
  make("no name", notBeside, map("")),
  make("a NUL in a name", notBeside, map("a\0b")),
  make("a number for a name", notBeside, map(1)),
  make("an object for a name", notBeside, map({ file: "a" })),
  make("a name of 500,000 letters", "", map("a".repeat(500_000))),
  make("a file that is not there", "there is no such file", map("none.safetensors")),
  make("itself", "no safetensors file", map("file.safetensors.index.json")),
  make("another index", "no safetensors file", map("other.safetensors.index.json"), {
    "other.safetensors.index.json": () => utf8(JSON.stringify(map("file.safetensors.index.json"))),
  }),
  make("a file without the tensor", "tensor x is not in a.safetensors", map("a.safetensors"), {
    "a.safetensors": shard("y"),
  }),
  make("a file with more tensors", "a.safetensors has 2 tensors", map("a.safetensors"), {
    "a.safetensors": shard("x", "y"),
  }),
  make("a tensor twice", /twice/, '{"weight_map":{"x":"a.safetensors","x":"b.safetensors"}}', {
    "a.safetensors": shard("x"),
    "b.safetensors": shard("x"),
  }),
  make("a damaged file", "truncated", map("a.safetensors"), {
    "a.safetensors": () => shard("x")().subarray(0, 60),
  }),
  make("Toro's mark without a checksum", "checksum", {
    metadata: { toro_version: "2" },
    weight_map: { x: "a.safetensors" },
  }, { "a.safetensors": shard("x") }),
  make("two files", null, { metadata: { total_size: 8 }, weight_map: { x: "a", y: "b" } }, {
    a: shard("x"),
    b: shard("y"),
  }),
  make(
    "names from Object's prototype",
    null,
    '{"weight_map":{"__proto__":"a","constructor":"a"}}',
    {
      a: () =>
        safetensors(
          '{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"constructor":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}',
          2,
        ),
    },
  ),
  make("no tensors", null, { weight_map: {} }),
];
