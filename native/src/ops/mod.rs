//! The opcode table: every family's rows, in order. A row's place is its opcode.

pub mod activation;
pub mod attention;
pub mod convolution;
pub mod creation;
pub mod dense;
pub mod embedding;
pub mod embedding_bag;
pub mod extreme;
pub mod folding;
pub mod fused;
pub mod grid_sampling;
pub mod grouping;
pub mod indexing;
pub mod joining;
pub mod layer_norm;
pub mod linalg;
pub mod lines;
pub mod loss;
pub mod map;
pub mod masking;
pub mod matmul;
pub mod moments;
pub mod moving;
pub mod nest;
pub mod normalization;
pub mod optim;
pub mod pointwise;
pub mod pooling;
pub mod quantized;
pub mod radix;
pub mod random;
pub mod real;
pub mod recurrent;
pub mod reduce;
pub mod reduction;
pub mod resampling;
pub mod scan;
pub mod scattering;
pub mod searching;
pub mod softmax;
pub mod sorting;
pub mod special;
pub mod transfer;
pub mod view;
pub mod walk;

use crate::instruction::Row;
use std::sync::OnceLock;

/// All rows; built once.
pub fn table() -> &'static [Row] {
    static TABLE: OnceLock<Vec<Row>> = OnceLock::new();
    TABLE.get_or_init(|| {
        [
            pointwise::ROWS,
            pointwise::TRIG,
            pointwise::division::ROWS,
            special::ROWS,
            activation::ROWS,
            creation::ROWS,
            random::ROWS,
            reduction::ROWS,
            moments::ROWS,
            joining::ROWS,
            indexing::ROWS,
            scattering::ROWS,
            masking::ROWS,
            sorting::ROWS,
            searching::ROWS,
            embedding::ROWS,
            embedding_bag::ROWS,
            optim::ROWS,
            extreme::ROWS,
            matmul::ROWS,
            quantized::ROWS,
            linalg::ROWS,
            attention::ROWS,
            recurrent::ROWS,
            softmax::ROWS,
            normalization::ROWS,
            folding::ROWS,
            layer_norm::ROWS,
            loss::ROWS,
            loss::elementwise::ROWS,
            scan::ROWS,
            convolution::ROWS,
            pooling::ROWS,
            resampling::ROWS,
            grid_sampling::ROWS,
            transfer::ROWS,
            fused::ROWS,
        ]
        .concat()
    })
}
