/**
 * Methods of Tensor that make others like it, fill it, or tell of it. Each hands its arguments on to an op.
 *
 * @module
 */
import type { Scalar } from "../dtype.ts";
import * as creation from "../ops/creation.ts";
import * as distributions from "../ops/distributions.ts";
import * as inspection from "../ops/inspection.ts";
import * as patterns from "../ops/pattern.ts";
import * as random from "../ops/random.ts";
import type { Tensor } from "../tensor.ts";
import { type Forwarded, install, type Method } from "./install.ts";

/** Methods of Tensor that make others like it, fill it, or tell of it. */
export interface MakingMethods {
  /** Zeros of a size, of this dtype and device. */
  newZeros(size: readonly number[] | number, options?: creation.CreationOptions): Tensor;
  /** Ones of a size, of this dtype and device. */
  newOnes(size: readonly number[] | number, options?: creation.CreationOptions): Tensor;
  /** Undefined elements of a size, of this dtype and device. */
  newEmpty(size: readonly number[] | number, options?: creation.CreationOptions): Tensor;
  /** One number, of a size, of this dtype and device. */
  newFull(
    size: readonly number[] | number,
    fillValue: Scalar,
    options?: creation.CreationOptions,
  ): Tensor;
  /** What lies on and below a diagonal. */
  tril(diagonal?: number | patterns.TriangleOptions): Tensor;
  /** What lies on and above a diagonal. */
  triu(diagonal?: number | patterns.TriangleOptions): Tensor;
  /** 0 or 1, with these probabilities of 1. */
  bernoulli(p?: number | null | { p?: number | null }): Tensor;
  /** Draws classes by these weights. */
  multinomial(numSamples: number, options?: { replacement?: boolean }): Tensor;
  /** Fills with uniform numbers. */
  uniform_(from?: number | random.UniformOptions, to?: number | random.UniformOptions): Tensor;
  /** Fills with normal numbers. */
  normal_(
    mean?: number | random.NormalInplaceOptions,
    std?: number | random.NormalInplaceOptions,
  ): Tensor;
  /** Fills with exponentially distributed numbers. */
  exponential_(lambd?: number | { lambd?: number }): Tensor;
  /** Fills with 0 and 1. */
  bernoulli_(p?: number | Tensor | { p?: number | Tensor }): Tensor;
  /** Fills with integers. */
  random_(from: number | bigint, to?: number | bigint | null): Tensor;
  /** The last two dims exchanged. */
  adjoint: Method<typeof inspection.adjoint>;
  /** Sets the main diagonal. */
  fillDiagonal_: Method<typeof inspection.fillDiagonal_>;
  /** Whether the dtype is a float one. */
  isFloatingPoint: Method<typeof inspection.isFloatingPoint>;
  /** Whether the one element differs from 0. */
  isNonzero: Method<typeof inspection.isNonzero>;
  /** Whether both have one shape. */
  isSameSize: Method<typeof inspection.isSameSize>;
  /** Whether the dtype has negative numbers. */
  isSigned: Method<typeof inspection.isSigned>;
  /** Fills with numbers of Cauchy's distribution. */
  cauchy_: Method<typeof distributions.cauchy_>;
  /** Fills with the number of tries up to the first success, each of probability p. */
  geometric_: Method<typeof distributions.geometric_>;
  /** Fills with numbers whose logarithms are normal. */
  logNormal_: Method<typeof distributions.logNormal_>;
}

const methods: Forwarded<MakingMethods> = {
  newZeros: creation.newZeros,
  newOnes: creation.newOnes,
  newEmpty: creation.newEmpty,
  newFull: creation.newFull,
  tril: patterns.tril,
  triu: patterns.triu,
  bernoulli: random.bernoulli,
  multinomial: random.multinomial,
  uniform_: random.uniform_,
  normal_: random.normal_,
  exponential_: random.exponential_,
  bernoulli_: random.bernoulli_,
  random_: random.random_,
  adjoint: inspection.adjoint,
  fillDiagonal_: inspection.fillDiagonal_,
  isFloatingPoint: inspection.isFloatingPoint,
  isNonzero: inspection.isNonzero,
  isSameSize: inspection.isSameSize,
  isSigned: inspection.isSigned,
  cauchy_: distributions.cauchy_,
  geometric_: distributions.geometric_,
  logNormal_: distributions.logNormal_,
};

install(methods);
