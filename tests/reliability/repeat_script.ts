/** Trains with a seed and so many threads, and prints the SHA-256 of weights and optimiser state: THREADS STEPS. */
import { option } from "../../ffi/library.ts";
import { Training } from "./training.ts";

const [threads, steps] = Deno.args.map(Number);
option("threads", threads);
const training = new Training();
for (let i = 0; i < steps; i++) training.step();
console.log(training.digest());
