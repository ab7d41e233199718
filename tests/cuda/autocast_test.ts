/** What ops give under autocast on CUDA, as PyTorch does; its types there were asked for without a GPU. */
import { testAutocast } from "../amp/autocast_table.ts";

testAutocast("cuda");
