/**
 * Methods of Tensor that read and write by indices and masks. Each hands its arguments on to an op.
 *
 * @module
 */
import type { Scalar } from "../dtype.ts";
import * as indexOps from "../ops/index_ops.ts";
import * as indexWrites from "../ops/index_writes.ts";
import * as indexing from "../ops/indexing.ts";
import type * as map from "../ops/map.ts";
import * as masking from "../ops/masking.ts";
import * as scattering from "../ops/scattering.ts";
import type { Index } from "../slice.ts";
import type { Tensor } from "../tensor.ts";
import { type Forwarded, install, type Method } from "./install.ts";

/** Methods of Tensor that read and write by indices and masks. */
export interface IndexingMethods {
  /** Reads by indices, as PyTorch's `x[…]`. */
  at(...indices: readonly Index[]): Tensor;
  /** Writes by indices, in place: `x.set([0], 1)`. */
  set(indices: readonly Index[], value: map.Operand): Tensor;
  /** Slices of a dim at indices. */
  indexSelect(dim: number, index: Tensor): Tensor;
  /** With slices added at indices of a dim. */
  indexAdd(dim: number, index: Tensor, source: Tensor, options?: { alpha?: Scalar }): Tensor;
  /** `indexAdd` in place. */
  indexAdd_(dim: number, index: Tensor, source: Tensor, options?: { alpha?: Scalar }): Tensor;
  /** With slices written at indices of a dim. */
  indexCopy(dim: number, index: Tensor, source: Tensor): Tensor;
  /** `indexCopy` in place. */
  indexCopy_(dim: number, index: Tensor, source: Tensor): Tensor;
  /** With one number at indices of a dim. */
  indexFill(dim: number, index: Tensor, value: map.Operand): Tensor;
  /** `indexFill` in place. */
  indexFill_(dim: number, index: Tensor, value: map.Operand): Tensor;
  /** With values at the places that tensors of indices give. */
  indexPut(
    indices: readonly (Tensor | null)[],
    values: map.Operand,
    options?: { accumulate?: boolean },
  ): Tensor;
  /** `indexPut` in place. */
  indexPut_(
    indices: readonly (Tensor | null)[],
    values: map.Operand,
    options?: { accumulate?: boolean },
  ): Tensor;
  /** One element for each index along a dim. */
  gather(dim: number, index: Tensor): Tensor;
  /** With elements, or one number, written at indices of a dim. */
  scatter(
    dim: number,
    index: Tensor,
    src?: map.Operand | null | scattering.ScatterOptions,
    options?: scattering.ScatterOptions,
  ): Tensor;
  /** `scatter` in place. */
  scatter_(
    dim: number,
    index: Tensor,
    src?: map.Operand | null | scattering.ScatterOptions,
    options?: scattering.ScatterOptions,
  ): Tensor;
  /** With elements added at indices of a dim. */
  scatterAdd(dim: number, index: Tensor, src: Tensor): Tensor;
  /** `scatterAdd` in place. */
  scatterAdd_(dim: number, index: Tensor, src: Tensor): Tensor;
  /** With elements combined at indices of a dim. */
  scatterReduce(
    dim: number,
    index: Tensor,
    src: Tensor,
    reduce: scattering.ScatterMode,
    options?: { includeSelf?: boolean },
  ): Tensor;
  /** `scatterReduce` in place. */
  scatterReduce_(
    dim: number,
    index: Tensor,
    src: Tensor,
    reduce: scattering.ScatterMode,
    options?: { includeSelf?: boolean },
  ): Tensor;
  /** Elements at indices that count them row-major. */
  take(index: Tensor): Tensor;
  /** `gather` with indices that broadcast. */
  takeAlongDim(indices: Tensor, dim?: number | null | { dim?: number | null }): Tensor;
  /** The indices of the elements that are not zero. */
  nonzero(options?: { asTuple?: false }): Tensor;
  /** The indices of the elements that are not zero, one tensor for each dim. */
  nonzero(options: { asTuple: true }): Tensor[];
  /** The indices of the elements that are not zero. */
  argwhere(): Tensor;
  /** The elements where a mask is set. */
  maskedSelect(mask: Tensor): Tensor;
  /** With a source's elements where a mask is set. */
  maskedScatter(mask: Tensor, source: Tensor): Tensor;
  /** `maskedScatter` in place. */
  maskedScatter_(mask: Tensor, source: Tensor): Tensor;
  /** Each element repeated, one beside the other. */
  repeatInterleave(
    repeats: number | Tensor,
    dim?: number | null | masking.RepeatOptions,
    options?: masking.RepeatOptions,
  ): Tensor;
  /** How often each number from 0 on occurs. */
  bincount(
    weights?: Tensor | null | masking.BincountOptions,
    minlength?: number | masking.BincountOptions,
  ): Tensor;
  /** How many elements fall into each of equal bins. */
  histc(
    bins?: number | masking.HistcOptions,
    min?: number | masking.HistcOptions,
    options?: masking.HistcOptions,
  ): Tensor;
  /** How many elements lie in each bin, and the edges: `{ hist, binEdges }`. */
  histogram: Method<typeof indexWrites.histogram>;
  /** A copy whose slices along a dim are joined with those of `source` that `index` sends there. */
  indexReduce: Method<typeof indexWrites.indexReduce>;
  /** `indexReduce` in place. */
  indexReduce_: Method<typeof indexWrites.indexReduce_>;
  /** The places of non-zeros in a tensor of `size` rows: the first ones, or rows of `fillValue` behind them. */
  nonzeroStatic: Method<typeof indexWrites.nonzeroStatic>;
  /** A copy with `source` at places of the flat tensor; with `accumulate` it is added there. */
  put: Method<typeof indexWrites.put>;
  /** `put` in place. */
  put_: Method<typeof indexWrites.put_>;
}

const methods: Forwarded<IndexingMethods> = {
  // Type inference takes no readonly rest.
  at: indexing.at as never,
  set: indexing.set,
  indexSelect: indexOps.indexSelect,
  indexAdd: indexOps.indexAdd,
  indexAdd_: indexOps.indexAdd_,
  indexCopy: indexOps.indexCopy,
  indexCopy_: indexOps.indexCopy_,
  indexFill: indexOps.indexFill,
  indexFill_: indexOps.indexFill_,
  indexPut: indexOps.indexPut,
  indexPut_: indexOps.indexPut_,
  gather: scattering.gather,
  scatter: scattering.scatter,
  scatter_: scattering.scatter_,
  scatterAdd: scattering.scatterAdd,
  scatterAdd_: scattering.scatterAdd_,
  scatterReduce: scattering.scatterReduce,
  scatterReduce_: scattering.scatterReduce_,
  take: scattering.take,
  takeAlongDim: scattering.takeAlongDim,
  nonzero: masking.nonzero,
  argwhere: masking.argwhere,
  maskedSelect: masking.maskedSelect,
  maskedScatter: masking.maskedScatter,
  maskedScatter_: masking.maskedScatter_,
  repeatInterleave: masking.repeatInterleave,
  bincount: masking.bincount,
  histc: masking.histc,
  histogram: indexWrites.histogram,
  indexReduce: indexWrites.indexReduce,
  indexReduce_: indexWrites.indexReduce_,
  nonzeroStatic: indexWrites.nonzeroStatic,
  put: indexWrites.put,
  put_: indexWrites.put_,
};

install(methods);
