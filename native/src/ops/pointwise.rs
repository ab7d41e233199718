//! Elementwise arithmetic, comparison, logic and mathematical functions: one line an op.
//! Comparisons compute 0 or 1 in the compute type; the output's dtype (bool) does the rest.

#[inline(always)]
fn one<T: From<u8>>(condition: bool) -> T {
    T::from(u8::from(condition))
}

crate::maps! {
    /// A copy, with conversion where the dtypes differ.
    copy [x] (p; 0) { f32: x; f64: x; i64: x }
    /// The same number everywhere.
    fill [] (p; 1) { f32: p[0].float() as f32; f64: p[0].float(); i64: p[0].int() }
    add [a, b] (p; 0) { f32: a + b; f64: a + b; i64: a.wrapping_add(b) }
    sub [a, b] (p; 0) { f32: a - b; f64: a - b; i64: a.wrapping_sub(b) }
    mul [a, b] (p; 0) { f32: a * b; f64: a * b; i64: a.wrapping_mul(b) }
    div [a, b] (p; 0) { f32: a / b; f64: a / b }
    eq [a, b] (p; 0) { f32: one::<f32>(a == b); f64: one::<f64>(a == b); i64: i64::from(a == b) }
    exp [x] (p; 0) { f32: x.exp(); f64: x.exp() }
}
