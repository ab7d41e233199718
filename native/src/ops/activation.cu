// Activations and the kernels of their gradients: those of activation.rs, one line an op in the same order. A gradient
// takes g, the gradient of the output, and x, the input (y where the output serves better).
#include "map/functions.cuh"
#include "map/map.cuh"

using namespace toro;

namespace {

constexpr double SQRT_2_BY_PI = 0.7978845608028654;
constexpr double SQRT_1_BY_2PI = 0.3989422804014327;
constexpr double SQRT_HALF = 0.7071067811865476;
constexpr double CUBE = 0.044715;

// The standard normal distribution function.
template <class C> DEVICE C normal_cdf(C x) { return (C)0.5 * ((C)1 + erf(x * (C)SQRT_HALF)); }
template <class C> DEVICE C gelu_slope(C x) { return normal_cdf(x) + x * exp(x * x * (C)-0.5) * (C)SQRT_1_BY_2PI; }
template <class C> DEVICE C gelu_inner(C x) { return tanh((C)SQRT_2_BY_PI * (x + (C)CUBE * x * x * x)); }
template <class C> DEVICE C gelu_tanh_slope(C x) {
  C t = gelu_inner(x);
  C inner = (C)SQRT_2_BY_PI * ((C)1 + (C)3 * (C)CUBE * x * x);
  return (C)0.5 * ((C)1 + t) + (C)0.5 * x * ((C)1 - t * t) * inner;
}
template <class C> DEVICE C limit(C x, C low, C high) {
  x = x < low ? low : x;
  return x > high ? high : x;
}
template <class C> DEVICE C mish_slope(C x) {
  C t = tanh(softplus(x));
  return t + x * sigmoid(x) * ((C)1 - t * t);
}
template <class C> DEVICE C silu_slope(C x) {
  C s = sigmoid(x);
  return s * ((C)1 + x * ((C)1 - s));
}
// NaN for -∞ in float32, as in PyTorch, which multiplies it by 0.
DEVICE float unless_lowest(float x, float value) { return x == -INFINITY ? NAN : value; }
DEVICE double unless_lowest(double, double value) { return value; }

}  // namespace

MAP_all(1, relu, (x), x < (C)0 ? (C)0 : x)
MAP_real(2, relu_grad, (g, y), y <= (C)0 ? (C)0 : g)
MAP_real(1, sigmoid, (x), sigmoid(x))
MAP_real(2, sigmoid_grad, (g, y), g * ((C)1 - y) * y)
MAP_real(1, leaky_relu, (x), x > (C)0 ? x : x * p(0))
MAP_real(2, leaky_relu_grad, (g, x), x > (C)0 ? g : g * p(0))
MAP_real(1, elu, (x), x > (C)0 ? x * p(1) : expm1(x * p(2)) * (p(0) * p(1)))
MAP_real(2, elu_grad, (g, x), g * (x <= (C)0 ? exp(x * p(2)) * (p(0) * p(1) * p(2)) : p(1)))
MAP_f32(1, gelu, (x), x * normal_cdf(x) * 2.0f * 0.5f + x * 0.0f)
MAP_f64(1, gelu, (x), x * normal_cdf(x))
MAP_real(2, gelu_grad, (g, x), g * gelu_slope(x))
MAP_real(1, gelu_tanh, (x), unless_lowest(x, (C)0.5 * x * ((C)1 + gelu_inner(x))))
MAP_real(2, gelu_tanh_grad, (g, x), g * gelu_tanh_slope(x))
MAP_real(1, silu, (x), unless_lowest(x, x * sigmoid(x)))
MAP_real(2, silu_grad, (g, x), g * silu_slope(x))
MAP_real(1, mish, (x), x * tanh(softplus(x)))
MAP_real(2, mish_grad, (g, x), g * mish_slope(x))
MAP_real(1, softplus, (x), x * p(0) > p(1) ? x : softplus(x * p(0)) / p(0))
MAP_real(2, softplus_grad, (g, x), g * (x * p(0) > p(1) ? (C)1 : sigmoid(x * p(0))))
MAP_real(1, softsign, (x), x / ((C)1 + absolute(x)))
MAP_real(2, softsign_grad, (g, x), g / (((C)1 + absolute(x)) * ((C)1 + absolute(x))) + x * (C)0)
MAP_all(1, hardtanh, (x), limit(x, p(0), p(1)))
MAP_real(2, hardtanh_grad, (g, x), x > p(0) && x < p(1) ? g : (C)0)
MAP_real(1, hardsigmoid, (x), limit(x + (C)3, (C)0, (C)6) / (C)6)
MAP_real(2, hardsigmoid_grad, (g, x), x > (C)-3 && x < (C)3 ? g / (C)6 : (C)0)
MAP_real(1, hardswish, (x), x * limit(x + (C)3, (C)0, (C)6) / (C)6)
MAP_real(2, hardswish_grad, (g, x), g * (x <= (C)-3 ? (C)0 : x < (C)3 ? x / (C)3 + (C)0.5 : (C)1))
MAP_real(1, logsigmoid, (x), -softplus(-x))
MAP_real(2, logsigmoid_grad, (g, x), g * sigmoid(-x))
MAP_all(1, threshold, (x), x <= p(0) ? p(1) : x)
MAP_real(2, threshold_grad, (g, x), x <= p(0) ? (C)0 : g)
MAP_real(1, tanhshrink, (x), x - tanh(x))
MAP_real(2, tanhshrink_grad, (g, x), g * tanh(x) * tanh(x))
MAP_real(1, hardshrink, (x), absolute(x) <= p(0) ? (C)0 : x)
MAP_real(1, softshrink, (x), x > p(0) ? x - p(0) : x < -p(0) ? x + p(0) : x * (C)0)
MAP_real(2, shrink_grad, (g, x), absolute(x) <= p(0) ? (C)0 : g)
MAP_real(2, prelu, (x, w), x > (C)0 ? x : x * w)
MAP_real(3, prelu_grad, (g, x, w), x > (C)0 ? g : g * w)
MAP_real(2, prelu_grad_weight, (g, x), x > (C)0 ? (C)0 : g * x)
MAP_real(2, glu, (a, b), a * sigmoid(b))
MAP_real(3, glu_grad, (g, a, b), g * a * sigmoid(b) * ((C)1 - sigmoid(b)))
