/** The JSR packages Toro imports: every case holds for the real ones and for the offline stand-ins. */
import * as a from "@std/assert";
import { parseArgs } from "@std/cli/parse-args";
import * as path from "@std/path";
import { Command, ValidationError } from "@cliffy/command";
import nodeAssert from "node:assert/strict";

/** That the call fails with an AssertionError that says `part`. */
function fails(call: () => unknown, part: string): void {
  nodeAssert.throws(
    call,
    (error: unknown) => error instanceof a.AssertionError && error.message.includes(part),
  );
}

Deno.test("assert: equality goes into structure", () => {
  a.assertEquals({ x: [1, { y: new Set([1, [2]]) }] }, { x: [1, { y: new Set([1, [2]]) }] });
  a.assertEquals(NaN, NaN);
  a.assertEquals(0, -0);
  a.assertEquals(new Map([["k", [1]]]), new Map([["k", [1]]]));
  a.assertEquals(new Float32Array([1, NaN]), new Float32Array([1, NaN]));
  a.assertEquals(new Date(5), new Date(5));
  a.assertEquals(/a/g, /a/g);
  const [one, other]: [Record<string, unknown>, Record<string, unknown>] = [{}, {}];
  one.self = one;
  other.self = other;
  a.assertEquals(one, other);
  fails(() => a.assertEquals<unknown>({ x: 1 }, { x: 2 }), "Values are not equal");
  fails(() => a.assertEquals<unknown>({ x: 1, y: undefined }, { x: 1 }), "Values are not equal");
  fails(() => a.assertEquals<unknown>([1, 2], [1, 2, 3], "lengths"), "lengths");
  fails(() => a.assertEquals<unknown>(new Float32Array(1), new Float64Array(1)), "not equal");
  fails(() => a.assertEquals<unknown>(new Set([1]), new Set([2])), "not equal");
  fails(() => a.assertEquals<unknown>(1n, 1), "not equal");
  a.assertNotEquals<unknown>([1], [2]);
  fails(() => a.assertNotEquals([1], [1]), "not to be");
  a.assertStrictEquals(one, one);
  fails(() => a.assertStrictEquals([1], [1]), "not reference-equal");
  fails(() => a.assertStrictEquals<unknown>(0, -0), "not strictly equal");
  a.assertNotStrictEquals([1], [1]);
  fails(() => a.assertNotStrictEquals(one, one), "not be strictly equal");
});

Deno.test("assert: truth, order, text", () => {
  a.assert(1);
  a.assertFalse(0);
  fails(() => a.assert(0, "zero"), "zero");
  fails(() => a.assertFalse(1, "one"), "one");
  fails(() => a.fail("here"), "Failed assertion: here");
  fails(() => a.unreachable(), "Unreachable.");
  a.assertAlmostEquals(1, 1 + 5e-8);
  a.assertAlmostEquals(1, 1.4, 0.5);
  fails(() => a.assertAlmostEquals(1, 1.4), "to be close to");
  fails(() => a.assertAlmostEquals(NaN, 1), "to be close to");
  a.assertExists(0);
  fails(() => a.assertExists(null), "to not be null or undefined");
  a.assertGreater(2, 1);
  a.assertGreaterOrEqual(2, 2);
  a.assertLess(1, 2);
  a.assertLessOrEqual(2, 2);
  fails(() => a.assertGreater(1, 1), "Expect 1 > 1");
  fails(() => a.assertGreaterOrEqual(0, 1), "Expect 0 >= 1");
  fails(() => a.assertLess(1, 1), "Expect 1 < 1");
  fails(() => a.assertLessOrEqual(2, 1), "Expect 2 <= 1");
  a.assertStringIncludes("tensor", "so");
  fails(() => a.assertStringIncludes("tensor", "x"), "to contain");
  a.assertMatch("tensor", /^t/);
  a.assertNotMatch("tensor", /^x/);
  fails(() => a.assertMatch("tensor", /^x/), "to match");
  fails(() => a.assertNotMatch("tensor", /^t/), "to not match");
  a.assertArrayIncludes<unknown>([1, [2], 3], [[2], 3]);
  fails(() => a.assertArrayIncludes([1], [2]), "missing");
});

Deno.test("assert: classes, errors and promises", async () => {
  a.assertInstanceOf(new Date(), Date);
  fails(() => a.assertInstanceOf([], Date), `instance of "Date" but was "Array"`);
  a.assertIsError(new RangeError("shape"), RangeError, "sha");
  a.assertIsError(new RangeError("shape"), RangeError, /^sha/);
  fails(() => a.assertIsError("text"), "to be an Error object");
  fails(() => a.assertIsError(new Error("x"), RangeError), `instance of "RangeError"`);
  fails(() => a.assertIsError(new Error("x"), Error, "y"), "to include");
  const thrown = a.assertThrows(
    () => {
      throw new RangeError("sizes differ");
    },
    RangeError,
    "differ",
  );
  a.assertEquals(thrown.message, "sizes differ");
  fails(() => a.assertThrows(() => {}), "Expected function to throw.");
  fails(
    () =>
      a.assertThrows(() => {
        throw "text";
      }, Error),
    "A non-Error object was thrown",
  );
  const rejected = await a.assertRejects(
    () => Promise.reject(new TypeError("dtype")),
    TypeError,
    "dty",
  );
  a.assertInstanceOf(rejected, TypeError);
  const settled = await Promise.allSettled([
    a.assertRejects(() => Promise.resolve()),
    a.assertRejects(() => {
      throw new Error();
    }),
  ]);
  a.assertEquals(
    settled.map((outcome) => outcome.status === "rejected" && outcome.reason.message),
    ["Expected function to reject.", "Function throws when expected to reject."],
  );
});

Deno.test("path: parts and whole", () => {
  a.assertEquals(path.join("out", "..", "data", "a.csv"), "data/a.csv");
  a.assertEquals(path.basename("/x/model.safetensors", ".safetensors"), "model");
  a.assertEquals(path.dirname("/x/y/z"), "/x/y");
  a.assertEquals(path.dirname(new URL("file:///x/y%20z/a")), "/x/y z");
  a.assertEquals(path.extname("a.tar.gz"), ".gz");
  a.assertEquals(path.relative("/a/b/c", "/a/d"), "../../d");
  a.assertEquals(path.resolve("/a", "b", "../c"), "/a/c");
  a.assertEquals(path.normalize("/a//b/./c/.."), "/a/b");
  a.assert(path.isAbsolute("/a"));
  a.assertFalse(path.isAbsolute("a"));
  a.assertEquals(path.fromFileUrl("file:///x/y%20z"), "/x/y z");
  a.assertEquals(path.toFileUrl("/x/y z#1").href, "file:///x/y%20z%231");
  a.assertThrows(() => path.fromFileUrl("https://x/"), TypeError);
  a.assertThrows(() => path.toFileUrl("x"), TypeError);
  const parts = { root: "/", dir: "/a", base: "b.c", ext: ".c", name: "b" };
  a.assertEquals({ ...path.parse("/a/b.c") }, parts);
  a.assertEquals(path.format(parts), "/a/b.c");
  a.assertEquals([path.SEPARATOR, path.DELIMITER], ["/", ":"]);
});

Deno.test("parseArgs: flags become properties", () => {
  const args = parseArgs(
    [
      "--quick",
      "--epochs",
      "3",
      "--name=x=y",
      "in.csv",
      "--no-color",
      "-o",
      "out",
      "7",
      "--",
      "-z",
    ],
    {
      boolean: ["quick", "color", "cold"],
      string: ["name", "epochs", "out"],
      negatable: ["color"],
      default: { color: true, rate: 0.5 },
      alias: { out: "o" },
    },
  );
  const quick: boolean = args.quick;
  const name: string | undefined = args.name;
  a.assertEquals([quick, name], [true, "x=y"]);
  a.assertEquals<unknown>({ ...args }, {
    _: ["in.csv", 7, "-z"],
    quick: true,
    epochs: "3",
    name: "x=y",
    color: false,
    cold: false,
    out: "out",
    o: "out",
    rate: 0.5,
  });
});

Deno.test("parseArgs: edges", () => {
  const parse = (...words: string[]) => ({ ...parseArgs(words) });
  a.assertEquals<unknown>(parse("--n", "3", "-xyz", "--flag"), {
    _: [],
    n: 3,
    x: true,
    y: true,
    z: true,
    flag: true,
  });
  a.assertEquals<unknown>(parse("-n5", "-k=v", "--lr", "-1"), {
    _: [],
    n: 5,
    k: "v",
    lr: true,
    1: true,
  });
  a.assertEquals<unknown>(parse("--on", "true", "--off", "false"), {
    _: [],
    on: "true",
    off: "false",
  });
  const { "--": rest, seed, tag } = parseArgs(["--seed", "1", "--seed", "2", "--tag", "--", "x"], {
    "--": true,
    collect: ["seed"],
    string: ["tag"],
  });
  a.assertEquals<unknown>([rest, seed, tag], [["x"], [1, 2], ""]);
  const seen: string[] = [];
  const { _, known } = parseArgs(["--known", "--wrong", "word", "--late"], {
    boolean: ["known"],
    unknown: (arg) => {
      seen.push(arg);
      return false;
    },
  });
  a.assertEquals([_, known, seen], [[], true, ["--wrong", "--late"]]);
  a.assertEquals(parseArgs(["run", "--x"], { stopEarly: true })._, ["run", "--x"]);
});

/** Runs a fresh command and returns what its action saw, or the message of its ValidationError. */
async function run(...words: string[]): Promise<unknown> {
  let seen: unknown;
  try {
    await new Command()
      .name("train")
      .version("1.2.3")
      .description("Trains a model.")
      .throwErrors()
      .option("-e, --epochs <n:integer>", "Passes over the data", { default: 3 })
      .option("--lr <rate:number>", "Learning rate")
      .option("--weight-decay <rate:number>", "Decay", { default: 0.01 })
      .option("-q, --quiet", "Say nothing")
      .option("--no-color", "Plain output")
      .option("--resume [path:file]", "Go on from a checkpoint")
      .option("--hidden <sizes:integer[]>", "Widths")
      .option("-s, --seed <n:integer>", "Seeds", { collect: true })
      .arguments("<input:string> [outputs...:string]")
      .action(
        ({ epochs, lr, weightDecay, quiet, color, resume, hidden, seed }, input, ...outputs) => {
          const typed: [number, number | undefined, number, true | undefined, boolean] = [
            epochs,
            lr,
            weightDecay,
            quiet,
            color,
          ];
          const more: [string | true | undefined, number[] | undefined, number[] | undefined] = [
            resume,
            hidden,
            seed,
          ];
          const rest: string[] = [input, ...outputs];
          seen = [...typed, ...more, ...rest];
        },
      )
      .parse(words);
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error;
    // deno-lint-ignore no-control-regex
    return error.message.replace(/\x1b\[\d+m/g, "");
  }
  return seen;
}

Deno.test("Command: typed options, defaults and arguments", async () => {
  const none = undefined;
  a.assertEquals(await run("in"), [3, none, 0.01, none, true, none, none, none, "in"]);
  a.assertEquals(
    await run("-e", "5", "--lr=1e-3", "--weight-decay", "-1", "in", "-q", "--no-color", "a", "b"),
    [5, 1e-3, -1, true, false, none, none, none, "in", "a", "b"],
  );
  a.assertEquals(
    await run("-q", "-e7", "in", "--hidden", "4,5", "-s", "1", "--seed", "2", "--resume"),
    [7, none, 0.01, true, true, true, [4, 5], [1, 2], "in"],
  );
  a.assertEquals(
    await run("--resume=last", "in", "--", "--rest"),
    [3, none, 0.01, none, true, "last", none, none, "in"],
  );
});

Deno.test("Command: a wrong command line is a ValidationError", async () => {
  a.assertEquals(
    await run("in", "--epochs", "x"),
    `Option "--epochs" must be of type "integer", but got "x".`,
  );
  a.assertEquals(
    await run("in", "--epochs", "1.5"),
    `Option "--epochs" must be of type "integer", but got "1.5".`,
  );
  a.assertEquals(await run("in", "--lr"), `Missing value for option "--lr".`);
  a.assertEquals(
    await run("in", "--quiet=1"),
    `Option "--quiet" doesn't take a value, but got "1".`,
  );
  a.assertEquals(await run(), "Missing argument(s): input");
  a.assertEquals(
    await run("in", "--lr", "1", "--lr", "2"),
    `Option "--lr" can only occur once, but was found several times.`,
  );
  const strict = () => new Command().name("x").throwErrors();
  await a.assertRejects(
    () => strict().option("--to <dir:string>", "Where", { required: true }).parse([]),
    ValidationError,
    `Missing required option "--to".`,
  );
  await a.assertRejects(
    () => strict().parse(["word"]),
    ValidationError,
    `No arguments allowed for command "x".`,
  );
  await a.assertRejects(
    () => strict().arguments("<one>").option("--epochs", "Count").parse(["a", "--epoch"]),
    ValidationError,
    `Unknown option "--epoch". Did you mean option "--epochs"?`,
  );
  const { args } = await strict().arguments("<one:number> [two]").parse(["-15", "--odd"]);
  a.assertEquals<unknown>(args, [-15, "--odd"]);
  await a.assertRejects(
    () => strict().arguments("<one>").parse(["a", "b", "c"]),
    ValidationError,
    "Too many arguments: b c",
  );
});

/** A command with sub-commands, made in both ways, that notes what ran. */
function tools(ran: unknown[]) {
  return new Command()
    .name("toro")
    .version("0.1.0")
    .description("Tools.")
    .throwErrors()
    .command("info <file:string>", "Shows a checkpoint.")
    .option("-j, --json", "As JSON")
    .action(({ json }, file) => {
      ran.push(["info", json, file]);
    })
    .command(
      "doctor",
      new Command().description("Says what is installed.").action(async () => {
        await Promise.resolve();
        ran.push(["doctor"]);
      }),
    );
}

Deno.test("Command: sub-commands", async () => {
  const ran: unknown[] = [];
  await tools(ran).parse(["info", "a.safetensors", "--json"]);
  await tools(ran).parse(["doctor"]);
  a.assertEquals(ran, [["info", true, "a.safetensors"], ["doctor"]]);
  await a.assertRejects(
    () => tools(ran).parse(["docter"]),
    ValidationError,
    `Unknown command "docter". Did you mean command "doctor"?`,
  );
  await a.assertRejects(
    () => tools(ran).parse(["info"]),
    ValidationError,
    "Missing argument(s): file",
  );
  const { literal, options } = await new Command().option("--n <n:number>", "N")
    .parse(["--n", "2", "--", "a", "-b"]);
  a.assertEquals([literal, options], [["a", "-b"], { n: 2 }]);
});

/** What a small program with `tools` prints, and its exit code. */
async function program(...words: string[]) {
  const source = `
    import { Command } from "@cliffy/command";
    await new Command().name("toro").version("0.1.0").description("Tools.")
      .option("--level <n:integer>", "How much", { default: 2 })
      .command("info <file:string>", "Shows a checkpoint.").action(() => console.log("ran"))
      .parse();`;
  const file = await Deno.makeTempFile({ dir: import.meta.dirname, suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, source);
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "-A", "--no-lock", file, ...words],
      env: { NO_COLOR: "1" },
    }).output();
    const text = new TextDecoder();
    return { code, out: text.decode(stdout), err: text.decode(stderr) };
  } finally {
    await Deno.remove(file);
  }
}

Deno.test("Command: help, version and exit codes", async () => {
  const [help, version, V, wrong, right] = await Promise.all([
    program("--help"),
    program("--version"),
    program("-V"),
    program("--nope"),
    program("info", "x"),
  ]);
  a.assertEquals(help.code, 0);
  for (
    const part of ["Usage:", "0.1.0", "Tools.", "--level", "<n", "How much", "Default: 2", "info"]
  ) {
    a.assertStringIncludes(help.out, part);
  }
  a.assertEquals([version.code, version.out.trim()], [0, "toro 0.1.0"]);
  a.assertEquals([V.code, V.out.trim()], [0, "0.1.0"]);
  a.assertEquals(wrong.code, 2);
  a.assertStringIncludes(wrong.err, `Unknown option "--nope"`);
  a.assertEquals([right.code, right.out.trim()], [0, "ran"]);
});
