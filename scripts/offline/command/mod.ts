/**
 * Offline stand-in for `jsr:@cliffy/command`: the part of `Command` that Toro uses, with the names,
 * types and messages of the real one. What that part is stands in ../README.md; anything else is a
 * type error here, so that a checkout never comes to depend on it.
 *
 * @module
 */
import process from "node:process";
import { inspect } from "node:util";
import type { ArgumentsOf, CommandArguments, Flat, OptionOf } from "./types.ts";
import {
  type Argument,
  didYouMean,
  type Option,
  parseArguments,
  parseFlags,
  parseValue,
  ValidationError,
} from "./values.ts";

export { ValidationError };

/** What may be said of an option besides its flags and its description. */
export interface OptionSettings<Default, Required extends boolean, Collect extends boolean> {
  /** The value when the flag is not given, or a function that makes it. */
  default?: Default | (() => Default);
  /** Whether leaving the flag out is an error. */
  required?: Required;
  /** Whether the flag may come several times; its values make an array. */
  collect?: Collect;
  /** Whether the help leaves it out. */
  hidden?: boolean;
}

/** What {@linkcode Command.parse} resolves to. */
export interface CommandResult<Options, Arguments> {
  options: Options;
  args: Arguments;
  literal: string[];
  // deno-lint-ignore no-explicit-any
  cmd: Command<any, any>;
}

// deno-lint-ignore no-explicit-any
type Action = (this: any, options: any, ...args: any[]) => unknown;

/** A command with options, arguments, an action and sub-commands. */
// deno-lint-ignore ban-types
export class Command<Options = {}, Arguments extends unknown[] = []> {
  #name = "COMMAND";
  #version?: string;
  #description = "";
  #options: Option[] = [];
  #arguments: Argument[] = [];
  #action?: Action;
  #parent?: AnyCommand;
  #children: Map<string, AnyCommand> = new Map();
  #literal: string[] = [];
  #throws = false;
  #exits = true;
  /** The sub-command that the chained calls speak of, after `command(…)`. */
  #selected: AnyCommand = this;

  /** Sets the name that stands in the usage line. */
  name(name: string): this {
    this.#selected.#name = name;
    return this;
  }

  /** Sets the version and adds `-V, --version`. */
  version(version: string): this {
    this.#selected.#version = version;
    return this;
  }

  /** Sets the description; its first line stands in the parent's list of commands. */
  description(description: string): this {
    this.#selected.#description = description;
    return this;
  }

  /** Adds an option: `-e, --epochs <n:integer>`, `--quiet`, `--no-color`, `--resume [path:file]`. */
  option<
    const Flags extends string,
    Default = unknown,
    Required extends boolean = false,
    Collect extends boolean = false,
  >(
    flags: Flags,
    description: string,
    settings: OptionSettings<Default, Required, Collect> = {},
  ): Command<Flat<Options & OptionOf<Flags, Default, Required, Collect>>, Arguments> {
    const parsed = parseFlags(flags);
    const command = this.#selected;
    if (command.#options.some((option) => option.name === parsed.name)) {
      throw new Error(
        `An option with name '--${parsed.name}' is already registered on command '${command.#name}'.`,
      );
    }
    command.#options.push({
      ...parsed,
      description,
      default: settings.default,
      required: settings.required ?? false,
      collect: settings.collect ?? false,
      hidden: settings.hidden ?? false,
    });
    // deno-lint-ignore no-explicit-any
    return this as any;
  }

  /** Sets the positional arguments: `<input:string> [outputs...:string]`. */
  arguments<const Definition extends string>(
    definition: Definition,
  ): Command<Options, ArgumentsOf<Definition>> {
    this.#selected.#arguments = parseArguments(definition);
    // deno-lint-ignore no-explicit-any
    return this as any;
  }

  /** Sets what runs: `({ epochs }, input) => …`. A promise it returns is awaited. */
  action(action: (this: this, options: Options, ...args: Arguments) => unknown): this {
    this.#selected.#action = action;
    return this;
  }

  /** Adds a sub-command that was built apart. The calls that follow in the chain speak of it. */
  command<O, A extends unknown[]>(name: string, command: Command<O, A>): Command<O, A>;
  /** Adds a sub-command. The calls that follow in the chain speak of it. */
  command<const NameAndArguments extends string>(
    nameAndArguments: NameAndArguments,
    description?: string,
    // deno-lint-ignore ban-types
  ): Command<{}, CommandArguments<NameAndArguments>>;
  command(nameAndArguments: string, given?: string | AnyCommand): AnyCommand {
    const name = nameAndArguments.split(" ", 1)[0];
    if (this.#children.has(name)) throw new Error(`Duplicate command name "${name}".`);
    const child: AnyCommand = typeof given === "object" ? given.reset() : new Command();
    const definition = nameAndArguments.slice(name.length + 1);
    if (definition) child.#arguments = parseArguments(definition);
    if (typeof given === "string") child.#description = given;
    child.#name = name;
    child.#parent = this;
    this.#children.set(name, child);
    this.#selected = child;
    return this;
  }

  /** Makes the calls that follow in the chain speak of the outermost command again. */
  // deno-lint-ignore no-explicit-any
  reset(): Command<any, any> {
    this.#selected = this;
    return this;
  }

  /** Makes a wrong command line throw its {@linkcode ValidationError} instead of exiting. */
  throwErrors(): this {
    this.#selected.#throws = true;
    return this;
  }

  /** Like {@linkcode throwErrors}; `--help` and `--version` do not exit either. */
  noExit(): this {
    this.#selected.#exits = false;
    return this.throwErrors();
  }

  /** What stood after `--`. */
  getLiteralArgs(): string[] {
    return this.#literal;
  }

  /** The name of the command. */
  getName(): string {
    return this.#selected.#name;
  }

  /** The text that `--help` prints. */
  getHelp(): string {
    return this.#selected.#help();
  }

  /** Prints the help. */
  showHelp(): void {
    console.log(this.getHelp());
  }

  /** Reads a command line, runs the action of the command it names, and resolves when it is done. */
  async parse(
    args: string[] = process.argv.slice(2),
  ): Promise<CommandResult<Options, Arguments>> {
    this.reset();
    let [command, words]: [AnyCommand, string[]] = [this, args.slice()];
    while (words.length && command.#children.has(words[0])) {
      command = command.#children.get(words.shift()!)!.reset();
    }
    try {
      return await command.#run(words);
    } catch (error) {
      if (!(error instanceof ValidationError) || command.#lineage().some((c) => c.#throws)) {
        throw error;
      }
      command.showHelp();
      console.error(`  error: ${error.message}\n`);
      process.exit(error.exitCode);
    }
  }

  async #run(words: string[]): Promise<CommandResult<Options, Arguments>> {
    if (!words.length && this.#children.size && !this.#action) return this.#answer(this.#help());
    const { options, plain, literal, asked } = this.#readWords(words);
    if (asked === "help") return this.#answer(this.#help());
    if (asked === "version") return this.#answer(`${this.#main().#name} ${this.#version}`);
    if (asked === "V") return this.#answer(this.#version!);
    const args = this.#readArguments(plain);
    for (const option of this.#options) {
      if (options[option.property] !== undefined) continue;
      if (option.required) {
        throw new ValidationError(`Missing required option "${dashed(option.name)}".`);
      }
      const made = typeof option.default === "function" ? option.default() : option.default;
      if (made !== undefined) options[option.property] = made;
      else if (option.negated && !this.#options.some((o) => o.name === option.name.slice(3))) {
        options[option.property] = true;
      }
    }
    this.#literal = literal;
    await this.#action?.call(this, options, ...args);
    return { options: options as Options, args: args as Arguments, literal, cmd: this };
  }

  /** Splits a command line into option values, plain words and what stands after `--`. */
  #readWords(
    words: string[],
  ): {
    options: Record<string, unknown>;
    plain: string[];
    literal: string[];
    asked?: "help" | "version" | "V";
  } {
    const options: Record<string, unknown> = {};
    const plain: string[] = [];
    const queue = words.slice();
    while (queue.length) {
      const word = queue.shift()!;
      if (word === "--") return { options, plain, literal: queue };
      if (word.length < 2 || word[0] !== "-") {
        plain.push(word);
        continue;
      }
      if (!this.#knows(word) && this.#takes(plain.length)) {
        plain.push(word); // an unknown flag is a positional word while one is still awaited
        continue;
      }
      if (/^-[^-]{2,}/.test(word) && !word.startsWith("-=")) {
        queue.unshift(...splitShort(word)); // -vq is -v -q, and -n5 is -n 5
        continue;
      }
      const equals = word.indexOf("=");
      const flag = equals < 0 ? word : word.slice(0, equals);
      const attached = equals < 0 ? undefined : word.slice(equals + 1);
      if (flag === "-h" || flag === "--help") return { options, plain, literal: [], asked: "help" };
      if (this.#version !== undefined && (flag === "-V" || flag === "--version")) {
        return { options, plain, literal: [], asked: flag === "-V" ? "V" : "version" };
      }
      this.#readOption(flag, attached, queue, options);
    }
    return { options, plain, literal: [] };
  }

  /** Whether a word such as `--epochs=3` or `-n5` begins with a flag of this command. */
  #knows(word: string): boolean {
    const flag = word.startsWith("--") ? word.split("=", 1)[0] : word.slice(0, 2);
    return flag === "-h" || flag === "--help" ||
      this.#version !== undefined && (flag === "-V" || flag === "--version") ||
      this.#options.some((option) => option.flags.includes(flag));
  }

  /** Whether the arguments have room for one more word after `count`. */
  #takes(count: number): boolean {
    return count < this.#arguments.length || (this.#arguments.at(-1)?.variadic ?? false);
  }

  #readOption(
    flag: string,
    attached: string | undefined,
    queue: string[],
    options: Record<string, unknown>,
  ): void {
    const option = this.#options.find((option) => option.flags.includes(flag));
    if (!option) {
      const known = ["--help", "-h", ...this.#options.flatMap((option) => option.flags)];
      if (this.#version !== undefined) known.push("--version", "-V");
      throw new ValidationError(`Unknown option "${flag}".${didYouMean("option", flag, known)}`);
    }
    const before = options[option.property];
    if (before !== undefined && !option.collect) {
      throw new ValidationError(
        `Option "${
          flag.replace(/^--no-/, "--")
        }" can only occur once, but was found several times.`,
      );
    }
    let value: unknown = !option.negated;
    if (option.value) {
      const next = attached ?? queue[0];
      const takes = next !== undefined &&
        (attached !== undefined || !option.value.optional || next[0] !== "-");
      if (takes) {
        if (attached === undefined) queue.shift();
        value = parseValue(`Option "${dashed(option.name)}"`, option.value, next);
      } else if (!option.value.optional) {
        throw new ValidationError(`Missing value for option "${dashed(option.name)}".`);
      }
    } else if (attached !== undefined) {
      throw new ValidationError(
        `Option "${dashed(option.name)}" doesn't take a value, but got "${attached}".`,
      );
    }
    options[option.property] = option.collect
      ? [...(before as unknown[] | undefined ?? []), value]
      : value;
  }

  #readArguments(plain: string[]): unknown[] {
    if (!this.#arguments.length && plain.length) {
      if (this.#children.size) {
        throw new ValidationError(
          `Unknown command "${plain[0]}".${
            didYouMean("command", plain[0], [...this.#children.keys()])
          }`,
        );
      }
      throw new ValidationError(`No arguments allowed for command "${this.#path()}".`);
    }
    const values: unknown[] = [];
    const missing: string[] = [];
    const words = plain.slice();
    for (const argument of this.#arguments) {
      const taken = words.splice(0, argument.variadic ? words.length : 1);
      if (!taken.length && !argument.optional) missing.push(argument.name);
      for (const word of taken) {
        values.push(parseValue(`Argument "${argument.name}"`, argument, word));
      }
    }
    if (missing.length) {
      throw new ValidationError(`Missing argument(s): ${missing.join(", ")}`);
    }
    if (words.length) throw new ValidationError(`Too many arguments: ${words.join(" ")}`);
    return values;
  }

  #answer(text: string): CommandResult<Options, Arguments> {
    console.log(text);
    if (this.#lineage().every((command) => command.#exits)) process.exit(0);
    return { options: {} as Options, args: [] as unknown as Arguments, literal: [], cmd: this };
  }

  #lineage(): AnyCommand[] {
    return this.#parent ? [...this.#parent.#lineage(), this] : [this];
  }

  #main(): AnyCommand {
    return this.#lineage()[0];
  }

  #path(): string {
    return this.#lineage().map((command) => command.#name).join(" ");
  }

  #help(): string {
    const usage = [
      ...this.#arguments.map((argument) => argument.raw),
      ...this.#options.filter((option) => option.required).map((option) =>
        `${dashed(option.name)} ${option.value?.raw ?? ""}`.trim()
      ),
    ];
    const head = [["Usage:", [this.#path(), ...usage].join(" ")]];
    if (this.#version !== undefined) head.push(["Version:", this.#version]);
    let text = `\n${columns(head, "")}`;
    if (this.#description) text += `\nDescription:\n\n  ${this.#description}\n`;
    const options = [["-h, --help", "", "-", "Show this help."]];
    if (this.#version !== undefined) {
      options.push(["-V, --version", "", "-", "Show the version number for this program."]);
    }
    for (const option of this.#options.filter((option) => !option.hidden)) {
      const hints: string[] = [];
      if (option.required) hints.push("required");
      const value = typeof option.default === "function" ? option.default() : option.default;
      if (value !== undefined) hints.push(`Default: ${inspect(value)}`);
      options.push([
        option.flags.join(", "),
        option.value?.raw ?? "",
        "-",
        option.description + (hints.length ? `  (${hints.join(", ")})` : ""),
      ]);
    }
    text += `\nOptions:\n\n${columns(options, "  ")}`;
    if (this.#children.size) {
      const rows = [...this.#children.values()].map((command) => [
        command.#name,
        command.#arguments.map((argument) => argument.raw).join(" "),
        "-",
        command.#description.trim().split("\n", 1)[0],
      ]);
      text += `\nCommands:\n\n${columns(rows, "  ")}`;
    }
    return text;
  }
}

// deno-lint-ignore no-explicit-any
type AnyCommand = Command<any, any>;

/** Rows of cells as lines, each column as wide as its widest cell; an empty column is left out. */
function columns(rows: string[][], indent: string): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) => {
    const cells = row.map((cell, i) => cell.padEnd(widths[i])).filter((_, i) => widths[i] > 0);
    return `${indent}${cells.join("  ").trimEnd()}\n`;
  }).join("");
}

function dashed(name: string): string {
  return name.length > 1 ? `--${name}` : `-${name}`;
}

function splitShort(word: string): string[] {
  const equals = word.indexOf("=");
  const letters = word.slice(1, equals < 0 ? undefined : equals);
  const parts = /\d$/.test(letters) && equals < 0
    ? [`-${letters[0]}`, ...(letters.length > 1 ? [letters.slice(1)] : [])]
    : Array.from(letters, (letter) => `-${letter}`);
  if (equals >= 0) parts[parts.length - 1] += word.slice(equals);
  return parts;
}
