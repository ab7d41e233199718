/**
 * Opens the native library before the tests: it stays open for good, which the resource sanitizer would otherwise count
 * against whichever test comes first.
 */
import { option } from "../ffi/library.ts";

option("threads");
