/**
 * What batch norms and instance norms share: weight and bias by channel, and running statistics.
 *
 * @module
 */
import { type DType, DTYPES } from "../dtype.ts";
import { bind, type Signature } from "../op.ts";
import { filled } from "../ops/creation.ts";
import { constant_ } from "./init.ts";
import { Module } from "./module.ts";
import { checkCount, checkNumber, factoryOf, newParameter } from "./options.ts";
import { Buffer, type Parameter } from "./parameter.ts";

/** A norm of channels with running statistics. */
export abstract class RunningNorm extends Module {
  /** Channels. */
  readonly numFeatures: number;
  /** Added to the variance. */
  readonly eps: number;
  /** Share of a batch in the running statistics; null: their plain mean. */
  momentum: number | null;
  /** Whether there are weight and bias. */
  readonly affine: boolean;
  /** Whether running statistics are kept. */
  readonly trackRunningStats: boolean;
  /** (C), or null. */
  weight: Parameter | null;
  /** (C), or null. */
  bias: Parameter | null;
  /** (C), or null. */
  runningMean: Buffer | null;
  /** (C), or null. */
  runningVar: Buffer | null;
  /** How many batches the running statistics saw; int64, or null. */
  numBatchesTracked: Buffer | null;

  protected constructor(signature: Signature, args: readonly unknown[]) {
    super();
    const { name } = signature;
    const [features, epsilon, share, affine, track, device, dtype, bias] = bind(
      signature,
      args,
    ) as [
      number,
      number,
      number | null,
      boolean,
      boolean,
      string | null,
      DType | null,
      boolean,
    ];
    checkCount(features, name, "numFeatures");
    checkNumber(epsilon, name, "eps");
    if (share !== null) checkNumber(share, name, "momentum");
    const factory = factoryOf(name, device, dtype);
    this.numFeatures = features;
    this.eps = epsilon;
    this.momentum = share;
    this.affine = affine;
    this.trackRunningStats = track;
    this.weight = affine ? newParameter([features], factory) : null;
    this.bias = affine && bias ? newParameter([features], factory) : null;
    const buffer = (value: number) =>
      track ? new Buffer(filled([features], value, factory.info, factory.device)) : null;
    this.runningMean = buffer(0);
    this.runningVar = buffer(1);
    this.numBatchesTracked = track ? new Buffer(filled([], 0, DTYPES.int64, factory.device)) : null;
    this.resetParameters();
  }

  /** Sets the running statistics back to mean 0 and variance 1. */
  resetRunningStats(): void {
    if (this.runningMean === null) return;
    constant_(this.runningMean, 0);
    constant_(this.runningVar!, 1);
    constant_(this.numBatchesTracked!, 0);
  }

  /** Sets weight, bias and running statistics back. */
  resetParameters(): void {
    this.resetRunningStats();
    if (this.weight !== null) constant_(this.weight, 1);
    if (this.bias !== null) constant_(this.bias, 0);
  }

  override extraRepr(): string {
    return `${this.numFeatures}, eps=${this.eps}, momentum=${this.momentum}, affine=${this.affine}, ` +
      `trackRunningStats=${this.trackRunningStats}`;
  }
}
