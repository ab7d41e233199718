/**
 * Planes read at given points, and grids of such points.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { isGradEnabled, record, wants } from "../autograd.ts";
import { DTYPES } from "../dtype.ts";
import { ArgumentError, AutogradError, DTypeError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { numelOf, shapeText } from "../shape.ts";
import { empty, fromElements, type Tensor } from "../tensor.ts";
import { cast, checkOperand, checkTensor, needs } from "./map.ts";
import { matmul } from "./matmul.ts";
import { checkFloat } from "./spatial.ts";
import { reshape, transpose } from "./view.ts";

/** How `gridSample` reads between and outside of elements. */
export interface GridSampleOptions {
  /** `"bilinear"` (default; trilinear in three dims), `"nearest"` or `"bicubic"`. */
  mode?: "bilinear" | "nearest" | "bicubic";
  /** What lies outside: `"zeros"` (default), the `"border"`, or the plane's `"reflection"`. */
  paddingMode?: "zeros" | "border" | "reflection";
  /** Whether -1 and 1 are the centres of corner elements, instead of the corners of the plane; default false. */
  alignCorners?: boolean | null;
}

const MODES = ["bilinear", "nearest", "bicubic"] as const;
const PADDINGS = ["zeros", "border", "reflection"] as const;

/**
 * The elements of x at points: `y[n, c, p] = x[n, c, at grid[n, p]]`. A point is (x, y) or (x, y, z), from -1 to 1 along
 * the last dim of x, the one before, and so on.
 *
 * Shapes: x (N, C, H, W), grid (N, H′, W′, 2) → (N, C, H′, W′); x (N, C, D, H, W), grid (N, D′, H′, W′, 3) →
 * (N, C, D′, H′, W′). Types: float, both of one. Gradients of the first order only, as in PyTorch.
 * Source: Jaderberg et al. 2015, arXiv 1506.02025.
 */
export const gridSample: (input: Tensor, grid: Tensor, options?: GridSampleOptions) => Tensor = op(
  "gridSample(input, grid, mode='bilinear', paddingMode='zeros', alignCorners=null)",
  (
    x: Tensor,
    grid: Tensor,
    mode: typeof MODES[number],
    paddingMode: typeof PADDINGS[number],
    alignCorners: boolean | null,
  ) => {
    const name = "gridSample";
    checkTensor(name, grid, "grid");
    checkOperand(name, x, grid, "grid");
    checkFloat(name, x);
    if (grid.info !== x.info) {
      throw new DTypeError(`Cannot ${name} ${show(x)} at ${show(grid)}: both must have one dtype`, {
        op: name,
      });
    }
    const d = x.ndim - 2;
    const fits = (d === 2 || d === 3) && grid.ndim === x.ndim && grid.shape[0] === x.shape[0] &&
      grid.shape[d + 1] === d && numelOf(x.shape.slice(2)) > 0;
    if (!fits) {
      throw new ShapeError(
        `Cannot ${name} ${shapeText(x.shape)} at ${
          shapeText(grid.shape)
        }: it takes [N, C, H, W] at [N, H, W, 2], or [N, C, D, H, W] at [N, D, H, W, 3]`,
        { op: name },
      );
    }
    const form = [MODES.indexOf(mode), PADDINGS.indexOf(paddingMode), alignCorners ? 1 : 0];
    if (form[0] < 0 || form[1] < 0) {
      throw new ArgumentError(
        `Cannot ${name} by mode ${show(mode)} with paddingMode ${show(paddingMode)}: modes are ${
          MODES.join(", ")
        }, padding modes ${PADDINGS.join(", ")}`,
        { op: name },
      );
    }
    const device = x.storage.device;
    const y = empty([...x.shape.slice(0, 2), ...grid.shape.slice(1, -1)], x.info, device);
    run(name, OP.grid_sample, [y], [x, grid], form);
    if (wants(x, grid)) {
      record(name, [x, grid], [y], ([g]) => {
        if (g === null) return [null, null];
        if (isGradEnabled() && wants(g, x, grid)) {
          throw new AutogradError(`Cannot ${name}: it has no gradients of the second order`, {
            op: name,
          });
        }
        const gx = empty(needs(x) ? x.shape : [0], x.info, device);
        const ggrid = empty(needs(grid) ? grid.shape : [0], grid.info, device);
        run(`the backward of ${name}`, OP.grid_sample_grad, [gx, ggrid], [g, x, grid], form);
        return [needs(x) ? gx : null, needs(grid) ? ggrid : null];
      }, [x, grid]);
    }
    return y;
  },
);

/** `gridSample` with its modes as numbers, all of them given. */
export type GridSampler = (
  input: Tensor,
  grid: Tensor,
  interpolationMode: number,
  paddingMode: number,
  alignCorners: boolean,
) => Tensor;

/** A form of `gridSample` for inputs of certain dims. */
function sampler(name: string, dims: readonly number[]): GridSampler {
  return op<GridSampler>(
    `${name}(input, grid, interpolationMode, paddingMode, alignCorners)`,
    (x: Tensor, grid: Tensor, mode: number, padding: number, alignCorners: boolean) => {
      if (!dims.includes(x.ndim)) {
        throw new ShapeError(
          `Cannot ${name} ${shapeText(x.shape)}: it takes ${dims.join(" or ")} dims`,
          { op: name },
        );
      }
      if (MODES[mode] === undefined || PADDINGS[padding] === undefined) {
        throw new ArgumentError(
          `Cannot ${name} by interpolationMode ${show(mode)} with paddingMode ${
            show(padding)
          }: both are 0, 1 or 2`,
          { op: name },
        );
      }
      return gridSample(x, grid, {
        mode: MODES[mode],
        paddingMode: PADDINGS[padding],
        alignCorners,
      });
    },
  );
}

/**
 * `gridSample` with numbers for its modes: 0 bilinear, 1 nearest, 2 bicubic; outside 0 zeros, 1 the border, 2 the
 * reflection.
 */
export const gridSampler: GridSampler = sampler("gridSampler", [4, 5]);
/** `gridSampler` of planes: x (N, C, H, W), grid (N, H′, W′, 2) → (N, C, H′, W′). */
export const gridSampler2d: GridSampler = sampler("gridSampler2d", [4]);
/** `gridSampler` of volumes: x (N, C, D, H, W), grid (N, D′, H′, W′, 3) → (N, C, D′, H′, W′). */
export const gridSampler3d: GridSampler = sampler("gridSampler3d", [5]);

/** From -1 to 1 in n steps: centres of corner elements there, or corners of the plane. */
function line(n: number, alignCorners: boolean): number[] {
  return Array.from({ length: n }, (_, i) => {
    if (n < 2) return 0;
    const at = -1 + 2 * i / (n - 1);
    return alignCorners ? at : at * (n - 1) / n;
  });
}

/**
 * The points that an affine map sends the points of a plane to, for `gridSample`: `grid[n, p] = theta[n] · (p, 1)`.
 * Shapes: theta (N, 2, 3) and size [N, C, H, W] → (N, H, W, 2); theta (N, 3, 4) and size [N, C, D, H, W] →
 * (N, D, H, W, 3). Types: float.
 */
export const affineGrid: (
  theta: Tensor,
  size: readonly number[],
  options?: { alignCorners?: boolean | null },
) => Tensor = op(
  "affineGrid(theta, size, alignCorners=null)",
  (theta: Tensor, size: readonly number[], alignCorners: boolean | null) => {
    const name = "affineGrid";
    checkTensor(name, theta, "theta");
    checkFloat(name, theta);
    const d = Array.isArray(size) ? size.length - 2 : 0;
    const fits = (d === 2 || d === 3) && size.every((n) => Number.isInteger(n) && n > 0) &&
      theta.ndim === 3 && theta.shape[0] === size[0] && theta.shape[1] === d &&
      theta.shape[2] === d + 1;
    if (!fits) {
      throw new ShapeError(
        `Cannot ${name} by theta ${shapeText(theta.shape)} to size ${
          show(size)
        }: it takes [N, 2, 3] and four sizes from 1 on, or [N, 3, 4] and five`,
        { op: name },
      );
    }
    const sizes = size.slice(2);
    const lines = sizes.map((n) => line(n, alignCorners ?? false));
    const points = new Float64Array(numelOf(sizes) * (d + 1));
    for (let p = 0; p < numelOf(sizes); p++) {
      let rest = p;
      for (let i = d - 1; i >= 0; i--) {
        points[p * (d + 1) + (d - 1 - i)] = lines[i][rest % sizes[i]];
        rest = Math.floor(rest / sizes[i]);
      }
      points[p * (d + 1) + d] = 1;
    }
    const base = cast(
      fromElements(points, DTYPES.float64.name, [numelOf(sizes), d + 1], theta.storage.device),
      theta.dtype,
    );
    return reshape(matmul(base, transpose(theta, 1, 2)), [size[0], ...sizes, d]);
  },
);
