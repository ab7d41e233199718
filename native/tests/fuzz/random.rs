//! Numbers for the fuzzer: a small generator and the choices made with it.

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// From 0 to n - 1.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// From a to b, both included.
    pub fn range(&mut self, a: usize, b: usize) -> usize {
        a + self.below(b - a + 1)
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// From 0 to 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Dims of at most `most` elements in all; sizes 0 and 1 come up often enough to matter.
    pub fn dims(&mut self, ranks: (usize, usize), most: usize) -> Vec<usize> {
        let rank = self.range(ranks.0, ranks.1);
        let mut room = most;
        let mut dims: Vec<usize> = (0..rank)
            .map(|_| {
                let size = match self.below(24) {
                    0 => 0,
                    1..=4 => 1,
                    5 => self.range(1, 70),
                    _ => self.range(2, 9),
                };
                let size = size.min(room.max(1));
                room /= size.max(1);
                size
            })
            .collect();
        // Now and then enough for several threads and for the tails of long rows.
        if rank > 0 && self.one_in(400) {
            let d = self.below(rank);
            let rest: usize = dims.iter().map(|&n| n.max(1)).product();
            dims[d] = self.range(1000, 40_000) / rest + 1;
        }
        dims
    }
}
