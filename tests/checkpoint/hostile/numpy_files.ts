/** Hostile and odd files of NumPy's: headers that lie, and archives that grow. */
import { numbers, zip } from "./archives.ts";
import { type Hostile, join, utf8 } from "./bytes.ts";

/** An array of NumPy's with this header. */
function npy(
  header: string | Uint8Array,
  data: number | Uint8Array = 0,
  version = 1,
  claimed?: number,
): Uint8Array<ArrayBuffer> {
  const bytes = typeof header === "string" ? utf8(header) : header;
  const length = claimed ?? bytes.length;
  return join(
    Uint8Array.of(0x93),
    utf8("NUMPY"),
    Uint8Array.of(version, 0),
    numbers([version === 1 ? 2 : 4, length]),
    bytes,
    typeof data === "number" ? new Uint8Array(data) : data,
  );
}

const described = (descr: string, shape: string, fortran = "False") =>
  `{'descr': ${descr}, 'fortran_order': ${fortran}, 'shape': ${shape}, }\n`;
const floats = described("'<f4'", "(2,)");

const array = (
  name: string,
  refused: Hostile["refused"],
  bytes: () => Uint8Array,
): Hostile => ({ name: `numpy: ${name}`, ending: ".npy", bytes, refused });

const arrays = (
  name: string,
  refused: Hostile["refused"],
  bytes: () => Uint8Array,
): Hostile => ({ name: `numpy: ${name}`, ending: ".npz", bytes, refused });

/** The files of NumPy's. */
export const numpyFiles: readonly Hostile[] = [
  array("an array", null, () => npy(floats, 8)),
  array("an array in Fortran's order", null, () => npy(described("'>f8'", "(2, 3)", "True"), 48)),
  array("nothing but the magic", "truncated", () => npy("").subarray(0, 6)),
  array("a header cut short", "truncated", () => npy(floats, 8).subarray(0, 20)),
  array("a header of 4 GB", "its header has 4294967295 bytes", () => npy(floats, 8, 2, 0xffffffff)),
  array("version 4", "version 4.0", () => npy(floats, 8, 4)),
  array(
    "an expression in the shape",
    "its header is damaged",
    () => npy(described("'<f4'", "(2**40,)"), 8),
  ),
  array(
    "a call in the shape",
    "its header is damaged",
    () => npy(described("'<f4'", "(exit(),)"), 8),
  ),
  array("a negative size", "its header is damaged", () => npy(described("'<f4'", "(-2,)"), 8)),
  array("a list as the shape", "its header is damaged", () => npy(described("'<f4'", "[2]"), 8)),
  array("another key", "its header is damaged", () => npy(floats.replace("shape", "shapes"), 8)),
  array("a header that is no UTF-8", "no UTF-8", () => npy(Uint8Array.of(0xff, 0xfe), 8, 3)),
  array(
    "sizes whose product wraps",
    "beyond every memory",
    () => npy(described("'<f4'", "(4294967296, 4294967296)"), 8),
  ),
  array(
    "a size of 20 digits",
    "beyond every memory",
    () => npy(described("'<f4'", "(99999999999999999999,)"), 8),
  ),
  array(
    "more elements than bytes",
    "needs 4000000000000 bytes and is given 8",
    () => npy(described("'<f4'", "(1000000000000,)"), 8),
  ),
  array("more bytes than elements", "needs 8 bytes and is given 12", () => npy(floats, 12)),
  array(
    "seventeen dims",
    "it has 17 dims",
    () => npy(described("'|u1'", `(${Array(17).fill(1).join(", ")})`), 1),
  ),
  array(
    "Python objects",
    "Python objects",
    () => npy(described("'|O'", "(1,)"), Uint8Array.of(0x80, 2, 0x4e, 0x2e)),
  ),
  array("records", "structured records", () => npy(described("[('a', '<f4')]", "(1,)"), 4)),
  array(
    "a type with quotes",
    "its header is damaged",
    () => npy(described("'<f4' + ''", "(2,)"), 8),
  ),
  array(
    "bools that are none",
    "holds other bytes than 0 and 1",
    () => npy(described("'|b1'", "(2,)"), Uint8Array.of(1, 2)),
  ),
  array(
    "a header that makes a pattern stumble",
    "its header is damaged",
    () => npy(described("'<f4'", `(${"1 , ".repeat(2400)}x)`), 8),
  ),
  arrays("an archive", null, () => zip([{ name: "x.npy", bytes: npy(floats, 8) }])),
  arrays(
    "a deflated archive",
    null,
    () => zip([{ name: "x.npy", bytes: npy(floats, 8), deflate: true }]),
  ),
  arrays(
    "archive names that are objects' own",
    null,
    () =>
      zip([{ name: "__proto__.npy", bytes: npy(floats, 8) }, {
        name: ".npy",
        bytes: npy(floats, 8),
      }]),
  ),
  arrays(
    "a bomb",
    "would inflate to",
    () =>
      zip([{ name: "x.npy", bytes: npy(described("'|u1'", "(50000000,)"), 5e7), deflate: true }]),
  ),
  arrays("a bomb of many entries", "would inflate to", () => {
    const bytes = npy(described("'|u1'", "(10000000,)"), 1e7);
    return zip(Array.from({ length: 10 }, (_, i) => ({ name: `${i}.npy`, bytes, deflate: true })));
  }),
  arrays("a bomb that claims little", "inflates to more than the 8 bytes", () =>
    zip([{
      name: "x.npy",
      bytes: npy(described("'|u1'", "(50000000,)"), 5e7),
      deflate: true,
      local: { size: 8 },
      central: { size: 8 },
    }])),
  arrays("an entry that claims more", /inflates to \d+ bytes and claims/, () => {
    const bytes = npy(described("'|u1'", "(1000,)"), 8), claims = { size: bytes.length + 992 };
    return zip([{ name: "x.npy", bytes, deflate: true, local: claims, central: claims }]);
  }),
  arrays("what cannot be inflated", "cannot be inflated", () =>
    zip([{
      name: "x.npy",
      bytes: new Uint8Array(100).fill(0xff),
      local: { method: 8 },
      central: { method: 8 },
    }])),
  arrays(
    "a wrong CRC",
    "the CRC of entry",
    () => zip([{ name: "x.npy", bytes: npy(floats, 8), local: { crc: 1 }, central: { crc: 1 } }]),
  ),
  arrays(
    "what is no array",
    "is no array, whose names end in .npy",
    () => zip([{ name: "x.npy", bytes: npy(floats, 8) }, { name: "x.exe", bytes: utf8("MZ") }]),
  ),
  arrays(
    "an array with objects",
    "Python objects",
    () =>
      zip([{
        name: "x.npy",
        bytes: npy(described("'|O'", "(1,)"), Uint8Array.of(0x80, 2, 0x4e, 0x2e)),
      }]),
  ),
];
