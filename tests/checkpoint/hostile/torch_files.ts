/** Hostile and odd files of PyTorch's: archives that lie, and pickles that ask for what nobody should give. */
import { ZipWriter } from "../../../src/checkpoint/zip.ts";
import { type Fields, numbers, zip } from "./archives.ts";
import { type Hostile, join, utf8 } from "./bytes.ts";
import {
  body,
  call,
  int,
  nested,
  pickle,
  tensor,
  type TensorFields,
  text,
  torch,
} from "./pickles.ts";

const make = (
  name: string,
  refused: Hostile["refused"],
  bytes: () => Uint8Array,
): Hostile => ({ name: `torch: ${name}`, ending: ".pth", bytes, refused });

const one = (given: Partial<TensorFields>, bytes = 8) =>
  torch(pickle(tensor(given)), { [given.key ?? "0"]: bytes });

/** An entry with other claims in one of its headers. */
const lying = (name: string, where: "local" | "central", claims: Partial<Fields>) => () =>
  torch(
    pickle(tensor()),
    { 0: 8 },
    (entries) => entries.map((e) => e.name === name ? { ...e, [where]: claims } : e),
  );

const good = () => torch(pickle(tensor()), { 0: 8 });

/** A file of 60,000 tensors of one element, as PyTorch would write it. */
function manyTensors(): Uint8Array<ArrayBuffer> {
  const count = 60_000;
  // What all share is remembered by the first.
  const names = [
    "ctorch._utils\n_rebuild_tensor_v2\n",
    "X\x07\0\0\0storage",
    "ctorch\nFloatStorage\n",
    "X\x03\0\0\0cpu",
    "ccollections\nOrderedDict\n",
  ];
  let codes = "";
  for (let i = 0; i < count; i++) {
    const key = `X${String.fromCharCode(`${i}`.length)}\0\0\0${i}`;
    const [rebuild, storage, type, place, hooks] = names.map((name, k) => {
      const memo = String.fromCharCode(k);
      return i === 0 ? `${name}q${memo}` : `h${memo}`;
    });
    codes += `${key}${rebuild}((${storage}${type}${key}${place}K\x01tQ` +
      `K\x00K\x01\x85K\x01\x85\x89${hooks})RtR`;
  }
  let all = new Uint8Array(2 ** 24), length = 0;
  const zip = new ZipWriter((bytes) => {
    const end = length + bytes.length;
    if (end > all.length) all = new Uint8Array(all.buffer.transfer(2 * end));
    all.set(bytes, length);
    length = end;
  });
  const add = (name: string, bytes: Uint8Array<ArrayBuffer>) =>
    zip.add(`a/${name}`, bytes.length, [bytes]);
  add("data.pkl", pickle("}(", codes, "u"));
  add("version", utf8("3"));
  const element = new Uint8Array(4);
  for (let i = 0; i < count; i++) add(`data/${i}`, element);
  zip.finish();
  return all.slice(0, length);
}

const PWNED = "touch /tmp/TORO_PWNED";

/** The files of PyTorch's. */
export const torchFiles: readonly Hostile[] = [
  // ---- what is legal ----
  make("a tensor", null, good),
  make(
    "names that are objects' own",
    null,
    () =>
      torch(pickle("}(", text("__proto__"), "}", text("x"), tensor(), "s", text(""), "Nu"), {
        0: 8,
      }),
  ),
  make("a view that repeats", null, () => one({ shape: [1000, 2], strides: [0, 1] })),
  make("the same list twice", null, () => torch(pickle("]q\x00h\x00\x86"))),
  // ---- what asks for code ----
  make(
    "os.system",
    "it asks for os.system, which is none",
    () => torch(call("os", "system", PWNED)),
  ),
  make("posix.system", "posix.system", () => torch(call("posix", "system", PWNED))),
  make("eval", "builtins.eval", () => torch(call("__builtin__", "eval", "1"))),
  make("exec by its new name", "builtins.exec", () => torch(call("builtins", "exec", "1"))),
  make("getattr", "builtins.getattr", () => torch(call("builtins", "getattr", "x"))),
  make(
    "a module's attribute with dots",
    "torch.nn.Module.__init__.__globals__",
    () => torch(pickle("ctorch.nn\nModule.__init__.__globals__\n")),
  ),
  make(
    "a name put together on the stack",
    "it asks for os.system",
    () => torch(pickle(text("os"), text("system"), 0x93)),
  ),
  make(
    "numpy's scalar",
    "values of NumPy are not supported",
    () => torch(call("numpy.core.multiarray", "scalar", "x")),
  ),
  make("Python 2's INST", "opcode 0x69", () => torch(pickle("(ios\nsystem\n"))),
  make("Python 2's OBJ", "opcode 0x6f", () => torch(pickle("(ccollections\nOrderedDict\no"))),
  make("NEWOBJ", "opcode 0x81", () => torch(pickle("ccollections\nOrderedDict\n)", 0x81))),
  make("an extension's code", "opcode 0x82", () => torch(pickle(0x82, 1))),
  make("a text persistent id", "opcode 0x50", () => torch(pickle("Pstorage\n"))),
  make(
    "a call of a storage type",
    "it calls what is no function",
    () => torch(pickle("ctorch\nFloatStorage\n)R")),
  ),
  make("a call of a text", "it calls what is no function", () => torch(pickle(text("x"), ")R"))),
  make(
    "a call with a list",
    "with what is no tuple",
    () => torch(pickle("ccollections\nOrderedDict\n]R")),
  ),
  make(
    "another function for a tensor with attributes",
    "another function than PyTorch's own",
    () =>
      torch(
        pickle("ctorch._tensor\n_rebuild_from_type_v2\n(c_codecs\nencode\nctorch\nTensor\n)}tR"),
      ),
  ),
  make(
    "attributes of a list",
    "it sets attributes of what is no OrderedDict",
    () => torch(pickle("]}b")),
  ),
  make("SETITEM on a list", "it adds to what is no dict", () => torch(pickle("]K\x00K\x01s"))),
  make(
    "SETITEM on a tensor",
    "it adds to what is no dict",
    () => torch(pickle(tensor(), "K\x00K\x01s"), { 0: 8 }),
  ),
  make("APPEND to a tuple", "it adds to what is no list", () => torch(pickle(")Na"))),
  make(
    "a long name",
    "a global's name has more than 256 bytes",
    () => torch(pickle(`c${"x".repeat(100_000)}\ny\n`)),
  ),
  make("a name that is no UTF-8", "a text is no UTF-8", () => torch(pickle("c\xff\xfe\nx\n"))),
  // ---- sizes ----
  make("fewer bytes than elements", "needs 8 bytes and has 4", () => one({}, 4)),
  make("more bytes than elements", "needs 8 bytes and has 12", () => one({}, 12)),
  make(
    "a storage that is not there",
    'its storage "7" is missing',
    () => torch(pickle(tensor({ key: "7" })), { 0: 8 }),
  ),
  make(
    "a storage out of another folder",
    "is missing",
    () => torch(pickle(tensor({ key: "../../etc/passwd" })), { 0: 8 }),
  ),
  make("a view past the end", "ends at 3; its storage", () => one({ shape: [3] })),
  make("an offset past the end", "ends at 3; its storage", () => one({ offset: 1 })),
  make(
    "an offset past the end of nothing",
    "ends at 3; its storage",
    () => one({ offset: 3, shape: [0] }),
  ),
  make("a negative offset", "offset has -1", () => one({ offset: -1 })),
  make("a negative size", "shape has -2", () => one({ shape: [-2] })),
  make("a negative stride", "strides has -1", () => one({ strides: [-1] })),
  make("a size of 2^53", "shape has 9007199254740992n", () => one({ shape: [2n ** 53n] })),
  make(
    "sizes whose product wraps",
    "ends at",
    () => one({ shape: [2n ** 33n, 2n ** 33n], strides: [2n ** 33n, 1] }),
  ),
  make(
    "strides whose product wraps",
    "ends at",
    () => one({ shape: [2n ** 32n], strides: [2n ** 32n] }),
  ),
  make(
    "elements whose bytes wrap",
    'its storage "0"',
    () => one({ numel: 2n ** 52n, shape: [2n ** 52n] }),
  ),
  make("elements beyond every integer", "storage has", () => one({ numel: 2n ** 62n })),
  make(
    "one element repeated without end",
    "at most 2^32 are read",
    () => one({ shape: [2n ** 50n], strides: [0] }),
  ),
  make(
    "seventeen dims",
    "has 17 dims",
    () => one({ shape: Array(17).fill(1), strides: Array(17).fill(1) }),
  ),
  make("fewer strides than dims", "has 2 dims", () => one({ shape: [1, 1], strides: [1] })),
  make(
    "a size that is a text",
    "size has",
    () => torch(pickle("ctorch\nSize\n", text("x"), 0x85, 0x85, "R")),
  ),
  make(
    "one storage as two types",
    'storage "0" is 2 of float32 and 2 of int32',
    () => torch(pickle(tensor(), tensor({ type: "IntStorage" }), 0x86), { 0: 8 }),
  ),
  make(
    "one storage of two lengths",
    'storage "0" is 2 of float32 and 1 of float32',
    () => torch(pickle(tensor(), tensor({ numel: 1, shape: [1] }), 0x86), { 0: 8 }),
  ),
  make(
    "an integer that wants gradients",
    "cannot require gradients",
    () => one({ type: "LongStorage", grad: "\x88" }, 16),
  ),
  make(
    "bools that are none",
    "holds other bytes than 0 and 1",
    () => torch(pickle(tensor({ type: "BoolStorage" })), { 0: Uint8Array.of(1, 2) }),
  ),
  make(
    "a complex storage",
    "complex tensors are not supported",
    () => one({ type: "ComplexFloatStorage" }, 16),
  ),
  make(
    "a quantised storage",
    "quantised tensors are not supported",
    () => one({ type: "QInt8Storage" }, 2),
  ),
  make(
    "a persistent id that is no storage",
    "it refers to what is no storage",
    () => torch(pickle("(", text("module"), "NNNNtQ")),
  ),
  make(
    "a persistent id that is a list",
    "it refers to what is no storage",
    () => torch(pickle("]Q")),
  ),
  // ---- pickles that do not end well ----
  make(
    "an empty pickle",
    "its pickle is refused at byte 0: it is truncated",
    () => torch(new Uint8Array(0)),
  ),
  make("a pickle without an end", "it is truncated", () => torch(Uint8Array.of(0x80, 2, 0x4e))),
  make("bytes after the end", "bytes follow its end", () => torch(join(pickle("N"), utf8("os")))),
  make("two values", "more than one value", () => torch(pickle("NN"))),
  make("no value", "takes a value that is not there", () => torch(pickle())),
  make("a pop below a mark", "takes a value that is not there", () => torch(pickle("]N(a"))),
  make("a tuple without a mark", "closes what was not opened", () => torch(pickle("t"))),
  make("a mark that stays open", "more than one value", () => torch(pickle("(N"))),
  make("protocol 1", "known are 2 to 5", () => torch(Uint8Array.of(0x80, 1, 0x4e, 0x2e))),
  make("protocol 0", "does not begin with a protocol", () => torch(utf8("I1\n."))),
  make(
    "a text of 4 GB",
    "it is truncated: 4294967295 bytes are wanted",
    () => torch(pickle("X\xff\xff\xff\xff")),
  ),
  make("bytes of 2^64", "it is truncated", () => torch(pickle(0x8e, "\xff".repeat(8)))),
  make(
    "an integer of a million bytes",
    "an integer has 1000000 bytes",
    () => torch(pickle(0x8b, numbers([4, 1e6]), new Uint8Array(1e5))),
  ),
  make(
    "an integer of negative length",
    "an integer has -1 bytes",
    () => torch(pickle(0x8b, numbers([4, -1]))),
  ),
  make(
    "a text that is no UTF-8",
    "a text is no UTF-8",
    () => torch(pickle(text(Uint8Array.of(0xff)))),
  ),
  make(
    "half a letter",
    "a text is no UTF-8",
    () => torch(pickle(text(Uint8Array.of(0xed, 0xa0, 0x80)))),
  ),
  make("a key without a value", "has no value", () => torch(pickle("}(Nu"))),
  make("a list as a key", "a key that cannot be one", () => torch(pickle("}]Ns"))),
  make(
    "memory of what was not remembered",
    "it recalls value 5 of 0",
    () => torch(pickle("h\x05")),
  ),
  make(
    "a memory far out",
    "it remembers value 4294967295 where 0 would be",
    () => torch(pickle("Nr\xff\xff\xff\xff")),
  ),
  // ---- bombs ----
  make("a list in itself", "leads back to itself", () => torch(pickle("]q\x00h\x00a"))),
  make(
    "a tuple in itself through a list",
    "leads back to itself",
    () => torch(pickle("]q\x00h\x00\x85a")),
  ),
  make("lists 50,000 deep", "nested deeper than 100 levels", () => torch(nested(50_000))),
  make(
    "a million marks",
    "more than 1000 values are open",
    () => torch(pickle("(".repeat(900_000))),
  ),
  make(
    "a million dicts",
    "lists, tuples and dicts",
    () => torch(pickle("](", "}".repeat(900_000), "e")),
  ),
  make(
    "a million lists that are left behind",
    "lists, tuples and dicts",
    () => torch(pickle("]".repeat(900_000))),
  ),
  make(
    "a million memories",
    "more than one value",
    () => torch(pickle("N", "\x94".repeat(900_000), "N")),
  ),
  make("a hundred thousand tensors of one storage", "lists, tuples and dicts", () => {
    const again = "h\x01h\x02R";
    return torch(
      pickle(
        "ctorch._utils\n_rebuild_tensor_v2\nq\x00q\x01",
        tensor().subarray("ctorch._utils\n_rebuild_tensor_v2\n".length, -1),
        "q\x02R](",
        again.repeat(150_000),
        "e\x86",
      ),
      { 0: 8 },
    );
  }),
  make("a list of lists of lists, each ten times", "it shares again and again", () => {
    let codes = "]q\x00";
    for (let i = 0; i < 12; i++) {
      codes += `](${`h${String.fromCharCode(i)}`.repeat(10)}eq${String.fromCharCode(i + 1)}`;
    }
    return torch(pickle("(", codes, "t"));
  }),
  make("tuples of tuples as keys", "it shares again and again", () => {
    let codes = ")q\x00";
    for (let i = 0; i < 12; i++) {
      codes += `(${`h${String.fromCharCode(i)}`.repeat(10)}tq${String.fromCharCode(i + 1)}`;
    }
    return torch(pickle("(", codes, "}h\x0cNst"));
  }),
  make("a large tuple as the key of many dicts", "it shares again and again", () => {
    const first = body("}(", "N".repeat(100_000), "tq\x00", tensor(), "s");
    const dicts = Array.from({ length: 2000 }, () => body("}h\x00", tensor(), "s"));
    return torch(pickle("](", first, ...dicts, "e"), { 0: 8 });
  }),
  make("bytes made of one text again and again", "lists, tuples and dicts", () => {
    const once = body(
      "c_codecs\nencode\nq\x00",
      text("x".repeat(400_000)),
      "q\x01",
      text("latin1"),
      "q\x02",
    );
    return torch(pickle("(", once, "h\x00h\x01h\x02\x86R".repeat(50_000), "t"));
  }),
  make("a dict made of one dict again and again", "lists, tuples and dicts", () =>
    torch(
      pickle(
        "(ccollections\nOrderedDict\nq\x00}q\x01(",
        ...Array.from({ length: 1000 }, (_, i) => body(int(i), "N")),
        "u",
        "h\x00h\x01\x85R".repeat(50_000),
        "t",
      ),
    )),
  // ---- archives ----
  make("a bare pickle", "it is a bare pickle", () => call("os", "system", PWNED)),
  make(
    "the format before 1.6",
    "PyTorch's format before version 1.6",
    () => pickle(Uint8Array.of(0x8a, 10), "l\xfc\x9cF\xf9 j\xa8P\x19"),
  ),
  make("a tar archive", "tar format", () => {
    const bytes = new Uint8Array(512);
    bytes.set(utf8("ustar"), 257);
    return bytes;
  }),
  make("another archive", "has no data.pkl", () => zip([{ name: "a/x", bytes: utf8("x") }])),
  make("no entries", "it is no file of torch.save", () => zip([])),
  make(
    "entries in two folders",
    "do not lie in one folder",
    () =>
      zip([{ name: "a/data.pkl", bytes: pickle("N") }, { name: "b/version", bytes: utf8("3") }]),
  ),
  make(
    "TorchScript",
    "TorchScript",
    () =>
      torch(pickle("N"), {}, (entries) => [...entries, { name: "a/code/x.py", bytes: utf8("x") }]),
  ),
  make(
    "no version",
    "its format has version",
    () => torch(pickle("N"), {}, (entries) => entries.slice(0, 1)),
  ),
  make(
    "version 11",
    'its format has version "11"',
    () =>
      torch(pickle("N"), {}, (entries) => [entries[0], { name: "a/version", bytes: utf8("11\n") }]),
  ),
  make("big-endian numbers", 'its bytes are in "big" order', () =>
    torch(
      pickle("N"),
      {},
      (entries) => [entries[0], { name: "a/byteorder", bytes: utf8("big") }, ...entries.slice(2)],
    )),
  make(
    "a deflated pickle",
    "is deflated; torch.save stores",
    () => torch(pickle("N"), {}, ([first, ...rest]) => [{ ...first, deflate: true }, ...rest]),
  ),
  make(
    "a deflated bomb",
    "is deflated; torch.save stores",
    () =>
      torch(pickle(tensor({ numel: 25_000_000, shape: [25_000_000] })), {}, (entries) => [
        ...entries,
        { name: "a/data/0", bytes: new Uint8Array(1e8), deflate: true },
      ]),
  ),
  make("one flipped bit in a weight", "the CRC of entry", () => {
    const bytes = good();
    bytes[
      bytes.findIndex((_, i) => String.fromCharCode(...bytes.subarray(i, i + 8)) === "a/data/0") + 8
    ] ^= 1;
    return bytes;
  }),
  make(
    "a wrong CRC of the pickle",
    "the CRC of entry",
    () =>
      torch(pickle("N"), {}, ([first, ...rest]) => [
        { ...first, local: { crc: 1 }, central: { crc: 1 } },
        ...rest,
      ]),
  ),
  make("two CRCs", "has CRC", lying("a/data/0", "local", { crc: 1 })),
  make(
    "two sizes",
    "has size 8 in the directory and 4 at",
    lying("a/data/0", "local", { size: 4 }),
  ),
  make("two names", "another name than", lying("a/data/0", "local", { name: "a/data/1" })),
  make("two methods", "described differently", lying("a/data/0", "local", { method: 8 })),
  make("two sets of flags", "described differently", lying("a/data/0", "local", { flags: 0 })),
  make("an encrypted entry", "is encrypted", lying("a/data/0", "central", { flags: 1 })),
  make(
    "an unknown method",
    "compressed by method 93",
    lying("a/data/0", "central", { method: 93 }),
  ),
  make(
    "stored in fewer bytes",
    "is stored, but of 8 bytes 4",
    lying("a/data/0", "central", { stored: 4 }),
  ),
  make(
    "a size past the file",
    "overlaps what begins at",
    () =>
      torch(pickle(tensor()), { 0: 8 }, (entries) =>
        entries.map((e) => {
          const claims = { stored: 1e9, size: 1e9 };
          return e.name === "a/data/0" ? { ...e, local: claims, central: claims } : e;
        })),
  ),
  make(
    "a size of 4 GiB without its field",
    "lacks a large size",
    lying("a/data/0", "central", { size: 0xffffffff }),
  ),
  make(
    "a place past the file",
    "overlaps what begins at",
    lying("a/data/0", "central", { at: 1e9 }),
  ),
  make(
    "a place inside another entry",
    "overlaps what begins at byte 3",
    lying("a/data/0", "central", { at: 3 }),
  ),
  make(
    "a place between entries",
    "no entry begins at byte",
    () => {
      const whole = new TextDecoder("latin1").decode(good());
      return lying("a/version", "central", { at: whole.lastIndexOf("PK\x03\x04") + 1 })();
    },
  ),
  make(
    "two entries in one place",
    "overlaps what begins at",
    lying("a/data/0", "central", { at: 0 }),
  ),
  make(
    "two entries of one name",
    'two entries "a/data/0"',
    () =>
      torch(
        pickle(tensor()),
        { 0: 8 },
        (entries) => [...entries, { name: "a/data/0", bytes: new Uint8Array(8) }],
      ),
  ),
  make(
    "two pickles",
    'two entries "a/data.pkl"',
    () =>
      torch(pickle("N"), {}, (entries) => [...entries, { name: "a/data.pkl", bytes: pickle("N") }]),
  ),
  make(
    "an entry's name that is no UTF-8",
    "is no UTF-8",
    () =>
      torch(
        pickle("N"),
        {},
        (entries) => [...entries, { name: Uint8Array.of(0x61, 0x2f, 0xff), bytes: utf8("x") }],
      ),
  ),
  make(
    "a directory of more entries",
    "cannot hold 60000 entries",
    () => torch(pickle("N"), {}, undefined, { entries: 60_000 }),
  ),
  make(
    "a directory of fewer entries",
    "bytes too many",
    () => torch(pickle("N"), {}, undefined, { entries: 1 }),
  ),
  make(
    "a directory elsewhere",
    "does not end at",
    () => torch(pickle("N"), {}, undefined, { at: 0 }),
  ),
  make(
    "a directory larger than the file",
    "does not end at",
    () => torch(pickle("N"), {}, undefined, { bytes: 1e9 }),
  ),
  make(
    "bytes after the archive",
    "the directory at its end is missing",
    () => torch(pickle("N"), {}, undefined, { after: utf8("#!/bin/sh") }),
  ),
  make("cut short", "the directory at its end is missing", () => good().subarray(0, 300)),
  make("cut at the last byte", "the directory at its end is missing", () => good().subarray(0, -1)),
  make("60,000 tensors", null, manyTensors),
];
