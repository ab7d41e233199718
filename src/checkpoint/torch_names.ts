/**
 * The names that PyTorch's files may use, and what each stands for here: a closed table. What is not in it is refused
 * by its name. Sizes are checked as tensors are described, before any of their bytes are read.
 *
 * @module
 */
import { type DType, type DTypeInfo, DTYPES } from "../dtype.ts";
import { CheckpointError, show } from "../errors.ts";
import { MAX_DIMS, numelOf } from "../shape.ts";
import { Node, type PickleHost, Rebuild } from "./pickle.ts";

/** A storage that a pickle refers to. */
export class StorageRef {
  constructor(
    /** The name of its entry under `data/`. */
    readonly key: string,
    readonly info: DTypeInfo,
    /** Elements. */
    readonly numel: number,
  ) {}
}

/** A tensor that a pickle describes: a window on a storage. */
export class TensorRef {
  constructor(
    readonly storage: StorageRef,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
    readonly requiresGrad: boolean,
  ) {}
}

/** The same tensor as an `nn.Parameter`. */
export class ParameterRef {
  constructor(readonly tensor: TensorRef, readonly requiresGrad: boolean) {}
}

/** PyTorch's names of storages, by element type. */
export const STORAGES: Readonly<Record<DType, string>> = {
  float32: "FloatStorage",
  float64: "DoubleStorage",
  float16: "HalfStorage",
  bfloat16: "BFloat16Storage",
  int64: "LongStorage",
  int32: "IntStorage",
  int16: "ShortStorage",
  int8: "CharStorage",
  uint8: "ByteStorage",
  bool: "BoolStorage",
};

class StorageType {
  constructor(readonly info: DTypeInfo) {}
}

/** What a name stands for that only says of which class something is. */
class ClassName {
  constructor(readonly name: string) {}
}

/** Elements of a view that repeats its storage's, as `expand` does. */
const MOST_REPEATED = 2 ** 32;

const wrong = (text: string) => new CheckpointError(text);

function sizes(value: unknown, what: string): number[] {
  if (!(value instanceof Node) || value.kind !== "tuple" && value.kind !== "list") {
    throw wrong(`a tensor's ${what} is no tuple`);
  }
  if (value.items.length > MAX_DIMS) {
    throw wrong(`a tensor has ${value.items.length} dims; the most is ${MAX_DIMS}`);
  }
  return value.items.map((n) => size(n, what));
}

function size(n: unknown, what: string): number {
  if (typeof n === "number" && Number.isSafeInteger(n) && n >= 0) return n;
  throw wrong(`a tensor's ${what} has ${show(n)}, which is no whole number from 0 to 2^53`);
}

/** Checks that a view lies inside its storage. */
function view(
  storage: unknown,
  at: unknown,
  shape: unknown,
  strides: unknown,
  grad: unknown,
): TensorRef {
  if (!(storage instanceof StorageRef)) throw wrong("a tensor is made of what is no storage");
  const offset = size(at, "offset"),
    dims = sizes(shape, "shape"),
    steps = sizes(strides, "strides");
  const title = `a tensor [${dims.join(", ")}] with strides [${steps.join(", ")}]`;
  if (dims.length !== steps.length) throw wrong(`${title} has ${dims.length} dims`);
  // What does not fit stays too large when a product is rounded.
  const numel = numelOf(dims);
  const last = dims.reduce((sum, n, d) => sum + (n - 1) * steps[d], offset);
  const end = numel === 0 ? offset : last + 1;
  if (end > storage.numel) {
    throw wrong(
      `${title} from element ${offset} on ends at ${end}; its storage ${
        show(storage.key)
      } has ${storage.numel} elements`,
    );
  }
  if (numel > Math.max(storage.numel, MOST_REPEATED)) {
    throw wrong(`${title} repeats ${storage.numel} elements to ${numel}; at most 2^32 are read`);
  }
  if (typeof grad !== "boolean") throw wrong("whether a tensor requires gradients is no bool");
  if (grad && !storage.info.isFloat) {
    throw wrong(`${title} of ${storage.info.name} cannot require gradients`);
  }
  return new TensorRef(storage, offset, dims, steps, grad);
}

function count(name: string, args: readonly unknown[], least: number, most: number): void {
  if (args.length >= least && args.length <= most) return;
  throw wrong(`it calls ${name} with ${args.length} arguments`);
}

function parameter(name: string, args: readonly unknown[], most: number): ParameterRef {
  count(name, args, 3, most);
  const [tensor, requiresGrad] = args;
  if (!(tensor instanceof TensorRef) || typeof requiresGrad !== "boolean") {
    throw wrong(`${name} makes a parameter of what is no tensor`);
  }
  if (requiresGrad && !tensor.storage.info.isFloat) {
    throw wrong(`a parameter of ${tensor.storage.info.name} cannot require gradients`);
  }
  return new ParameterRef(tensor, requiresGrad);
}

/** A dict out of nothing, out of a dict, or out of pairs. */
function dict(name: string, args: readonly unknown[]): Node {
  count(name, args, 0, 1);
  if (args.length === 0) return new Node("dict", []);
  const [from] = args;
  if (from instanceof Node && from.kind === "dict") return new Node("dict", [...from.items]);
  if (from instanceof Node && from.kind === "list") {
    return new Node(
      "dict",
      from.items.flatMap((pair) => {
        if (pair instanceof Node && pair.items.length === 2 && pair.kind !== "dict") {
          return pair.items;
        }
        throw wrong(`${name} is made of what is no pair`);
      }),
    );
  }
  throw wrong(`${name} is made of what is neither dict nor list`);
}

/** Bytes out of a text of their codes. */
function latin1(name: string, args: readonly unknown[]): Uint8Array {
  count(name, args, 2, 2);
  const [text, encoding] = args;
  if (typeof text !== "string" || encoding !== "latin1") {
    throw wrong(`${name} is called with other than a text and "latin1"`);
  }
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 255) throw wrong(`${name} is given a letter that is no byte`);
    bytes[i] = code;
  }
  return bytes;
}

function bytesOf(name: string, args: readonly unknown[]): Uint8Array {
  count(name, args, 0, 2);
  if (args.length === 0) return new Uint8Array(0);
  if (args.length === 2) return latin1(name, args);
  if (args[0] instanceof Uint8Array) return args[0];
  throw wrong(`${name} is made of what are no bytes`);
}

const FUNCTIONS: Readonly<Record<string, (name: string, args: readonly unknown[]) => unknown>> = {
  "torch._utils._rebuild_tensor_v2": (name, args) => {
    count(name, args, 6, 7);
    const [storage, offset, shape, strides, requiresGrad, , metadata] = args;
    const isPlain = metadata === undefined || metadata === null ||
      metadata instanceof Node && metadata.items.length === 0;
    if (!isPlain) throw wrong("a tensor is marked as conjugate or negated");
    return view(storage, offset, shape, strides, requiresGrad);
  },
  "torch._utils._rebuild_parameter": (name, args) => parameter(name, args, 3),
  "torch._utils._rebuild_parameter_with_state": (name, args) => parameter(name, args, 4),
  // A tensor with attributes, such as an nn.Buffer: the attributes go.
  "torch._tensor._rebuild_from_type_v2": (name, args) => {
    count(name, args, 4, 4);
    const [rebuild, type, inner] = args;
    if (
      !(rebuild instanceof Rebuild) || !rebuild.name.startsWith("torch._utils.") ||
      !(inner instanceof Node) || inner.kind !== "tuple"
    ) {
      throw wrong(`${name} is given another function than PyTorch's own for tensors`);
    }
    if (!(type instanceof ClassName)) throw wrong(`${name} makes what is no tensor`);
    return rebuild.call(inner.items);
  },
  "torch.Size": (name, args) => {
    count(name, args, 0, 1);
    return args.length === 0 ? new Node("tuple", []) : new Node("tuple", sizes(args[0], "size"));
  },
  "torch.device": (name, args) => {
    count(name, args, 1, 2);
    const [kind, index] = args;
    if (typeof kind !== "string" || !/^[a-z]{1,20}(:\d{1,4})?$/.test(kind)) {
      throw wrong(`${name} is ${show(kind)}`);
    }
    return index === undefined || index === null ? kind : `${kind}:${size(index, "device")}`;
  },
  "collections.OrderedDict": dict,
  "collections.Counter": dict,
  "builtins.set": (name, args) => {
    count(name, args, 0, 1);
    if (args.length === 0) return new Node("set", []);
    const [from] = args;
    if (from instanceof Node && from.kind === "list") return new Node("set", [...from.items]);
    throw wrong(`${name} is made of what is no list`);
  },
  "builtins.bytes": bytesOf,
  "builtins.bytearray": bytesOf,
  "_codecs.encode": latin1,
};

const NAMES: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ...Object.entries(FUNCTIONS).map(([name, call]) =>
    [name, new Rebuild(name, (args) => call(name, args))] as const
  ),
  ...Object.entries(STORAGES).map(([dtype, name]) =>
    [`torch.${name}`, new StorageType(DTYPES[dtype as DType])] as const
  ),
  // A dtype as a value is its name.
  ...Object.keys(DTYPES).map((dtype) => [`torch.${dtype}`, dtype] as const),
  ...["torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer"].map((name) =>
    [name, new ClassName(name)] as const
  ),
]);

/** What PyTorch's files may hold and Toro does not, for a better reason than that a name is unknown. */
const LACKING: readonly (readonly [RegExp, string])[] = [
  [/^torch\.Complex(Float|Double)Storage$|^torch\.complex/, "complex tensors"],
  [/^torch\.Q\w+Storage$|_rebuild_qtensor$|^torch\.q/, "quantised tensors"],
  [/_rebuild_sparse_tensor$|^torch\.sparse\./, "sparse tensors"],
  [
    /_rebuild_tensor_v3$|^torch\.(float8|uint16|uint32|uint64)/,
    "tensors of other than Toro's ten types",
  ],
  [
    /_rebuild_(meta_tensor|wrapper_subclass|nested_tensor)|^torch\.distributed\./,
    "tensors of that kind",
  ],
  [/^numpy\.|^torch\._utils\._rebuild_device_tensor_from_numpy$/, "values of NumPy"],
];

/** The storages and tensors that a pickle describes, collected while it is read. */
export class TorchNames implements PickleHost {
  /** By key. */
  readonly storages: Map<string, StorageRef> = new Map();

  /** The value of a global name. */
  global(name: string): unknown {
    const found = NAMES.get(name);
    if (found !== undefined) return found;
    const lacking = LACKING.find(([pattern]) => pattern.test(name));
    if (lacking !== undefined) {
      throw wrong(`it asks for ${shown(name)}: ${lacking[1]} are not supported`);
    }
    throw new CheckpointError(
      `it asks for ${
        shown(name)
      }, which is none of the ${NAMES.size} names that are known; nothing of it was run`,
      { hint: "in PyTorch, torch.save(model.state_dict(), file) writes weights without classes" },
    );
  }

  /** A storage by its persistent id: ("storage", type, key, location, count). */
  persistent(id: unknown): StorageRef {
    if (!(id instanceof Node) || id.kind !== "tuple" || id.items.length !== 5) {
      throw wrong("it refers to what is no storage");
    }
    const [kind, type, key, location, numel] = id.items;
    if (kind !== "storage" || typeof key !== "string" || typeof location !== "string") {
      throw wrong("it refers to what is no storage");
    }
    if (!(type instanceof StorageType)) {
      throw wrong(`storage ${show(key)} is of no type that is known`);
    }
    const elements = size(numel, "storage");
    const known = this.storages.get(key);
    if (known === undefined) {
      const made = new StorageRef(key, type.info, elements);
      this.storages.set(key, made);
      return made;
    }
    if (known.info !== type.info || known.numel !== elements) {
      throw wrong(
        `storage ${
          show(key)
        } is ${known.numel} of ${known.info.name} and ${elements} of ${type.info.name}`,
      );
    }
    return known;
  }
}

function shown(name: string): string {
  return name.length > 100 ? `${name.slice(0, 97)}...` : name;
}
