// Elementwise special functions: the kernels of special.rs, one line an op in the same order; the functions themselves are
// in special/functions.cuh. All are computed in float64; float32 only rounds the result.
#define MAP_OF_CALLS
#include "map/map.cuh"
#include "special/functions.cuh"

using namespace toro;

MAP_real(1, digamma, (x), special::digamma((double)x))
MAP_real(1, polygamma, (x), special::polygamma((double)p(0), (double)x))
MAP_real(2, zeta, (s, q), special::zeta((double)s, (double)q))
MAP_real(2, igamma, (a, x), special::incomplete_gamma((double)a, (double)x, false))
MAP_real(2, igammac, (a, x), special::incomplete_gamma((double)a, (double)x, true))
MAP_real(1, i0, (x), special::bessel_i(0.0, (double)x))
MAP_real(1, i0e, (x), special::bessel_i_scaled(0.0, (double)x))
MAP_real(1, i1, (x), special::bessel_i(1.0, (double)x))
MAP_real(1, i1e, (x), special::bessel_i_scaled(1.0, (double)x))
MAP_real(1, modified_bessel_k0, (x), special::bessel_k_scaled(0.0, (double)x) * exp(-(double)x))
MAP_real(1, modified_bessel_k1, (x), special::bessel_k_scaled(1.0, (double)x) * exp(-(double)x))
MAP_real(1, scaled_modified_bessel_k0, (x), special::bessel_k_scaled(0.0, (double)x))
MAP_real(1, scaled_modified_bessel_k1, (x), special::bessel_k_scaled(1.0, (double)x))
MAP_real(1, bessel_j0, (x), special::bessel_j(0, (double)x))
MAP_real(1, bessel_j1, (x), special::bessel_j(1, (double)x))
MAP_real(1, bessel_y0, (x), special::bessel_y(0, (double)x))
MAP_real(1, bessel_y1, (x), special::bessel_y(1, (double)x))
MAP_real(1, spherical_bessel_j0, (x), special::spherical_bessel_j0((double)x))
MAP_real(1, airy_ai, (x), special::airy_ai((double)x))
MAP_real(2, polynomial, (x, n), special::polynomial((int)p(0), (double)x, (double)n))
MAP_real(1, erfcx, (x), special::scaled_erfc((double)x))
MAP_real(1, ndtr, (x), special::ndtr((double)x))
MAP_real(1, ndtri, (x), special::ndtri((double)x))
MAP_real(1, log_ndtr, (x), special::log_ndtr((double)x))
MAP_real(1, entr, (x), special::entr((double)x))
MAP_real(1, sinc, (x), special::sinc(x))
MAP_real(1, logit, (x), special::logit(x, p(0)))
MAP_real(2, xlog1py, (x, y), special::xlog1py((double)x, (double)y))
MAP_real(2, logaddexp2, (a, b), special::logaddexp2((double)a, (double)b))
MAP_real(2, heaviside, (x, v), is_nan(x) ? x : x == (C)0 ? v : x > (C)0 ? (C)1 : (C)0)
MAP_i64(2, heaviside, (x, v), x == 0 ? v : (C)(x > 0))
MAP_i64(2, gcd, (a, b), special::gcd(a, b))
MAP_i64(2, lcm, (a, b), special::lcm(a, b))
MAP_real(2, nextafter, (a, b), special::next_after(a, b, p(0)))
MAP_real(1, frexp_mantissa, (x), special::mantissa((double)x))
MAP_real(1, frexp_exponent, (x), special::exponent((double)x))
