// libcuda.so.1 for machines without a GPU: as much of the driver API as Toro uses. Device memory is memory of the process;
// kernels are looked up by name in a library made of the same .cu files (scheduler.cpp runs them), whatever image is loaded:
// the one that cuModuleLoad names, or else EMULATOR_KERNELS.
//
// EMULATOR_LAZY=1           work of a stream runs only when somebody waits for it: missing waits show
// EMULATOR_MEMORY=bytes     what the device has (default 8 GiB)
// EMULATOR_DEVICES=n        how many devices there are (default 1)
// EMULATOR_DRIVER=n         the version it says it has (default 13000)
// EMULATOR_LOG=1            prints launches and waits
// EMULATOR_LEAKS=1          prints at the end what was not freed
// EMULATOR_LOSE=n           the n-th launch fails and takes the device with it, as an illegal address does
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <dlfcn.h>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#define API extern "C" __attribute__((visibility("default")))

using Result = int;
using Address = unsigned long long;

enum : Result {
  SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_CONTEXT = 201,
  NO_BINARY = 209, FILE_NOT_FOUND = 301, INVALID_HANDLE = 400, NOT_FOUND = 500, NOT_READY = 600, ILLEGAL_ADDRESS = 700,
  LAUNCH_FAILED = 719, NOT_SUPPORTED = 801,
};

// As in language.h.
struct Kernel {
  const char* name;
  void (*call)(const void*);
  unsigned long bytes;
  unsigned threads;
  const Kernel* next;
};
using Launch = int (*)(void (*)(const void*), const void*, const unsigned*, const unsigned*, size_t, char*, size_t);

struct Function {
  const Kernel* kernel;
  Launch launch;
  size_t most_shared = 48 << 10;
};
struct Module { std::map<std::string, Function> functions; };
using Work = std::function<void()>;
struct Stream { int device; std::deque<Work> queue; };
struct Block { size_t bytes; int device; };
struct Event {
  Stream* stream = nullptr;
  // How often it was recorded, and which of these the stream has reached, at what time.
  uint64_t recorded = 0, reached = 0;
  std::chrono::steady_clock::time_point time;
};
struct Context { int device; };

// What is global is never destroyed: threads of the process may still call when its end has begun.
static auto& mutex = *new std::recursive_mutex;
#define LOCK std::lock_guard<std::recursive_mutex> lock(mutex)
static const char* setting(const char* name, const char* otherwise) { const char* s = getenv(name); return s ? s : otherwise; }
static const bool is_lazy = *setting("EMULATOR_LAZY", "0") != '0', logs = *setting("EMULATOR_LOG", "0") != '0';
static const size_t device_bytes = strtoull(setting("EMULATOR_MEMORY", "8589934592"), nullptr, 10);
static const int device_count = atoi(setting("EMULATOR_DEVICES", "1"));
static auto& blocks = *new std::map<Address, Block>;
static auto& pinned = *new std::map<Address, size_t>;
static auto& streams = *new std::vector<Stream*>;
static auto& used = *new std::map<int, size_t>;
static Result sticky = SUCCESS;
static int launches_left = atoi(setting("EMULATOR_LOSE", "0"));
static auto& contexts = *new std::map<int, Context*>;
static thread_local Context* current = nullptr;

template <class M> static auto containing(M& map, Address at, size_t bytes) -> decltype(map.begin()) {
  auto i = map.upper_bound(at);
  if (i == map.begin()) return map.end();
  --i;
  size_t size;
  if constexpr (std::is_same_v<typename M::mapped_type, Block>) size = i->second.bytes;
  else size = i->second;
  return at + bytes <= i->first + size ? i : map.end();
}

// A copy or fill must lie in one allocation.
static bool is_device_memory(Address at, size_t bytes) {
  LOCK;
  if (bytes == 0 || containing(blocks, at, bytes) != blocks.end()) return true;
  fprintf(stderr, "emulator: %zu bytes at %llx are not in one device allocation\n", bytes, at);
  return false;
}

static void step(Stream* stream) {
  Work work = std::move(stream->queue.front());
  stream->queue.pop_front();
  work();
}
static void drain(Stream* stream) {
  while (!stream->queue.empty()) step(stream);
}
static Result push(void* handle, Work work) {
  LOCK;
  if (sticky) return sticky;
  Stream* stream = (Stream*)handle;
  stream->queue.push_back(std::move(work));
  if (!is_lazy) drain(stream);
  return sticky;
}
static void drain_all() {
  LOCK;
  for (Stream* s : streams) drain(s);
}

// ---- driver and devices

API Result cuInit(unsigned) { return device_count ? SUCCESS : NO_DEVICE; }
API Result cuDriverGetVersion(int* version) {
  *version = atoi(setting("EMULATOR_DRIVER", "13000"));
  return SUCCESS;
}
API Result cuDeviceGetCount(int* count) {
  *count = device_count;
  return SUCCESS;
}
API Result cuDeviceGet(int* device, int ordinal) {
  if (ordinal < 0 || ordinal >= device_count) return INVALID_DEVICE;
  *device = ordinal;
  return SUCCESS;
}
API Result cuDeviceGetName(char* name, int room, int) {
  snprintf(name, room, "Toro CUDA emulator");
  return SUCCESS;
}
API Result cuDeviceTotalMem_v2(size_t* bytes, int) {
  *bytes = device_bytes;
  return SUCCESS;
}
API Result cuDeviceGetAttribute(int* value, int attribute, int) {
  switch (attribute) {
    case 16: *value = 4; break;         // multiprocessors
    case 75: *value = 9; break;         // compute capability
    case 76: *value = 0; break;
    default: *value = 0;
  }
  return SUCCESS;
}
API Result cuDevicePrimaryCtxRetain(void** context, int device) {
  LOCK;
  Context*& c = contexts[device];
  if (!c) c = new Context{device};
  *context = c;
  return SUCCESS;
}
API Result cuCtxSetCurrent(void* context) {
  current = (Context*)context;
  return SUCCESS;
}
API Result cuCtxGetCurrent(void** context) {
  *context = current;
  return SUCCESS;
}
API Result cuGetErrorName(Result code, const char** name) {
  switch (code) {
    case SUCCESS: *name = "CUDA_SUCCESS"; break;
    case INVALID_VALUE: *name = "CUDA_ERROR_INVALID_VALUE"; break;
    case OUT_OF_MEMORY: *name = "CUDA_ERROR_OUT_OF_MEMORY"; break;
    case NO_DEVICE: *name = "CUDA_ERROR_NO_DEVICE"; break;
    case INVALID_DEVICE: *name = "CUDA_ERROR_INVALID_DEVICE"; break;
    case INVALID_CONTEXT: *name = "CUDA_ERROR_INVALID_CONTEXT"; break;
    case FILE_NOT_FOUND: *name = "CUDA_ERROR_FILE_NOT_FOUND"; break;
    case INVALID_HANDLE: *name = "CUDA_ERROR_INVALID_HANDLE"; break;
    case NOT_FOUND: *name = "CUDA_ERROR_NOT_FOUND"; break;
    case NOT_READY: *name = "CUDA_ERROR_NOT_READY"; break;
    case ILLEGAL_ADDRESS: *name = "CUDA_ERROR_ILLEGAL_ADDRESS"; break;
    case LAUNCH_FAILED: *name = "CUDA_ERROR_LAUNCH_FAILED"; break;
    default: return INVALID_VALUE;
  }
  return SUCCESS;
}
API Result cuGetErrorString(Result code, const char** text) { return cuGetErrorName(code, text); }

// ---- memory: fresh blocks are full of NaN

API Result cuMemGetInfo_v2(size_t* free_bytes, size_t* total) {
  LOCK;
  if (!current) return INVALID_CONTEXT;
  *total = device_bytes;
  *free_bytes = device_bytes - used[current->device];
  return SUCCESS;
}
API Result cuMemAlloc_v2(Address* address, size_t bytes) {
  LOCK;
  if (sticky) return sticky;
  if (!current) return INVALID_CONTEXT;
  if (bytes == 0) return INVALID_VALUE;
  size_t& taken = used[current->device];
  if (bytes > device_bytes || taken > device_bytes - bytes) return OUT_OF_MEMORY;
  void* memory;
  if (posix_memalign(&memory, 256, bytes)) return OUT_OF_MEMORY;
  memset(memory, 0xff, bytes);
  *address = (Address)memory;
  blocks[*address] = {bytes, current->device};
  taken += bytes;
  return SUCCESS;
}
API Result cuMemGetAddressRange_v2(Address* base, size_t* bytes, Address address) {
  LOCK;
  auto found = containing(blocks, address, 1);
  if (found == blocks.end()) return NOT_FOUND;
  *base = found->first;
  *bytes = found->second.bytes;
  return SUCCESS;
}
API Result cuMemFree_v2(Address address) {
  LOCK;
  if (sticky) return sticky;
  auto found = blocks.find(address);
  if (found == blocks.end()) {
    fprintf(stderr, "emulator: %llx is freed, but was not allocated\n", address);
    return INVALID_VALUE;
  }
  drain_all();
  used[found->second.device] -= found->second.bytes;
  blocks.erase(found);
  free((void*)address);
  return SUCCESS;
}
API Result cuMemHostAlloc(void** address, size_t bytes, unsigned) {
  LOCK;
  if (sticky) return sticky;
  if (posix_memalign(address, 4096, bytes)) return OUT_OF_MEMORY;
  pinned[(Address)*address] = bytes;
  return SUCCESS;
}
API Result cuMemFreeHost(void* address) {
  LOCK;
  if (!pinned.erase((Address)address)) {
    fprintf(stderr, "emulator: %p is freed, but is no pinned memory\n", address);
    return INVALID_VALUE;
  }
  drain_all();
  free(address);
  return SUCCESS;
}
API Result cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t bytes, void* stream) {
  if (!is_device_memory(to, bytes)) return INVALID_VALUE;
  {
    LOCK;
    if (containing(pinned, (Address)from, bytes) != pinned.end()) {
      return push(stream, [=] { memcpy((void*)to, from, bytes); });
    }
  }
  // Pageable memory is staged before the call returns.
  auto staged = std::make_shared<std::vector<char>>((const char*)from, (const char*)from + bytes);
  return push(stream, [=] { memcpy((void*)to, staged->data(), bytes); });
}
API Result cuMemcpyDtoHAsync_v2(void* to, Address from, size_t bytes, void* stream) {
  if (!is_device_memory(from, bytes)) return INVALID_VALUE;
  Result result = push(stream, [=] { memcpy(to, (const void*)from, bytes); });
  LOCK;
  if (containing(pinned, (Address)to, bytes) == pinned.end()) drain((Stream*)stream);
  return result ? result : sticky;
}
API Result cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, void* stream) {
  if (!is_device_memory(to, bytes) || !is_device_memory(from, bytes)) return INVALID_VALUE;
  return push(stream, [=] { memmove((void*)to, (const void*)from, bytes); });
}
API Result cuMemcpyPeerAsync(Address to, void*, Address from, void*, size_t bytes, void* stream) {
  return cuMemcpyDtoDAsync_v2(to, from, bytes, stream);
}
API Result cuMemsetD8Async(Address to, unsigned char value, size_t bytes, void* stream) {
  if (!is_device_memory(to, bytes)) return INVALID_VALUE;
  return push(stream, [=] { memset((void*)to, value, bytes); });
}

// ---- modules and launches

static Result load(void** module, const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    fprintf(stderr, "emulator: %s\n", dlerror());
    return FILE_NOT_FOUND;
  }
  auto list = (const Kernel* (*)())dlsym(library, "emulator_kernels");
  auto launch = (Launch)dlsym(library, "emulator_launch");
  if (!list || !launch) return NO_BINARY;
  auto* made = new Module;
  for (const Kernel* k = list(); k; k = k->next) made->functions[k->name] = {k, launch};
  *module = made;
  return SUCCESS;
}
API Result cuModuleLoad(void** module, const char* path) {
  LOCK;
  return load(module, path);
}
API Result cuModuleLoadData(void** module, const void*) {
  LOCK;
  return load(module, setting("EMULATOR_KERNELS", ""));
}
API Result cuModuleGetFunction(void** function, void* module, const char* name) {
  LOCK;
  auto& functions = ((Module*)module)->functions;
  auto found = functions.find(name);
  if (found == functions.end()) return NOT_FOUND;
  *function = &found->second;
  return SUCCESS;
}
API Result cuFuncSetAttribute(void* function, int attribute, int value) {
  if (attribute != 8) return NOT_SUPPORTED;
  if (value > 227 << 10) return INVALID_VALUE;
  ((Function*)function)->most_shared = value;
  return SUCCESS;
}
API Result cuLaunchKernel(void* handle, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                          unsigned shared, void* stream, void** parameters, void** extra) {
  auto* f = (Function*)handle;
  const Kernel* k = f->kernel;
  uint64_t threads = (uint64_t)bx * by * bz;
  bool fits = gx && gy && gz && threads && threads <= k->threads && threads <= 1024 && bz <= 64 && gx <= 2147483647u &&
              gy <= 65535 && gz <= 65535 && shared <= f->most_shared && !extra && current;
  if (!fits) {
    fprintf(stderr, "emulator: %s cannot be launched as (%u, %u, %u) blocks of (%u, %u, %u) threads, at most %u, with %u bytes\n",
            k->name, gx, gy, gz, bx, by, bz, k->threads, shared);
    return INVALID_VALUE;
  }
  if (launches_left && --launches_left == 0) sticky = ILLEGAL_ADDRESS;
  if (logs) fprintf(stderr, "emulator: %s (%u, %u, %u) x (%u, %u, %u), %u bytes\n", k->name, gx, gy, gz, bx, by, bz, shared);
  auto argument = std::make_shared<std::vector<char>>((char*)parameters[0], (char*)parameters[0] + k->bytes);
  return push(stream, [=] {
    if (sticky) return;
    unsigned grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
    char error[512];
    if (!f->launch(k->call, argument->data(), grid, block, shared, error, sizeof error)) return;
    fprintf(stderr, "emulator: %s: %s\n", k->name, error);
    sticky = LAUNCH_FAILED;
  });
}

// ---- streams

API Result cuStreamCreate(void** stream, unsigned) {
  LOCK;
  if (!current) return INVALID_CONTEXT;
  auto* made = new Stream{current->device, {}};
  streams.push_back(made);
  *stream = made;
  return SUCCESS;
}
API Result cuStreamGetCtx(void* stream, void** context) {
  LOCK;
  *context = contexts[((Stream*)stream)->device];
  return SUCCESS;
}
API Result cuStreamSynchronize(void* stream) {
  if (logs) fprintf(stderr, "emulator: wait\n");
  LOCK;
  drain((Stream*)stream);
  return sticky;
}

API Result cuLaunchHostFunc(void* stream, void (*work)(void*), void* data) {
  return push(stream, [=] { work(data); });
}

// ---- events

API Result cuEventCreate(void** event, unsigned) {
  LOCK;
  if (sticky) return sticky;
  if (!current) return INVALID_CONTEXT;
  *event = new Event;
  return SUCCESS;
}
// Work may still refer to it, so it stays; only what the driver promises about it ends.
API Result cuEventDestroy_v2(void*) { return SUCCESS; }
API Result cuEventRecord(void* event, void* stream) {
  LOCK;
  auto* e = (Event*)event;
  e->stream = (Stream*)stream;
  uint64_t number = ++e->recorded;
  return push(stream, [=] {
    e->reached = number;
    e->time = std::chrono::steady_clock::now();
  });
}
// Work that is waited for in no other way goes on a little at each question.
API Result cuEventQuery(void* event) {
  LOCK;
  if (sticky) return sticky;
  auto* e = (Event*)event;
  if (e->reached == e->recorded) return SUCCESS;
  if (!e->stream->queue.empty()) step(e->stream);
  return NOT_READY;
}
static void reach(Event* e, uint64_t number) {
  while (e->reached < number && !e->stream->queue.empty()) step(e->stream);
}
API Result cuEventSynchronize(void* event) {
  LOCK;
  auto* e = (Event*)event;
  reach(e, e->recorded);
  return sticky;
}
API Result cuEventElapsedTime(float* ms, void* from, void* to) {
  LOCK;
  if (sticky) return sticky;
  auto *a = (Event*)from, *b = (Event*)to;
  if (!a->recorded || !b->recorded) return INVALID_HANDLE;
  if (a->reached < a->recorded || b->reached < b->recorded) return NOT_READY;
  *ms = std::chrono::duration<float, std::milli>(b->time - a->time).count();
  return SUCCESS;
}
API Result cuStreamWaitEvent(void* stream, void* event, unsigned) {
  LOCK;
  auto* e = (Event*)event;
  return push(stream, [e, number = e->recorded] { reach(e, number); });
}

__attribute__((destructor)) static void end() {
  if (*setting("EMULATOR_LEAKS", "0") == '0') return;
  for (auto& [device, bytes] : used) fprintf(stderr, "emulator: device %d: %zu bytes not freed\n", device, bytes);
}
