// How the stand-in for cuDNN computes a graph: operation by operation, in double, every result rounded to its type.
#pragma once
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "cudnn.h"

namespace {

enum : int { I32 = 4, BOOL = 11 };
// Kinds of descriptors.
enum : int {
  POINTWISE = 0, ENGINE = 2, CONFIG = 3, HEURISTIC = 4, PLAN = 5, POINTWISE_OPERATION = 13, GRAPH = 15, PACK = 16, OPERAND = 17,
  MATMUL = 18, MATMUL_OPERATION = 19, REDUCTION = 21, REDUCTION_OPERATION = 22, RESHAPE_OPERATION = 31, ANY_OPERATION = -1,
};
// What is done to each element.
enum : int { ADD = 0, MUL = 1, DIV = 6, SUB = 9, EXP = 13, LOG = 15, AT_LEAST = 303, NUMBER = 501, SELECT = 601 };

bool is_float(int type) { return type == F32 || type == F16 || type == BF16; }

// A graph with places for its tensors, copied: descriptors may be gone when the stream comes so far.
struct Tensor { int type; int64_t sizes[4], strides[4]; char* place; bool is_virtual; double value; std::vector<double> kept; };
struct Step { int kind, mode, axis; Tensor *x = nullptr, *b = nullptr, *t = nullptr, *y = nullptr; };
struct Work {
  std::map<int64_t, Tensor> tensors;
  std::vector<Step> steps;
  char* workspace;
  size_t bytes;
};

int64_t index(const Tensor& t, const int* at) {
  int64_t i = 0;
  for (int d = 0; d < 4; d++) i = i * t.sizes[d] + (t.sizes[d] == 1 ? 0 : at[d]);
  return i;
}
int64_t offset(const Tensor& t, const int* at) {
  int64_t i = 0;
  for (int d = 0; d < 4; d++) i += (t.sizes[d] == 1 ? 0 : at[d]) * t.strides[d];
  return i;
}
double as(double x, int type) {
  if (!is_float(type)) return x;
  char place[8];
  put(place, type, 0, x);
  return element(place, type, 0);
}
// Every element in row-major order.
void read(Tensor& t) {
  int64_t count = t.sizes[0] * t.sizes[1] * t.sizes[2] * t.sizes[3];
  if (!t.kept.empty()) return;
  if (!t.place) {
    t.kept.assign(count, t.value);
    return;
  }
  t.kept.resize(count);
  int at[4] = {};
  int64_t i = 0;
  do t.kept[i++] = element(t.place, t.type, offset(t, at));
  while (next(at, t.sizes, 4));
}
void write(Tensor& t) {
  for (double& x : t.kept) x = as(x, t.type);
  if (!t.place) return;
  int at[4] = {};
  int64_t i = 0;
  do put(t.place, t.type, offset(t, at), t.kept[i++]);
  while (next(at, t.sizes, 4));
}

void multiply(const Step& s) {
  const Tensor &a = *s.x, &b = *s.b;
  int64_t heads = a.sizes[1], share = heads / b.sizes[1], m = a.sizes[2], k = a.sizes[3], n = b.sizes[3];
  for (int64_t h = 0; h < a.sizes[0] * heads; h++) {
    const double* left = &a.kept[h * m * k];
    const double* right = &b.kept[(h / heads * b.sizes[1] + h % heads / share) * k * n];
    double* to = &s.y->kept[h * m * n];
    for (int64_t i = 0; i < m; i++) {
      for (int64_t l = 0; l < k; l++) {
        double x = as(left[i * k + l], b.type);
        for (int64_t j = 0; j < n; j++) to[i * n + j] += x * right[l * n + j];
      }
    }
  }
}
void reduce(const Step& s) {
  const Tensor &x = *s.x, &y = *s.y;
  if (s.mode == 3) s.y->kept.assign(s.y->kept.size(), -INFINITY);
  int at[4] = {};
  int64_t i = 0;
  do {
    int to[4];
    for (int d = 0; d < 4; d++) to[d] = at[d] / (x.sizes[d] / y.sizes[d]);
    double& sum = s.y->kept[index(y, to)];
    double value = x.kept[i++];
    // Like the real one, which keeps to what is not a number.
    sum = s.mode == 0 ? sum + value : !(value <= sum) ? value : sum;
  } while (next(at, x.sizes, 4));
}
void each(const Step& s) {
  int at[4] = {};
  int64_t i = 0;
  do {
    double x = s.x->kept[index(*s.x, at)], b = s.b ? s.b->kept[index(*s.b, at)] : 0, y = 0;
    switch (s.mode) {
      case ADD: y = x + b; break;
      case MUL: y = x * b; break;
      case DIV: y = x / b; break;
      case SUB: y = x - b; break;
      case EXP: y = exp(x); break;
      case LOG: y = log(x); break;
      case AT_LEAST: y = x >= b; break;
      case NUMBER: y = at[s.axis]; break;
      case SELECT: y = s.t->kept[index(*s.t, at)] ? x : b; break;
    }
    s.y->kept[i++] = y;
  } while (next(at, s.y->sizes, 4));
}
void turn(const Step& s) {
  int at[4] = {};
  int64_t i = 0;
  do {
    int from[4] = {at[0], at[1], at[3], at[2]};
    s.y->kept[i++] = s.x->kept[index(*s.x, from)];
  } while (next(at, s.y->sizes, 4));
}

void compute(void* data) {
  auto* work = (Work*)data;
  for (Step& s : work->steps) {
    for (Tensor* t : {s.x, s.b, s.t}) {
      if (t) read(*t);
    }
    Tensor& y = *s.y;
    y.kept.assign(y.sizes[0] * y.sizes[1] * y.sizes[2] * y.sizes[3], 0);
    if (s.kind == MATMUL_OPERATION) multiply(s);
    else if (s.kind == REDUCTION_OPERATION) reduce(s);
    else if (s.kind == RESHAPE_OPERATION) turn(s);
    else each(s);
    write(y);
  }
  // Whoever shares memory with the workspace finds it overwritten.
  if (work->workspace) memset(work->workspace, 0xff, work->bytes);
  delete work;
}

}  // namespace
