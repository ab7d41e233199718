/**
 * Weights of quantised layers in the kernel's order, kept as long as the state they were made of.
 *
 * @module
 */
import type { Storage } from "../../memory.ts";
import { type PackedWeight, packWeight } from "../../ops/quantized.ts";
import type { Tensor } from "../../tensor.ts";

/** What a quantised layer keeps. */
interface State {
  readonly weight: Tensor;
  readonly scale: Tensor;
  readonly bias: Tensor | null;
}

/** A weight in the kernel's order, and the storages that it was made of with their versions. */
interface Packed {
  readonly weight: PackedWeight;
  readonly of: readonly (readonly [Storage, number])[];
}

// Not in a #private field of the layer: ../copy.ts makes a module without its constructor.
const packs = new WeakMap<State, Packed>();

/** The packed weight, made anew after a change of the state. */
export function packedOf(layer: State): PackedWeight {
  const state = [layer.weight, layer.scale, ...(layer.bias === null ? [] : [layer.bias])];
  const known = packs.get(layer);
  const isFresh = known?.of.length === state.length &&
    known.of.every(([storage, version], i) =>
      storage === state[i].storage && version === storage.version
    );
  if (isFresh) return known.weight;
  const weight = packWeight(layer.weight, layer.scale, layer.bias);
  // No scope around frees what a layer keeps.
  for (const t of Object.values(weight)) if (t !== null) t.storage.kept = true;
  packs.set(layer, { weight, of: state.map(({ storage }) => [storage, storage.version]) });
  return weight;
}
