//! Damages instructions: every way in which words can be wrong.

use crate::build::{Bench, Instruction};
use crate::random::Random;

/// Numbers that no field should take on trust.
const STRANGE: [f64; 14] = [
    f64::NAN,
    f64::INFINITY,
    -1.0,
    -2.0,
    0.5,
    1e300,
    9_007_199_254_740_992.0,
    4_503_599_627_370_496.0,
    4_503_599_627_370_497.0,
    2_147_483_648.0,
    16_777_216.0,
    65_536.0,
    0.0,
    1.0,
];

/// Gives an operand a dim more or less, or another size, in words that are well formed.
pub fn reshape(made: &mut Instruction, r: &mut Random) {
    if made.operands.is_empty() {
        return;
    }
    let which = r.below(made.operands.len());
    let words = &mut made.operands[which].words;
    if words[0] == -1.0 {
        return;
    }
    let n = words[3] as usize;
    match r.below(4) {
        0 if n < 16 => {
            let at = if r.one_in(2) { n } else { r.below(n + 1) };
            let (size, stride) = (r.pick(&[0.0, 0.0, 1.0, 2.0]), r.pick(&[0.0, 1.0, -1.0]));
            words.insert(4 + at, size);
            words.insert(4 + n + 1 + at, stride);
            words[3] += 1.0;
        }
        1 if n > 0 => {
            let at = r.below(n);
            words.remove(4 + n + at);
            words.remove(4 + at);
            words[3] -= 1.0;
        }
        2 if n > 0 => words[4 + r.below(n)] = r.pick(&[0.0, 1.0, 2.0, 3.0]),
        _ if n > 1 => {
            let (a, b) = (r.below(n), r.below(n));
            words.swap(4 + a, 4 + b);
        }
        _ => {}
    }
}

pub fn damage(words: &mut Vec<f64>, made: &Instruction, r: &mut Random, bench: &Bench) {
    for _ in 0..r.range(1, 2) {
        once(words, made, r, bench);
    }
    tame(words, made.operands.len());
}

fn once(words: &mut Vec<f64>, made: &Instruction, r: &mut Random, bench: &Bench) {
    let n = words.len();
    if n < 5 {
        return;
    }
    // Where each operand begins.
    let mut starts = Vec::new();
    let mut at = 4;
    for o in &made.operands {
        starts.push(at);
        at += o.words.len();
    }
    let operand = |r: &mut Random| {
        if starts.is_empty() {
            4
        } else {
            r.pick(&starts)
        }
    };
    let put = |words: &mut Vec<f64>, i: usize, x: f64| {
        if let Some(w) = words.get_mut(i) {
            *w = x;
        }
    };
    match r.below(14) {
        0 => put(words, operand(r), r.pick(&bench.stale)),
        1 => put(words, operand(r), r.pick(&STRANGE)),
        2 => put(words, operand(r) + 1, r.pick(&STRANGE)),
        3 => {
            let i = operand(r) + 1;
            let past = words.get(i).copied().unwrap_or(0.0) + r.range(1, 4000) as f64;
            put(words, i, past);
        }
        4 => put(words, operand(r) + 2, r.below(12) as f64),
        5 => put(words, operand(r) + 3, r.below(18) as f64),
        6 => {
            let i = operand(r) + 4 + r.below(5);
            let x = words.get(i).copied().unwrap_or(0.0) + r.pick(&[1.0, -1.0, 7.0, 1000.0]);
            put(words, i, x);
        }
        7 => put(words, operand(r) + 4 + r.below(8), r.pick(&STRANGE)),
        8 => {
            let keep = r.below(n);
            words.truncate(keep);
            if keep > 0 && r.one_in(2) {
                words[0] = keep as f64;
            }
        }
        9 => {
            let i = r.below(n);
            words[i] = f64::from_bits(words[i].to_bits() ^ (1 << r.below(64)));
        }
        10 => {
            let i = r.below(n);
            words[i] = f64::from_bits(r.next());
        }
        11 => put(words, r.below(4), r.pick(&STRANGE)),
        12 => {
            let i = n - 1 - r.below(3 * made.scalars.len() + 1).min(n - 1);
            words[i] = r.pick(&STRANGE);
        }
        _ => {
            // Two operands become one.
            let (a, b) = (operand(r), operand(r));
            if let Some(&handle) = words.get(a) {
                put(words, b, handle);
            }
        }
    }
}

/// An input of huge dims that are all stretched is right, and would keep a kernel busy for hours: it is given strides,
/// so that it reaches outside its storage.
fn tame(words: &mut [f64], operands: usize) {
    let mut at = 4;
    for _ in 0..operands {
        let Some(&handle) = words.get(at) else { return };
        if handle == -1.0 {
            at += 4;
            continue;
        }
        let Some(&ndim) = words.get(at + 3) else {
            return;
        };
        if !(0.0..=16.0).contains(&ndim) {
            return;
        }
        let n = ndim as usize;
        if words.len() < at + 4 + 2 * n {
            return;
        }
        let total: f64 = words[at + 4..at + 4 + n].iter().product();
        if total > 1e6 {
            for d in 0..n {
                if words[at + 4 + d] > 1000.0 && words[at + 4 + n + d] == 0.0 {
                    words[at + 4 + n + d] = 1.0;
                }
            }
        }
        at += 4 + 2 * n;
    }
}
