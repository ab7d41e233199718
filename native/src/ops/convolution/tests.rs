//! Every way against sums one by one, at every level, with the same bits for any number of threads.

use super::{Geometry, depthwise, direct, unfolded, winograd};
use crate::pool;
use crate::simd::{self, Level};

fn geometry(sizes: [usize; 4], spatial: [[usize; 5]; 3]) -> Geometry {
    let [batch, groups, ins, outs] = sizes;
    let of = |i: usize| spatial.map(|s| s[i]);
    let output = spatial.map(|[n, k, stride, padding, dilation]| {
        (n + 2 * padding - dilation * (k - 1) - 1) / stride + 1
    });
    Geometry {
        batch,
        groups,
        ins,
        outs,
        input: of(0),
        output,
        kernel: of(1),
        stride: of(2),
        padding: of(3),
        dilation: of(4),
    }
}

/// Windows of one dim that has size 1.
const FLAT: [usize; 5] = [1, 1, 1, 0, 1];

fn geometries() -> Vec<Geometry> {
    vec![
        geometry([2, 1, 3, 20], [FLAT, [9, 3, 1, 1, 1], [13, 3, 1, 1, 1]]),
        geometry([1, 1, 40, 31], [FLAT, [7, 3, 2, 1, 1], [8, 5, 3, 2, 1]]),
        geometry([2, 3, 2, 4], [FLAT, FLAT, [50, 4, 2, 3, 2]]),
        geometry(
            [1, 1, 3, 64],
            [[4, 2, 1, 1, 2], [5, 3, 2, 0, 1], [6, 2, 1, 1, 3]],
        ),
        geometry([3, 5, 1, 1], [FLAT, [8, 3, 1, 1, 1], [28, 3, 1, 1, 1]]),
        geometry([2, 4, 1, 2], [FLAT, [9, 3, 2, 1, 1], [41, 3, 2, 2, 2]]),
        geometry([1, 1, 2, 3], [FLAT, [5, 1, 3, 0, 1], [5, 1, 4, 2, 1]]),
    ]
}

fn numbers(n: usize, seed: usize) -> Vec<f32> {
    let value = |i: usize| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0;
    (0..n).map(value).collect()
}

/// Calls `f(place in w, in x, in y)` for every product.
fn products(g: &Geometry, mut f: impl FnMut(usize, usize, usize)) {
    let count = |dims: [usize; 3]| dims.iter().product::<usize>();
    let place =
        |i: usize, dims: [usize; 3]| [i / dims[2] / dims[1], i / dims[2] % dims[1], i % dims[2]];
    for image in 0..g.batch {
        for o in 0..g.groups * g.outs {
            for c in 0..g.ins {
                for t in 0..count(g.kernel) {
                    for p in 0..count(g.output) {
                        let (k, at) = (place(t, g.kernel), place(p, g.output));
                        let x: [usize; 3] = core::array::from_fn(|d| {
                            (at[d] * g.stride[d] + k[d] * g.dilation[d]).wrapping_sub(g.padding[d])
                        });
                        if (0..3).any(|d| x[d] >= g.input[d]) {
                            continue;
                        }
                        let channel = (image * g.groups + o / g.outs) * g.ins + c;
                        let x = (x[0] * g.input[1] + x[1]) * g.input[2] + x[2];
                        f(
                            (o * g.ins + c) * count(g.kernel) + t,
                            channel * count(g.input) + x,
                            (image * g.groups * g.outs + o) * count(g.output) + p,
                        );
                    }
                }
            }
        }
    }
}

fn close(got: &[f32], want: &[f64], what: &str) {
    for (i, (&a, &b)) in got.iter().zip(want).enumerate() {
        let fits = (f64::from(a) - b).abs() <= 1e-4 * (1.0 + b.abs());
        assert!(fits, "{what}: element {i} is {a}, not {b}");
    }
}

type Way = fn(&Geometry, &[f32], &[f32], &[f32]) -> [Vec<f32>; 3];

/// y, gx and gw by the quick ways.
fn quick(g: &Geometry, x: &[f32], w: &[f32], y: &[f32]) -> [Vec<f32>; 3] {
    let field = direct::forward_field(g).unwrap();
    let mut out = outputs(x, w, y);
    let [oy, ox, ow] = out.each_mut().map(|v| v.as_mut_ptr());
    let (x, w, y) = (x.as_ptr(), w.as_ptr(), y.as_ptr());
    if depthwise::suits(g) {
        depthwise::forward(g, &field, oy, x, w, None).unwrap();
        assert!(depthwise::input_grad(g, ox, y, w, None).unwrap());
        depthwise::weight_grad(g, &field, ow, y, x).unwrap();
    } else {
        direct::forward(g, &field, oy, x, w, None).unwrap();
        assert!(direct::input_grad(g, ox, y, w, None).unwrap());
        direct::weight_grad(g, &field, ow, y, x).unwrap();
    }
    out
}

/// The same by transformed tiles.
fn tiled(g: &Geometry, x: &[f32], w: &[f32], y: &[f32]) -> [Vec<f32>; 3] {
    assert!(winograd::fits(g));
    let mut out = outputs(x, w, y);
    let [oy, ox, ow] = out.each_mut().map(|v| v.as_mut_ptr());
    let (x, w, y) = (x.as_ptr(), w.as_ptr(), y.as_ptr());
    assert!(winograd::forward(g, oy, x, w, None).unwrap());
    assert!(winograd::input_grad(g, ox, y, w, None).unwrap());
    assert!(winograd::weight_grad(g, ow, y, x).unwrap());
    out
}

/// The same by patches that are written out.
fn written_out(g: &Geometry, x: &[f32], w: &[f32], y: &[f32]) -> [Vec<f32>; 3] {
    let mut out = outputs(x, w, y);
    let [oy, ox, ow] = out.each_mut().map(|v| v.as_mut_ptr());
    let (x, w, y) = (x.as_ptr(), w.as_ptr(), y.as_ptr());
    unfolded::forward(g, oy, x, w, None).unwrap();
    unfolded::input_grad(g, ox, y, w, None).unwrap();
    unfolded::weight_grad(g, ow, y, x).unwrap();
    out
}

fn outputs(x: &[f32], w: &[f32], y: &[f32]) -> [Vec<f32>; 3] {
    [y, x, w].map(|like| vec![f32::NAN; like.len()])
}

fn operands(g: &Geometry, seed: usize) -> [Vec<f32>; 3] {
    let size = |channels: usize, dims: [usize; 3]| channels * dims.iter().product::<usize>();
    [
        numbers(size(g.batch * g.groups * g.ins, g.input), seed),
        numbers(size(g.groups * g.outs * g.ins, g.kernel), seed + 100),
        numbers(size(g.batch * g.groups * g.outs, g.output), seed + 50),
    ]
}

/// Compares a way with sums in float64, at every level and for one thread and four.
fn check(way: Way, geometries: &[Geometry]) {
    let _turn = simd::turn();
    let (level, threads) = (simd::level(), pool::threads());
    for (seed, g) in geometries.iter().enumerate() {
        let [x, w, y] = operands(g, seed);
        let mut want = [&y, &x, &w].map(|like| vec![0.0f64; like.len()]);
        products(g, |i, j, k| {
            let [a, b, c] = [w[i], x[j], y[k]].map(f64::from);
            want[0][k] += a * b;
            want[1][j] += a * c;
            want[2][i] += b * c;
        });
        for wanted in [Level::Portable, Level::Avx2, Level::Avx512] {
            if !simd::force(wanted) {
                continue;
            }
            pool::set_threads(1);
            let alone = way(g, &x, &w, &y);
            for (got, want) in alone.iter().zip(&want) {
                close(got, want, &format!("{g:?} at {wanted:?}"));
            }
            pool::set_threads(4);
            assert_eq!(way(g, &x, &w, &y), alone, "{g:?} with four threads");
        }
    }
    assert!(simd::force(level));
    pool::set_threads(threads);
}

#[test]
fn all_ways_agree_and_threads_change_no_bit() {
    check(quick, &geometries());
}

#[test]
fn patches_that_are_written_out_give_the_same() {
    check(written_out, &geometries());
    let more = [
        geometry([5, 2, 9, 40], [FLAT, [4, 3, 1, 1, 1], [4, 3, 1, 1, 1]]),
        // Windows of which a part, or for some taps all, lies outside.
        geometry([3, 1, 4, 70], [FLAT, [2, 5, 2, 4, 1], [3, 5, 3, 4, 2]]),
        geometry(
            [2, 1, 3, 33],
            [[2, 3, 2, 1, 1], [5, 3, 2, 1, 1], [4, 1, 3, 2, 1]],
        ),
        // Windows inside x, whose ends none of them reads.
        geometry([3, 2, 4, 5], [FLAT, [8, 3, 2, 0, 1], [9, 2, 3, 0, 1]]),
        geometry([4, 1, 6, 7], [FLAT, [7, 1, 2, 0, 1], [6, 1, 2, 0, 1]]),
    ];
    check(written_out, &more);
}

#[test]
fn few_positions_of_many_channels_are_written_out() {
    let spatial = |n: usize, stride: usize| [n, 3, stride, 1, 1];
    let of = |batch, ins, outs, n, stride| {
        let sizes = [batch, 1, ins, outs];
        geometry(sizes, [FLAT, spatial(n, stride), spatial(n, stride)])
    };
    assert!(unfolded::suits(&of(16, 256, 512, 8, 2)));
    assert!(unfolded::suits(&of(16, 512, 512, 4, 1)) && !winograd::suits(&of(16, 512, 512, 4, 1)));
    // One element of x for a position, which direct sums would lay out one by one.
    let pointwise = [32, 1, 2, 0, 1];
    let shortcut = geometry([16, 1, 64, 128], [FLAT, pointwise, pointwise]);
    assert!(unfolded::suits(&shortcut));
    // An image alone, a few channels, and rows that fill registers.
    assert!(!unfolded::suits(&of(1, 256, 512, 8, 2)));
    assert!(!unfolded::suits(&of(16, 256, 8, 8, 2)));
    assert!(!unfolded::suits(&of(16, 64, 128, 32, 1)));
}

/// Windows of 3 × 3 over planes of one size each: (size, padding).
fn windows(sizes: [usize; 4], [high, wide]: [[usize; 2]; 2]) -> Geometry {
    let spatial = |[n, padding]: [usize; 2]| [n, 3, 1, padding, 1];
    geometry(sizes, [FLAT, spatial(high), spatial(wide)])
}

#[test]
fn transformed_tiles_give_the_same() {
    let geometries = [
        // Fewer than a register, odd and even, with each padding.
        windows([1, 1, 1, 1], [[3, 0], [3, 0]]),
        windows([2, 1, 3, 5], [[4, 1], [5, 2]]),
        windows([1, 1, 2, 3], [[1, 2], [2, 1]]),
        // Registers and panels in part, groups, several blocks of rows.
        windows([3, 2, 9, 17], [[9, 0], [35, 1]]),
        windows([2, 1, 70, 33], [[12, 1], [14, 1]]),
        // More channels than a kernel takes at a time.
        windows([1, 1, 260, 3], [[6, 1], [7, 1]]),
        // Several runs along a row, of which the last is shorter.
        windows([1, 1, 2, 2], [[3, 1], [517, 1]]),
        // Several blocks of a sum over tiles.
        windows([5, 1, 4, 6], [[20, 1], [40, 2]]),
    ];
    check(tiled, &geometries);
}

#[test]
fn what_is_not_finite_is_left_to_sums() {
    let g = windows([1, 1, 2, 3], [[6, 1], [40, 1]]);
    let [mut x, w, mut y] = operands(&g, 1);
    for bad in [f32::INFINITY, f32::NAN, f32::MAX] {
        let (at, before) = (50, [x[50], y[50]]);
        (x[at], y[at]) = (bad, bad);
        let mut out = outputs(&x, &w, &y);
        let [oy, ox, ow] = out.each_mut().map(|v| v.as_mut_ptr());
        let (px, pw, py) = (x.as_ptr(), w.as_ptr(), y.as_ptr());
        if bad != f32::MAX {
            assert!(!winograd::forward(&g, oy, px, pw, None).unwrap());
            assert!(!winograd::input_grad(&g, ox, py, pw, None).unwrap());
        }
        assert!(!winograd::weight_grad(&g, ow, py, px).unwrap());
        [x[at], y[at]] = before;
    }
}
