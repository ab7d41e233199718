/**
 * Checkpoints: states in safetensors files, and whole training runs that go on where they were cut.
 *
 * @module
 */
import "../methods.ts";

export {
  AsyncSave,
  asyncSave,
  load,
  type LoadOptions,
  type ReadOptions,
  save,
  type SaveOptions,
  type State,
} from "./file.ts";
export { type FileFormat, inspect, type Inspection, type TensorFacts } from "./inspect.ts";
export {
  type HuggingFaceArchitecture,
  type HuggingFaceOptions,
  loadHuggingFace,
} from "./hugging_face.ts";
export { loadNumpy, type LoadNumpyOptions, saveNumpy } from "./numpy.ts";
export { loadTorch, type LoadTorchOptions, saveTorch } from "./torch.ts";
export { ModelCheckpoint } from "./model_checkpoint.ts";
export {
  type Latest,
  type Metrics,
  type ModelCheckpointOptions,
  type Stateful,
  type TrainingParts,
} from "./parts.ts";
