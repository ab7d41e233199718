//! What sums quantised rows with packed weights: tiles of AMX, dot products of VNNI, AVX2, and plain loops. All give the same
//! integers.

use super::{PANEL, QUAD};
use crate::simd;

/// Rows and panels of a tile in registers: 24 sums, four weights and a broadcast quad fill 29 of 32.
const ROWS: usize = 6;
const PANELS: usize = 4;
/// The sums of what a kernel does at a time: row r, panel p, output j at `(r · panels + p) · 16 + j`.
pub type Sums = [i32; 1024];

/// What a kernel sums: `rows` rows of q, `stride` bytes apart, with `panels` panels of weights, `panel` bytes apart.
#[derive(Clone, Copy)]
pub struct Block {
    pub q: *const u8,
    pub stride: usize,
    pub rows: usize,
    pub w: *const i8,
    pub panel: usize,
    pub panels: usize,
    pub quads: usize,
    /// Behind the last weight.
    pub end: *const i8,
}

/// A kernel, the most that it does at a time, and what a thread does before and after it uses it.
#[derive(Clone, Copy)]
pub struct Kernel {
    pub rows: usize,
    pub panels: usize,
    pub begin: unsafe fn(),
    pub sum: unsafe fn(&Block, &mut Sums),
    pub end: unsafe fn(),
}

/// Rows from which tiles of AMX, which are 16 high, are worth it.
const TILED_ROWS: usize = 8;

/// The quickest one for so many rows.
pub fn kernel(rows: usize) -> Kernel {
    #[cfg(target_arch = "x86_64")]
    {
        if rows >= TILED_ROWS && simd::has_amx() {
            return TILES;
        }
        if simd::has_vnni() {
            return VNNI;
        }
        if simd::level() >= simd::Level::Avx2 {
            return AVX2;
        }
    }
    let _ = rows;
    PORTABLE
}

const PORTABLE: Kernel = Kernel {
    rows: ROWS,
    panels: PANELS,
    begin: nothing,
    sum: portable,
    end: nothing,
};
#[cfg(target_arch = "x86_64")]
const AVX2: Kernel = Kernel {
    sum: x86::avx2,
    ..PORTABLE
};
#[cfg(target_arch = "x86_64")]
const VNNI: Kernel = Kernel {
    sum: x86::vnni,
    ..PORTABLE
};
#[cfg(target_arch = "x86_64")]
const TILES: Kernel = Kernel {
    rows: 32,
    panels: 2,
    begin: super::super::bf16::configure,
    sum: x86::tiles,
    end: super::super::bf16::release,
};

unsafe fn nothing() {}

/// Any processor.
///
/// # Safety
/// `rows` rows of `quads` quads, `panels` panels of as many.
unsafe fn portable(block: &Block, sums: &mut Sums) {
    let (q, w) = (block.q, block.w);
    for r in 0..block.rows {
        for p in 0..block.panels {
            let mut total = [0i32; PANEL];
            for k in 0..block.quads {
                // SAFETY: inside what the caller gives.
                let (x, w) = unsafe {
                    (
                        q.add(r * block.stride + k * QUAD)
                            .cast::<[u8; QUAD]>()
                            .read(),
                        w.add(p * block.panel + k * QUAD * PANEL)
                            .cast::<[[i8; QUAD]; PANEL]>()
                            .read(),
                    )
                };
                for (total, w) in total.iter_mut().zip(&w) {
                    for (&x, &w) in x.iter().zip(w) {
                        *total += i32::from(x) * i32::from(w);
                    }
                }
            }
            sums[(r * block.panels + p) * PANEL..][..PANEL].copy_from_slice(&total);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::super::DEEP;
    use super::{Block, PANEL, PANELS, QUAD, ROWS, Sums};
    use std::arch::asm;
    use std::arch::x86_64::*;
    use std::mem::MaybeUninit;

    /// Quads and rows of a tile.
    const TILE: usize = 16;
    /// Bytes of a tile.
    const AREA: usize = TILE * DEEP;

    /// One or two strips of 16 rows with one or two panels. Rows of q are zero up to a multiple of `DEEP`, so that it does
    /// not matter what follows a panel; only past the last one there may be nothing to read.
    ///
    /// # Safety
    /// As for `portable`, on a processor with AMX, with tiles configured, and with whole strips of q.
    pub unsafe fn tiles(block: &Block, sums: &mut Sums) {
        let strips = block.rows.div_ceil(TILE);
        let stride = 4 * PANEL * block.panels;
        let start = sums.as_mut_ptr();
        let at = |strip: usize, panel: usize| {
            start.wrapping_add((strip * TILE * block.panels + panel) * PANEL)
        };
        let mut last = [[0i8; AREA]; 2];
        // SAFETY: as promised by the caller.
        unsafe {
            asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, options(nostack, nomem));
            for first in (0..block.quads).step_by(TILE) {
                let a = block.q.add(first * QUAD);
                let mut weights = [block.w.add(first * QUAD * PANEL); 2];
                if block.panels == 2 {
                    weights[1] = weights[1].add(block.panel);
                }
                for (weights, last) in weights.iter_mut().zip(&mut last) {
                    let left = block.end.offset_from(*weights) as usize;
                    if left < AREA {
                        weights.copy_to_nonoverlapping(last.as_mut_ptr(), left);
                        *weights = last.as_ptr();
                    }
                }
                asm!("tileloadd tmm4, [{a} + {rows}]", "tileloadd tmm6, [{left} + {deep}]", "tdpbusd tmm0, tmm4, tmm6",
                    a = in(reg) a, rows = in(reg) block.stride, left = in(reg) weights[0], deep = in(reg) DEEP,
                    out("tmm0") _, out("tmm4") _, out("tmm6") _, options(nostack, readonly));
                if block.panels == 2 {
                    asm!("tileloadd tmm7, [{right} + {deep}]", "tdpbusd tmm1, tmm4, tmm7",
                        right = in(reg) weights[1], deep = in(reg) DEEP,
                        out("tmm1") _, out("tmm7") _, options(nostack, readonly));
                }
                if strips == 2 {
                    asm!("tileloadd tmm5, [{a} + {rows}]", "tdpbusd tmm2, tmm5, tmm6",
                        a = in(reg) a.add(TILE * block.stride), rows = in(reg) block.stride,
                        out("tmm2") _, out("tmm5") _, options(nostack, readonly));
                    if block.panels == 2 {
                        asm!("tdpbusd tmm3, tmm5, tmm7", out("tmm3") _, options(nostack, nomem));
                    }
                }
            }
            asm!("tilestored [{to} + {stride}], tmm0", to = in(reg) at(0, 0), stride = in(reg) stride, options(nostack));
            if block.panels == 2 {
                asm!("tilestored [{to} + {stride}], tmm1", to = in(reg) at(0, 1), stride = in(reg) stride, options(nostack));
            }
            if strips == 2 {
                asm!("tilestored [{to} + {stride}], tmm2", to = in(reg) at(1, 0), stride = in(reg) stride, options(nostack));
                if block.panels == 2 {
                    asm!("tilestored [{to} + {stride}], tmm3", to = in(reg) at(1, 1), stride = in(reg) stride, options(nostack));
                }
            }
        }
    }

    /// # Safety
    /// As for `portable`, on a processor with AVX-512 VNNI.
    pub unsafe fn vnni(block: &Block, sums: &mut Sums) {
        macro_rules! pick {
            ($($r:literal)*) => {
                match (block.rows, block.panels) {
                    // SAFETY: as promised by the caller.
                    $(($r, PANELS) => unsafe { vnni_tile::<$r, PANELS>(block, sums) },)*
                    // SAFETY: as above.
                    $(($r, 1) => unsafe { vnni_tile::<$r, 1>(block, sums) },)*
                    _ => unreachable!("a tile of {} rows and {} panels", block.rows, block.panels),
                }
            };
        }
        pick!(1 2 3 4 5 6);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn vnni_tile<const R: usize, const P: usize>(block: &Block, sums: &mut Sums) {
        let (q, w) = (block.q, block.w);
        let mut total = [[_mm512_setzero_si512(); P]; R];
        // SAFETY: as promised by the caller of `vnni`.
        unsafe {
            for k in 0..block.quads {
                let mut weights = [_mm512_setzero_si512(); P];
                for (p, weights) in weights.iter_mut().enumerate() {
                    *weights = _mm512_loadu_si512(w.add(p * block.panel + k * QUAD * PANEL).cast());
                }
                for (r, total) in total.iter_mut().enumerate() {
                    let quad = q
                        .add(r * block.stride + k * QUAD)
                        .cast::<i32>()
                        .read_unaligned();
                    let quad = _mm512_set1_epi32(quad);
                    for (total, &weights) in total.iter_mut().zip(&weights) {
                        *total = _mm512_dpbusd_epi32(*total, quad, weights);
                    }
                }
            }
            for (r, total) in total.iter().enumerate() {
                for (p, &total) in total.iter().enumerate() {
                    let to = sums.as_mut_ptr().add((r * P + p) * PANEL);
                    _mm512_storeu_si512(to.cast(), total);
                }
            }
        }
    }

    /// Inputs of which rows are widened at a time.
    const WIDE: usize = 512;

    /// # Safety
    /// As for `portable`, on a processor with AVX2.
    pub unsafe fn avx2(block: &Block, sums: &mut Sums) {
        let mut wide = MaybeUninit::<[[u16; WIDE]; ROWS]>::uninit();
        let q = wide.as_mut_ptr().cast::<u16>();
        for first in (0..block.quads).step_by(WIDE / QUAD) {
            let quads = (block.quads - first).min(WIDE / QUAD);
            for r in 0..block.rows {
                for k in 0..quads * QUAD {
                    // SAFETY: as promised by the caller; a row of `wide` has room for that many.
                    unsafe {
                        let x = *block.q.add(r * block.stride + first * QUAD + k);
                        q.add(r * WIDE + k).write(u16::from(x));
                    }
                }
            }
            for (p, half) in (0..block.panels).flat_map(|p| [(p, 0), (p, 1)]) {
                // SAFETY: as above; half a panel's outputs.
                unsafe {
                    let w = block.w.add(p * block.panel + first * QUAD * PANEL);
                    let w = w.add(half * QUAD * PANEL / 2);
                    let to = &mut sums[p * PANEL + half * PANEL / 2..];
                    let row = block.panels * PANEL;
                    macro_rules! pick {
                        ($($r:literal)*) => {
                            match block.rows {
                                $($r => avx2_tile::<$r>(q, w, quads, to, row, first > 0),)*
                                n => unreachable!("a tile of {n} rows"),
                            }
                        };
                    }
                    pick!(1 2 3 4 5 6);
                }
            }
        }
    }

    /// Eight outputs of R rows. Pairs are multiplied as int16: the int8 form (`vpmaddubsw`) would saturate.
    #[target_feature(enable = "avx2")]
    unsafe fn avx2_tile<const R: usize>(
        q: *const u16,
        w: *const i8,
        quads: usize,
        sums: &mut [i32],
        row: usize,
        adds: bool,
    ) {
        // Two registers of four outputs for each row, of each two halves of a quad.
        let mut total = [[_mm256_setzero_si256(); 2]; R];
        // SAFETY: as promised by the caller of `avx2`.
        unsafe {
            for k in 0..quads {
                let weights: [__m256i; 2] = std::array::from_fn(|c| {
                    let at = w.add((k * PANEL + c * 4) * QUAD);
                    _mm256_cvtepi8_epi16(_mm_loadu_si128(at.cast()))
                });
                for (r, total) in total.iter_mut().enumerate() {
                    let quad = q.add(r * WIDE + k * QUAD).cast::<i64>().read_unaligned();
                    let quad = _mm256_set1_epi64x(quad);
                    for (total, &weights) in total.iter_mut().zip(&weights) {
                        *total = _mm256_add_epi32(*total, _mm256_madd_epi16(quad, weights));
                    }
                }
            }
            for (r, [low, high]) in total.iter().enumerate() {
                // Sums of 0 1 4 5 and 2 3 6 7, put in order.
                let halves = _mm256_hadd_epi32(*low, *high);
                let mut all = _mm256_permute4x64_epi64::<0b11_01_10_00>(halves);
                let to = sums.as_mut_ptr().add(r * row).cast();
                if adds {
                    all = _mm256_add_epi32(all, _mm256_loadu_si256(to));
                }
                _mm256_storeu_si256(to, all);
            }
        }
    }
}

/// All that this processor can run.
#[cfg(test)]
pub fn all() -> Vec<Kernel> {
    let mut all = vec![PORTABLE];
    #[cfg(target_arch = "x86_64")]
    all.extend(
        [
            (simd::level() >= simd::Level::Avx2, AVX2),
            (simd::has_vnni(), VNNI),
            (simd::has_amx(), TILES),
        ]
        .into_iter()
        .filter_map(|(is_there, kernel)| is_there.then_some(kernel)),
    );
    all
}
