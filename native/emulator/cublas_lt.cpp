// libcublasLt.so.13 for machines without a GPU: as much of it as Toro calls. A product is checked as the real one would
// check it, and computed by the CPU when its stream comes so far.
//
// EMULATOR_LOG=1   prints products
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "numbers.h"

#define API extern "C" __attribute__((visibility("default")))

extern "C" int cuLaunchHostFunc(void* stream, void (*work)(void*), void* data);

using Status = int;
enum : Status { SUCCESS = 0, NOT_INITIALIZED = 1, INVALID_VALUE = 7, NOT_SUPPORTED = 15 };
enum : int { BF16 = 14 };
enum : int { SUM_32F = 68, SUM_64F = 70, SUM_TF32 = 77 };

struct Desc {
  int sum, scale, transpose_a = 0, transpose_b = 0, epilogue = 1, bias_type = -1;
  const void* bias = nullptr;
};
struct Layout {
  int type;
  uint64_t rows, columns;
  int64_t leading;
  int batch = 1;
  int64_t stride = 0;
};
struct Preference {
  size_t workspace = 0;
  uint32_t alignment[4] = {256, 256, 256, 256};
};
struct Heuristic {
  uint64_t algorithm[8];
  size_t workspace;
  Status state;
  float waves;
  int reserved[4];
};

static const uint64_t MARK = 0x746f726f6c74;
static const size_t WORKSPACE = 4096;
static bool logs() {
  const char* s = getenv("EMULATOR_LOG");
  return s && *s != '0';
}

template <class T> static Status take(T& field, const void* value, size_t bytes) {
  if (!value || bytes != sizeof(T)) return INVALID_VALUE;
  memcpy(&field, value, bytes);
  return SUCCESS;
}

API size_t cublasLtGetVersion() { return 130000; }
API Status cublasLtCreate(void** handle) {
  static char one;
  *handle = &one;
  return SUCCESS;
}
API Status cublasLtMatmulDescCreate(void** desc, int sum, int scale) {
  *desc = new Desc{sum, scale};
  return SUCCESS;
}
API Status cublasLtMatmulDescSetAttribute(void* handle, int attribute, const void* value, size_t bytes) {
  auto* d = (Desc*)handle;
  switch (attribute) {
    case 3: return take(d->transpose_a, value, bytes);
    case 4: return take(d->transpose_b, value, bytes);
    case 7: return take(d->epilogue, value, bytes);
    case 8: return take(d->bias, value, bytes);
    case 26: return take(d->bias_type, value, bytes);
    default: return INVALID_VALUE;
  }
}
API Status cublasLtMatrixLayoutCreate(void** layout, int type, uint64_t rows, uint64_t columns, int64_t leading) {
  *layout = new Layout{type, rows, columns, leading};
  return SUCCESS;
}
API Status cublasLtMatrixLayoutSetAttribute(void* layout, int attribute, const void* value, size_t bytes) {
  auto* l = (Layout*)layout;
  switch (attribute) {
    case 5: return take(l->batch, value, bytes);
    case 6: return take(l->stride, value, bytes);
    default: return INVALID_VALUE;
  }
}
API Status cublasLtMatmulPreferenceCreate(void** preference) {
  *preference = new Preference;
  return SUCCESS;
}
API Status cublasLtMatmulPreferenceSetAttribute(void* handle, int attribute, const void* value, size_t bytes) {
  auto* p = (Preference*)handle;
  if (attribute == 1) return take(p->workspace, value, bytes);
  if (attribute >= 5 && attribute <= 8) return take(p->alignment[attribute - 5], value, bytes);
  return INVALID_VALUE;
}
API Status cublasLtMatmulPreferenceDestroy(void* preference) {
  delete (Preference*)preference;
  return SUCCESS;
}

// Whether types, sizes and epilogue are among those that the library's table lists.
static Status judge(const Desc& d, const Layout& a, const Layout& b, const Layout& c) {
  uint64_t m = c.rows, n = c.columns;
  uint64_t k = d.transpose_a ? a.rows : a.columns;
  bool fits = (d.transpose_a ? a.columns : a.rows) == m && (d.transpose_b ? b.columns : b.rows) == k &&
              (d.transpose_b ? b.rows : b.columns) == n && a.batch == c.batch && b.batch == c.batch && m && n && k;
  for (const Layout* l : {&a, &b, &c}) fits = fits && l->leading >= (int64_t)l->rows && l->stride >= 0;
  if (!fits) return INVALID_VALUE;
  bool wide = a.type == F64;
  bool types = a.type == b.type && (c.type == a.type || (c.type == F32 && (a.type == F16 || a.type == BF16)));
  bool sums = wide ? d.sum == SUM_64F && d.scale == F64
                   : d.scale == F32 && (d.sum == SUM_32F || (d.sum == SUM_TF32 && a.type == F32));
  bool epilogue = d.epilogue == 1 || d.epilogue == 2 || d.epilogue == 4 || d.epilogue == 6;
  // No epilogues in double precision.
  if (!types || !sums || !epilogue || (wide && d.epilogue != 1)) return NOT_SUPPORTED;
  if ((d.epilogue & 4) && d.bias_type != c.type) return NOT_SUPPORTED;
  return SUCCESS;
}

API Status cublasLtMatmulAlgoGetHeuristic(void* handle, void* desc, void* a, void* b, void* c, void* d, void* preference, int wanted,
                                          Heuristic* found, int* count) {
  if (!handle) return NOT_INITIALIZED;
  if (wanted < 1 || c != d) return INVALID_VALUE;
  *count = 0;
  Status status = judge(*(Desc*)desc, *(Layout*)a, *(Layout*)b, *(Layout*)d);
  if (status) return status;
  memset(found, 0, sizeof *found);
  found->algorithm[0] = MARK;
  found->workspace = ((Preference*)preference)->workspace < WORKSPACE ? 0 : WORKSPACE;
  *count = 1;
  return SUCCESS;
}

struct Work {
  Desc desc;
  Layout a, b, d;
  const void *pa, *pb;
  void* pd;
  double alpha, beta;
};

static void compute(void* data) {
  auto* w = (Work*)data;
  uint64_t k = w->desc.transpose_a ? w->a.rows : w->a.columns;
  bool tf32 = w->desc.sum == SUM_TF32;
  for (int z = 0; z < w->d.batch; z++) {
    for (uint64_t j = 0; j < w->d.columns; j++) {
      for (uint64_t i = 0; i < w->d.rows; i++) {
        double sum = 0;
        for (uint64_t l = 0; l < k; l++) {
          int64_t at = w->desc.transpose_a ? (int64_t)l + (int64_t)i * w->a.leading : (int64_t)i + (int64_t)l * w->a.leading;
          int64_t bt = w->desc.transpose_b ? (int64_t)j + (int64_t)l * w->b.leading : (int64_t)l + (int64_t)j * w->b.leading;
          double x = element(w->pa, w->a.type, z * w->a.stride + at), y = element(w->pb, w->b.type, z * w->b.stride + bt);
          sum += tf32 ? rounded(x) * rounded(y) : x * y;
        }
        int64_t place = z * w->d.stride + (int64_t)i + (int64_t)j * w->d.leading;
        double x = w->alpha * sum;
        if (w->beta != 0) x += w->beta * element(w->pd, w->d.type, place);
        if (w->desc.epilogue & 4) x += element(w->desc.bias, w->desc.bias_type, (int64_t)i);
        if ((w->desc.epilogue & 2) && x < 0) x = 0;
        put(w->pd, w->d.type, place, x);
      }
    }
  }
  delete w;
}

API Status cublasLtMatmul(void* handle, void* desc, const void* alpha, const void* a, void* la, const void* b, void* lb,
                          const void* beta, const void* c, void* lc, void* d, void* ld, const void* algorithm, void* workspace,
                          size_t workspace_bytes, void* stream) {
  if (!handle) return NOT_INITIALIZED;
  auto* w = new Work{*(Desc*)desc, *(Layout*)la, *(Layout*)lb, *(Layout*)ld, a, b, d, 0, 0};
  uint64_t mark;
  memcpy(&mark, algorithm, sizeof mark);
  bool good = judge(w->desc, w->a, w->b, w->d) == SUCCESS && a && b && d && c == d && lc == ld && mark == MARK &&
              (workspace_bytes == 0 || workspace) && (!(w->desc.epilogue & 4) || w->desc.bias);
  if (!good) {
    delete w;
    return INVALID_VALUE;
  }
  bool wide = w->desc.scale == F64;
  w->alpha = wide ? *(const double*)alpha : *(const float*)alpha;
  w->beta = wide ? *(const double*)beta : *(const float*)beta;
  if (logs()) {
    fprintf(stderr, "emulator: cublasLt %llu x %llu x %d of type %d, epilogue %d, batch %d, sums %d\n",
            (unsigned long long)w->d.rows, (unsigned long long)w->d.columns,
            (int)(w->desc.transpose_a ? w->a.rows : w->a.columns), w->a.type, w->desc.epilogue, w->d.batch, w->desc.sum);
  }
  return cuLaunchHostFunc(stream, compute, w) == 0 ? SUCCESS : NOT_INITIALIZED;
}
