// Parquet and CSV as tensors and strings: files written by pyarrow, small texts, and the real data.
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { jobAsync } from "../../ffi/library.ts";
import { type ColumnSpecs, readCsv, readParquet } from "../../src/data/read.ts";
import { DataError } from "../../src/errors.ts";
import type { Tensor } from "../../src/tensor.ts";

// Opens the library outside of the tests, whose leak check would count it.
await jobAsync("process");

/** Made by tests/golden/tables/make_tables.py. */
const golden = new URL("../golden/tables/", import.meta.url);
const sales = new URL("sales.parquet", golden);
const shared = Deno.env.get("TORO_SHARED") ??
  fromFileUrl(new URL("../../../shared", import.meta.url));

const retail = `${shared}/data/online_retail.parquet`;
const credit = `${shared}/data/credit_card_default.csv`;

/** Tells where a real file is missing; its test then counts as ignored. */
function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    console.log(`${path} is not there (TORO_SHARED names its folder): its test is ignored`);
    return false;
  }
}

/** A CSV file with this text, for the time of `use`. */
async function withCsv<T>(text: string, use: (path: string) => Promise<T>): Promise<T> {
  const path = await Deno.makeTempFile({ suffix: ".csv" });
  try {
    await Deno.writeTextFile(path, text);
    return await use(path);
  } finally {
    await Deno.remove(path);
  }
}

Deno.test("columns by name and type", async () => {
  const { user, label, name } = await readParquet(sales, {
    columns: { user: "int64", label: "float32", name: "string" },
  });
  const typed: [Tensor, Tensor, string[]] = [user, label, name];
  assertEquals(typed[2], ["Ana", "Bé", "", "😀"]);
  assertEquals([user.dtype, label.dtype, user.shape], ["int64", "float32", [4]]);
  assertEquals(user.toTypedArray(), BigInt64Array.of(7n, 8n, -9n, 2n ** 40n));
  assertEquals(label.toTypedArray(), Float32Array.of(1, 0, NaN, 0.5));
});

Deno.test("missing values: fill and mask", async () => {
  const table = await readParquet(sales, {
    columns: {
      age: { dtype: "int32", fill: -1, mask: "ageKnown" },
      country: { dtype: "string", fill: "?" },
    },
  });
  const known: Tensor = table.ageKnown, country: string[] = table.country;
  assertEquals(table.age.toTypedArray(), Int32Array.of(30, -1, 200, 0));
  assertEquals([known.dtype, ...known.toTypedArray() as Uint8Array], ["bool", 1, 0, 1, 1]);
  assertEquals(country, ["UK", "?", "UK", "FR"]);
  const error = await assertRejects(
    () => readParquet(sales, { columns: { age: "int32" } }),
    DataError,
  );
  assertEquals(
    error.message.replace(fromFileUrl(sales), "FILE"),
    'Cannot read column "age" of FILE as int32: row 1 holds nothing, and int32 has no missing value\n' +
      'Hint: give the column as { dtype: "int32", fill: -1 }, or ask for a mask with { dtype: "int32", mask: "isKnown" }',
  );
});

Deno.test("times, decimals, halves and flags", async () => {
  const { at, day, price, half, sold } = await readParquet(sales, {
    columns: { at: "timestamp", day: "int64", price: "float64", half: "float32", sold: "bool" },
  });
  const times = [Date.UTC(2010, 11, 1, 8, 26), 0, -1, Date.UTC(2024, 1, 29)];
  assertEquals(at.toTypedArray(), BigInt64Array.from(times, BigInt));
  const days = [Date.UTC(2010, 11, 1), 0, -86_400_000, Date.UTC(2024, 1, 29)];
  assertEquals(day.toTypedArray(), BigInt64Array.from(days, BigInt));
  assertEquals(price.toTypedArray(), Float64Array.of(1.5, -0.25, 0, 99.99));
  assertEquals(half.toTypedArray(), Float32Array.of(1, -2, 0.5, 65504));
  assertEquals([sold.dtype, ...sold.toTypedArray() as Uint8Array], ["bool", 1, 0, 1, 1]);
});

Deno.test("a list of names promises numbers", async () => {
  const { user, price } = await readParquet(sales, { columns: ["user", "price"] });
  assertEquals([user.dtype, price.dtype], ["int64", "float64"]);
  await assertRejects(
    () => readParquet(sales, { columns: ["name"] }),
    DataError,
    "promises numbers",
  );
});

Deno.test("casts are checked", async () => {
  const refuse = async (columns: ColumnSpecs, text: string) => {
    const error = await assertRejects(() => readParquet(sales, { columns }), DataError);
    assertStringIncludes(error.message, text);
  };
  await refuse(
    { label: { dtype: "int64", fill: 0 } },
    "as int64: row 3 holds 0.5, and int64 takes whole numbers",
  );
  await refuse({ user: "int32" }, "row 3 holds 1099511627776, and int32 goes from");
  await refuse({ name: "float32" }, 'row 0 holds the text "Ana"');
  await refuse({ wide: "int64" }, "holds 9223372036854775808, which is beyond int64");
  await refuse({ user: "string" }, "it holds int64, not strings");
  await refuse({ usr: "int64" }, 'the file has "user", "label", "name"');
  await refuse({ user: "float16" as never }, "a table column is one of float32");
  await refuse({ user: { dtype: "uint8", fill: "x" } }, 'Cannot fill column "user" with "x"');
});

Deno.test("what cannot be read says why", async () => {
  const nested = new URL("nested.parquet", golden);
  await assertRejects(() => readParquet(nested, { columns: ["tags"] }), DataError, "it is nested");
  assertEquals((await readParquet(nested, { columns: ["id"] })).id.shape, [2]);
  await assertRejects(
    () => readParquet(new URL("make_tables.py", golden)),
    DataError,
    "not a Parquet file",
  );
  await assertRejects(() => readParquet("nowhere.parquet"), DataError, "there is no such file");
  await assertRejects(() => readParquet(sales, { columns: {} }), TypeError, "columns is empty");
  const twice = { user: "int64", age: { dtype: "int64", mask: "user" } } as const;
  await assertRejects(
    () => readParquet(sales, { columns: twice }),
    TypeError,
    'two columns would be named "user"',
  );
});

Deno.test("CSV: types that fit, or those asked for", async () => {
  const text = '\ufeffid,score,name\r\n1,2.5,"Smith, ""J"""\r\n-2,,x';
  await withCsv(text, async (path) => {
    const any = await readCsv(path);
    assertEquals((any.id as Tensor).toTypedArray(), BigInt64Array.of(1n, -2n));
    assertEquals((any.score as Tensor).toTypedArray(), Float32Array.of(2.5, NaN));
    assertEquals(any.name, ['Smith, "J"', "x"]);
    const { id, name } = await readCsv(path, { columns: { id: "int8", name: "string" } });
    assertEquals([id.dtype, name.length], ["int8", 2]);
    const error = await assertRejects(
      () => readCsv(path, { columns: { name: "int64" } }),
      DataError,
    );
    assertStringIncludes(
      error.message,
      'as int64: line 2 holds "Smith, \\"J\\"", which is no int64',
    );
  });
});

Deno.test("CSV: delimiter, names, missing texts, times", async () => {
  await withCsv("2010-12-01;NA\n2010-12-01 00:00:01;3\n", async (path) => {
    const format = { delimiter: ";", header: ["at", "n"], missing: ["NA"] } as const;
    const { at, n } = await readCsv(path, {
      ...format,
      columns: { at: "timestamp", n: "float32" },
    });
    assertEquals(at.toTypedArray(), BigInt64Array.of(1291161600000n, 1291161601000n));
    assertEquals(n.toTypedArray(), Float32Array.of(NaN, 3));
    const plain = await readCsv(path, { delimiter: ";", header: false });
    assertEquals(Object.keys(plain), ["column0", "column1"]);
  });
});

Deno.test({
  name: "without read permission the error names the flag",
  permissions: { read: [fromFileUrl(golden)], ffi: true, env: true },
  fn: async () => {
    assertEquals((await readParquet(sales, { columns: ["user"] })).user.shape, [4]);
    for (const read of [readParquet, readCsv]) {
      const error = await assertRejects(
        () => read("/etc/../etc/hostname"),
        DataError,
        "no read permission",
      );
      assertStringIncludes(error.message, "--allow-read=/etc/hostname");
      await assertRejects(
        () => read(`${fromFileUrl(golden)}../../../deno.json`),
        DataError,
        "no read permission",
      );
    }
  },
});

Deno.test({
  name: "Online Retail: 541,909 lines",
  ignore: !exists(retail),
  fn: async () => {
    const { CustomerID, Quantity, InvoiceDate, StockCode, known } = await readParquet(retail, {
      columns: {
        CustomerID: { dtype: "int64", fill: -1, mask: "known" },
        Quantity: "int32",
        InvoiceDate: "timestamp",
        StockCode: "string",
      },
    });
    assertEquals([Quantity.dtype, Quantity.shape], ["int32", [541_909]]);
    assertEquals((known.toTypedArray() as Uint8Array).reduce((sum, bit) => sum + bit, 0), 406_829);
    assertEquals(new Set(CustomerID.toTypedArray() as BigInt64Array).size, 4_372 + 1);
    assertEquals(new Set(StockCode).size, 4_070);
    const dates = InvoiceDate.toTypedArray() as BigInt64Array;
    assert(dates.every((date, i) => i === 0 || date >= dates[i - 1] - 366n * 86_400_000n));
    await assertRejects(
      () => readParquet(retail, { columns: { StockCode: "int64" } }),
      DataError,
      "holds the text",
    );
  },
});

Deno.test({
  name: "Credit card default: 30,000 lines that end in a bare carriage return",
  ignore: !exists(credit),
  fn: async () => {
    const table = await readCsv(credit);
    assertEquals(Object.keys(table).length, 25);
    assert(
      Object.values(table).every((column) => !Array.isArray(column) && column.dtype === "int64"),
    );
    const label = (table["default.payment.next.month"] as Tensor).toTypedArray() as BigInt64Array;
    assertEquals([label.length, label.filter((y) => y === 1n).length], [30_000, 6_636]);
  },
});
