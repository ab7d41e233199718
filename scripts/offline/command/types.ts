/** How a flag such as `-e, --epochs <n:integer>` becomes a typed property: the type level only. */

/** The value types that `<name:type>` may name. */
export interface ValueTypes {
  string: string;
  number: number;
  integer: number;
  boolean: boolean;
  file: string;
}

/** An object type with its members written out, so that an editor shows them. */
export type Flat<T> = { [K in keyof T]: T[K] };

type Camel<S extends string> = S extends `${infer Head}-${infer Rest}`
  ? `${Head}${Capitalize<Camel<Rest>>}`
  : S;

type TypeNamed<S extends string> = S extends keyof ValueTypes ? ValueTypes[S] : unknown;

/** The type of what stands between the brackets: `n:integer`, `ids:number[]`, `name`. */
type Inner<S extends string> = S extends `${string}:${infer T}[]` ? TypeNamed<T>[]
  : S extends `${string}:${infer T}` ? TypeNamed<T>
  : string;

/** `<n:integer>` gives number; `[n:integer]` gives number or true, for the flag alone. */
type FlagValue<S extends string> = S extends `<${infer T}>` ? Inner<T>
  : S extends `[${infer T}]` ? Inner<T> | true
  : unknown;

type Collected<Value, Collect> = Collect extends true ? Value[] : Value;

type Property<Name extends string, Value, Default, Required> = Required extends true
  ? { [K in Camel<Name>]: Value }
  : unknown extends Default ? { [K in Camel<Name>]?: Value }
  : { [K in Camel<Name>]: Value | Widen<Default> };

type Widen<T> = T extends number ? number
  : T extends string ? string
  : T extends boolean ? boolean
  : T;

/** What one call of `option(flags, …)` adds to the options object. */
export type OptionOf<Flags extends string, Default, Required, Collect> = Flags extends
  `${string}--no-${infer Name}` ? { [K in Camel<Name>]: boolean }
  : Flags extends `${string}--${infer Name} ${infer Value}`
    ? Property<Name, Collected<FlagValue<Value>, Collect>, Default, Required>
  : Flags extends `${string}--${infer Name}`
    ? Property<Name, Collected<true, Collect>, Default, Required>
  : Record<string, unknown>;

/** The tuple that `<input:string> [rest...:number]` stands for. */
export type ArgumentsOf<S extends string> = S extends `${infer One} ${infer Rest}`
  ? [...ArgumentOf<One>, ...ArgumentsOf<Rest>]
  : ArgumentOf<S>;

type ArgumentOf<S extends string> = S extends `<${infer T}>`
  ? T extends `${string}...${infer Type}` ? [Inner<`a${Type}`>, ...Inner<`a${Type}`>[]] : [Inner<T>]
  : S extends `[${infer T}]`
    ? T extends `${string}...${infer Type}` ? Inner<`a${Type}`>[] : [Inner<T>?]
  : [];

/** The arguments in `name <input:string>`, the first parameter of `command`. */
export type CommandArguments<S extends string> = S extends `${string} ${infer Rest}`
  ? ArgumentsOf<Rest>
  : [];
