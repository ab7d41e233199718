//! Copies between operands of one dtype: bits are moved without a detour through a compute type, and where the two sides
//! run along different dims, in square tiles that fit the first-level cache.

use super::walk::{Address, Walk, move_run, stream_run};
use crate::gemm::{Float, copy_rows};
use crate::instruction::Operand;
use crate::{pool, stream, with_bits};

/// Elements that one thread takes at a time.
const GRAIN: usize = 32 * 1024;
/// Elements of a tile: at 8 bytes each 32 KiB.
const TILE: usize = 4096;
/// Bytes of a row of a tile as it is written: two lines. What is read lies four times as long together, as four-byte
/// elements that are a power of two apart share few sets of the first-level cache.
const ROW: usize = 128;
/// Shorter dims are not worth a tile.
const LEAST: usize = 8;
/// Thin rows that are copied at a time.
const AT_ONCE: usize = 512;

/// Copies x to out if nothing but their layout differs; else does nothing and says false.
pub fn moved(out: &Operand, x: &Operand) -> bool {
    if out.dtype != x.dtype || out.dims() != x.dims() || out.overlaps(x) {
        return false;
    }
    let walk = Walk::<2>::new(out.dims(), [out.strides(), x.strides()]);
    if walk.numel == 0 {
        return true;
    }
    let streams = stream::pays(out);
    with_bits!(out.dtype, T => {
        let (to, from) = (Address::<T>::new(out.ptr), Address::<T>::new(x.ptr));
        match across(&walk) {
            Some(dim) => transpose(&walk, dim, to, from, streams),
            None if has_short_rows(&walk) => rows(&walk, to, from, streams),
            None if has_thin_rows(&walk) => thin_rows(&walk, to, from),
            None => pool::parallel_ranges(walk.numel, GRAIN, &|range| {
                walk.runs(range.start, range.len(), |[o, i], [os, is], n| {
                    // SAFETY: elements of checked operands that share no bytes.
                    unsafe {
                        if streams {
                            stream_run(from.at(i), is, to.at(o), os, n);
                        } else {
                            move_run(from.at(i), is, to.at(o), os, n);
                        }
                    }
                });
                if streams {
                    stream::fence();
                }
            }),
        }
    });
    true
}

/// Rows of no more elements take longer to find, one by one, than to copy.
const SHORT: usize = 256;

/// Whether both sides are short rows, at even distances along the dim before the last.
fn has_short_rows(walk: &Walk<2>) -> bool {
    let Some(last) = walk.ndim.checked_sub(1).filter(|&last| last > 0) else {
        return false;
    };
    let [out, x] = &walk.strides;
    out[last] == 1 && x[last] == 1 && (2..=SHORT).contains(&walk.dims[last])
}

fn rows<T: Copy>(walk: &Walk<2>, to: Address<T>, from: Address<T>, streams: bool) {
    let last = walk.ndim - 1;
    let (count, width) = (walk.dims[last - 1], walk.dims[last]);
    let steps = walk.strides.map(|strides| strides[last - 1]);
    let mut others = walk.clone();
    (others.dims[last - 1], others.dims[last]) = (1, 1);
    others.numel = walk.numel / (count * width);
    let bytes = width * size_of::<T>();
    // Lines that two rows share would be written in parts.
    let streams = streams && bytes.is_multiple_of(64);
    pool::parallel_ranges(walk.numel / width, GRAIN / width, &|range| {
        let mut at = range.start;
        while at < range.end {
            let [o, i] = others.offsets(at / count);
            let first = (at % count) as isize;
            let n = (count - at % count).min(range.end - at);
            // SAFETY: rows of checked operands that share no bytes.
            unsafe {
                let (to, from) = (to.at(o + first * steps[0]), from.at(i + first * steps[1]));
                if streams {
                    let steps = steps.map(|step| step * size_of::<T>() as isize);
                    stream::copy_rows(from.cast(), to.cast(), (steps[1], steps[0]), bytes, n);
                } else {
                    copy_rows::<T>(from, steps[1], to, steps[0], n, width);
                }
            }
            at += n;
        }
        if streams {
            stream::fence();
        }
    });
}

/// Whether the last dim is short, and the one before it a better loop.
fn has_thin_rows(walk: &Walk<2>) -> bool {
    walk.ndim > 1
        && walk.dims[walk.ndim - 1] < LEAST
        && walk.dims[walk.ndim - 2] > walk.dims[walk.ndim - 1]
}

/// Column by column, so many rows at a time as the first-level cache holds.
fn thin_rows<T: Copy>(walk: &Walk<2>, to: Address<T>, from: Address<T>) {
    let last = walk.ndim - 1;
    let (count, width) = (walk.dims[last - 1], walk.dims[last]);
    let [out_step, step] = walk.strides.map(|strides| strides[last - 1]);
    let [out_across, across] = walk.strides.map(|strides| strides[last]);
    let mut others = walk.clone();
    (others.dims[last - 1], others.dims[last]) = (1, 1);
    others.numel = walk.numel / (count * width);
    pool::parallel_ranges(walk.numel / width, GRAIN / width, &|range| {
        let mut at = range.start;
        while at < range.end {
            let [o, i] = others.offsets(at / count);
            let first = (at % count) as isize;
            let n = (count - at % count).min(range.end - at).min(AT_ONCE);
            for j in 0..width as isize {
                // SAFETY: elements of checked operands that share no bytes.
                unsafe {
                    let from = from.at(i + first * step + j * across);
                    let to = to.at(o + first * out_step + j * out_across);
                    move_run(from, step, to, out_step, n)
                };
            }
            at += n;
        }
    });
}

/// The dim along which x is contiguous, where out is contiguous along the last one and x is not.
fn across(walk: &Walk<2>) -> Option<usize> {
    let last = walk.ndim.checked_sub(1)?;
    let [out, x] = &walk.strides;
    let is_turned = out[last] == 1 && !matches!(x[last], 0 | 1) && walk.dims[last] >= LEAST;
    (0..last).find(|&d| is_turned && x[d] == 1 && walk.dims[d] >= LEAST)
}

/// Element (p, j) of `out` at `p · out_stride + j`, of x at `p + j · x_stride`, for each place of the other dims.
fn transpose<T: Copy + Default + 'static>(
    walk: &Walk<2>,
    dim: usize,
    to: Address<T>,
    from: Address<T>,
    streams: bool,
) {
    let last = walk.ndim - 1;
    let (long, wide) = (walk.dims[dim], walk.dims[last]);
    let (out_stride, x_stride) = (walk.strides[0][dim], walk.strides[1][last]);
    let mut others = walk.clone();
    (others.dims[dim], others.dims[last]) = (1, 1);
    others.numel = walk.numel / (long * wide);
    let broad = ROW / size_of::<T>();
    let tall = TILE / broad;
    let (down, right) = (long.div_ceil(tall), wide.div_ceil(broad));
    let tiles = GRAIN / TILE;
    pool::parallel_ranges(others.numel * down * right, tiles, &|range| {
        let mut tile = [T::default(); TILE];
        for t in range {
            let [o, i] = others.offsets(t / (down * right));
            let (p, j) = (t / right % down * tall, t % right * broad);
            let (rows, columns) = (tall.min(long - p), broad.min(wide - j));
            // SAFETY: a tile of checked operands that share no bytes.
            unsafe {
                let from = from.at(i + p as isize + j as isize * x_stride);
                let to = to.at(o + p as isize * out_stride + j as isize);
                turn(from, x_stride, (rows, columns), &mut tile, broad);
                let size = size_of::<T>();
                if streams {
                    let steps = ((broad * size) as isize, out_stride * size as isize);
                    stream::copy_rows(tile.as_ptr().cast(), to.cast(), steps, columns * size, rows);
                    continue;
                }
                for r in 0..rows {
                    let row = tile[r * broad..].as_ptr();
                    core::ptr::copy_nonoverlapping(
                        row,
                        to.offset(r as isize * out_stride),
                        columns,
                    );
                }
            }
        }
        if streams {
            stream::fence();
        }
    });
}

/// `tile[r · broad + c] = x[r + c · stride]`
///
/// # Safety
/// The elements exist.
unsafe fn turn<T: Copy>(
    x: *const T,
    stride: isize,
    (rows, columns): (usize, usize),
    tile: &mut [T; TILE],
    broad: usize,
) {
    let is_float_sized = size_of::<T>() == size_of::<f32>();
    let whole = if is_float_sized { columns / 8 * 8 } else { 0 };
    // SAFETY: as promised by the caller; four bytes are moved whatever they mean.
    unsafe {
        for c in (0..whole).step_by(8) {
            // The next lines on their way; each is far from the last.
            for l in 8..16 {
                let next = x.wrapping_offset((c + l) as isize * stride);
                for r in (0..rows).step_by(64 / size_of::<T>()) {
                    stream::prefetch(next.wrapping_add(r));
                }
            }
            let lines = core::array::from_fn(|l| x.offset((c + l) as isize * stride).cast::<f32>());
            f32::transpose(&lines, rows, tile.as_mut_ptr().add(c).cast(), broad);
        }
        for c in whole..columns {
            let column = x.offset(c as isize * stride);
            for r in 0..rows {
                tile[r * broad + c] = *column.add(r);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thin_rows_keep_every_element() {
        // Dims, and strides of x: planes to channels last, elements repeated, every second of them.
        let layouts: [([usize; 3], [isize; 3]); 3] = [
            ([2, 700, 3], [2100, 1, 700]),
            ([1, 1300, 2], [0, 1, 0]),
            ([3, 90, 2], [500, 5, 2]),
        ];
        for (dims, strides) in layouts {
            let out = [(dims[1] * dims[2]) as isize, dims[2] as isize, 1];
            let walk = Walk::<2>::new(&dims, [&out, &strides]);
            assert!(has_thin_rows(&walk));
            let x: Vec<u16> = (0..4200).collect();
            let mut expected = Vec::new();
            walk.runs(0, walk.numel, |[_, i], [_, s], n| {
                expected.extend((0..n).map(|k| x[(i + k as isize * s) as usize]));
            });
            let mut y = vec![u16::MAX; expected.len()];
            let from = Address::new(x.as_ptr().cast_mut().cast());
            thin_rows::<u16>(&walk, Address::new(y.as_mut_ptr().cast()), from);
            assert!(y == expected);
        }
    }

    #[test]
    fn turned_layouts_keep_every_element() {
        // (planes, long, wide) of x, read as (planes, wide, long) and as (long, planes, wide).
        for (planes, long, wide) in [(1, 70, 130), (3, 8, 65), (2, 129, 9)] {
            let x: Vec<u32> = (0..planes * long * wide).map(|i| i as u32).collect();
            let (l, w) = (long as isize, wide as isize);
            let turned: [([usize; 3], [isize; 3]); 2] = [
                ([planes, wide, long], [l * w, 1, w]),
                ([wide, planes, long], [1, l * w, w]),
            ];
            for (dims, from) in turned {
                let out = [(dims[1] * dims[2]) as isize, dims[2] as isize, 1];
                let walk = Walk::<2>::new(&dims, [&out, &from]);
                let dim = across(&walk).expect("a turned layout");
                let mut expected = Vec::new();
                walk.runs(0, walk.numel, |[_, i], [_, s], n| {
                    expected.extend((0..n).map(|k| x[(i + k as isize * s) as usize]));
                });
                for streams in [false, true] {
                    let mut y = vec![u32::MAX; x.len()];
                    let to = Address::new(y.as_mut_ptr().cast());
                    let source = Address::new(x.as_ptr().cast_mut().cast());
                    transpose::<u32>(&walk, dim, to, source, streams);
                    assert!(y == expected);
                }
            }
        }
    }
}
