/**
 * The numerics behind `init` that no op offers: truncated normal numbers and orthonormal matrices, in float64.
 *
 * @module
 */

/**
 * Normal numbers between a and b from uniform ones. Inverts the distribution function by Acklam's rational
 * approximation.
 */
export function normalQuantile(
  uniform: Float64Array,
  mean: number,
  std: number,
  a: number,
  b: number,
): Float64Array {
  const low = distribution((a - mean) / std), high = distribution((b - mean) / std);
  return uniform.map((u) =>
    Math.min(Math.max(mean + std * quantile(low + (high - low) * u), a), b)
  );
}

/** The normal distribution function, by the complementary error function. */
function distribution(x: number): number {
  return 0.5 * erfc(-x / Math.SQRT2);
}

/** Complementary error function: a Chebyshev fit (Numerical Recipes, `erfccheb`), relative error below 1.2e-7. */
function erfc(x: number): number {
  const z = Math.abs(x), t = 1 / (1 + 0.5 * z);
  const fit = -z * z - 1.26551223 +
    t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806 +
                    t *
                      (0.27886807 +
                        t *
                          (-1.13520398 +
                            t * (1.48851587 + t * (-0.82215223 + t * 0.17087277))))))));
  const y = t * Math.exp(fit);
  return x >= 0 ? y : 2 - y;
}

// Acklam's coefficients: central region A / B, tails C / D.
const A = [
  -39.69683028665376,
  220.9460984245205,
  -275.9285104469687,
  138.357751867269,
  -30.66479806614716,
  2.506628277459239,
];
const B = [
  -54.47609879822406,
  161.5858368580409,
  -155.6989798598866,
  66.80131188771972,
  -13.28068155288572,
  1,
];
const C = [
  -0.007784894002430293,
  -0.3223964580411365,
  -2.400758277161838,
  -2.549732539343734,
  4.374664141464968,
  2.938163982698783,
];
const D = [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416, 1];

function polynomial(coefficients: readonly number[], x: number): number {
  let y = 0;
  for (const c of coefficients) y = y * x + c;
  return y;
}

/** The inverse of the normal distribution function; relative error below 1.2e-9. */
function quantile(p: number): number {
  if (p <= 0) return -Infinity;
  if (p >= 1) return Infinity;
  const tail = Math.min(p, 1 - p);
  if (tail >= 0.02425) {
    const q = p - 0.5, r = q * q;
    return polynomial(A, r) * q / polynomial(B, r);
  }
  const q = Math.sqrt(-2 * Math.log(tail)), x = polynomial(C, q) / polynomial(D, q);
  return p < 0.5 ? x : -x;
}

/**
 * A matrix (rows, cols) with orthonormal rows or columns, whichever are fewer, times a factor, from normal numbers.
 * Householder's reflections, with the signs by which the result is uniform over all such matrices (Mezzadri 2007).
 */
export function orthonormal(
  drawn: Float64Array,
  rows: number,
  cols: number,
  gain: number,
): Float64Array {
  // Column-major (m, n) with m ≥ n; for a wide matrix that is its transpose, which shares the layout.
  const wide = rows < cols, m = wide ? cols : rows, n = wide ? rows : cols;
  const a = new Float64Array(m * n);
  for (let j = 0; j < n; j++) {
    for (let i = 0; i < m; i++) a[j * m + i] = drawn[wide ? j * cols + i : i * cols + j];
  }
  const signs = new Float64Array(n);
  for (let k = 0; k < n; k++) {
    const v = a.subarray(k * m + k, (k + 1) * m);
    let norm = 0;
    for (const x of v) norm += x * x;
    norm = Math.sqrt(norm);
    // R's diagonal becomes -sign(v₀)·norm; the column of Q is turned so that it counts as positive.
    const toward = v[0] >= 0 ? 1 : -1;
    signs[k] = -toward;
    v[0] += toward * norm;
    let square = 0;
    for (const x of v) square += x * x;
    const scale = square > 0 ? Math.sqrt(2 / square) : 0;
    for (let i = 0; i < v.length; i++) v[i] *= scale;
    for (let j = k + 1; j < n; j++) reflect(v, a.subarray(j * m + k, (j + 1) * m));
  }
  const q = new Float64Array(m * n);
  for (let j = n - 1; j >= 0; j--) {
    q[j * m + j] = 1;
    for (let k = n - 1; k >= 0; k--) {
      reflect(a.subarray(k * m + k, (k + 1) * m), q.subarray(j * m + k, (j + 1) * m));
    }
  }
  const out = new Float64Array(m * n);
  for (let j = 0; j < n; j++) {
    for (let i = 0; i < m; i++) {
      out[wide ? j * cols + i : i * cols + j] = gain * signs[j] * q[j * m + i];
    }
  }
  return out;
}

/** `x ← x - v (vᵀ x)`, v of length √2. */
function reflect(v: Float64Array, x: Float64Array): void {
  let dot = 0;
  for (let i = 0; i < v.length; i++) dot += v[i] * x[i];
  for (let i = 0; i < v.length; i++) x[i] -= v[i] * dot;
}
