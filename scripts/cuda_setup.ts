/**
 * `deno task cuda:setup`: installs nvcc from PyPI into `.venv/cuda` (105 MB to fetch, 300 MB on disk), where build.rs
 * finds it. The versions are pinned: PyPI carries newer ones whose kernels an older driver refuses.
 */
import { existsSync, utimesSync } from "node:fs";
import { crate, root, runStage } from "./stages.ts";

const packages = [
  "nvidia-cuda-nvcc==13.0.88",
  "nvidia-cuda-crt==13.0.88",
  "nvidia-nvvm==13.0.88",
  "nvidia-cuda-runtime==13.0.96",
  "nvidia-cuda-cccl==13.0.85",
];
const folder = `${root}.venv/cuda`;

const commands = [
  ...existsSync(folder) ? [] : [["python3", "-m", "venv", folder]],
  [`${folder}/bin/pip`, "install", "--quiet", ...packages],
];
for (const command of commands) {
  const { ok } = await runStage({ name: "cuda:setup", command });
  if (!ok) Deno.exit(1);
}
// cargo looks for nvcc again when build.rs is newer than what was built without one.
const now = new Date();
utimesSync(`${crate}/build.rs`, now, now);
console.log(`nvcc lies in ${folder}; \`deno task build\` embeds CUDA kernels now`);
