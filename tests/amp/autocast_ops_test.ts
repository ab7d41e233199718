/** What ops give under autocast on the CPU, as PyTorch does. */
import { testAutocast } from "./autocast_table.ts";

testAutocast("cpu");
