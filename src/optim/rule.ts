/**
 * Update rules as native knows them: native/src/ops/optim.rs.
 *
 * @module
 */

/** An update rule. */
export interface Rule {
  /** One of `KINDS`. */
  readonly kind: number;
  /** A sum of `FLAGS`. */
  readonly flags: number;
}

/** The rules by number. */
export const KINDS = {
  adam: 0,
  sgd: 1,
  rmsprop: 2,
  adagrad: 3,
  adadelta: 4,
  adamax: 5,
  nadam: 6,
  radam: 7,
  rprop: 8,
  asgd: 9,
  sparseAdam: 10,
} as const;

/** What makes one update rule differ from another. */
export const FLAGS = {
  maximize: 1,
  l2: 2,
  amsgrad: 4,
  momentum: 8,
  nesterov: 16,
  decay: 32,
  centered: 64,
} as const;

/** The flag of going up instead of down, where a group asks for it. */
export function maximizeFlag(group: { readonly [option: string]: unknown }): number {
  return group.maximize === true ? FLAGS.maximize : 0;
}
