/**
 * What a training run's checkpoint is made of, and how it is asked for.
 *
 * @module
 */
import type { Module } from "../nn/module.ts";

/** Anything with a state: optimisers, schedulers, monitors and what a script adds. */
export interface Stateful {
  /** The state as plain values and tensors. */
  stateDict(): unknown;
  /** Takes a state over. */
  loadStateDict(state: never): unknown;
}

/** What a training run consists of. */
export interface TrainingParts {
  /** The network. */
  model: Module;
  /** Its optimiser. */
  optimizer?: Stateful;
  /** The learning rate's scheduler. */
  scheduler?: Stateful;
  /** The loader of training data: its position is kept, and `everySteps` and signals act when it is asked for a batch. */
  loader?: Stateful;
  /** The training monitor. */
  log?: Stateful;
  /** More things with a state, under names of their own. */
  [name: string]: Stateful | undefined;
}

/** When checkpoints are written and which stay. */
export interface ModelCheckpointOptions {
  /** Folder of the files; made when missing. */
  dir: string | URL;
  /** Also save whenever so many batches have been trained on; default: only at `save`. */
  everySteps?: number;
  /** `save` writes every so many epochs, and whenever an epoch is the best; default: each. */
  everyEpochs?: number;
  /** How many of the newest files stay; default 5. */
  keepLast?: number;
  /** Writes beside the training, out of a copy of the state; see `asyncSave`. Default false. */
  async?: boolean;
  /** Keeps the best epoch as `best.safetensors` too. */
  best?: {
    /** A name among the metrics given to `save`. */
    metric: string;
    /** Whether less or more is better. */
    mode: "min" | "max";
  };
}

/** Metrics of an epoch by name. */
export type Metrics = Readonly<Record<string, number>>;

/** What `latest` found. */
export interface Latest {
  /** The newest file that is whole. */
  readonly path: string;
  /** The epoch that ran when it was written, or that had ended. */
  readonly epoch: number;
  /** Batches of training before it. */
  readonly step: number;
  /** Newer files that are not whole, and why. */
  readonly skipped: { path: string; reason: string }[];
}

/** What a file says beside the parts' states. */
export interface Progress {
  /** The epoch to run next. */
  epoch: number;
  step: number;
  best: { epoch: number; value: number; file: string } | null;
}

/** Names that a file uses itself. */
export const RESERVED: ReadonlySet<string> = new Set([
  "progress",
  "metrics",
  "values",
  "rng",
]);
