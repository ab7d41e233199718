//! The kernels, and the moves of pairs that packing is made of, on x86-64.

use super::{AREA, Block, DEEP, TILE};
use crate::stream::prefetch;
use std::arch::asm;
use std::arch::x86_64::*;

/// Tiles 0 to 3 are sums, 4 and 5 come from A, 6 and 7 from B: all of them 16 rows of 64 bytes.
pub unsafe fn configure() {
    #[repr(C, align(64))]
    struct Shapes([u8; 64]);
    const SHAPES: Shapes = {
        let mut bytes = [0; 64];
        bytes[0] = 1;
        let mut tile = 0;
        while tile < 8 {
            bytes[16 + 2 * tile] = 64;
            bytes[48 + tile] = 16;
            tile += 1;
        }
        Shapes(bytes)
    };
    static CONFIGURATION: Shapes = SHAPES;
    // SAFETY: the system has granted tiles to this process.
    unsafe {
        asm!("ldtilecfg [{}]", in(reg) &CONFIGURATION, options(nostack, readonly));
    }
}

pub unsafe fn release() {
    // SAFETY: as above.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

/// Nothing else of this thread uses tiles between `configure` and `release`, so they keep what is loaded here.
pub unsafe fn tiles(block: &Block) {
    let (a, b, sums) = (block.a, block.b, block.sums);
    let right = sums.wrapping_add(TILE);
    let below = sums.wrapping_add(TILE * block.stride);
    let below_right = below.wrapping_add(TILE);
    let sums_stride = 4 * block.stride;
    // SAFETY: the caller gives whole tiles, and the configuration is that of `configure`.
    unsafe {
        if block.first {
            asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, options(nostack, nomem));
        } else {
            asm!("tileloadd tmm0, [{sums} + {stride}]", "tileloadd tmm1, [{right} + {stride}]",
                sums = in(reg) sums, right = in(reg) right, stride = in(reg) sums_stride,
                out("tmm0") _, out("tmm1") _, options(nostack, readonly));
            if block.strips == 2 {
                asm!("tileloadd tmm2, [{sums} + {stride}]", "tileloadd tmm3, [{right} + {stride}]",
                    sums = in(reg) below, right = in(reg) below_right, stride = in(reg) sums_stride,
                    out("tmm2") _, out("tmm3") _, options(nostack, readonly));
            }
        }
        if block.strips == 2 {
            asm!(
                "2:",
                "tileloadd tmm6, [{b} + {stride}]",
                "tileloadd tmm4, [{a} + {stride}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {stride} + 1024]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{below} + {stride}]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a}, 1024",
                "add {below}, 1024",
                "add {b}, 2048",
                "dec {blocks}",
                "jnz 2b",
                a = inout(reg) a => _, below = inout(reg) a.add(block.strip) => _, b = inout(reg) b => _,
                blocks = inout(reg) block.blocks => _, stride = in(reg) 2 * DEEP,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, readonly)
            );
            asm!("tilestored [{sums} + {stride}], tmm2", "tilestored [{right} + {stride}], tmm3",
                sums = in(reg) below, right = in(reg) below_right, stride = in(reg) sums_stride, options(nostack));
        } else {
            asm!(
                "2:",
                "tileloadd tmm6, [{b} + {stride}]",
                "tileloadd tmm4, [{a} + {stride}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {stride} + 1024]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "add {a}, 1024",
                "add {b}, 2048",
                "dec {blocks}",
                "jnz 2b",
                a = inout(reg) a => _, b = inout(reg) b => _, blocks = inout(reg) block.blocks => _,
                stride = in(reg) 2 * DEEP,
                out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
                options(nostack, readonly)
            );
        }
        asm!("tilestored [{sums} + {stride}], tmm0", "tilestored [{right} + {stride}], tmm1",
            sums = in(reg) sums, right = in(reg) right, stride = in(reg) sums_stride, options(nostack));
    }
}

/// Pairs of `DEEP` rows, `stride` elements apart, of one tile's columns, (16 pairs, 16 columns, 2), and if there is a
/// place for it of the tile beside it.
#[target_feature(enable = "avx512f,avx512bw")]
pub unsafe fn interleave(rows: *const u16, stride: isize, to: *mut u16, beside: Option<*mut u16>) {
    // Word 2 i is word i of the lower row, word 2 i + 1 that of the higher one.
    let halves = [0, TILE as u16].map(|first| {
        let words: [u16; DEEP] = core::array::from_fn(|i| first + i as u16 / 2 + i as u16 % 2 * 32);
        // SAFETY: an array of that size.
        unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
    });
    for pair in 0..TILE {
        // SAFETY: the caller gives whole tiles, and room for them.
        unsafe {
            let low = rows.offset(2 * pair as isize * stride);
            let high = low.offset(stride);
            // Rows lie in many pages, where the hardware does not look ahead.
            for row in [low, high] {
                prefetch(row.wrapping_offset(DEEP as isize * stride));
            }
            if let Some(beside) = beside {
                let (low, high) = (
                    _mm512_loadu_si512(low.cast()),
                    _mm512_loadu_si512(high.cast()),
                );
                for (to, half) in [to, beside].into_iter().zip(halves) {
                    let both = _mm512_permutex2var_epi16(low, half, high);
                    _mm512_storeu_si512(to.add(pair * DEEP).cast(), both);
                }
            } else {
                let row =
                    |from: *const u16| _mm512_castsi256_si512(_mm256_loadu_si256(from.cast()));
                let both = _mm512_permutex2var_epi16(row(low), halves[0], row(high));
                _mm512_storeu_si512(to.add(pair * DEEP).cast(), both);
            }
        }
    }
}

/// Pairs of a tile, of rows `stride` elements apart, transposed: four rounds of interleaving pairs, couples of
/// them, quarters and halves of registers.
#[target_feature(enable = "avx512f")]
pub unsafe fn transpose_pairs(rows: *const u16, stride: isize, to: *mut u16) {
    // SAFETY: the caller gives a whole tile, and room for it.
    unsafe {
        let x: [__m512i; TILE] =
            core::array::from_fn(|i| _mm512_loadu_si512(rows.offset(i as isize * stride).cast()));
        // Of registers 4 i to 4 i + 3: in each quarter, element j of the four rows.
        let mut columns = [_mm512_setzero_si512(); TILE];
        for i in (0..TILE).step_by(4) {
            let (a, b) = (
                _mm512_unpacklo_epi32(x[i], x[i + 1]),
                _mm512_unpackhi_epi32(x[i], x[i + 1]),
            );
            let (c, d) = (
                _mm512_unpacklo_epi32(x[i + 2], x[i + 3]),
                _mm512_unpackhi_epi32(x[i + 2], x[i + 3]),
            );
            columns[i] = _mm512_unpacklo_epi64(a, c);
            columns[i + 1] = _mm512_unpackhi_epi64(a, c);
            columns[i + 2] = _mm512_unpacklo_epi64(b, d);
            columns[i + 3] = _mm512_unpackhi_epi64(b, d);
        }
        for j in 0..4 {
            let [a, b, c, d] = core::array::from_fn(|i| columns[4 * i + j]);
            let (ab, cd) = (
                _mm512_shuffle_i32x4::<0x88>(a, b),
                _mm512_shuffle_i32x4::<0x88>(c, d),
            );
            let (ab_odd, cd_odd) = (
                _mm512_shuffle_i32x4::<0xdd>(a, b),
                _mm512_shuffle_i32x4::<0xdd>(c, d),
            );
            for (quarter, column) in [
                (0, _mm512_shuffle_i32x4::<0x88>(ab, cd)),
                (1, _mm512_shuffle_i32x4::<0x88>(ab_odd, cd_odd)),
                (2, _mm512_shuffle_i32x4::<0xdd>(ab, cd)),
                (3, _mm512_shuffle_i32x4::<0xdd>(ab_odd, cd_odd)),
            ] {
                _mm512_storeu_si512(to.add((4 * quarter + j) * DEEP).cast(), column);
            }
        }
    }
}

/// Rows whose sums stay in registers: with two registers each, sixteen sums are under way.
const ROWS: usize = 8;

#[target_feature(enable = "avx512f,avx512bf16")]
pub unsafe fn dots(block: &Block) {
    // SAFETY: as promised by the caller; elements from row to row, and from pair to pair.
    unsafe {
        if block.in_pairs {
            dots_of::<2, DEEP>(block)
        } else {
            dots_of::<DEEP, 2>(block)
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn dots_of<const BY_ROW: usize, const BY_PAIR: usize>(block: &Block) {
    for part in 0..block.strips * TILE / ROWS {
        let (strip, row) = (part * ROWS / TILE, part * ROWS % TILE);
        // SAFETY: the caller gives whole tiles.
        unsafe {
            let sums = block.sums.add(part * ROWS * block.stride);
            let mut total = [[_mm512_setzero_ps(); 2]; ROWS];
            if !block.first {
                for (r, total) in total.iter_mut().enumerate() {
                    for (j, total) in total.iter_mut().enumerate() {
                        *total = _mm512_loadu_ps(sums.add(r * block.stride + j * TILE));
                    }
                }
            }
            for k in 0..block.blocks {
                let a = block.a.add(strip * block.strip + k * AREA + row * BY_ROW);
                let b = block.b.add(k * 2 * AREA);
                for pair in 0..TILE {
                    let columns = [0, AREA].map(|half| {
                        let at = b.add(half + pair * DEEP).cast();
                        std::mem::transmute::<__m512, __m512bh>(_mm512_loadu_ps(at))
                    });
                    for (r, total) in total.iter_mut().enumerate() {
                        let x = a
                            .add(r * BY_ROW + pair * BY_PAIR)
                            .cast::<f32>()
                            .read_unaligned();
                        let x = std::mem::transmute::<__m512, __m512bh>(_mm512_set1_ps(x));
                        for (total, &column) in total.iter_mut().zip(&columns) {
                            *total = _mm512_dpbf16_ps(*total, x, column);
                        }
                    }
                }
            }
            for (r, total) in total.iter().enumerate() {
                for (j, &total) in total.iter().enumerate() {
                    _mm512_storeu_ps(sums.add(r * block.stride + j * TILE), total);
                }
            }
        }
    }
}
