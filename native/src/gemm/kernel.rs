//! Micro-kernels: a tile of C from a strip of A and a panel of B, held in registers over the whole depth.
//! Written once over `Lanes`, compiled for AVX-512, AVX2 and the base level.

use super::lanes::*;
use crate::simd::Level;
use crate::stream::prefetch;

/// Depth of one block: 14 rows of A of this depth stay in the first-level cache.
pub const DEPTH: usize = 256;
/// Elements between the rows of packed A. Constant, so that a kernel needs one address register for all rows; not a
/// power of two, so that rows do not share cache sets.
pub const A_STRIDE: usize = DEPTH + 16;

/// Elements between the columns of an A that is packed as it is stored, by columns: room for a strip's rows.
pub const A_COLUMN: usize = 16;

/// What is done to a tile before it is written: `relu(scale · x + bias)`, with one of each per column, or per row.
#[derive(Clone, Copy)]
pub struct Ending<T> {
    /// Null: 1; then there may be a bias all the same.
    pub scale: *const T,
    /// Null: there is neither bias nor scale.
    pub bias: *const T,
    pub by_row: bool,
    pub relu: bool,
}

impl<T> Ending<T> {
    pub fn is_none(&self) -> bool {
        self.bias.is_null() && !self.relu
    }
}

/// One tile: C (rows, columns) = alpha · A (rows, depth) · B (depth, columns) + beta · C.
pub struct Tile<T> {
    /// Packed, `A_STRIDE` between rows; or turned, `A_COLUMN` between columns.
    pub a: *const T,
    /// Full registers are read, so the panel is padded to them.
    pub b: *const T,
    /// Elements between the rows of B.
    pub b_stride: isize,
    pub depth: usize,
    pub c: *mut T,
    /// Elements between the rows of C; its columns are adjacent.
    pub c_stride: isize,
    pub columns: usize,
    pub alpha: T,
    pub beta: T,
}

/// Registers from one of B's to that which is fetched meanwhile: of a packed panel the rows that come soon.
const AHEAD: usize = 32;

/// sums += A · B, while what lies `ahead` elements on in B is fetched.
#[inline(always)]
unsafe fn accumulate<
    L: Lanes,
    const ROWS: usize,
    const REGISTERS: usize,
    const BY_ROW: usize,
    const BY_COLUMN: usize,
>(
    t: &Tile<L::T>,
    ahead: usize,
    sums: &mut [[L::V; REGISTERS]; ROWS],
) {
    // SAFETY: as for `tile`.
    unsafe {
        let (mut a, mut b) = (t.a, t.b);
        for _ in 0..t.depth {
            let mut row = [L::zero(); REGISTERS];
            for (j, lanes) in row.iter_mut().enumerate() {
                *lanes = L::load(b.add(j * L::N));
                if (j * L::N * size_of::<L::T>()).is_multiple_of(64) {
                    prefetch(b.wrapping_add(ahead + j * L::N));
                }
            }
            for (i, sum) in sums.iter_mut().enumerate() {
                let x = L::splat(*a.add(i * BY_ROW));
                for (sum, &lanes) in sum.iter_mut().zip(&row) {
                    *sum = L::fma(x, lanes, *sum);
                }
            }
            a = a.add(BY_COLUMN);
            b = b.wrapping_offset(t.b_stride);
        }
    }
}

#[inline(always)]
unsafe fn tile<
    L: Lanes,
    const ROWS: usize,
    const REGISTERS: usize,
    const BY_ROW: usize,
    const BY_COLUMN: usize,
>(
    t: &Tile<L::T>,
    beta_is_zero: bool,
) {
    // SAFETY: the caller answers for the addresses in `t` and for the instructions of L.
    unsafe {
        let mut sums = [[L::zero(); REGISTERS]; ROWS];
        // What the sums go to is at hand when they are done.
        for i in 0..ROWS as isize {
            for j in 0..REGISTERS {
                prefetch(t.c.wrapping_offset(i * t.c_stride).wrapping_add(j * L::N));
            }
        }
        // Panels of a B read in place lie in many pages, where the hardware does not look ahead: the panel to the right
        // comes next.
        let is_packed = t.b_stride == (2 * L::N) as isize;
        let ahead = L::N * if is_packed { AHEAD } else { REGISTERS };
        accumulate::<L, ROWS, REGISTERS, BY_ROW, BY_COLUMN>(t, ahead, &mut sums);
        write::<L, ROWS, REGISTERS>(t, &sums, beta_is_zero);
    }
}

/// The same where row k of B begins at `offsets[k]` elements from `t.b`.
#[inline(always)]
unsafe fn tile_at<L: Lanes, const ROWS: usize, const REGISTERS: usize>(
    t: &Tile<L::T>,
    offsets: *const usize,
    beta_is_zero: bool,
) {
    // SAFETY: as for `tile`; there is an offset for each row of B.
    unsafe {
        let mut sums = [[L::zero(); REGISTERS]; ROWS];
        for k in 0..t.depth {
            let (a, b) = (t.a.add(k), t.b.add(*offsets.add(k)));
            let mut row = [L::zero(); REGISTERS];
            for (j, lanes) in row.iter_mut().enumerate() {
                *lanes = L::load(b.add(j * L::N));
            }
            for (i, sum) in sums.iter_mut().enumerate() {
                let x = L::splat(*a.add(i * A_STRIDE));
                for (sum, &lanes) in sum.iter_mut().zip(&row) {
                    *sum = L::fma(x, lanes, *sum);
                }
            }
        }
        write::<L, ROWS, REGISTERS>(t, &sums, beta_is_zero);
    }
}

/// C = alpha · sums + beta · C
#[inline(always)]
unsafe fn write<L: Lanes, const ROWS: usize, const REGISTERS: usize>(
    t: &Tile<L::T>,
    sums: &[[L::V; REGISTERS]; ROWS],
    beta_is_zero: bool,
) {
    // SAFETY: as for `tile`.
    unsafe {
        let (alpha, beta) = (L::splat(t.alpha), L::splat(t.beta));
        for (i, sum) in sums.iter().enumerate() {
            for (j, &sum) in sum.iter().enumerate() {
                let c = t.c.offset(i as isize * t.c_stride).add(j * L::N);
                let sum = L::mul(alpha, sum);
                let left = t.columns - j * L::N;
                if left >= L::N {
                    L::store(
                        c,
                        if beta_is_zero {
                            sum
                        } else {
                            L::fma(beta, L::load(c), sum)
                        },
                    );
                } else {
                    let sum = if beta_is_zero {
                        sum
                    } else {
                        L::fma(beta, L::load_part(c, left), sum)
                    };
                    L::store_part(c, sum, left);
                }
            }
        }
    }
}

/// The ending of a tile that was just written: a pass over the first-level cache, for with it among the stores the sums
/// would not stay in registers. The pointers are to what belongs to the first row or column of the tile.
#[inline(always)]
unsafe fn end<L: Lanes>(t: &Tile<L::T>, rows: usize, ending: &Ending<L::T>) {
    for j in (0..t.columns).step_by(L::N) {
        // SAFETY: as for `tile`; scale and bias have an element for each column, or each row.
        unsafe {
            if t.columns - j >= L::N {
                end_register::<L, true>(t, rows, ending, j);
            } else {
                end_register::<L, false>(t, rows, ending, j);
            }
        }
    }
}

/// The columns from `j` on, `left` of them if they are not WHOLE; zero if there are none.
#[inline(always)]
unsafe fn load_columns<L: Lanes, const WHOLE: bool>(
    from: *const L::T,
    j: usize,
    left: usize,
) -> L::V {
    // SAFETY: as for `end`.
    unsafe {
        if from.is_null() {
            L::zero()
        } else if WHOLE {
            L::load(from.add(j))
        } else {
            L::load_part(from.add(j), left)
        }
    }
}

/// The same for the columns of one register, WHOLE or not.
#[inline(always)]
unsafe fn end_register<L: Lanes, const WHOLE: bool>(
    t: &Tile<L::T>,
    rows: usize,
    ending: &Ending<L::T>,
    j: usize,
) {
    let &Ending {
        scale,
        bias,
        by_row,
        relu,
    } = ending;
    let left = t.columns - j;
    // SAFETY: as for `end`.
    unsafe {
        let (mut scales, mut biases) = (L::zero(), L::zero());
        if !by_row {
            scales = load_columns::<L, WHOLE>(scale, j, left);
            biases = load_columns::<L, WHOLE>(bias, j, left);
        }
        for i in 0..rows {
            let c = t.c.offset(i as isize * t.c_stride).add(j);
            let mut x = load_columns::<L, WHOLE>(c, 0, left);
            if !scale.is_null() {
                let scale = if by_row {
                    L::splat(*scale.add(i))
                } else {
                    scales
                };
                x = L::mul(scale, x);
            }
            if !bias.is_null() {
                let bias = if by_row {
                    L::splat(*bias.add(i))
                } else {
                    biases
                };
                x = L::add(x, bias);
            }
            if relu {
                x = L::relu(x);
            }
            if WHOLE {
                L::store(c, x);
            } else {
                L::store_part(c, x, left);
            }
        }
    }
}

/// Dot products of `ROWS` rows of A with `COLUMNS` columns of B, all contiguous along the depth:
/// out[i · out_stride + j] = Σ a[i · a_stride + k] · b[j · b_stride + k]. Lanes are added up in a fixed order.
#[inline(always)]
unsafe fn dots<L: Lanes, const ROWS: usize, const COLUMNS: usize>(d: &Dots<L::T>)
where
    L::T: std::ops::Add<Output = L::T>,
{
    // SAFETY: the caller answers for the addresses in `d` and for the instructions of L.
    unsafe {
        let mut sums = [[L::zero(); COLUMNS]; ROWS];
        let mut k = 0;
        while k + L::N <= d.depth {
            for (i, sums) in sums.iter_mut().enumerate() {
                let a = L::load(d.a.offset(i as isize * d.a_stride).add(k));
                for (j, sum) in sums.iter_mut().enumerate() {
                    *sum = L::fma(a, L::load(d.b.offset(j as isize * d.b_stride).add(k)), *sum);
                }
            }
            k += L::N;
        }
        let left = d.depth - k;
        if left > 0 {
            for (i, sums) in sums.iter_mut().enumerate() {
                let a = L::load_part(d.a.offset(i as isize * d.a_stride).add(k), left);
                for (j, sum) in sums.iter_mut().enumerate() {
                    *sum = L::fma(
                        a,
                        L::load_part(d.b.offset(j as isize * d.b_stride).add(k), left),
                        *sum,
                    );
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            for (j, &sum) in sums.iter().enumerate() {
                let lanes = (&raw const sum).cast::<L::T>();
                let mut width = L::N;
                let mut parts = [*lanes; 16];
                for (l, part) in parts.iter_mut().enumerate().take(L::N) {
                    *part = *lanes.add(l);
                }
                while width > 1 {
                    width /= 2;
                    for l in 0..width {
                        parts[l] = parts[l] + parts[l + width];
                    }
                }
                *d.out.add(i * d.out_stride + j) = parts[0];
            }
        }
    }
}

/// Operands of [`dots`].
pub struct Dots<T> {
    pub a: *const T,
    pub a_stride: isize,
    pub b: *const T,
    pub b_stride: isize,
    pub depth: usize,
    pub out: *mut T,
    pub out_stride: usize,
}

pub type TileKernel<T> = unsafe fn(&Tile<T>, bool);
pub type OffsetsKernel<T> = unsafe fn(&Tile<T>, *const usize, bool);
pub type DotsKernel<T> = unsafe fn(&Dots<T>);
pub type EndKernel<T> = unsafe fn(&Tile<T>, usize, &Ending<T>);

/// Columns that [`Kernels::dots_wide`] does at once.
pub const DOTS_WIDE: usize = 4;

/// The kernels of one level for one type.
pub struct Kernels<T: 'static> {
    /// Rows of a full tile.
    pub rows: usize,
    /// Lanes of a register; a panel of B is two of them wide.
    pub lanes: usize,
    /// `tiles[2 · (rows - 1) + registers - 1]`
    pub tiles: &'static [TileKernel<T>],
    /// The same with A turned.
    pub turned: &'static [TileKernel<T>],
    /// The same with an offset for each row of B.
    pub tiles_at: &'static [OffsetsKernel<T>],
    /// The ending of a tile of so many rows.
    pub end: EndKernel<T>,
    /// `DOTS_WIDE` columns by one to four rows, and one column.
    pub dots_wide: [DotsKernel<T>; 4],
    pub dots_one: [DotsKernel<T>; 4],
}

macro_rules! kernels {
    ($table:ident, $lanes:ident, $t:ty, [$($feature:literal)?], $($rows:literal)*) => {
        static $table: Kernels<$t> = {
            $(#[target_feature(enable = $feature)])?
            unsafe fn run<const ROWS: usize, const REGISTERS: usize>(t: &Tile<$t>, beta_is_zero: bool) {
                // SAFETY: passed on from the caller.
                unsafe { tile::<$lanes, ROWS, REGISTERS, A_STRIDE, 1>(t, beta_is_zero) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn run_turned<const ROWS: usize, const REGISTERS: usize>(t: &Tile<$t>, beta_is_zero: bool) {
                // SAFETY: passed on from the caller.
                unsafe { tile::<$lanes, ROWS, REGISTERS, 1, A_COLUMN>(t, beta_is_zero) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn run_at<const ROWS: usize, const REGISTERS: usize>(t: &Tile<$t>, offsets: *const usize, beta_is_zero: bool) {
                // SAFETY: passed on from the caller.
                unsafe { tile_at::<$lanes, ROWS, REGISTERS>(t, offsets, beta_is_zero) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn end_of(t: &Tile<$t>, rows: usize, ending: &Ending<$t>) {
                // SAFETY: passed on from the caller.
                unsafe { end::<$lanes>(t, rows, ending) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn dot<const ROWS: usize, const COLUMNS: usize>(d: &Dots<$t>) {
                // SAFETY: passed on from the caller.
                unsafe { dots::<$lanes, ROWS, COLUMNS>(d) }
            }
            Kernels {
                rows: $lanes::ROWS,
                lanes: $lanes::N,
                end: end_of,
                tiles: &[$(run::<$rows, 1>, run::<$rows, 2>),*],
                turned: &[$(run_turned::<$rows, 1>, run_turned::<$rows, 2>),*],
                tiles_at: &[$(run_at::<$rows, 1>, run_at::<$rows, 2>),*],
                dots_wide: [dot::<1, DOTS_WIDE>, dot::<2, DOTS_WIDE>, dot::<3, DOTS_WIDE>, dot::<4, DOTS_WIDE>],
                dots_one: [dot::<1, 1>, dot::<2, 1>, dot::<3, 1>, dot::<4, 1>],
            }
        };
    };
}

#[cfg(target_arch = "x86_64")]
kernels!(AVX512_F32, Avx512F32, f32, ["avx512f"], 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
#[cfg(target_arch = "x86_64")]
kernels!(AVX512_F64, Avx512F64, f64, ["avx512f"], 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
#[cfg(target_arch = "x86_64")]
kernels!(AVX2_F32, Avx2F32, f32, ["avx2,fma"], 1 2 3 4 5 6);
#[cfg(target_arch = "x86_64")]
kernels!(AVX2_F64, Avx2F64, f64, ["avx2,fma"], 1 2 3 4 5 6);
kernels!(PORTABLE_F32, PortableF32, f32, [], 1 2 3 4);
kernels!(PORTABLE_F64, PortableF64, f64, [], 1 2 3 4);

pub fn kernels_f32(level: Level) -> &'static Kernels<f32> {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => &AVX512_F32,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => &AVX2_F32,
        _ => &PORTABLE_F32,
    }
}

pub fn kernels_f64(level: Level) -> &'static Kernels<f64> {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => &AVX512_F64,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => &AVX2_F64,
        _ => &PORTABLE_F64,
    }
}
