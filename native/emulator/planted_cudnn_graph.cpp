// One mistake with the graphs of cuDNN on its stand-in: `planted_cudnn_graph NAME right|wrong`. Attention of two heads of 4
// queries to 4 keys, all ones, the second head's queries zero. Ends with 0 where all of it went well, with 3 where the result
// is wrong, with 4 where a call was refused, with 5 where a mistake was made and nobody said so.
#include <cmath>
#include <cstdint>
#include <vector>

#include "planted_cudnn.h"

extern "C" {
int cudnnBackendCreateDescriptor(int, void**);
int cudnnBackendDestroyDescriptor(void*);
int cudnnBackendSetAttribute(void*, int, int, int64_t, const void*);
int cudnnBackendGetAttribute(void*, int, int, int64_t, int64_t*, void*);
int cudnnBackendFinalize(void*);
int cudnnBackendExecute(void*, void*, void*);
}

// Types of attributes.
enum { A_HANDLE = 0, A_TYPE = 1, A_BOOL = 2, A_INT64 = 3, A_ADDRESS = 6, A_HEURISTIC = 8, A_NOTE = 11, A_MODE = 14, A_PART = 15, A_REDUCTION = 18 };
enum { F32 = 0, F16 = 2, I32 = 4, BOOL = 11 };

static const char* mistake;
static bool made;
static bool is(const char* name) {
  bool here = !strcmp(mistake, name);
  made = made || here;
  return here;
}

static void* create(int kind) {
  void* d;
  CHECK(cudnnBackendCreateDescriptor, kind, &d);
  return d;
}
template <class T> static void set(void* d, int name, int form, std::vector<T> values) {
  CHECK(cudnnBackendSetAttribute, d, name, form, (int64_t)values.size(), values.data());
}
static void* finish(void* d) {
  CHECK(cudnnBackendFinalize, d);
  return d;
}
using Sizes = std::vector<int64_t>;
enum Where { MEMORY, NOWHERE, VALUE };
static void* tensor(int64_t number, int type, Sizes sizes, Where where) {
  void* t = create(17);
  Sizes strides = {sizes[1] * sizes[2] * sizes[3], sizes[2] * sizes[3], sizes[3], 1};
  if (number == 2) strides[2] = 1, strides[3] = sizes[2];
  if (number == 1 && is("stride_of_zero")) strides[1] = 0;
  if (number == 1 && is("empty_dim")) sizes[0] = 0;
  if (number == 1 && is("three_dims")) sizes.resize(3), strides.resize(3);
  if (number == 1 && is("unknown_type")) type = 99;
  bool flag = true;
  set<int>(t, 901, A_TYPE, {type});
  if (!(number == 1 && is("without_sizes"))) set(t, 902, number == 1 && is("wrong_form") ? A_TYPE : A_INT64, sizes);
  set(t, 903, A_INT64, strides);
  set<int64_t>(t, 906, A_INT64, {number == 2 && is("same_number") ? 1 : number});
  set<int64_t>(t, 900, A_INT64, {where == VALUE ? 4 : number == 1 && is("odd_alignment") ? 12 : 16});
  if (where != MEMORY) CHECK(cudnnBackendSetAttribute, t, where == NOWHERE ? 907 : 908, A_BOOL, 1, &flag);
  if (number == 1 && is("unknown_attribute")) set<int64_t>(t, 777, A_INT64, {1});
  if (number == 1 && is("never_finished")) return t;
  return finish(t);
}
static std::vector<void*> operations;
static void* each(int mode, int math, void* x, void* y, void* b = nullptr, void* t = nullptr, int axis = -1) {
  void *how = create(0), *o = create(13);
  set<int>(how, 0, A_MODE, {mode});
  set<int>(how, 1, A_TYPE, {math});
  if (axis >= 0) set<int64_t>(how, 9, A_INT64, {axis});
  set<void*>(o, 750, A_PART, {finish(how)});
  set<void*>(o, 751, A_PART, {x});
  if (b) set<void*>(o, 752, A_PART, {b});
  set<void*>(o, 753, A_PART, {y});
  if (t) set<void*>(o, 758, A_PART, {t});
  operations.push_back(finish(o));
  return y;
}
static void multiply(void* a, void* b, void* c) {
  void *how = create(18), *o = create(19);
  set<int>(how, 1500, A_TYPE, {is("sums_in_half") ? F16 : F32});
  set<void*>(o, 1520, A_PART, {a});
  set<void*>(o, 1521, A_PART, {b});
  set<void*>(o, 1522, A_PART, {c});
  set<void*>(o, 1523, A_PART, {finish(how)});
  operations.push_back(finish(o));
}
static void* join(int operation, void* x, void* y) {
  void *how = create(21), *o = create(22);
  set<int>(how, 1600, A_REDUCTION, {operation});
  set<int>(how, 1601, A_TYPE, {F32});
  set<void*>(o, 1610, A_PART, {x});
  set<void*>(o, 1611, A_PART, {y});
  set<void*>(o, 1612, A_PART, {finish(how)});
  operations.push_back(finish(o));
  return y;
}

int main(int count, char** words) {
  if (count != 3) return 2;
  mistake = strcmp(words[2], "right") ? words[1] : "";
  void *context, *stream, *handle, *other;
  CHECK(cuInit, 0);
  CHECK(cuDevicePrimaryCtxRetain, &context, 0);
  CHECK(cuCtxSetCurrent, context);
  CHECK(cudnnCreate, &handle);
  CHECK(cudnnCreate, &other);
  CHECK(cuStreamCreate, &stream, 1);
  if (!is("no_stream")) CHECK(cudnnSetStream, handle, stream);

  Sizes all = {1, 2, 4, 4}, rows = {1, 2, 4, 8}, column = {1, 2, 4, 1};
  int64_t next = 100;
  auto between = [&](int type, Sizes sizes) { return tensor(++next, type, sizes, NOWHERE); };
  void* q = tensor(1, is("product_of_float32") ? F32 : F16, rows, MEMORY);
  void* k = tensor(2, F16, {1, 2, is("wrong_product") ? 16 : 8, 4}, MEMORY);
  void* v = tensor(3, F16, rows, MEMORY);
  void* out = tensor(4, F16, rows, MEMORY);
  void* scale = tensor(5, F32, is("value_of_two") ? column : Sizes{1, 1, 1, 1}, VALUE);
  void* shut = tensor(6, F32, {1, 1, 1, 1}, VALUE);
  void* product = between(F32, all);
  if (is("set_when_finished")) set<int>(product, 901, A_TYPE, {F16});
  if (is("finished_twice")) finish(product);
  multiply(q, is("unknown_part") ? operations.data() : k, product);
  void* scaled = between(F32, all);
  if (!is("read_before_made")) each(1, is("math_in_half") ? F16 : F32, product, scaled, is("without_b") ? nullptr : scale);
  if (is("made_twice")) each(1, F32, product, scaled, scale);
  void *row = between(is("numbers_as_floats") ? F32 : I32, all), *key = between(I32, all), *seen = between(is("truth_as_float") ? F32 : BOOL, all);
  each(is("unknown_mode") ? 12 : 501, I32, scaled, row, nullptr, nullptr, is("without_axis") ? -1 : 2);
  each(501, I32, scaled, key, nullptr, nullptr, 3);
  each(303, BOOL, row, seen, key);
  void* masked = each(601, F32, scaled, between(F32, all), shut, is("without_t") ? nullptr : seen);
  void* most = join(is("unknown_reduction") ? 7 : 3, masked, between(F32, is("wrong_reduction") ? Sizes{1, 2, 3, 1} : column));
  void* weights = each(13, F32, each(9, F32, masked, between(F32, all), most), between(F32, is("wrong_spread") ? rows : all));
  void* total = join(0, weights, between(F32, column));
  void* parts = each(6, F32, weights, between(F16, all), total);
  if (is("written_value")) each(1, F32, shut, scale, shut);
  multiply(parts, v, out);

  void* graph = create(15);
  set<void*>(graph, 801, A_PART, operations);
  if (!is("without_handle")) set<void*>(graph, 800, A_HANDLE, {is("wrong_handle") ? graph : handle});
  if (is("tensor_as_operation")) set<void*>(graph, 801, A_PART, {q});
  finish(graph);
  void* heuristic = create(4);
  set<void*>(heuristic, 201, A_PART, {graph});
  // The first of the other heuristic refuses to be a plan, the second may be none.
  bool is_hasty = is("sums_by_time"), is_other = is("refusing_engine") || is_hasty;
  set<int>(heuristic, 200, A_HEURISTIC, {is("unknown_heuristic") ? 9 : is_other ? 3 : 2});
  if (!is("asked_too_early")) finish(heuristic);
  int64_t found = 0;
  CHECK(cudnnBackendGetAttribute, heuristic, 202, A_PART, 0, &found, nullptr);
  void* configs[] = {create(is("results_elsewhere") ? 2 : 3), create(3)};
  CHECK(cudnnBackendGetAttribute, heuristic, 202, A_PART, is_hasty ? 2 : 1, &found, configs);
  if (found != 1 + is_hasty) return 2;
  void* config = configs[is_hasty];
  void* plan = create(5);
  set<void*>(plan, 400, A_HANDLE, {is("plan_of_another") ? other : handle});
  set<void*>(plan, 401, A_PART, {config});
  finish(plan);
  int64_t bytes = 0;
  CHECK(cudnnBackendGetAttribute, plan, 402, is("size_as_number") ? A_NOTE : A_INT64, 1, &found, &bytes);

  uint16_t one = 0x3c00, data[64], back[64];
  for (int i = 0; i < 64; i++) data[i] = one;
  Address pq, pk, pv, pout, workspace;
  for (Address* p : {&pq, &pk, &pv, &pout}) {
    CHECK(cuMemAlloc_v2, p, sizeof data);
    if (p != &pout) CHECK(cuMemcpyHtoDAsync_v2, *p, data, sizeof data, stream);
  }
  // Values that grow with their key, so that what a query sees shows.
  for (int i = 0; i < 64; i++) {
    _Float16 x = (_Float16)(i / 8 % 4 + 1);
    memcpy(&data[i], &x, 2);
  }
  CHECK(cuMemcpyHtoDAsync_v2, pv, data, sizeof data, stream);
  CHECK(cuMemAlloc_v2, &workspace, bytes - (is("small_workspace") ? 1 : 0));
  if (is("operand_too_short")) pq += 16;
  if (is("off_its_place")) pq += 2;
  if (is("memory_of_the_process")) pq = (Address)data;
  float factor = 0.5f, lowest = -INFINITY;
  std::vector<int64_t> numbers = {1, 2, 3, 4, 5, 6};
  std::vector<Address> places = {pq, pk, pv, pout, is("value_on_the_device") ? pk : is("no_value") ? 0 : (Address)&factor, (Address)&lowest};
  if (is("tensor_left_out")) numbers.pop_back(), places.pop_back();
  if (is("tensor_too_many")) numbers.push_back(77), places.push_back(pk);
  if (is("tensor_given_twice")) numbers.push_back(1), places.push_back(pk);
  if (is("virtual_given")) numbers.push_back(101), places.push_back(pk);
  if (is("place_left_out")) places.pop_back();
  void* pack = create(16);
  set(pack, 1000, A_INT64, numbers);
  set(pack, 1001, A_ADDRESS, places);
  set<Address>(pack, 1003, A_ADDRESS, {is("no_workspace") ? 0 : workspace});
  if (!is("pack_not_finished")) finish(pack);
  if (is("destroyed_tensor")) CHECK(cudnnBackendDestroyDescriptor, k);
  if (is("destroyed_plan")) CHECK(cudnnBackendDestroyDescriptor, plan);
  if (is("destroyed_twice")) CHECK(cudnnBackendDestroyDescriptor, config), CHECK(cudnnBackendDestroyDescriptor, config);
  if (is("destroyed_handle")) CHECK(cudnnDestroy, handle);
  CHECK(cudnnBackendExecute, handle, plan, is("pack_for_plan") ? graph : pack);
  CHECK(cuMemcpyDtoHAsync_v2, back, pout, sizeof back, stream);
  CHECK(cuStreamSynchronize, stream);
  for (int i = 0; i < 64; i++) {
    // All weights are alike: the mean of the values up to the query's own.
    _Float16 got;
    memcpy(&got, &back[i], 2);
    float want = (i / 8 % 4 + 2) / 2.0f;
    if (fabsf((float)got - want) < 2e-3f) continue;
    fprintf(stderr, "wrong: out[%d] is %g, not %g\n", i, (double)(float)got, want);
    return 3;
  }
  return made ? 5 : 0;
}
