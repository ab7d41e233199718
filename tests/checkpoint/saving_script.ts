// Begins a save beside the script and ends in one of several ways: FORM PATH.
import { checkpoint, ones } from "../../mod.ts";

const [form, path] = Deno.args;
const weight = ones([4_000_000]);
checkpoint.asyncSave(path, { weight });
weight.mul_(2);
if (form === "exit") Deno.exit(3);
if (form === "throw") throw new Error("thrown on purpose");
if (form === "unseen") Deno.removeSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
console.log("end");
