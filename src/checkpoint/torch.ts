/**
 * PyTorch's files, both ways: the zip archives that `torch.save` writes and `torch.load(weights_only=True)` reads.
 *
 * @module
 */
import { write as writeNative } from "../../ffi/library.ts";
import type { DTypeInfo } from "../dtype.ts";
import { ArgumentError, CheckpointError, show } from "../errors.ts";
import { isOptions, optionsOf } from "../options.ts";
import type { OptimizerState } from "../optim/optimizer.ts";
import { allocate, type Storage, unscoped } from "../memory.ts";
import { Parameter } from "../nn/parameter.ts";
import { deviceNumber } from "../ops/creation.ts";
import { numelOf } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { type ByteSource, checkBools, reading, writeAside } from "./disk.ts";
import type { TensorFacts } from "./inspect.ts";
import { Node, readPickle, valueOf } from "./pickle.ts";
import { Pickler } from "./pickler.ts";
import { bytesOf } from "./pieces.ts";
import { ParameterRef, type StorageRef, STORAGES, TensorRef, TorchNames } from "./torch_names.ts";
import { readEntry, readWhole, readZip, type ZipEntry, ZipWriter } from "./zip.ts";

/** Of a pickle and of the small entries beside it; tensors are not in them. */
const MOST_PICKLE = 100_000_000;
const MOST_NOTE = 64;
/** The format's versions: 1 to 10, as PyTorch reads them. */
const MOST_VERSION = 10;

/** A file of PyTorch's, of which all but the tensors' elements was read and checked. */
interface TorchFile {
  /** What was pickled; tensors are references in it. */
  readonly root: unknown;
  /** The storages that it refers to, by key. */
  readonly storages: ReadonlyMap<string, StorageRef>;
  /** Where a storage's bytes lie. */
  entryOf(storage: StorageRef): ZipEntry;
  /** All entries of the archive. */
  readonly entries: readonly ZipEntry[];
}

const MAGIC = {
  zip: "PK\x03\x04",
  pickle: "\x80",
  old: "\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19",
  numpy: "\x93NUMPY",
  tar: "ustar",
};

/** Fails for what is no zip archive, by the name of what it is. */
function checkKind(source: ByteSource): void {
  const head = String.fromCharCode(...source.readBytes(0, Math.min(source.size, 512)));
  if (head.startsWith(MAGIC.zip)) return;
  const hint = "in PyTorch, torch.save(torch.load(file), file) writes it anew";
  if (head.startsWith(MAGIC.pickle)) {
    throw head.startsWith(MAGIC.old, 2)
      ? new CheckpointError("it has PyTorch's format before version 1.6, which is not supported", {
        hint,
      })
      : new CheckpointError("it is a bare pickle and no file of torch.save");
  }
  if (head.startsWith(MAGIC.tar, 257)) {
    throw new CheckpointError(
      "it has PyTorch's tar format of before 2017, which is not supported",
      {
        hint,
      },
    );
  }
  if (head.startsWith(MAGIC.numpy)) {
    throw new CheckpointError("it is a file of NumPy", { hint: "checkpoint.loadNumpy reads it" });
  }
  if (head[8] === "{") {
    throw new CheckpointError("it is a safetensors file", { hint: "checkpoint.load reads it" });
  }
  throw new CheckpointError("it is no file of torch.save, which begins with PK");
}

/** Reads an archive's pickle and checks every size in it against the entries. */
function readTorch(source: ByteSource): TorchFile {
  checkKind(source);
  const entries = readZip(source);
  const [first] = entries.keys();
  const folder = first === undefined ? "" : first.slice(0, first.indexOf("/") + 1);
  const at = (name: string) => entries.get(`${folder}${name}`);
  for (const name of entries.keys()) {
    if (folder === "" || !name.startsWith(folder)) {
      throw new CheckpointError(
        "it is no file of torch.save: its entries do not lie in one folder",
      );
    }
  }
  if (at("constants.pkl") !== undefined || [...entries.keys()].some(isCode(folder))) {
    throw new CheckpointError(
      "it is a TorchScript archive, which holds code; it is not supported",
      {
        hint: "in PyTorch, torch.save(torch.jit.load(file).state_dict(), file) writes its weights",
      },
    );
  }
  for (const { name, isDeflated } of entries.values()) {
    if (isDeflated) {
      throw new CheckpointError(
        `its entry ${JSON.stringify(name.slice(0, 60))} is deflated; torch.save stores`,
      );
    }
  }
  const pickle = at("data.pkl");
  if (pickle === undefined) {
    throw new CheckpointError("it is no file of torch.save: its archive has no data.pkl");
  }
  checkNotes(source, at("version"), at("byteorder"));
  if (pickle.bytes > MOST_PICKLE) {
    throw new CheckpointError(
      `its pickle has ${pickle.bytes} bytes; at most ${MOST_PICKLE} are read`,
    );
  }
  const names = new TorchNames();
  const root = readPickle(readWhole(source, pickle), names);
  const entryOf = ({ key, info, numel }: StorageRef): ZipEntry => {
    const entry = at(`data/${key}`);
    const title = JSON.stringify(key.slice(0, 60));
    if (entry === undefined) throw new CheckpointError(`its storage ${title} is missing`);
    if (entry.bytes !== numel * info.size) {
      throw new CheckpointError(
        `its storage ${title}, ${numel} of ${info.name}, needs ${
          numel * info.size
        } bytes and has ${entry.bytes}`,
      );
    }
    return entry;
  };
  for (const storage of names.storages.values()) entryOf(storage);
  return { root, storages: names.storages, entryOf, entries: [...entries.values()] };
}

const isCode = (folder: string) => (name: string) => name.startsWith(`${folder}code/`);

/** The entries beside the pickle that say how it was written. */
function checkNotes(source: ByteSource, version?: ZipEntry, order?: ZipEntry): void {
  const read = (entry: ZipEntry | undefined): string => {
    if (entry === undefined) return "";
    const bytes = source.readBytes(entry.start, Math.min(entry.bytes, MOST_NOTE));
    return String.fromCharCode(...bytes).trim();
  };
  const number = read(version);
  if (!/^\d{1,3}$/.test(number) || Number(number) < 1 || Number(number) > MOST_VERSION) {
    throw new CheckpointError(
      `its format has version ${JSON.stringify(number)}; known are 1 to ${MOST_VERSION}`,
    );
  }
  const byteOrder = read(order);
  if (byteOrder !== "" && byteOrder !== "little") {
    throw new CheckpointError(
      `its bytes are in ${JSON.stringify(byteOrder)} order; only little is supported`,
    );
  }
}

/** What `loadTorch` reads, and how. */
export interface LoadTorchOptions {
  /** Names of the parts of the state that are wanted; default: all. */
  only?: readonly string[];
  /** Where the tensors shall be, whatever the file says; default `"cpu"`. */
  mapLocation?: string | null;
  /** The most bytes that the file's tensors may have; default: no limit but the file's size. */
  maxBytes?: number;
  /** The most tensors that may be made. */
  maxTensors?: number;
}

/** What a file of PyTorch's holds, after all of it was read and checked. Nothing is made of it. */
export function verifyTorch(source: ByteSource): { tensors: TensorFacts[]; checksums: number } {
  const file = readTorch(source);
  const bools = new Set<ZipEntry>();
  for (const storage of file.storages.values()) {
    if (storage.info.name === "bool") bools.add(file.entryOf(storage));
  }
  for (const entry of file.entries) {
    for (const piece of readEntry(source, entry)) {
      if (bools.has(entry)) checkBools(piece, `entry ${JSON.stringify(entry.name.slice(0, 60))}`);
    }
  }
  return { tensors: describe(valueOf(file.root, { leaf: refOf })), checksums: file.entries.length };
}

/** A tensor's description; fails for what is no value. */
function refOf(value: unknown): TensorRef {
  if (value instanceof TensorRef) return value;
  if (value instanceof ParameterRef) return value.tensor;
  throw new CheckpointError("its pickle has a value that is neither plain nor a tensor");
}

/** The tensors in a state by the path that leads there; containers that are shared are looked into once. */
function describe(root: unknown): TensorFacts[] {
  const tensors: TensorFacts[] = [], seen = new Set<unknown>();
  const walk = (value: unknown, path: string) => {
    if (typeof value !== "object" || value === null || seen.has(value)) return;
    seen.add(value);
    const at = (key: unknown) => path === "" ? keyName(key) : `${path}.${keyName(key)}`;
    if (value instanceof TensorRef) {
      const { storage: { info }, shape } = value;
      tensors.push({ name: path, dtype: info.name, shape, bytes: numelOf(shape) * info.size });
    } else if (value instanceof Map || value instanceof Set) {
      for (const [key, inner] of value.entries()) walk(inner, at(key));
    } else if (!(value instanceof Uint8Array)) {
      for (const [key, inner] of Object.entries(value)) walk(inner, at(key));
    }
  };
  walk(root, "");
  return tensors;
}

/** A key as a part of a path: not all of a long text, and of a tuple, which may be as large as it likes, nothing. */
function keyName(key: unknown): string {
  if (typeof key === "object" && key !== null) return "(…)";
  const name = String(key);
  return name.length > 100 ? `${name.slice(0, 97)}...` : name;
}

/** Makes the tensors that a file describes, each storage once, and the state around them. */
class Builder {
  readonly #source: ByteSource;
  readonly #file: TorchFile;
  readonly #device: number;
  readonly #most: number;
  readonly #storages = new Map<StorageRef, Storage>();
  readonly #tensors = new Map<object, Tensor>();

  constructor(source: ByteSource, file: TorchFile, device: number, maxTensors: number) {
    this.#source = source;
    this.#file = file;
    this.#device = device;
    this.#most = maxTensors;
  }

  build(root: unknown): unknown {
    return valueOf(root, { leaf: (value) => this.#tensor(value), object: numbered });
  }

  #tensor(value: unknown): Tensor {
    const known = this.#tensors.get(value as object);
    if (known !== undefined) return known;
    if (this.#tensors.size >= this.#most) {
      throw new CheckpointError(`it has more tensors than the ${this.#most} of maxTensors`);
    }
    let made: Tensor;
    if (value instanceof ParameterRef) {
      made = new Parameter(this.#tensor(value.tensor), { requiresGrad: value.requiresGrad });
    } else {
      const { storage, shape, strides, offset, requiresGrad } = refOf(value);
      made = new Tensor(this.#storage(storage), storage.info, shape, strides, offset);
      if (requiresGrad) made.requiresGrad = true;
    }
    this.#tensors.set(value as object, made);
    return made;
  }

  #storage(ref: StorageRef): Storage {
    const known = this.#storages.get(ref);
    if (known !== undefined) return known;
    const entry = this.#file.entryOf(ref);
    const storage = allocate(entry.bytes, this.#device);
    let at = 0;
    for (const piece of readEntry(this.#source, entry)) {
      if (ref.info.name === "bool") checkBools(piece, `storage ${JSON.stringify(ref.key)}`);
      writeNative(storage.handle, storage.byteOffset + at, piece);
      at += piece.length;
    }
    this.#storages.set(ref, storage);
    return storage;
  }
}

/**
 * An optimiser's state has the parameters' numbers as keys. They are fields here, as `Optimizer.stateDict()` has them,
 * where other dicts whose keys are no texts become Maps.
 */
function numbered(value: Record<string, unknown>): void {
  const { state, param_groups } = value;
  if (!(state instanceof Map) || !Array.isArray(param_groups)) return;
  if (![...state.keys()].every((key) => Number.isSafeInteger(key) && key >= 0)) return;
  value.state = Object.fromEntries(state);
}

/**
 * Reads what `torch.save` wrote (.pth, .pt, .bin): models, optimisers and other nested states of PyTorch 1.6 and later.
 * Its pickle is read by an interpreter that knows PyTorch's own opcodes and names and nothing else, so nothing in a
 * file is ever run; a file that asks for more is refused, as `torch.load(weights_only=True)` does.
 *
 * A dict is an object, or a Map where its keys are no texts; a list is an array, a tuple a frozen array; integers
 * beyond 2^53 are bigints, bytes Uint8Arrays, dtypes and devices their names. Tensors that share a storage share it
 * here, views keep their strides, parameters are `nn.Parameter`s. Every storage's CRC is checked.
 *
 * Needs `--allow-read` for the file. Errors: CheckpointError that names file, place and reason.
 *
 * ```ts
 * import { checkpoint, nn } from "@toro/toro";
 *
 * const file = await Deno.makeTempFile(), model = new nn.Linear(2, 1);
 * await checkpoint.saveTorch(file, { model: model.stateDict() });
 * const state = await checkpoint.loadTorch<{ model: nn.StateDict }>(file);
 * model.loadStateDict(state.model);
 * await Deno.remove(file);
 * ```
 */
export async function loadTorch<S = Record<string, unknown>>(
  path: string | URL,
  options: LoadTorchOptions = {},
): Promise<S> {
  const { only, mapLocation = null, maxBytes = Infinity, maxTensors = Infinity } = optionsOf(
    "loadTorch",
    options,
    ["only", "mapLocation", "maxBytes", "maxTensors"],
  );
  const device = deviceNumber(mapLocation, "loadTorch");
  for (const [name, most] of Object.entries({ maxBytes, maxTensors })) {
    if (typeof most === "number" && most >= 0) continue;
    throw new ArgumentError(`Cannot loadTorch: ${name} is ${show(most)}, no number from 0 on`, {
      op: "loadTorch",
    });
  }
  return await reading(path, "loadTorch", (source) => {
    const file = readTorch(source);
    let bytes = 0;
    for (const { numel, info } of file.storages.values()) bytes += numel * info.size;
    if (bytes > maxBytes) {
      throw new CheckpointError(`its tensors have ${bytes} bytes, and maxBytes is ${maxBytes}`);
    }
    const root = only === undefined ? file.root : parts(file.root, only);
    return unscoped(() => new Builder(source, file, device, maxTensors).build(root)) as S;
  });
}

/** A dict with some of its keys. */
function parts(root: unknown, only: readonly string[]): Node {
  if (!(root instanceof Node) || root.kind !== "dict") {
    throw new CheckpointError("it holds no dict, of which parts could be wanted");
  }
  const { items } = root, kept: unknown[] = [];
  for (let i = 0; i < items.length; i += 2) {
    if (only.includes(items[i] as string)) kept.push(items[i], items[i + 1]);
  }
  return new Node("dict", kept);
}

// ---- writing ----

/** An optimiser's state as `stateDict()` gives it. */
function isOptimizerState(value: object): value is OptimizerState<unknown> {
  const { state, param_groups } = value as Record<string, unknown>;
  return isOptions(state) && Array.isArray(param_groups) &&
    param_groups.every((group) => isOptions(group) && Array.isArray(group.params));
}

/** The same as PyTorch has it: parameters' numbers as keys, without what only Toro keeps. */
function torchLayout({ state, param_groups, ...others }: OptimizerState<unknown>): unknown {
  // PyTorch's SGD has no step count; here it is there beside row counters.
  const hasSteps = !param_groups.some((group) => "dampening" in group);
  const packed = Object.entries(state).map(([key, of]): [unknown, unknown] => [
    /^(0|[1-9]\d*)$/.test(key) ? Number(key) : key,
    // Without its row counters a table's momentum counts as alive everywhere, which dense steps have made it.
    isOptions(of) ? without(of, ["row_until", ...hasSteps ? [] : ["step"]]) : of,
  ]);
  return {
    ...others,
    state: new Map(packed),
    param_groups: param_groups.map((group) => without(group, ["strict"])),
  };
}

function without(object: Record<string, unknown>, names: readonly string[]): unknown {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));
}

/** A storage as it goes into a file. */
interface Kept {
  readonly key: string;
  readonly info: DTypeInfo;
  /** A tensor of all its elements. */
  readonly whole: Tensor;
}

/** Numbers storages, and writes tensors as PyTorch pickles them. */
class TorchPickler {
  readonly storages = new Map<Storage, Kept>();

  /** The pickle of a state. */
  dump(state: unknown): Uint8Array<ArrayBuffer> {
    return new Pickler((value, out, path) => {
      if (value instanceof Tensor) out.once(value, () => this.#tensor(value, out));
      else if (isOptimizerState(value)) out.value(torchLayout(value), path);
      else return false;
      return true;
    }).dump(state);
  }

  #tensor(t: Tensor, out: Pickler): void {
    if (!(t instanceof Parameter)) return this.#plain(t, t.requiresGrad, out);
    out.global("torch._utils", "_rebuild_parameter");
    this.#plain(t, false, out);
    out.value(t.requiresGrad, "");
    out.noHooks();
    out.op(TUPLE_3, REDUCE);
  }

  #plain(t: Tensor, requiresGrad: boolean, out: Pickler): void {
    const { key, info, whole } = this.#keep(t);
    out.global("torch._utils", "_rebuild_tensor_v2");
    out.op(MARK, MARK);
    out.text("storage");
    out.global("torch", STORAGES[info.name]);
    out.text(key);
    out.text(t.device);
    out.int(whole.numel);
    out.op(TUPLE, PERSISTENT);
    out.int(t.offset);
    out.tuple(t.shape, (n) => out.int(n));
    out.tuple(t.strides, (n) => out.int(n));
    out.value(requiresGrad, "");
    out.noHooks();
    out.op(TUPLE, REDUCE);
  }

  #keep(t: Tensor): Kept {
    const known = this.storages.get(t.storage);
    if (known !== undefined) {
      if (known.info === t.info) return known;
      throw new CheckpointError(
        `Cannot saveTorch ${
          show(t)
        }: its memory is saved as ${known.info.name} already, and PyTorch's files hold a storage as one type`,
        { hint: "clone() gives it memory of its own" },
      );
    }
    const { storage, info } = t, elements = storage.bytes / info.size;
    const isWhole = t.isContiguous() && t.numel === elements;
    const whole = isWhole ? t : new Tensor(storage, info, [elements], [1], 0);
    const kept = { key: String(this.storages.size), info, whole };
    this.storages.set(t.storage, kept);
    return kept;
  }
}

const MARK = 0x28, TUPLE = 0x74, TUPLE_3 = 0x87, REDUCE = 0x52, PERSISTENT = 0x51;

/**
 * Writes a state that `torch.load(file, weights_only=True)` reads: tensors, `model.stateDict()`,
 * `optimizer.stateDict()`, and numbers, texts, booleans, null, bigints, Uint8Arrays, arrays, Sets, Maps and plain
 * objects of them. Whole numbers are Python's ints, others floats (`float(2)` marks one), frozen arrays tuples. Tensors
 * that share memory share a storage.
 *
 * An optimiser's state is written in PyTorch's layout, so that a run begun here goes on there and the other way round;
 * tables that are updated by rows are written up to date, and the run itself is not changed. The file appears whole or
 * not at all, as with `save`; the same state gives the same bytes.
 *
 * Needs `--allow-read` and `--allow-write` for the folder. Errors: CheckpointError that names file and reason, or the
 * path of a value that PyTorch has nothing for.
 *
 * ```ts
 * import { checkpoint, nn, optim } from "@toro/toro";
 *
 * const file = await Deno.makeTempFile({ suffix: ".pth" });
 * const model = new nn.Linear(2, 1), optimizer = new optim.AdamW(model.parameters());
 * await checkpoint.saveTorch(file, { model: model.stateDict(), optimizer: optimizer.stateDict(), epoch: 3 });
 * await Deno.remove(file); // in Python: state = torch.load("run.pth"); model.load_state_dict(state["model"])
 * ```
 */
// deno-lint-ignore require-await
export async function saveTorch(path: string | URL, state: unknown): Promise<void> {
  const pickler = new TorchPickler(), pickle = pickler.dump(state);
  writeAside(path, "saveTorch", (put) => {
    const zip = new ZipWriter(put);
    const note = (name: string, text: string) => {
      const bytes = new TextEncoder().encode(text);
      zip.add(`archive/${name}`, bytes.length, [bytes]);
    };
    zip.add("archive/data.pkl", pickle.length, [pickle]);
    note(".format_version", "1");
    note(".storage_alignment", "64");
    note("byteorder", "little");
    for (const { key, whole } of pickler.storages.values()) {
      zip.add(`archive/data/${key}`, whole.storage.bytes, bytesOf(whole));
    }
    note("version", "3\n");
    zip.finish();
  });
}
