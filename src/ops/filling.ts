/**
 * Tensors filled in place: with one number, or with the elements of another tensor.
 *
 * @module
 */
import { run } from "../../ffi/instruction.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { checkInplace, recordInplace } from "../autograd.ts";
import { DTYPES, resultType } from "../dtype.ts";
import { op } from "../op.ts";
import { Tensor } from "../tensor.ts";
import {
  apartOperand,
  checkOperand,
  checkResult,
  checkTensor,
  gradFor,
  mapAllOut,
  needs,
  type Operand,
  word,
  zerosOf,
} from "./map.ts";
import { moved } from "./transfer.ts";

// ---- filling ------------------------------------------------------------------------------------

/** Sets every element to one number, or to the value of a 0-d tensor. */
export const fill_: (input: Tensor, value: Operand) => Tensor = op(
  "fill_(input, value)",
  (x: Tensor, value: Operand) => {
    checkOperand("fill_", x, value, "value");
    if (value instanceof Tensor) {
      return copy_(x, value.storage === x.storage ? value.clone() : value);
    }
    checkInplace("fill_", x, []);
    run("fill_", OP.fill, [x], [], [x.info.code, word(value, x.info)]);
    recordInplace("fill_", x, [], ([g]) => [g && zerosOf(g)], []);
    return x;
  },
);

/** Sets every element to 0. */
export const zero_: (input: Tensor) => Tensor = op("zero_(input)", (x: Tensor) => fill_(x, 0));

/** Copies another tensor's elements, on whatever device, into this one; they broadcast and are converted. */
export const copy_: (input: Tensor, src: Tensor) => Tensor = op(
  "copy_(input, src)",
  (x: Tensor, src: Tensor) => {
    checkTensor("copy_", src, "src");
    src = moved(src, x.storage.device);
    checkOperand("copy_", x, src, "src");
    checkResult("copy_", x, x.info.name, [src]);
    checkInplace("copy_", x, [src]);
    const compute = DTYPES[resultType([x, src])];
    mapAllOut("copy_", OP.copy, x, [apartOperand(src, x, "copy_")], compute);
    recordInplace(
      "copy_",
      x,
      [src],
      ([g]) => g === null ? [] : [zerosOf(g), needs(src) ? gradFor(g, src) : null],
      [],
    );
    return x;
  },
);
