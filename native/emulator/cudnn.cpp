// libcudnn_cnn.so.9 for machines without a GPU: as much of cuDNN 9 as Toro calls. A convolution is checked as the real one
// would check it and more, and computed by the CPU when its stream comes so far. What is wrong is said, and refused.
//
// EMULATOR_LOG=1                    prints convolutions
// EMULATOR_CUDNN=name=status,...    what functions answer in place of doing their work
// EMULATOR_CUDNN_VERSION=n          the version it says it has (default 92801)
// EMULATOR_CUDNN_WORKSPACE=bytes    what the algorithms want beside a part for the sizes
#include "cudnn.h"

enum : int { DEFAULT_MATH = 0, TENSOR_OP_MATH = 1, FMA_MATH = 3 };

struct Tensor : Thing { int type = -1, n = 0, sizes[8], strides[8]; };
struct Convolution : Thing { int n = 0, padding[8], stride[8], dilation[8], mode, sums, groups = 1, math = DEFAULT_MATH; };

API size_t cudnnGetVersion() { return strtoull(setting("EMULATOR_CUDNN_VERSION", "92801"), nullptr, 10); }
API const char* cudnnGetErrorString(Status status) {
  switch (status) {
    case SUCCESS: return "CUDNN_STATUS_SUCCESS";
    case NOT_INITIALIZED: return "CUDNN_STATUS_NOT_INITIALIZED";
    case BAD_PARAM: return "CUDNN_STATUS_BAD_PARAM";
    case TOO_SMALL: return "CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT";
    case NOT_SUPPORTED: return "CUDNN_STATUS_NOT_SUPPORTED";
    case EXECUTION_FAILED: return "CUDNN_STATUS_EXECUTION_FAILED";
    default: return "CUDNN_STATUS_OTHER";
  }
}
API void cudnnGetLastErrorString(char* text, size_t room) {
  LOCK;
  snprintf(text, room, "%s", last.c_str());
  last.clear();
}

// ---- handles and descriptions

API Status cudnnCreate(void** handle) {
  BEGIN;
  void* context = nullptr;
  if (cuCtxGetCurrent(&context) || !context) return wrong(NOT_INITIALIZED, __func__, "no context is current");
  TRY(make<Handle>(__func__, HANDLE, handle));
  ((Handle*)*handle)->context = context;
  return SUCCESS;
}
API Status cudnnDestroy(void* handle) {
  BEGIN;
  return destroy<Handle>(__func__, HANDLE, handle);
}
API Status cudnnSetStream(void* handle, void* stream) {
  BEGIN;
  Handle* h;
  TRY(found(__func__, handle, HANDLE, &h));
  void* context = nullptr;
  if (!stream || cuStreamGetCtx(stream, &context) || context != h->context) {
    return wrong(STREAM_MISMATCH, __func__, "a stream of another context than the handle's");
  }
  h->stream = stream;
  return SUCCESS;
}

static Status described(const char* function, Tensor* t, int type, int n, const int* sizes, const int* strides) {
  if (type != F32 && type != F64 && type != F16 && type != BF16) return wrong(BAD_PARAM, function, "a type of number %d", type);
  if (n < 4 || n > 5) return wrong(NOT_SUPPORTED, function, "%d dims", n);
  int64_t count = 1;
  for (int d = 0; d < n; d++) {
    if (sizes[d] < 1) return wrong(BAD_PARAM, function, "dim %d has %d elements", d, sizes[d]);
    count *= sizes[d];
    if (count > INT32_MAX) return wrong(NOT_SUPPORTED, function, "more than 2^31 elements");
  }
  int64_t step = 1;
  for (int d = n - 1; d >= 0; d--) {
    int stride = strides ? strides[d] : (int)step;
    if (stride < 1) return wrong(BAD_PARAM, function, "dim %d has a stride of %d", d, stride);
    t->sizes[d] = sizes[d];
    t->strides[d] = stride;
    step *= sizes[d];
  }
  // No two elements may share a place: the next dim begins behind all of those with smaller strides.
  for (int d = 0; d < n; d++) {
    int64_t reach = 1;
    for (int e = 0; e < n; e++) {
      bool inner = t->strides[e] < t->strides[d] || (t->strides[e] == t->strides[d] && e > d && t->sizes[e] == 1);
      if (e != d && inner) reach += (int64_t)(t->sizes[e] - 1) * t->strides[e];
    }
    if (t->sizes[d] > 1 && t->strides[d] < reach) return wrong(LAYOUT, function, "elements share places along dim %d", d);
  }
  t->type = type;
  t->n = n;
  return SUCCESS;
}

API Status cudnnCreateTensorDescriptor(void** tensor) {
  BEGIN;
  return make<Tensor>(__func__, TENSOR, tensor);
}
API Status cudnnDestroyTensorDescriptor(void* tensor) {
  BEGIN;
  return destroy<Tensor>(__func__, TENSOR, tensor);
}
API Status cudnnSetTensorNdDescriptor(void* tensor, int type, int n, const int* sizes, const int* strides) {
  BEGIN;
  Tensor* t;
  TRY(found(__func__, tensor, TENSOR, &t));
  if (!sizes || !strides) return wrong(NULL_POINTER, __func__, "no sizes or strides");
  return described(__func__, t, type, n, sizes, strides);
}
API Status cudnnCreateFilterDescriptor(void** filter) {
  BEGIN;
  return make<Tensor>(__func__, FILTER, filter);
}
API Status cudnnDestroyFilterDescriptor(void* filter) {
  BEGIN;
  return destroy<Tensor>(__func__, FILTER, filter);
}
API Status cudnnSetFilterNdDescriptor(void* filter, int type, int format, int n, const int* sizes) {
  BEGIN;
  Tensor* f;
  TRY(found(__func__, filter, FILTER, &f));
  if (!sizes) return wrong(NULL_POINTER, __func__, "no sizes");
  if (format != 0) return wrong(NOT_SUPPORTED, __func__, "a format of number %d", format);
  return described(__func__, f, type, n, sizes, nullptr);
}
API Status cudnnCreateConvolutionDescriptor(void** convolution) {
  BEGIN;
  return make<Convolution>(__func__, CONVOLUTION, convolution);
}
API Status cudnnDestroyConvolutionDescriptor(void* convolution) {
  BEGIN;
  return destroy<Convolution>(__func__, CONVOLUTION, convolution);
}
API Status cudnnSetConvolutionNdDescriptor(void* convolution, int n, const int* padding, const int* stride, const int* dilation,
                                           int mode, int sums) {
  BEGIN;
  Convolution* c;
  TRY(found(__func__, convolution, CONVOLUTION, &c));
  if (n < 2 || n > 3) return wrong(NOT_SUPPORTED, __func__, "%d dims", n);
  if (mode != 0 && mode != 1) return wrong(BAD_PARAM, __func__, "a mode of number %d", mode);
  for (int d = 0; d < n; d++) {
    if (padding[d] < 0 || stride[d] < 1 || dilation[d] < 1) {
      return wrong(BAD_PARAM, __func__, "dim %d: padding %d, stride %d, dilation %d", d, padding[d], stride[d], dilation[d]);
    }
    c->padding[d] = padding[d], c->stride[d] = stride[d], c->dilation[d] = dilation[d];
  }
  c->n = n, c->mode = mode, c->sums = sums;
  return SUCCESS;
}
API Status cudnnSetConvolutionGroupCount(void* convolution, int groups) {
  BEGIN;
  Convolution* c;
  TRY(found(__func__, convolution, CONVOLUTION, &c));
  if (groups < 1) return wrong(BAD_PARAM, __func__, "%d groups", groups);
  c->groups = groups;
  return SUCCESS;
}
API Status cudnnSetConvolutionMathType(void* convolution, int math) {
  BEGIN;
  Convolution* c;
  TRY(found(__func__, convolution, CONVOLUTION, &c));
  if (math < 0 || math > FMA_MATH) return wrong(BAD_PARAM, __func__, "a math type of number %d", math);
  c->math = math;
  return SUCCESS;
}

// ---- convolutions

enum Pass { FORWARD, DATA, FILTERS };
struct Work {
  Pass pass;
  Tensor x, w, y;
  Convolution how;
  char *px, *pw, *py;
  double alpha, beta;
  char* workspace;
  size_t bytes;
};

// Handle and descriptions, of which first and second are operands and third the result, in the order of the calls.
static Status gathered(const char* function, Pass pass, void* handle, void* a, void* b, void* how, void* c, Handle** h, Work* to) {
  void* x = pass == DATA ? c : a;
  void* w = pass == FORWARD ? b : pass == DATA ? a : c;
  void* y = pass == FORWARD ? c : b;
  Tensor *tx, *tw, *ty;
  Convolution* made;
  TRY(found(function, handle, HANDLE, h));
  TRY(found(function, x, TENSOR, &tx));
  TRY(found(function, w, FILTER, &tw));
  TRY(found(function, y, TENSOR, &ty));
  TRY(found(function, how, CONVOLUTION, &made));
  void* context = nullptr;
  cuCtxGetCurrent(&context);
  if (context != (*h)->context) return wrong(BAD_PARAM, function, "the handle is of another context");
  if (!(*h)->stream) return wrong(STREAM_MISMATCH, function, "the handle has no stream");
  if (!tx->n || !tw->n || !ty->n || !made->n) return wrong(BAD_PARAM, function, "a description that was not set");
  *to = Work{pass, *tx, *tw, *ty, *made};
  const Work& k = *to;
  if (k.x.type != k.w.type || k.x.type != k.y.type) return wrong(BAD_PARAM, function, "types %d, %d, %d", k.x.type, k.w.type, k.y.type);
  if (k.how.sums != (k.x.type == F64 ? F64 : F32)) return wrong(WRONG_TYPE, function, "type %d is summed in %d", k.x.type, k.how.sums);
  if (k.w.n != k.x.n || k.y.n != k.x.n || k.how.n != k.x.n - 2) return wrong(BAD_PARAM, function, "different counts of dims");
  int g = k.how.groups;
  bool fits = k.x.sizes[0] == k.y.sizes[0] && k.x.sizes[1] == k.w.sizes[1] * g && k.y.sizes[1] == k.w.sizes[0] && k.w.sizes[0] % g == 0;
  if (!fits) {
    return wrong(SHAPE_MISMATCH, function, "x of %d and %d channels, w of %d and %d, y of %d and %d, %d groups", k.x.sizes[0], k.x.sizes[1],
                 k.w.sizes[0], k.w.sizes[1], k.y.sizes[0], k.y.sizes[1], g);
  }
  for (int d = 0; d < k.how.n; d++) {
    int64_t window = (int64_t)(k.w.sizes[2 + d] - 1) * k.how.dilation[d] + 1, room = k.x.sizes[2 + d] + 2 * (int64_t)k.how.padding[d];
    if (room < window || (room - window) / k.how.stride[d] + 1 != k.y.sizes[2 + d]) {
      return wrong(SHAPE_MISMATCH, function, "%d windows of %lld in %lld along dim %d", k.y.sizes[2 + d], (long long)window,
                   (long long)room, d);
    }
  }
  return SUCCESS;
}

// Those that work: the second one of each pass. What it wants depends on the sizes, so that a plan's own is passed.
enum { GOOD = 1 };
static size_t wanted(const Work& k) {
  return strtoull(setting("EMULATOR_CUDNN_WORKSPACE", "256"), nullptr, 10) + (size_t)k.x.sizes[1] * 16 + (size_t)k.y.sizes[0];
}

struct Candidate {
  int algorithm;
  Status status;
  float milliseconds;
  size_t memory;
  int determinism, math, reserved[3];
};

static Status search(const char* function, Pass pass, void* handle, void* a, void* b, void* how, void* c, int room, int* count,
                     Candidate* to) {
  Handle* h;
  Work k;
  TRY(gathered(function, pass, handle, a, b, how, c, &h, &k));
  if (room < 1 || !count || !to) return wrong(BAD_PARAM, function, "no room for an answer");
  // Before the good one stand one that refuses, one whose sums depend on time, and one that wants a tebibyte.
  const Candidate all[] = {
    {4, NOT_SUPPORTED, -1, 0, 1, k.how.math, {}},
    {0, SUCCESS, 0, 0, 0, k.how.math, {}},
    {5, SUCCESS, 0, (size_t)1 << 40, 1, k.how.math, {}},
    {GOOD, SUCCESS, 0, wanted(k), 1, k.how.math, {}},
  };
  *count = 0;
  for (const Candidate& one : all) {
    if (*count < room) to[(*count)++] = one;
  }
  return SUCCESS;
}
#define SEARCH(name, pass)                                                                                                      \
  API Status name(void* handle, void* a, void* b, void* how, void* c, int room, int* count, Candidate* to) {                    \
    BEGIN;                                                                                                                      \
    return search(__func__, pass, handle, a, b, how, c, room, count, to);                                                       \
  }
SEARCH(cudnnGetConvolutionForwardAlgorithm_v7, FORWARD)
SEARCH(cudnnGetConvolutionBackwardDataAlgorithm_v7, DATA)
SEARCH(cudnnGetConvolutionBackwardFilterAlgorithm_v7, FILTERS)

static size_t bytes_of(int type) { return type == F64 ? 8 : type == F32 ? 4 : 2; }
static Status in_place(const char* function, const char* what, const Tensor& t, const void* at) {
  if ((Address)at % 16) return wrong(MISALIGNED, function, "%s at %p", what, at);
  int64_t end = 1;
  for (int d = 0; d < t.n; d++) end += (int64_t)(t.sizes[d] - 1) * t.strides[d];
  return in_memory(function, what, at, end * bytes_of(t.type));
}
static double scalar(const void* at, int type) { return type == F64 ? *(const double*)at : *(const float*)at; }

static int64_t offset(const Tensor& t, const int* at) {
  int64_t sum = 0;
  for (int d = 0; d < t.n; d++) sum += (int64_t)at[d] * t.strides[d];
  return sum;
}
static int64_t number(const Tensor& t, const int* at) {
  int64_t sum = 0;
  for (int d = 0; d < t.n; d++) sum = sum * t.sizes[d] + at[d];
  return sum;
}

static void compute(void* data) {
  auto* k = (Work*)data;
  const Tensor& result = k->pass == FORWARD ? k->y : k->pass == DATA ? k->x : k->w;
  char* to = k->pass == FORWARD ? k->py : k->pass == DATA ? k->px : k->pw;
  int type = result.type, n = result.n, ins = k->w.sizes[1], outs = k->w.sizes[0] / k->how.groups;
  bool tf32 = type == F32 && k->how.math != FMA_MATH;
  auto get = [&](const char* p, const Tensor& t, const int* at) {
    double v = element(p, type, offset(t, at));
    return tf32 ? rounded(v) : v;
  };
  int64_t count = 1;
  for (int d = 0; d < n; d++) count *= result.sizes[d];
  std::vector<double> sums(count);
  int y[5] = {};
  do {
    int w[5] = {y[1]};
    do {
      int x[5] = {y[0], y[1] / outs * ins + w[1]};
      bool inside = true;
      for (int d = 0; d < n - 2; d++) {
        int tap = k->how.mode ? w[2 + d] : k->w.sizes[2 + d] - 1 - w[2 + d];
        x[2 + d] = y[2 + d] * k->how.stride[d] - k->how.padding[d] + tap * k->how.dilation[d];
        inside = inside && x[2 + d] >= 0 && x[2 + d] < k->x.sizes[2 + d];
      }
      if (!inside) continue;
      if (k->pass == FORWARD) sums[number(k->y, y)] += get(k->px, k->x, x) * get(k->pw, k->w, w);
      else if (k->pass == DATA) sums[number(k->x, x)] += get(k->py, k->y, y) * get(k->pw, k->w, w);
      else sums[number(k->w, w)] += get(k->py, k->y, y) * get(k->px, k->x, x);
    } while (next(w + 1, k->w.sizes + 1, n - 1));
  } while (next(y, k->y.sizes, n));
  int at[5] = {};
  do {
    int64_t place = offset(result, at);
    double old = k->beta == 0 ? 0 : k->beta * element(to, type, place);
    put(to, type, place, k->alpha * sums[number(result, at)] + old);
  } while (next(at, result.sizes, n));
  // Whoever shares memory with the workspace finds it overwritten.
  memset(k->workspace, 0xff, k->bytes);
  delete k;
}

static Status convolve(const char* function, Pass pass, void* handle, const void* alpha, void* a, char* pa, void* b, char* pb, void* how,
                       int algorithm, void* workspace, size_t bytes, const void* beta, void* c, char* pc) {
  Handle* h;
  Work k;
  TRY(gathered(function, pass, handle, a, b, how, c, &h, &k));
  if (!alpha || !beta) return wrong(NULL_POINTER, function, "no factors");
  k.px = pass == DATA ? pc : pa;
  k.pw = pass == FORWARD ? pb : pass == DATA ? pa : pc;
  k.py = pass == FORWARD ? pc : pb;
  TRY(in_place(function, "x", k.x, k.px));
  TRY(in_place(function, "w", k.w, k.pw));
  TRY(in_place(function, "y", k.y, k.py));
  if (algorithm != GOOD) return wrong(NOT_SUPPORTED, function, "algorithm %d", algorithm);
  if (bytes < wanted(k)) return wrong(TOO_SMALL, function, "a workspace of %zu bytes, %zu are wanted", bytes, wanted(k));
  TRY(in_memory(function, "the workspace", workspace, bytes));
  bool suits = k.x.type == F32 ? k.how.math != 2 : k.x.type == F64 ? k.how.math != TENSOR_OP_MATH : true;
  if (!suits) return wrong(NOT_SUPPORTED, function, "type %d with math type %d", k.x.type, k.how.math);
  k.alpha = scalar(alpha, k.x.type), k.beta = scalar(beta, k.x.type);
  k.workspace = (char*)workspace, k.bytes = bytes;
  if (logs()) {
    auto text = [&](const int* numbers, int n) {
      std::string all;
      for (int d = 0; d < n; d++) all += (d ? "x" : "") + std::to_string(numbers[d]);
      return all;
    };
    fprintf(stderr, "emulator: %s x %s, w %s, y %s, stride %s, padding %s, dilation %s, groups %d, type %d, math %d\n", function,
            text(k.x.sizes, k.x.n).c_str(), text(k.w.sizes, k.w.n).c_str(), text(k.y.sizes, k.y.n).c_str(),
            text(k.how.stride, k.how.n).c_str(), text(k.how.padding, k.how.n).c_str(), text(k.how.dilation, k.how.n).c_str(),
            k.how.groups, k.x.type, k.how.math);
  }
  return cuLaunchHostFunc(h->stream, compute, new Work(k)) == 0 ? SUCCESS : EXECUTION_FAILED;
}
#define CONVOLVE(name, pass)                                                                                                    \
  API Status name(void* handle, const void* alpha, void* a, void* pa, void* b, void* pb, void* how, int algorithm,              \
                  void* workspace, size_t bytes, const void* beta, void* c, void* pc) {                                         \
    BEGIN;                                                                                                                      \
    return convolve(__func__, pass, handle, alpha, a, (char*)pa, b, (char*)pb, how, algorithm, workspace, bytes, beta, c,       \
                    (char*)pc);                                                                                                 \
  }
CONVOLVE(cudnnConvolutionForward, FORWARD)
CONVOLVE(cudnnConvolutionBackwardData, DATA)
CONVOLVE(cudnnConvolutionBackwardFilter, FILTERS)

struct Sum {
  Tensor a, c;
  const char* pa;
  char* pc;
  double alpha, beta;
};
static void add(void* data) {
  auto* s = (Sum*)data;
  int at[5] = {};
  do {
    int from[5];
    for (int d = 0; d < s->c.n; d++) from[d] = s->a.sizes[d] == 1 ? 0 : at[d];
    int64_t place = offset(s->c, at);
    double value = s->alpha * element(s->pa, s->c.type, offset(s->a, from)) + s->beta * element(s->pc, s->c.type, place);
    put(s->pc, s->c.type, place, value);
  } while (next(at, s->c.sizes, s->c.n));
  delete s;
}

API Status cudnnAddTensor(void* handle, const void* alpha, void* a, const void* pa, const void* beta, void* c, void* pc) {
  BEGIN;
  Handle* h;
  Tensor *ta, *tc;
  TRY(found(__func__, handle, HANDLE, &h));
  TRY(found(__func__, a, TENSOR, &ta));
  TRY(found(__func__, c, TENSOR, &tc));
  if (!h->stream) return wrong(STREAM_MISMATCH, __func__, "the handle has no stream");
  if (ta->type != tc->type || ta->n != tc->n) return wrong(BAD_PARAM, __func__, "types or counts of dims differ");
  for (int d = 0; d < tc->n; d++) {
    if (ta->sizes[d] != 1 && ta->sizes[d] != tc->sizes[d]) {
      return wrong(SHAPE_MISMATCH, __func__, "%d elements for %d along dim %d", ta->sizes[d], tc->sizes[d], d);
    }
  }
  TRY(in_place(__func__, "what is added", *ta, pa));
  TRY(in_place(__func__, "the sum", *tc, pc));
  auto* s = new Sum{*ta, *tc, (const char*)pa, (char*)pc, scalar(alpha, tc->type), scalar(beta, tc->type)};
  if (logs()) fprintf(stderr, "emulator: cudnnAddTensor of %d channels\n", ta->sizes[1]);
  return cuLaunchHostFunc(h->stream, add, s) == 0 ? SUCCESS : EXECUTION_FAILED;
}
