// The update rules: those of optim.rs and optim/rules.rs, in the same order of steps. Every product and sum is rounded by
// itself, so that dense updates and those by rows give the same bits, and the CPU's.
#pragma once
#include "device.cuh"

namespace toro {

DEVICE float product(float a, float b) { return __fmul_rn(a, b); }
DEVICE double product(double a, double b) { return __dmul_rn(a, b); }
DEVICE float sum(float a, float b) { return __fadd_rn(a, b); }
DEVICE double sum(double a, double b) { return __dadd_rn(a, b); }

// A number whose arithmetic is never fused.
template <class C> struct Exact {
  C x;
  Exact() = default;
  DEVICE Exact(C x) : x(x) {}
  friend DEVICE Exact operator+(Exact a, Exact b) { return sum(a.x, b.x); }
  friend DEVICE Exact operator-(Exact a, Exact b) { return sum(a.x, -b.x); }
  friend DEVICE Exact operator*(Exact a, Exact b) { return product(a.x, b.x); }
  friend DEVICE Exact operator/(Exact a, Exact b) { return a.x / b.x; }
  friend DEVICE Exact operator-(Exact a) { return -a.x; }
  friend DEVICE bool operator<(Exact a, Exact b) { return a.x < b.x; }
  friend DEVICE bool operator>(Exact a, Exact b) { return a.x > b.x; }
  friend DEVICE bool operator==(Exact a, Exact b) { return a.x == b.x; }
  friend DEVICE bool operator<=(Exact a, Exact b) { return a.x <= b.x; }
  friend DEVICE bool operator>=(Exact a, Exact b) { return a.x >= b.x; }
};
template <class C> DEVICE Exact<C> root(Exact<C> a) { return sqrt(a.x); }

// By the numbers of optim.rs.
enum RuleKind : int { ADAM, SGD, RMSPROP, ADAGRAD, ADADELTA, ADAMAX, NADAM, RADAM, RPROP, ASGD, SPARSE_ADAM };
enum RuleFlag : int { MAXIMIZE = 1, L2 = 2, AMSGRAD = 4, MOMENTUM = 8, NESTEROV = 16, DECAY = 32, CENTERED = 64 };

template <class C> struct Rule {
  using E = Exact<C>;
  int kind, flags;
  E k[8];

  DEVICE Rule(int kind, int flags, const double* factors) : kind(kind), flags(flags) {
#pragma unroll
    for (int i = 0; i < 8; i++) k[i] = E((C)factors[i]);
  }
  DEVICE bool has(int flag) const { return (flags & flag) != 0; }

  DEVICE E decayed(E g, E p, E decay) const { return decay == E(0) ? g : g + decay * p; }

  // One element's step with its gradient; m, v and x are the states that the rule has.
  DEVICE void step(E& p, E& m, E& v, E& x, E g) const {
    const E zero = E(0), one = E(1);
    switch (kind) {
      case ADAM:
      case SPARSE_ADAM: adam(p, m, v, x, g); break;
      case SGD: sgd(p, m, g); break;
      case RMSPROP: {
        g = decayed(g, p, k[0]);
        m = m * k[1] + k[2] * g * g;
        bool moves = has(MOMENTUM);
        E spread = m;
        if (has(CENTERED)) {
          E& mean = moves ? x : v;
          mean = mean + k[2] * (g - mean);
          spread = m - mean * mean;
        }
        g = g / (root(spread) + k[3]);
        if (moves) g = v = v * k[4] + g;
        p = p + k[5] * g;
        break;
      }
      case ADAGRAD:
        g = decayed(g, p, k[0]);
        m = m + g * g;
        p = p + k[1] * g / (root(m) + k[2]);
        break;
      case ADADELTA: {
        g = decayed(g, p, k[0]);
        m = m * k[1] + k[2] * g * g;
        E change = root(v + k[3]) / root(m + k[3]) * g;
        v = v * k[1] + k[2] * change * change;
        p = p + k[4] * change;
        break;
      }
      case ADAMAX: {
        g = decayed(g, p, k[0]);
        m = m + k[1] * (g - m);
        E before = v * k[2], now = (g < zero ? -g : g) + k[3];
        // A NaN stays.
        v = before >= now ? before : before < now ? now : before + now;
        p = p + k[4] * m / v;
        break;
      }
      case NADAM:
      case RADAM: {
        E shrunk = has(L2) ? p : p * k[0];
        if (has(L2)) g = decayed(g, p, k[0]);
        m = m + k[1] * (g - m);
        v = v * k[2] + k[3] * g * g;
        if (kind == NADAM) {
          E size = root(v) * k[4] + k[5];
          p = shrunk + k[6] * g / size + k[7] * m / size;
        } else {
          p = shrunk + k[4] * m / (k[6] == zero ? one : root(v) + k[5]);
        }
        break;
      }
      case RPROP: {
        E same = g * m, size = v * (same > zero ? k[1] : same < zero ? k[0] : one);
        size = size < k[2] ? k[2] : size;
        v = size > k[3] ? k[3] : size;
        // Where the sign has turned this step waits.
        if (same < zero) g = zero;
        p = g > zero ? p - v : g < zero ? p + v : p;
        m = g;
        break;
      }
      default:  // ASGD
        g = decayed(g, p, k[3]);
        p = p * k[0] + k[1] * g;
        m = k[2] == one ? p : m + (p - m) * k[2];
    }
  }

  DEVICE void adam(E& p, E& m, E& v, E& x, E g) const {
    if (has(L2)) g = g + k[7] * p;
    E shrunk = has(L2) ? p : p * k[0];
    m = m + k[3] * (g - m);
    v = v * k[4] + k[5] * g * g;
    E second = v;
    // As torch.maximum: a NaN stays.
    if (has(AMSGRAD)) second = x = v <= x ? x : v;
    p = shrunk + k[1] * m / (root(second) * k[2] + k[6]);
  }

  DEVICE void sgd(E& p, E& m, E g) const {
    if (has(DECAY)) g = g + k[1] * p;
    if (has(MOMENTUM)) {
      m = m * k[2] + k[3] * g;
      g = has(NESTEROV) ? g + k[2] * m : m;
    }
    p = p + k[0] * g;
  }

  // A step without gradient where m is zero, of the rules that have a lazy form.
  DEVICE void quiet(E& p, E& v) const {
    if (kind == ADAM) {
      p = p * k[0];
      v = v * k[4];
    } else if (has(DECAY)) {
      p = p + k[0] * (k[1] * p);
    }
  }
};

}  // namespace toro
