/** The types that recurrent layers give under autocast, of float32 and of the low precision. */
import { assert, assertEquals } from "@std/assert";
import { autocast, type DType, nn, randn, type Tensor } from "../../mod.ts";
import { type Kind, LOW } from "./autocast_table.ts";

/** Of PyTorch's layers only those of gates on the CPU give float32 for float32; cells there keep an LSTM's float32 too. */
const WIDE: Record<Kind, readonly string[]> = { cpu: ["GRU", "LSTMCell", "GRUCell"], cuda: [] };

/** Fails unless all recurrent layers give PyTorch's types, and gradients in the types of the parameters. */
export function recurrentTypes(device: Kind): void {
  const layers = [nn.LSTM, nn.RNN, nn.GRU, nn.LSTMCell, nn.RNNCell, nn.GRUCell];
  for (const Layer of layers) {
    const layer = new Layer(4, 4);
    layer.to(device);
    for (const dtype of ["float32", LOW[device]] satisfies DType[]) {
      const x = randn(Layer.name.endsWith("Cell") ? [2, 4] : [3, 2, 4]).to(device).to(dtype);
      const forward = layer.forward as (x: Tensor) => unknown;
      const given = autocast({ device }, () => forward.call(layer, x));
      const results = [given].flat(Infinity) as Tensor[];
      const want = WIDE[device].includes(Layer.name) ? dtype : LOW[device];
      for (const y of results) assertEquals(y.dtype, want, `${Layer.name} of ${dtype}`);
      layer.zeroGrad();
      results[0].float().sum().backward();
      assert(layer.parameters().every((p) => p.grad!.dtype === "float32"));
    }
  }
}
