// Runs one planted bug on the stand-in driver: `planted KERNELS NAME right|wrong`. A name of planted.cu is launched as it
// stands there; the others are mistakes of the host. Ends with 0 where out is what data was, with 3 where it is not, with 4
// where the driver refused a call.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

using Address = unsigned long long;
extern "C" {
int cuInit(unsigned);
int cuDevicePrimaryCtxRetain(void**, int);
int cuCtxSetCurrent(void*);
int cuMemAlloc_v2(Address*, size_t);
int cuMemFree_v2(Address);
int cuMemHostAlloc(void**, size_t, unsigned);
int cuMemcpyHtoDAsync_v2(Address, const void*, size_t, void*);
int cuMemcpyDtoHAsync_v2(void*, Address, size_t, void*);
int cuMemsetD8Async(Address, unsigned char, size_t, void*);
int cuModuleLoad(void**, const char*);
int cuModuleGetFunction(void**, void*, const char*);
int cuLaunchKernel(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**);
int cuStreamCreate(void**, unsigned);
int cuStreamSynchronize(void*);
int cuEventCreate(void**, unsigned);
int cuEventRecord(void*, void*);
int cuStreamWaitEvent(void*, void*, unsigned);
}

// Mirrors Plant in planted.cu.
struct Plant {
  Address data, out, extra;
  int n, right;
};

static void check(int code, const char* what) {
  if (code == 0) return;
  fprintf(stderr, "refused: %s gives %d\n", what, code);
  exit(4);
}

int main(int count, char** words) {
  if (count != 4) return 2;
  std::string name = words[2];
  bool right = !strcmp(words[3], "right");
  constexpr int N = 64;
  constexpr size_t BYTES = N * sizeof(float);
  void *context, *stream, *other, *module, *function, *event;
  check(cuInit(0), "cuInit");
  check(cuDevicePrimaryCtxRetain(&context, 0), "cuDevicePrimaryCtxRetain");
  check(cuCtxSetCurrent(context), "cuCtxSetCurrent");
  check(cuStreamCreate(&stream, 1), "cuStreamCreate");
  check(cuStreamCreate(&other, 1), "cuStreamCreate");
  check(cuEventCreate(&event, 2), "cuEventCreate");
  check(cuModuleLoad(&module, words[1]), "cuModuleLoad");
  bool by_host = cuModuleGetFunction(&function, module, name.c_str()) != 0;
  if (by_host) check(cuModuleGetFunction(&function, module, "copy_data"), "cuModuleGetFunction");
  auto is = [&](const char* mistake) { return !right && name == mistake; };

  Plant p{0, 0, 0, N, right};
  check(cuMemAlloc_v2(&p.data, BYTES), "cuMemAlloc");
  check(cuMemAlloc_v2(&p.out, BYTES), "cuMemAlloc");
  check(cuMemAlloc_v2(&p.extra, sizeof(float)), "cuMemAlloc");
  float *in, *back;
  check(cuMemHostAlloc((void**)&in, BYTES, 0), "cuMemHostAlloc");
  check(cuMemHostAlloc((void**)&back, BYTES, 0), "cuMemHostAlloc");
  for (int i = 0; i < N; i++) in[i] = (float)i, back[i] = -1;
  check(cuMemsetD8Async(p.extra, 0, sizeof(float), stream), "cuMemsetD8Async");
  bool apart = name == "stream_without_event";
  check(cuMemcpyHtoDAsync_v2(p.data, in, is("copy_outside") ? BYTES + 4 : BYTES, apart ? other : stream), "cuMemcpyHtoDAsync");
  if (apart && right) {
    check(cuEventRecord(event, other), "cuEventRecord");
    check(cuStreamWaitEvent(stream, event, 0), "cuStreamWaitEvent");
  }
  if (name == "pinned_memory_reused") {
    if (right) check(cuStreamSynchronize(stream), "cuStreamSynchronize");
    memset(in, 0, BYTES);
  }
  if (is("use_after_free")) check(cuMemFree_v2(p.data), "cuMemFree");
  if (is("freed_twice")) check(cuMemFree_v2(p.extra), "cuMemFree");

  unsigned blocks = 1, rows = 1, threads = N, shared = name.rfind("shared_", 0) == 0 ? BYTES : 0;
  if (name == "block_needs_block") blocks = N, threads = 1;
  if (is("too_many_threads")) threads = 2048;
  if (is("more_threads_than_declared")) threads = 2 * N;
  if (is("too_much_shared")) shared = 100 << 10;
  if (is("too_many_rows")) rows = 65536;
  void* parameters[] = {&p};
  check(cuLaunchKernel(function, blocks, rows, 1, threads, 1, 1, shared, stream, parameters, nullptr), "cuLaunchKernel");
  check(cuMemcpyDtoHAsync_v2(back, p.out, BYTES, stream), "cuMemcpyDtoHAsync");
  if (!is("read_before_wait")) check(cuStreamSynchronize(stream), "cuStreamSynchronize");
  for (int i = 0; i < N; i++) {
    if (back[i] == (float)i) continue;
    fprintf(stderr, "wrong: out[%d] is %g\n", i, back[i]);
    return 3;
  }
  check(cuStreamSynchronize(stream), "cuStreamSynchronize");
  if (!is("use_after_free")) check(cuMemFree_v2(p.data), "cuMemFree");
  check(cuMemFree_v2(p.extra), "cuMemFree");
  check(cuMemFree_v2(p.out), "cuMemFree");
  return 0;
}
