/**
 * Data: files, datasets, samplers, loaders, augmentation.
 *
 * @module
 */
import "../methods.ts";

export {
  AddGaussianNoise,
  type AddGaussianNoiseOptions,
  RandomMask,
  type RandomMaskOptions,
} from "./augment.ts";
export { type Collated, defaultCollate } from "./collate.ts";
export {
  type Column,
  type Columns,
  Dataset,
  type ExampleOf,
  IterableDataset,
  type MapSource,
  randomSplit,
  type RandomSplitOptions,
  type Row,
  type Split,
  Subset,
  TensorDataset,
} from "./dataset.ts";
export { DataLoader, type Loader, type MakeDataLoader } from "./loader.ts";
export { type DataLoaderOptions, type DataLoaderState } from "./loader_options.ts";
export { type SeedSource } from "./order.ts";
export {
  type AnyTable,
  type ColumnOptions,
  type ColumnSpec,
  type ColumnSpecs,
  type ColumnType,
  type CsvFormat,
  type CsvOptions,
  type ParquetOptions,
  readCsv,
  readParquet,
  type Table,
} from "./read.ts";
export {
  BatchSampler,
  type BatchSamplerOptions,
  RandomSampler,
  type RandomSamplerOptions,
  Sampler,
  SequentialSampler,
  type Sized,
  WeightedRandomSampler,
  type WeightedRandomSamplerOptions,
} from "./sampler.ts";
