/**
 * The op case table: every public op of src/ops/mod.ts with its cases, merged from one file per family. It drives the
 * tests, the gradchecks, the goldens and the comparison of devices. An op without cases fails cases_test.ts.
 */
import { activationCases } from "./cases/activation.ts";
import { creationCases } from "./cases/creation.ts";
import { embeddingCases } from "./cases/embedding.ts";
import { indexingCases } from "./cases/indexing.ts";
import { joiningCases } from "./cases/joining.ts";
import { lossCases } from "./cases/loss.ts";
import { matmulCases } from "./cases/matmul.ts";
import { normalizationCases } from "./cases/normalization.ts";
import { orderStatisticsCases } from "./cases/order_statistics.ts";
import { inplaceCases, logicCases, mathCases, pointwiseCases } from "./cases/pointwise.ts";
import { randomCases } from "./cases/random.ts";
import { reductionCases } from "./cases/reduction.ts";
import { scanCases } from "./cases/scan.ts";
import { sequenceCases } from "./cases/sequence.ts";
import { softmaxCases } from "./cases/softmax.ts";
import { sortingCases } from "./cases/sorting.ts";
import { spatialCases } from "./cases/spatial.ts";
import { viewCases } from "./cases/view.ts";
import { arithmeticCases, specialCases } from "./cases/special.ts";
import { compositionCases } from "./cases/compositions.ts";
import { linalgCases } from "./cases/linalg.ts";
import type { Entry } from "./spec.ts";

export { type Case, type Entry, type SpecOptions, t, TensorSpec } from "./spec.ts";

/** The entries by family, then by op. */
export const families: Record<string, Record<string, Entry>> = {
  activation: activationCases,
  arithmetic: arithmeticCases,
  compositions: compositionCases,
  linalg: linalgCases,
  special: specialCases,
  creation: creationCases,
  embedding: embeddingCases,
  indexing: indexingCases,
  joining: joiningCases,
  loss: lossCases,
  matmul: matmulCases,
  normalization: normalizationCases,
  "order statistics": orderStatisticsCases,
  inplace: inplaceCases,
  logic: logicCases,
  math: mathCases,
  pointwise: pointwiseCases,
  random: randomCases,
  reduction: reductionCases,
  scan: scanCases,
  sequence: sequenceCases,
  softmax: softmaxCases,
  sorting: sortingCases,
  spatial: spatialCases,
  view: viewCases,
};

/** The entries of all families by op. */
export const cases: Record<string, Entry> = Object.assign({}, ...Object.values(families));
