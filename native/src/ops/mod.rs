//! The opcode table: every family's rows, in order. A row's place is its opcode.

pub mod activation;
pub mod joining;
pub mod map;
pub mod nest;
pub mod pointwise;
pub mod reduce;
pub mod reduction;
pub mod walk;

use crate::instruction::Row;
use std::sync::OnceLock;

/// All rows; built once.
pub fn table() -> &'static [Row] {
    static TABLE: OnceLock<Vec<Row>> = OnceLock::new();
    TABLE.get_or_init(|| [pointwise::ROWS, pointwise::TRIG, pointwise::division::ROWS, activation::ROWS, reduction::ROWS, joining::ROWS].concat())
}
