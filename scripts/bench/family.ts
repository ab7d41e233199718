/** What a row of `deno task bench` is made from, and the numbers both sides compute with. */
import { noGrad, type Tensor, tensor } from "@toro/toro";

/** What an iteration does at least: operations and memory traffic, in numbers and bytes. */
export interface Work {
  float32?: number;
  bfloat16?: number;
  int8?: number;
  read?: number;
  written?: number;
}

/** Rows of one kind; the twin in torch_side.py has the same name and makes the same tensors. */
export interface Family {
  /** Dims of the listed rows, which take the place of `{}` in the name. */
  shapes: number[][];
  /** Which dims the drawn rows change: all of them, unless it says so. */
  drawn?: number[];
  /** Prepares the data and returns one iteration. */
  prepare: (...dims: number[]) => () => Tensor;
  work?: (...dims: number[]) => Work;
  /** PyTorch's time ÷ Toro's that the project aims at. */
  bar?: number;
  /** The result is a random one: nothing to compare. */
  isRandom?: true;
}

/** Numbers in a period; longer tensors repeat it. */
const PERIOD = 1 << 20;
let scattered: Float32Array | null = null;

/** Numbers spread over -0.5 … 0.5 without order, made of 24 bits of a hash of their place: the same on both sides. */
export function numbers(...shape: number[]): Tensor {
  scattered ??= Float32Array.from({ length: PERIOD }, (_, i) => {
    let x = i;
    x = Math.imul(x ^ (x >>> 16), 0x45d9f3b);
    x = Math.imul(x ^ (x >>> 16), 0x45d9f3b);
    return (((x ^ (x >>> 16)) >>> 0) >>> 8) / (1 << 24) - 0.5;
  });
  const n = shape.reduce((a, b) => a * b, 1);
  if (n <= PERIOD) return tensor(scattered.subarray(0, n)).view(shape);
  return tensor(scattered).repeat([Math.ceil(n / PERIOD)]).narrow(0, 0, n).view(shape);
}

/** Row numbers 0 … below, from the same hash. */
export function places(below: number, ...shape: number[]): Tensor {
  return numbers(...shape).add(0.5).mul(below).to("int64");
}

/** The same numbers in the parameters of both sides. */
export function fill(parameters: Tensor[], scale: number): void {
  noGrad(() => {
    for (const p of parameters) p.copy_(numbers(...p.shape).mul(scale));
  });
}

/** `f` of given tensors. */
export function plain(f: (...xs: Tensor[]) => Tensor, ...shapes: number[][]): () => Tensor {
  const xs = shapes.map((shape) => numbers(...shape));
  return () => f(...xs);
}

/** `f` of given tensors and its way back to all of them. */
export function bothWays(f: (...xs: Tensor[]) => Tensor, ...shapes: number[][]): () => Tensor {
  const xs = shapes.map((shape) => numbers(...shape));
  for (const x of xs) x.requiresGrad = true;
  return () => {
    for (const x of xs) x.grad = null;
    f(...xs).sum().backward();
    return xs[0].grad!;
  };
}
