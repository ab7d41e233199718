/**
 * Padding as layers.
 *
 * @module
 */
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { bind, declare, type Signature } from "../op.ts";
import { pad, type PadMode } from "../ops/joining.ts";
import { shapeText } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { Module } from "./module.ts";

/** One number for all ends, or two for each dim, the last dim first: [left, right, top, bottom, front, back]. */
export type Pads = number | readonly number[];

/** What all padding layers share. */
abstract class PadNd extends Module {
  /** Two numbers for each dim, the last dim first. */
  readonly padding: readonly number[];
  readonly #mode: PadMode;
  readonly #name: string;
  readonly #filler: number;

  protected constructor(signature: Signature, d: number, mode: PadMode, args: readonly unknown[]) {
    super();
    const { name, action } = signature;
    const [padding, value = 0] = bind(signature, args) as [Pads, number?];
    const all = typeof padding === "number" ? new Array(2 * d).fill(padding) : padding;
    if (!Array.isArray(all) || all.length !== 2 * d || !all.every((n) => Number.isInteger(n))) {
      throw new ArgumentError(
        `Cannot ${action} with padding ${show(padding)}: it takes a whole number, or ${
          2 * d
        } of them`,
        { op: name },
      );
    }
    this.padding = Object.freeze([...all]);
    this.#mode = mode;
    this.#name = name;
    this.#filler = value;
  }

  override forward(x: Tensor): Tensor {
    const d = this.padding.length / 2;
    if (!(x instanceof Tensor)) {
      throw new ArgumentError(`Cannot ${this.#name} ${show(x)}: it must be a tensor`, {
        op: this.#name,
      });
    }
    if (this.#mode !== "constant" && x.ndim !== d + 1 && x.ndim !== d + 2) {
      throw new ShapeError(
        `Cannot ${this.#name} ${shapeText(x.shape)}: it takes ${d + 2} dims, or ${
          d + 1
        } without a batch`,
        { op: this.#name },
      );
    }
    return pad(x, this.padding, {
      mode: this.#mode,
      value: this.#mode === "constant" ? this.#filler : null,
    });
  }

  override extraRepr(): string {
    return shapeText(this.padding);
  }
}

/** Zeros around the last dim. Shapes: x (N, C, L) or (C, L), or any. */
export class ZeroPad1d extends PadNd {
  readonly #zeroPad1d = true;

  /** By so many elements at each end. */
  constructor(padding: Pads) {
    super(ZERO_PAD1D, 1, "constant", [padding]);
  }
}

/** Zeros around the last two dims. Shapes: x (N, C, H, W) or (C, H, W), or any. */
export class ZeroPad2d extends PadNd {
  readonly #zeroPad2d = true;

  /** By so many elements at each end. */
  constructor(padding: Pads) {
    super(ZERO_PAD2D, 2, "constant", [padding]);
  }
}

/** Zeros around the last three dims. Shapes: x (N, C, D, H, W) or (C, D, H, W), or any. */
export class ZeroPad3d extends PadNd {
  readonly #zeroPad3d = true;

  /** By so many elements at each end. */
  constructor(padding: Pads) {
    super(ZERO_PAD3D, 3, "constant", [padding]);
  }
}

/** The input mirrored at its first and last elements around the last dim. Shapes: x (N, C, L) or (C, L). */
export class ReflectionPad1d extends PadNd {
  readonly #reflectionPad1d = true;

  /** By so many elements at each end. */
  constructor(padding: Pads) {
    super(REFLECTION_PAD1D, 1, "reflect", [padding]);
  }
}

/** The input mirrored at its first and last elements around the last two dims. Shapes: x (N, C, H, W) or (C, H, W). */
export class ReflectionPad2d extends PadNd {
  readonly #reflectionPad2d = true;

  /** By so many elements at each end. */
  constructor(padding: Pads) {
    super(REFLECTION_PAD2D, 2, "reflect", [padding]);
  }
}

/** The input mirrored at its first and last elements around the last three dims. Shapes: x (N, C, D, H, W) or (C, D, H, W). */
export class ReflectionPad3d extends PadNd {
  readonly #reflectionPad3d = true;

  /** By so many elements at each end. */
  constructor(padding: Pads) {
    super(REFLECTION_PAD3D, 3, "reflect", [padding]);
  }
}

/** The first and last elements repeated around the last dim. Shapes: x (N, C, L) or (C, L). */
export class ReplicationPad1d extends PadNd {
  readonly #replicationPad1d = true;

  /** By so many elements at each end. */
  constructor(padding: Pads) {
    super(REPLICATION_PAD1D, 1, "replicate", [padding]);
  }
}

/** The first and last elements repeated around the last two dims. Shapes: x (N, C, H, W) or (C, H, W). */
export class ReplicationPad2d extends PadNd {
  readonly #replicationPad2d = true;

  /** By so many elements at each end. */
  constructor(padding: Pads) {
    super(REPLICATION_PAD2D, 2, "replicate", [padding]);
  }
}

/** The first and last elements repeated around the last three dims. Shapes: x (N, C, D, H, W) or (C, D, H, W). */
export class ReplicationPad3d extends PadNd {
  readonly #replicationPad3d = true;

  /** By so many elements at each end. */
  constructor(padding: Pads) {
    super(REPLICATION_PAD3D, 3, "replicate", [padding]);
  }
}

/** The input's other end around the last dim. Shapes: x (N, C, L) or (C, L). */
export class CircularPad1d extends PadNd {
  readonly #circularPad1d = true;

  /** By so many elements at each end. */
  constructor(padding: Pads) {
    super(CIRCULAR_PAD1D, 1, "circular", [padding]);
  }
}

/** The input's other end around the last two dims. Shapes: x (N, C, H, W) or (C, H, W). */
export class CircularPad2d extends PadNd {
  readonly #circularPad2d = true;

  /** By so many elements at each end. */
  constructor(padding: Pads) {
    super(CIRCULAR_PAD2D, 2, "circular", [padding]);
  }
}

/** The input's other end around the last three dims. Shapes: x (N, C, D, H, W) or (C, D, H, W). */
export class CircularPad3d extends PadNd {
  readonly #circularPad3d = true;

  /** By so many elements at each end. */
  constructor(padding: Pads) {
    super(CIRCULAR_PAD3D, 3, "circular", [padding]);
  }
}

/** What the constant padding layers share. */
abstract class ConstantPadNd extends PadNd {
  /** The number. */
  readonly value: number;

  protected constructor(signature: Signature, d: number, padding: Pads, value: number) {
    super(signature, d, "constant", [padding, value]);
    this.value = value;
  }

  override extraRepr(): string {
    return `padding=${super.extraRepr()}, value=${this.value}`;
  }
}

/** A number around the last dim. Shapes: any. */
export class ConstantPad1d extends ConstantPadNd {
  readonly #constantPad1d = true;

  /** By so many elements of a value at each end. */
  constructor(padding: Pads, value: number) {
    super(CONSTANT_PAD1D, 1, padding, value);
  }
}

/** A number around the last two dims. Shapes: any. */
export class ConstantPad2d extends ConstantPadNd {
  readonly #constantPad2d = true;

  /** By so many elements of a value at each end. */
  constructor(padding: Pads, value: number) {
    super(CONSTANT_PAD2D, 2, padding, value);
  }
}

/** A number around the last three dims. Shapes: any. */
export class ConstantPad3d extends ConstantPadNd {
  readonly #constantPad3d = true;

  /** By so many elements of a value at each end. */
  constructor(padding: Pads, value: number) {
    super(CONSTANT_PAD3D, 3, padding, value);
  }
}

const ZERO_PAD1D = declare(ZeroPad1d, "ZeroPad1d(padding)");
const ZERO_PAD2D = declare(ZeroPad2d, "ZeroPad2d(padding)");
const ZERO_PAD3D = declare(ZeroPad3d, "ZeroPad3d(padding)");
const REFLECTION_PAD1D = declare(ReflectionPad1d, "ReflectionPad1d(padding)");
const REFLECTION_PAD2D = declare(ReflectionPad2d, "ReflectionPad2d(padding)");
const REFLECTION_PAD3D = declare(ReflectionPad3d, "ReflectionPad3d(padding)");
const REPLICATION_PAD1D = declare(ReplicationPad1d, "ReplicationPad1d(padding)");
const REPLICATION_PAD2D = declare(ReplicationPad2d, "ReplicationPad2d(padding)");
const REPLICATION_PAD3D = declare(ReplicationPad3d, "ReplicationPad3d(padding)");
const CIRCULAR_PAD1D = declare(CircularPad1d, "CircularPad1d(padding)");
const CIRCULAR_PAD2D = declare(CircularPad2d, "CircularPad2d(padding)");
const CIRCULAR_PAD3D = declare(CircularPad3d, "CircularPad3d(padding)");
const CONSTANT_PAD1D = declare(ConstantPad1d, "ConstantPad1d(padding, value)");
const CONSTANT_PAD2D = declare(ConstantPad2d, "ConstantPad2d(padding, value)");
const CONSTANT_PAD3D = declare(ConstantPad3d, "ConstantPad3d(padding, value)");
