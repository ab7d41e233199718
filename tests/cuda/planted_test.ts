/**
 * Every planted bug (native/emulator/planted.cu and planted.cpp) is caught by what is there to catch it, and its right
 * form gives nothing to catch.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { buildPlanted, sanitized, type Sanitizer } from "../../scripts/emulator.ts";

/** What has to catch a bug: the build, the environment, and what is said of it. */
interface Trap {
  sanitizer: Sanitizer;
  env?: Record<string, string>;
  says: RegExp;
}

const asan = (says: RegExp): Trap => ({ sanitizer: "asan", says });
const plain = (says: RegExp, env?: Record<string, string>): Trap => ({
  sanitizer: "plain",
  env,
  says,
});
const race: Trap = { sanitizer: "tsan", says: /WARNING: ThreadSanitizer: data race/ };
const reverse = { EMULATOR_ORDER: "reverse" };
const random = { EMULATOR_ORDER: "random" };
const lazy = { EMULATOR_LAZY: "1" };

const planted: Record<string, Trap[]> = {
  global_read: [asan(/heap-buffer-overflow.*\n.*READ of size 4/)],
  global_write: [asan(/heap-buffer-overflow.*\n.*WRITE of size 4/)],
  declared_shared_read: [asan(/global-buffer-overflow.*\n.*READ of size 4/)],
  declared_shared_write: [asan(/global-buffer-overflow.*\n.*WRITE of size 4/)],
  shared_read: [asan(/heap-buffer-overflow.*\n.*READ of size 4/)],
  shared_write: [asan(/heap-buffer-overflow.*\n.*WRITE of size 4/)],
  use_after_free: [asan(/heap-use-after-free/)],
  local_index: [asan(/index \d+ out of bounds for type 'float \[4\]'/)],
  vector_load: [asan(/member access within misaligned address|load of misaligned address/)],
  sum_of_ints: [asan(/signed integer overflow: 2147483647 \+ 63/)],
  shift: [asan(/shift exponent 32 is too large for 32-bit type/)],
  division: [asan(/division by zero/)],
  float_to_int: [asan(/1e\+20 is outside the range of representable values of type 'int'/)],
  barrier_left_out: [
    race,
    plain(/wrong: out\[\d+\] is -?nan/),
    plain(/wrong: out\[\d+\] is -?nan/, reverse),
    plain(/wrong: out\[\d+\] is -?nan/, random),
  ],
  sum_without_atomic: [race],
  two_barriers: [plain(/divergent __syncthreads: this thread waits in line \d+, others in line/)],
  barrier_against_shuffle: [plain(/64 of 64 threads wait for ever/)],
  two_warp_operations: [plain(/divergent warp operation: lane 1 is in __syncwarp/)],
  lane_outside_its_mask: [plain(/the mask 0000ffff is without the calling lane 16/)],
  places_by_order: [plain(/wrong: out\[0\] is 63/, reverse), plain(/wrong/, random)],
  block_needs_block: [plain(/wrong: out\[63\]|wrong: out\[\d+\] is -?nan/, reverse)],
  declared_shared_unwritten: [plain(/wrong: out\[0\] is -?nan/)],
  shared_unwritten: [plain(/wrong: out\[0\] is -?nan/)],
  shared_copy_not_waited_for: [plain(/wrong: out\[0\] is -?nan/)],
  shared_copy_off_its_place: [plain(/cp\.async: a place does not lie on 16 bytes/)],
  half_a_warp_of_mma: [plain(/mma without all lanes of the warp/)],
  output_unwritten: [plain(/wrong: out\[1\] is -?nan/)],
  copy_outside: [plain(/260 bytes at [0-9a-f]+ are not in one device allocation/)],
  freed_twice: [plain(/is freed, but was not allocated/)],
  too_many_threads: [plain(/cannot be launched as \(1, 1, 1\) blocks of \(2048, 1, 1\) threads/)],
  more_threads_than_declared: [plain(/blocks of \(128, 1, 1\) threads, at most 64/)],
  too_much_shared: [plain(/with 102400 bytes/)],
  too_many_rows: [plain(/cannot be launched as \(1, 65536, 1\) blocks/)],
  pinned_memory_reused: [plain(/wrong: out\[1\] is 0/, lazy)],
  read_before_wait: [plain(/wrong: out\[0\] is -1/, lazy)],
  stream_without_event: [plain(/wrong: out\[0\] is -?nan/, lazy)],
};

const built = new Map<Sanitizer, ReturnType<typeof buildPlanted>>();

async function run(name: string, form: "right" | "wrong", { sanitizer, env }: Trap) {
  if (!built.has(sanitizer)) built.set(sanitizer, buildPlanted(sanitizer));
  const { program, kernels } = await built.get(sanitizer)!;
  const { LD_PRELOAD: _, ...options } = sanitized(sanitizer, "");
  const { code, stderr } = await new Deno.Command(program, {
    args: [kernels, name, form],
    env: { EMULATOR_ORDER: "forward", EMULATOR_LAZY: "0", ...options, ...env },
  }).output();
  return { code, text: new TextDecoder().decode(stderr) };
}

for (const [name, traps] of Object.entries(planted)) {
  for (const trap of traps) {
    const where = Object.values(trap.env ?? {}).join(" ");
    Deno.test(`planted ${name}: caught by ${trap.sanitizer} ${where}`.trim(), async () => {
      assertMatch((await run(name, "wrong", trap)).text, trap.says);
      assertEquals(await run(name, "right", trap), { code: 0, text: "" });
    });
  }
}

Deno.test("every planted kernel has its trap", async () => {
  const source = await Deno.readTextFile(
    new URL("../../native/emulator/planted.cu", import.meta.url),
  );
  const kernels = [...source.matchAll(/^KERNEL\((\w+)/gm)].map((m) => m[1]);
  assertEquals(kernels.filter((k) => k !== "copy_data" && planted[k] === undefined), []);
});
