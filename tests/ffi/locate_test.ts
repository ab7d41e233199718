/** Where the native library is looked for, under many sets of permissions, each in its own process. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { explain, type Located, sha256 } from "../../ffi/locate.ts";

const module = new URL("../../ffi/locate.ts", import.meta.url).href;
const away = "https://jsr.io/@toro/toro/0.1.0/ffi/locate.ts";
const library = "libtoro-test.so";
/** Bytes that stand for a library: they are hashed, never opened. */
const bytes = new TextEncoder().encode("not really a library");
const releases = {
  "linux-x86_64": { file: library, sha256: sha256(bytes), url: "https://example.com/x" },
};

interface Call {
  flags: string[];
  cwd: string;
  env?: Record<string, string>;
  options?: Record<string, unknown>;
}

/** What `locate` returns in a process of its own, which must not have asked for anything. */
async function locateIn({ flags, cwd, env = {}, options = {} }: Call): Promise<Located> {
  const script = join(cwd, "script.ts");
  await Deno.writeTextFile(
    script,
    `import { locate } from "${module}";
     console.log(JSON.stringify(locate({ platform: "linux-x86_64", ...${
      JSON.stringify(options)
    } })));`,
  );
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-config", "--no-lock", ...flags, script],
    cwd,
    // Without what this process was given: TORO_LIB above all.
    clearEnv: true,
    env: {
      HOME: Deno.env.get("HOME") ?? "/",
      DENO_DIR: Deno.env.get("DENO_DIR") ?? join(Deno.env.get("HOME") ?? "/", ".cache/deno"),
      ...env,
    },
  }).output();
  const text = new TextDecoder();
  assertEquals(code, 0, text.decode(stderr));
  assertEquals(text.decode(stderr), "");
  return JSON.parse(text.decode(stdout));
}

/** Runs a case in a folder that is removed after it. */
function inFolder(name: string, body: (folder: string) => Promise<void>): void {
  Deno.test({
    name: `locate: ${name}`,
    ignore: Deno.build.os !== "linux",
    fn: async () => {
      const folder = await Deno.realPath(await Deno.makeTempDir());
      try {
        await body(folder);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

async function put(path: string, content: Uint8Array = bytes): Promise<string> {
  await Deno.mkdir(join(path, ".."), { recursive: true });
  await Deno.writeFile(path, content);
  return path;
}

inFolder("without permissions every place names its flag", async (cwd) => {
  const found = await locateIn({ flags: ["--no-prompt"], cwd });
  assert("tried" in found);
  const built = fromFileUrl(new URL("../../native/target/release/libtoro.so", import.meta.url));
  assertEquals(found.tried.slice(0, 2), [
    { place: "TORO_LIB", reason: "may not be read", flag: "--allow-env=TORO_LIB" },
    { place: built, reason: "may not be opened", flag: `--allow-ffi=${built}` },
  ]);
  const text = explain(found.tried);
  assertStringIncludes(text, `- ${built}: may not be opened (--allow-ffi=${built} would allow it)`);
});

inFolder("TORO_LIB wins, and is never passed over", async (cwd) => {
  const path = await put(join(cwd, "mine.so"));
  const flags = ["--allow-env=TORO_LIB", "--allow-read"];
  const run = (TORO_LIB: string, ...more: string[]) =>
    locateIn({ flags: [...flags, ...more], cwd, env: { TORO_LIB }, options: { releases } });
  assertEquals(await run(path, "--allow-ffi"), { path, place: "TORO_LIB" });
  assertEquals(await run("mine.so", `--allow-ffi=${path}`), { path, place: "TORO_LIB" });
  assertEquals(await run(path), {
    tried: [{
      place: `TORO_LIB=${path}`,
      reason: "may not be opened",
      flag: `--allow-ffi=${path}`,
    }],
  });
  assertEquals(await run("/no/such.so", "--allow-ffi"), {
    tried: [{ place: "TORO_LIB=/no/such.so", reason: "there is no such file" }],
  });
});

inFolder("TORO_LIB is found under --allow-ffi and --allow-env alone", async (cwd) => {
  const path = await put(join(cwd, "mine.so"));
  const flags = ["--no-prompt", "--allow-env=TORO_LIB", "--allow-ffi"];
  const run = (TORO_LIB: string) => locateIn({ flags, cwd, env: { TORO_LIB } });
  assertEquals(await run(path), { path, place: "TORO_LIB" });
  assertEquals(await run(`${path}x`), {
    tried: [{ place: `TORO_LIB=${path}x`, reason: "there is no such file" }],
  });
});

inFolder("the checkout's library, built or not", async (cwd) => {
  const moduleUrl = `file://${cwd}/ffi/locate.ts`;
  const path = join(cwd, "native/target/release/libtoro.so");
  const flags = ["--allow-read", `--allow-ffi=${path}`];
  const run = () => locateIn({ flags, cwd, options: { moduleUrl } });
  const before = await run();
  assert("tried" in before);
  assertEquals(before.tried[1], { place: path, reason: "is not built; `deno task build` does it" });
  assertMatch(before.tried[2].reason, /^Toro [\d.]+ pins no released library/);
  await put(path);
  assertEquals(await run(), { path, place: "checkout" });
  assertEquals(
    await locateIn({ flags: ["--no-prompt", `--allow-ffi=${path}`], cwd, options: { moduleUrl } }),
    { path, place: "checkout" },
  );
});

inFolder(".toro/ in a parent is opened only with the pinned hash", async (cwd) => {
  const path = await put(join(cwd, ".toro", library));
  const inner = join(cwd, "a/b");
  await Deno.mkdir(inner, { recursive: true });
  const options = { moduleUrl: away, releases };
  const run = (...flags: string[]) =>
    locateIn({ flags: ["--no-prompt", ...flags], cwd: inner, options });
  assertEquals(await run(`--allow-read=${cwd}`, `--allow-ffi=${path}`), { path, place: ".toro" });
  const closed = await run(`--allow-read=${cwd}`);
  assert("tried" in closed);
  assert(closed.tried.some((entry) => entry.flag === `--allow-ffi=${path}`));
  const blind = await run("--allow-ffi");
  assert("tried" in blind);
  assertEquals(blind.tried[1], { place: "checkout", reason: "Toro was not imported from one" });
  assertEquals(blind.tried[2].flag, `--allow-read=${join(inner, ".toro", library)}`);
  await Deno.writeTextFile(path, "changed");
  const changed = await run("--allow-read", "--allow-ffi");
  assert("tried" in changed);
  const entry = changed.tried.find((entry) => entry.place === path);
  assertMatch(entry!.reason, /^its SHA-256 is [0-9a-f]{64}, not the pinned [0-9a-f]{64}$/);
});

inFolder("the per-user cache, when HOME may be read", async (cwd) => {
  const path = await put(join(cwd, "home/.cache/toro", library));
  const options = { moduleUrl: away, releases };
  const env = {
    HOME: join(cwd, "home"),
    DENO_DIR: Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno`,
  };
  const run = (...flags: string[]) =>
    locateIn({
      flags: ["--no-prompt", "--allow-read", "--allow-ffi", ...flags],
      cwd,
      env,
      options,
    });
  assertEquals(await run("--allow-env=HOME"), { path, place: "cache" });
  const without = await run();
  assert("tried" in without);
  assertEquals(without.tried.at(-1), {
    place: "per-user cache",
    reason: "HOME may not be read",
    flag: "--allow-env=HOME",
  });
});

inFolder("other platforms get one clear line", async (cwd) => {
  for (
    const [platform, name] of [["darwin-aarch64", "macOS aarch64"], [
      "windows-x86_64",
      "Windows x86_64",
    ], ["linux-aarch64", "Linux aarch64"]]
  ) {
    const found = await locateIn({ flags: ["-A"], cwd, options: { platform } });
    assert("tried" in found);
    assertEquals(
      explain(found.tried),
      `- ${name}: is not supported yet; Toro's library is built and tested for Linux x86-64`,
    );
  }
});
