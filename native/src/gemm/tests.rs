//! Products against a plain float64 sum: ragged shapes, all stride patterns, all types, every level, any threads.

use super::*;
use crate::math::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use crate::simd::{Level, force, level, turn};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        self.0 >> 33
    }
    fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n
    }
    /// In [-1, 1), exact in every type.
    fn value(&mut self) -> f64 {
        (self.next() % 128) as f64 / 64.0 - 1.0
    }
}

/// Storage with room around a matrix of some stride pattern.
struct Stored {
    bytes: Vec<u64>,
    elem: Elem,
    start: usize,
    rows: usize,
    cols: usize,
    rs: isize,
    cs: isize,
}

impl Stored {
    fn new(random: &mut Random, elem: Elem, rows: usize, cols: usize, pattern: usize) -> Stored {
        let (r, c) = (rows.max(1) as isize, cols.max(1) as isize);
        let (rs, cs) = match pattern {
            0 => (c, 1),
            1 => (1, r),
            2 => (c + 3, 1),
            3 => (1, r + 5),
            4 => (2 * c, 2),
            5 => (-c, 1),
            6 => (3, -(3 * r)),
            7 => (0, 1),
            _ => (1, 0),
        };
        let low = rs.min(0) * (r - 1) + cs.min(0) * (c - 1);
        let high = rs.max(0) * (r - 1) + cs.max(0) * (c - 1);
        let count = (high - low) as usize + 1;
        let mut stored = Stored {
            bytes: vec![0; count],
            elem,
            start: -low as usize,
            rows,
            cols,
            rs,
            cs,
        };
        for i in 0..rows {
            for j in 0..cols {
                stored.set(i, j, random.value());
            }
        }
        stored
    }

    fn place(&self, i: usize, j: usize) -> usize {
        (self.start as isize + i as isize * self.rs + j as isize * self.cs) as usize
    }

    fn get(&self, i: usize, j: usize) -> f64 {
        let (p, at) = (self.bytes.as_ptr(), self.place(i, j));
        // SAFETY: one word was reserved for each place.
        unsafe {
            match self.elem {
                Elem::F32 => f64::from(*p.cast::<f32>().add(at)),
                Elem::F64 => *p.cast::<f64>().add(at),
                Elem::Bf16 => f64::from(bf16_to_f32(*p.cast::<u16>().add(at))),
                Elem::F16 => f64::from(f16_to_f32(*p.cast::<u16>().add(at))),
            }
        }
    }

    fn set(&mut self, i: usize, j: usize, x: f64) {
        let at = self.place(i, j);
        let p = self.bytes.as_mut_ptr();
        // SAFETY: as above.
        unsafe {
            match self.elem {
                Elem::F32 => *p.cast::<f32>().add(at) = x as f32,
                Elem::F64 => *p.cast::<f64>().add(at) = x,
                Elem::Bf16 => *p.cast::<u16>().add(at) = f32_to_bf16(x as f32),
                Elem::F16 => *p.cast::<u16>().add(at) = f32_to_f16(x as f32),
            }
        }
    }

    fn mat(&self) -> Mat {
        let ptr = self
            .bytes
            .as_ptr()
            .cast::<u8>()
            .wrapping_add(self.start * self.elem.size());
        Mat {
            ptr,
            elem: self.elem,
            rows: self.rows,
            cols: self.cols,
            rs: self.rs,
            cs: self.cs,
        }
    }

    fn mat_mut(&mut self) -> MatMut {
        let ptr = self
            .bytes
            .as_mut_ptr()
            .cast::<u8>()
            .wrapping_add(self.start * self.elem.size());
        MatMut {
            ptr,
            elem: self.elem,
            rows: self.rows,
            cols: self.cols,
            rs: self.rs,
            cs: self.cs,
        }
    }
}

const ELEMS: [Elem; 4] = [Elem::F32, Elem::F64, Elem::Bf16, Elem::F16];

fn check(random: &mut Random, (m, n, k): (usize, usize, usize)) {
    let plain = random.below(2) == 0;
    let mut pick = |plain_count: usize| {
        if plain {
            random.below(plain_count)
        } else {
            random.below(9)
        }
    };
    let (a_pattern, b_pattern) = (pick(4), pick(4));
    let c_pattern = random.below(7);
    let elem = |random: &mut Random| {
        if plain {
            Elem::F32
        } else {
            ELEMS[random.below(4)]
        }
    };
    let a = {
        let e = elem(random);
        Stored::new(random, e, m, k, a_pattern)
    };
    let b = {
        let e = elem(random);
        Stored::new(random, e, k, n, b_pattern)
    };
    let mut c = {
        let e = elem(random);
        Stored::new(random, e, m, n, c_pattern)
    };
    let bias = {
        let e = elem(random);
        Stored::new(random, e, 1, n, 0)
    };
    let scale = {
        let e = elem(random);
        Stored::new(random, e, 1, n, 0)
    };
    let has_bias = random.below(2) == 0;
    let options = Options {
        alpha: [1.0, 0.5, 0.0][random.below(3)],
        beta: [0.0, 1.0, -0.5][random.below(3)],
        bias: has_bias.then(|| bias.mat()),
        scale: (has_bias && random.below(2) == 0).then(|| scale.mat()),
        relu: random.below(2) == 0,
    };
    let mut want = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            let product: f64 = (0..k).map(|l| a.get(i, l) * b.get(l, j)).sum();
            let mut x = options.alpha * product;
            if options.beta == 0.0 {
                c.set(i, j, f64::NAN);
            } else {
                x += options.beta * c.get(i, j);
            }
            x *= options.scale.map_or(1.0, |_| scale.get(0, j));
            x += options.bias.map_or(0.0, |_| bias.get(0, j));
            want[i * n + j] = if options.relu { x.max(0.0) } else { x };
        }
    }
    // SAFETY: the matrices are as described.
    unsafe { gemm(c.mat_mut(), a.mat(), b.mat(), options) }.unwrap();
    let relative = match c.elem {
        Elem::F64 => 1e-14,
        Elem::F32 => 1e-6,
        Elem::F16 => 1e-3,
        Elem::Bf16 => 8e-3,
    };
    for i in 0..m {
        for j in 0..n {
            let (got, want) = (c.get(i, j), want[i * n + j]);
            let error = (got - want).abs();
            assert!(
                error <= relative * (want.abs() + 1.0 + k as f64 / 8.0),
                "({m}, {k}) x ({k}, {n}) patterns {a_pattern} {b_pattern} {c_pattern} {:?} {options:?}: c[{i}, {j}] = {got}, want {want}",
                level()
            );
        }
    }
}

#[test]
fn every_shape_stride_type_and_level() {
    let _turn = turn();
    let before = level();
    let mut random = Random(7);
    for level in [Level::Portable, Level::Avx2, Level::Avx512] {
        if !force(level) {
            continue;
        }
        for (m, n, k) in [
            (1, 1, 1),
            (1, 1, 300),
            (1, 70, 33),
            (70, 1, 33),
            (0, 3, 2),
            (3, 0, 2),
            (3, 4, 0),
            (1, 3000, 64),
            (1, 2100, 510),
            (16, 48, 300),
        ] {
            (0..12).for_each(|_| check(&mut random, (m, n, k)));
        }
        for _ in 0..400 {
            let shape = (1 + random.below(40), 1 + random.below(90), random.below(70));
            check(&mut random, shape);
        }
        for _ in 0..30 {
            let shape = (
                1 + random.below(300),
                1 + random.below(300),
                random.below(600),
            );
            check(&mut random, shape);
        }
    }
    assert!(force(before));
}

#[test]
fn gradients_of_weights() {
    // A by columns, B by rows, deep: either may be the greater one, and its tasks' own or all threads' to pack.
    let _turn = turn();
    let before = (level(), pool::threads());
    let mut random = Random(23);
    for level in [Level::Portable, Level::Avx2, Level::Avx512] {
        if !force(level) {
            continue;
        }
        for elem in ELEMS {
            for (m, n, k) in [
                (40, 90, 270),
                (300, 50, 260),
                (37, 301, 300),
                (264, 270, 64),
            ] {
                for (a_pattern, b_pattern, c_pattern) in [(1, 0, 0), (3, 2, 2), (1, 0, 4)] {
                    pool::set_threads(1 + random.below(3));
                    let a = Stored::new(&mut random, elem, m, k, a_pattern);
                    let b = Stored::new(&mut random, elem, k, n, b_pattern);
                    let of = if random.below(2) == 0 {
                        elem
                    } else {
                        Elem::F32
                    };
                    let mut c = Stored::new(&mut random, of, m, n, c_pattern);
                    // SAFETY: the matrices are as described.
                    unsafe { gemm(c.mat_mut(), a.mat(), b.mat(), Options::default()) }.unwrap();
                    let relative = if matches!(of, Elem::F32 | Elem::F64) {
                        1e-6
                    } else {
                        8e-3
                    };
                    for i in 0..m {
                        for j in 0..n {
                            let want: f64 = (0..k).map(|l| a.get(i, l) * b.get(l, j)).sum();
                            let off = (c.get(i, j) - want).abs();
                            assert!(
                                off <= relative * (want.abs() + k as f64 / 8.0),
                                "({m}, {k}) x ({k}, {n}) of {elem:?} to {of:?}, {level:?}: c[{i}, {j}] is off by {off}"
                            );
                        }
                    }
                }
            }
        }
    }
    assert!(force(before.0));
    pool::set_threads(before.1);
}

#[test]
fn same_bits_for_any_number_of_threads() {
    let _turn = turn();
    let before = pool::threads();
    let mut random = Random(11);
    for (m, n, k) in [
        (200, 170, 300),
        (300, 170, 300),
        (170, 300, 600),
        (3, 900, 700),
        (1, 4000, 300),
        (4000, 1, 300),
        (1, 70, 130),
        (500, 40, 100),
    ] {
        for (elem, a_pattern, b_pattern) in [
            (Elem::F32, 0, 0),
            (Elem::F32, 0, 1),
            (Elem::F32, 1, 0),
            (Elem::Bf16, 0, 1),
            (Elem::Bf16, 1, 0),
        ] {
            let a = Stored::new(&mut random, elem, m, k, a_pattern);
            let b = Stored::new(&mut random, elem, k, n, b_pattern);
            let mut results = [1, 2, 5].map(|threads| {
                pool::set_threads(threads);
                let mut c = Stored::new(&mut random, Elem::F32, m, n, 0);
                // SAFETY: the matrices are as described.
                unsafe { gemm(c.mat_mut(), a.mat(), b.mat(), Options::default()) }.unwrap();
                c.bytes
            });
            assert!(results[0] == results[1] && results[1] == results[2]);
            results[0].clear();
        }
    }
    pool::set_threads(before);
}

#[test]
fn batches() {
    let mut random = Random(13);
    for (count, m, n, k) in [
        (50, 8, 9, 10),
        (3, 250, 260, 200),
        (1, 4, 4, 4),
        (0, 4, 4, 4),
    ] {
        let a = Stored::new(&mut random, Elem::F32, count * m, k, 0);
        let b = Stored::new(&mut random, Elem::F32, k, n, 1);
        let mut c = Stored::new(&mut random, Elem::F32, count * m, n, 0);
        let (mut one_c, one_a) = (c.mat_mut(), Mat { rows: m, ..a.mat() });
        one_c.rows = m;
        let offsets = |i: usize| ((i * m * n) as isize, (i * m * k) as isize, 0);
        // SAFETY: each product has its own rows of A and C.
        unsafe { gemm_batched(count, &offsets, one_c, one_a, b.mat(), Options::default()) }
            .unwrap();
        for i in 0..count * m {
            for j in 0..n {
                let want: f64 = (0..k).map(|l| a.get(i, l) * b.get(l, j)).sum();
                assert!((c.get(i, j) - want).abs() < 1e-4);
            }
        }
    }
}

#[test]
fn shapes_that_disagree_are_refused() {
    let mut random = Random(17);
    let a = Stored::new(&mut random, Elem::F32, 2, 3, 0);
    let mut c = Stored::new(&mut random, Elem::F32, 2, 2, 0);
    // SAFETY: nothing is touched.
    let error = unsafe { gemm(c.mat_mut(), a.mat(), a.mat(), Options::default()) }.unwrap_err();
    assert_eq!(error, "Cannot multiply (2, 3) by (2, 3) into (2, 2)");
}

#[test]
fn integers() {
    let mut random = Random(19);
    for (m, n, k) in [(1, 1, 1), (5, 7, 9), (70, 90, 130), (4, 1, 6), (3, 5, 0)] {
        for transposed in [false, true] {
            let a: Vec<i64> = (0..m * k)
                .map(|_| random.next() as i64 - (1 << 30))
                .collect();
            let b: Vec<i64> = (0..k * n).map(|_| (random.next() as i64) << 33).collect();
            let strides = if transposed {
                (1, k as isize)
            } else {
                (n as isize, 1)
            };
            let mut c = vec![-1i64; m * n];
            // SAFETY: the sizes agree.
            unsafe {
                gemm_i64(
                    (m, n, k),
                    c.as_mut_ptr(),
                    (a.as_ptr(), (k as isize, 1)),
                    (b.as_ptr(), strides),
                )
            }
            .unwrap();
            for i in 0..m {
                for j in 0..n {
                    let want = (0..k).fold(0i64, |sum, l| {
                        let b = b[(l as isize * strides.0 + j as isize * strides.1) as usize];
                        sum.wrapping_add(a[i * k + l].wrapping_mul(b))
                    });
                    assert_eq!(c[i * n + j], want);
                }
            }
        }
    }
}
