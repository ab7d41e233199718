/**
 * Watching training: log, progress, early stopping, metrics, curves.
 *
 * @module
 */
export {
  type BatchValues,
  type EarlyStopping,
  type EpochMetrics,
  type EpochRecord,
  TrainingMonitor,
  type TrainingMonitorOptions,
  type TrainingMonitorState,
} from "./training_monitor.ts";
export { type Chart, chartGrid, type GridOptions, lineChart, type Series } from "./charts.ts";
export { progress, type ProgressOptions, type ProgressStyle } from "./progress.ts";
export type { Scalar, ScalarLike } from "./metrics.ts";
export * as metrics from "./metrics.ts";
