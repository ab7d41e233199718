/** What ops and layers give under autocast on CUDA, as PyTorch does; its types there were asked for without a GPU. */
import { testAutocast } from "../amp/autocast_table.ts";
import { recurrentTypes } from "../amp/recurrent_types.ts";

testAutocast("cuda");

Deno.test("recurrent layers under autocast on CUDA: PyTorch's types", () => recurrentTypes("cuda"));
